//! What engine and shim say to each other, over any byte stream. Std only: the shim is a program of its own and the
//! library includes this file too.
//!
//! A frame is a length (u32, little endian, of what follows), a type (u8) and fields. Numbers are little endian; texts
//! and bytes are a u32 length and their bytes; lists a u32 count and their items. Bytes after the last known field are
//! skipped, so a later version can add fields at the end. Decoding never panics and never allocates more than the frame.
//!
//! ```text
//! engine                          shim
//!   hello ───────────────────────▶  welcome | rejected (and closes)
//!   put* start ──────────────────▶  started | refused, then output*, file*, exited
//!   attach ──────────────────────▶  started | refused | unknown | lost, then the same from the offset
//!   credit, ack, signal ─────────▶
//!   end(job) ────────────────────▶  ended, when no process of the job is left
//!   shutdown ────────────────────▶  bye, and the shim is gone
//! ```

/// The version this file describes.
pub const VERSION: u16 = 1;
/// The oldest version it still understands.
pub const OLDEST_VERSION: u16 = 1;
/// Longest frame in bytes: argv and environment of a step fit (Linux bounds them to about 2 MiB).
pub const MAX_FRAME: usize = 4 << 20;
/// Longest first frame: nobody who has not said the token makes the other side keep more.
pub const MAX_HELLO: usize = 4 << 10;
/// Most bytes in one `output`, and what both sides read at once.
pub const OUTPUT_CHUNK: usize = 64 << 10;
/// Most bytes in one `put` or `file`.
pub const FILE_CHUNK: usize = 256 << 10;
/// Bytes of a step that may be under way beyond the last `credit`: bounds what a reader must hold for each step.
pub const STREAM_WINDOW: u64 = 1 << 20;
/// Largest file that is collected; what is beyond is cut off.
pub const MAX_COLLECTED: u64 = 10 << 20;
/// Most bytes of `put` waiting for their `start` on one connection.
pub const MAX_PUT: usize = 64 << 20;

/// A frame that cannot be read. The connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed frame: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// What the engine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The first frame. `version` down to `oldest` are spoken.
    Hello {
        /// The newest version the engine speaks.
        version: u16,
        /// The oldest.
        oldest: u16,
        /// The shared secret.
        token: Vec<u8>,
    },
    /// A piece of a file for the step that a `start` on this connection will name.
    Put {
        /// `job/attempt/step`.
        key: String,
        /// A plain name.
        name: String,
        /// Appended to what was put before under this name.
        bytes: Vec<u8>,
    },
    /// Starts a step, once; a known key gives its state and its stream from the beginning.
    Start(Start),
    /// Signals every process of the step.
    Signal {
        /// The step.
        key: String,
        /// Which.
        signal: StepSignal,
    },
    /// The stream of a known step from an offset.
    Attach {
        /// The step.
        key: String,
        /// Raw offset of the first byte wanted.
        offset: u64,
        /// As in [`Start::collect`]; replaces it.
        collect: Vec<String>,
    },
    /// Output below this offset has found its reader: [`STREAM_WINDOW`] more may be sent.
    Credit {
        /// The step.
        key: String,
        /// Raw offset.
        offset: u64,
    },
    /// Output below this offset is safe elsewhere and need not be kept.
    Ack {
        /// The step.
        key: String,
        /// Raw offset.
        offset: u64,
    },
    /// The job is over: kills what is left of it and forgets its steps and their folders.
    End {
        /// `job/attempt`.
        job: String,
    },
    /// The run is over: kills everything that descends from the shim, and the shim ends.
    Shutdown,
}

/// A step to start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Start {
    /// `job/attempt/step`.
    pub key: String,
    /// Program and arguments; the program is looked up in the PATH that the step gets.
    pub argv: Vec<String>,
    /// On top of the shim's own environment; later entries win.
    pub env: Vec<(String, String)>,
    /// Put in front of PATH, first comes first.
    pub path: Vec<String>,
    /// Absolute folder.
    pub cwd: String,
    /// Names of files to make in the step's folder; their contents were `put` before (none: empty).
    pub files: Vec<String>,
    /// Names of files in the step's folder that are wanted at exit.
    pub collect: Vec<String>,
    /// Unacknowledged bytes that may be kept before the step has to wait; 0 is the shim's default (64 MiB).
    pub spool_bytes: u64,
}

/// Signals of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepSignal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGKILL, to daemons too.
    Kill,
}

/// What the shim says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The token is right; this version is spoken from here on.
    Welcome {
        /// The version.
        version: u16,
    },
    /// Wrong token or version; the connection is closed.
    Rejected {
        /// Why.
        reason: String,
    },
    /// The step was started (now, or before).
    Started {
        /// The step.
        key: String,
    },
    /// The step's process could not be made; it stays so.
    Refused {
        /// The step.
        key: String,
        /// Why.
        reason: Refusal,
        /// The program, folder or file that is meant, and the system's word.
        detail: String,
    },
    /// Raw output.
    Output {
        /// The step.
        key: String,
        /// Offset of the first byte.
        offset: u64,
        /// At most [`OUTPUT_CHUNK`].
        bytes: Vec<u8>,
    },
    /// A piece of a collected file.
    File {
        /// The step.
        key: String,
        /// Its name.
        name: String,
        /// Appended to what came before under this name.
        bytes: Vec<u8>,
    },
    /// The step is over; all its output and files were sent.
    Exited {
        /// The step.
        key: String,
        /// How.
        exit: StepEnd,
        /// The collected files that exist, in the order asked.
        files: Vec<String>,
    },
    /// No such step was ever started here.
    Unknown {
        /// The step.
        key: String,
    },
    /// The step was started by a shim that is gone.
    Lost {
        /// The step.
        key: String,
    },
    /// Of this job nothing is left.
    Ended {
        /// `job/attempt`.
        job: String,
        /// Processes that could not be killed in time.
        left: u32,
    },
    /// The shim is about to be gone.
    Bye,
}

/// Why a step could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No such program in the PATH, or at the path.
    ProgramNotFound,
    /// It is there and cannot be run.
    NotExecutable,
    /// The working folder is not there, or no folder.
    CwdMissing,
    /// The key, a name or an argument is not acceptable.
    Invalid,
    /// The system could not (memory, processes, disk).
    System,
}

/// How a step's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEnd {
    /// Its exit code.
    Code(i32),
    /// The signal that ended it.
    Signal(i32),
    /// The memory limit ended it, or a part of it.
    OutOfMemory,
}

/// The job part (`job/attempt`) of a step's key; `None` when the key is not of the form `job/attempt/step`.
pub fn job_of(key: &str) -> Option<&str> {
    folder_of(key)?;
    key.rsplit_once('/').map(|(job, _)| job)
}

/// The name of the folder for a step's files, under the shim's folder: the key with dots for slashes. `None` when the key
/// is not of the form `job/attempt/step` (numbers at the end, a job without slashes and control characters, 200 bytes).
pub fn folder_of(key: &str) -> Option<String> {
    let number = |text: &str| !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit());
    let mut parts = key.rsplitn(3, '/');
    let (step, attempt, job) = (parts.next()?, parts.next()?, parts.next()?);
    let good = number(step) && number(attempt) && plain_name(job);
    good.then(|| format!("{job}.{attempt}.{step}"))
}

/// Whether `name` is a file's name and nothing else.
pub fn plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && name != "."
        && name != ".."
        && !name.chars().any(|c| c == '/' || c.is_control())
}

/// The first whole frame in `buffer`: its body (type and fields) and the length with which it stands in the buffer;
/// `None` when more bytes are needed. `limit` bounds the body.
pub fn next_frame(buffer: &[u8], limit: usize) -> Result<Option<(&[u8], usize)>, Malformed> {
    let Some((head, rest)) = buffer.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*head) as usize;
    if length == 0 || length > limit {
        return Err(Malformed("length is zero or beyond the limit"));
    }
    Ok(rest.get(..length).map(|body| (body, 4 + length)))
}

impl Request {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello { version, oldest, token } => frame(out, 1, |w| {
                w.extend_from_slice(&version.to_le_bytes());
                w.extend_from_slice(&oldest.to_le_bytes());
                put_bytes(w, token);
            }),
            Self::Put { key, name, bytes } => encode_named(out, 2, key, name, bytes),
            Self::Start(start) => frame(out, 3, |w| {
                put_bytes(w, start.key.as_bytes());
                put_texts(w, &start.argv);
                put_count(w, start.env.len());
                for (name, value) in &start.env {
                    put_bytes(w, name.as_bytes());
                    put_bytes(w, value.as_bytes());
                }
                put_texts(w, &start.path);
                put_bytes(w, start.cwd.as_bytes());
                put_texts(w, &start.files);
                put_texts(w, &start.collect);
                w.extend_from_slice(&start.spool_bytes.to_le_bytes());
            }),
            Self::Signal { key, signal } => frame(out, 4, |w| {
                put_bytes(w, key.as_bytes());
                w.push(match signal {
                    StepSignal::Interrupt => 2,
                    StepSignal::Kill => 9,
                    StepSignal::Terminate => 15,
                });
            }),
            Self::Attach { key, offset, collect } => frame(out, 5, |w| {
                put_bytes(w, key.as_bytes());
                w.extend_from_slice(&offset.to_le_bytes());
                put_texts(w, collect);
            }),
            Self::Credit { key, offset } => encode_offset(out, 6, key, *offset),
            Self::Ack { key, offset } => encode_offset(out, 7, key, *offset),
            Self::End { job } => frame(out, 8, |w| put_bytes(w, job.as_bytes())),
            Self::Shutdown => frame(out, 9, |_| {}),
        }
    }

    /// Reads a frame's body.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader { rest: body };
        Ok(match r.u8()? {
            1 => Self::Hello { version: r.u16()?, oldest: r.u16()?, token: r.bytes()?.to_vec() },
            2 => Self::Put { key: r.text()?, name: r.text()?, bytes: r.bytes()?.to_vec() },
            3 => Self::Start(Start {
                key: r.text()?,
                argv: r.texts()?,
                env: r.list(|r| Ok((r.text()?, r.text()?)))?,
                path: r.texts()?,
                cwd: r.text()?,
                files: r.texts()?,
                collect: r.texts()?,
                spool_bytes: r.u64()?,
            }),
            4 => Self::Signal {
                key: r.text()?,
                signal: match r.u8()? {
                    2 => StepSignal::Interrupt,
                    9 => StepSignal::Kill,
                    15 => StepSignal::Terminate,
                    _ => return Err(Malformed("signal is unknown")),
                },
            },
            5 => Self::Attach { key: r.text()?, offset: r.u64()?, collect: r.texts()? },
            6 => Self::Credit { key: r.text()?, offset: r.u64()? },
            7 => Self::Ack { key: r.text()?, offset: r.u64()? },
            8 => Self::End { job: r.text()? },
            9 => Self::Shutdown,
            _ => return Err(Malformed("type of request is unknown")),
        })
    }
}

impl Answer {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Welcome { version } => frame(out, 65, |w| w.extend_from_slice(&version.to_le_bytes())),
            Self::Rejected { reason } => frame(out, 66, |w| put_bytes(w, reason.as_bytes())),
            Self::Started { key } => frame(out, 67, |w| put_bytes(w, key.as_bytes())),
            Self::Refused { key, reason, detail } => frame(out, 68, |w| {
                put_bytes(w, key.as_bytes());
                w.push(match reason {
                    Refusal::ProgramNotFound => 1,
                    Refusal::NotExecutable => 2,
                    Refusal::CwdMissing => 3,
                    Refusal::Invalid => 4,
                    Refusal::System => 5,
                });
                put_bytes(w, detail.as_bytes());
            }),
            Self::Output { key, offset, bytes } => encode_output(out, key, *offset, bytes),
            Self::File { key, name, bytes } => encode_named(out, 70, key, name, bytes),
            Self::Exited { key, exit, files } => frame(out, 71, |w| {
                put_bytes(w, key.as_bytes());
                let (kind, value) = match exit {
                    StepEnd::Code(code) => (0, *code),
                    StepEnd::Signal(signal) => (1, *signal),
                    StepEnd::OutOfMemory => (2, 0),
                };
                w.push(kind);
                w.extend_from_slice(&value.to_le_bytes());
                put_texts(w, files);
            }),
            Self::Unknown { key } => frame(out, 72, |w| put_bytes(w, key.as_bytes())),
            Self::Lost { key } => frame(out, 73, |w| put_bytes(w, key.as_bytes())),
            Self::Ended { job, left } => frame(out, 74, |w| {
                put_bytes(w, job.as_bytes());
                w.extend_from_slice(&left.to_le_bytes());
            }),
            Self::Bye => frame(out, 75, |_| {}),
        }
    }

    /// Reads a frame's body.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader { rest: body };
        Ok(match r.u8()? {
            65 => Self::Welcome { version: r.u16()? },
            66 => Self::Rejected { reason: r.text()? },
            67 => Self::Started { key: r.text()? },
            68 => Self::Refused {
                key: r.text()?,
                reason: match r.u8()? {
                    1 => Refusal::ProgramNotFound,
                    2 => Refusal::NotExecutable,
                    3 => Refusal::CwdMissing,
                    4 => Refusal::Invalid,
                    _ => Refusal::System,
                },
                detail: r.text()?,
            },
            69 => Self::Output { key: r.text()?, offset: r.u64()?, bytes: r.bytes()?.to_vec() },
            70 => Self::File { key: r.text()?, name: r.text()?, bytes: r.bytes()?.to_vec() },
            71 => Self::Exited {
                key: r.text()?,
                exit: match (r.u8()?, i32::from_le_bytes(r.array()?)) {
                    (0, code) => StepEnd::Code(code),
                    (1, signal) => StepEnd::Signal(signal),
                    (2, _) => StepEnd::OutOfMemory,
                    _ => return Err(Malformed("kind of exit is unknown")),
                },
                files: r.texts()?,
            },
            72 => Self::Unknown { key: r.text()? },
            73 => Self::Lost { key: r.text()? },
            74 => Self::Ended { job: r.text()?, left: u32::from_le_bytes(r.array()?) },
            75 => Self::Bye,
            _ => return Err(Malformed("type of answer is unknown")),
        })
    }
}

/// Appends an `output` frame without a copy of the bytes in between.
pub fn encode_output(out: &mut Vec<u8>, key: &str, offset: u64, bytes: &[u8]) {
    frame(out, 69, |w| {
        put_bytes(w, key.as_bytes());
        w.extend_from_slice(&offset.to_le_bytes());
        put_bytes(w, bytes);
    });
}

fn encode_named(out: &mut Vec<u8>, kind: u8, key: &str, name: &str, bytes: &[u8]) {
    frame(out, kind, |w| {
        put_bytes(w, key.as_bytes());
        put_bytes(w, name.as_bytes());
        put_bytes(w, bytes);
    });
}

fn encode_offset(out: &mut Vec<u8>, kind: u8, key: &str, offset: u64) {
    frame(out, kind, |w| {
        put_bytes(w, key.as_bytes());
        w.extend_from_slice(&offset.to_le_bytes());
    });
}

fn frame(out: &mut Vec<u8>, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind]);
    fill(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn put_count(w: &mut Vec<u8>, count: usize) {
    w.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_bytes(w: &mut Vec<u8>, bytes: &[u8]) {
    put_count(w, bytes.len());
    w.extend_from_slice(bytes);
}

fn put_texts(w: &mut Vec<u8>, texts: &[String]) {
    put_count(w, texts.len());
    for text in texts {
        put_bytes(w, text.as_bytes());
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed("ends too early"))?;
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn count(&mut self) -> Result<usize, Malformed> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.count()?;
        let (head, rest) = self.rest.split_at_checked(length).ok_or(Malformed("ends too early"))?;
        self.rest = rest;
        Ok(head)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        std::str::from_utf8(self.bytes()?).map(str::to_owned).map_err(|_| Malformed("text is not UTF-8"))
    }

    fn texts(&mut self) -> Result<Vec<String>, Malformed> {
        self.list(Self::text)
    }

    /// The count is not believed: each item takes at least four bytes of what is there.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let count = self.count()?;
        if count > self.rest.len() / 4 {
            return Err(Malformed("list is longer than its frame"));
        }
        (0..count).map(|_| item(self)).collect()
    }
}
