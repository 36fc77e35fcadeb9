//! The real shim, driven over its socket.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use slipway::client::shim::protocol::{Answer, MAX_FRAME, Refusal, Request, Start, StepEnd, StepSignal, next_frame};
use slipway::client::shim::write_embedded;
use slipway::clock::instant;

const TOKEN: &[u8] = b"0123456789abcdef";
/// Far more than anything here takes, on a machine that is busy with other things too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until it is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = instant();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

fn alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
}

struct Shim {
    temp: tempfile::TempDir,
    process: Child,
}

impl Shim {
    fn new() -> Self {
        Self::with_window("600")
    }

    fn with_window(window: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let program = write_embedded(temp.path()).unwrap();
        fs::write(temp.path().join("token"), TOKEN).unwrap();
        let mut command = Command::new(program);
        command.arg("serve").arg("--dir").arg(temp.path().join("dir")).arg("--socket").arg(temp.path().join("socket"));
        command.arg("--token-file").arg(temp.path().join("token")).args(["--remove-dir", "--window", window]);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("BASE", "1")
            .env("SLIPWAY_SHIM_X", "hidden");
        // Another test's fork may hold the program open for writing for a moment.
        let mut process = None;
        until("the shim can be run", || {
            process = command.spawn().ok();
            process.is_some()
        });
        Self { temp, process: process.unwrap() }
    }

    fn folder(&self) -> PathBuf {
        self.temp.path().join("dir")
    }

    fn spool(&self, key: &str) -> PathBuf {
        self.folder().join(key.replace('/', ".")).join(".output")
    }

    fn connect(&self) -> Engine<UnixStream> {
        let mut stream = None;
        until("the shim listens", || {
            stream = UnixStream::connect(self.temp.path().join("socket")).ok();
            stream.is_some()
        });
        let stream = stream.unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Engine { stream, read: Vec::new() }
    }

    fn engine(&self) -> Engine<UnixStream> {
        let mut engine = self.connect();
        engine.say(&Request::Hello { version: 1, oldest: 1, token: TOKEN.to_vec() });
        assert_eq!(engine.hear(), Some(Answer::Welcome { version: 1 }));
        engine
    }

    fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            // On TERM it takes its steps with it.
            let pid = rustix::process::Pid::from_child(&self.process);
            let _: Result<(), _> = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            drop(self.process.wait());
        }
    }
}

struct Engine<S> {
    stream: S,
    read: Vec<u8>,
}

impl<S: Read + Write> Engine<S> {
    fn say(&mut self, request: &Request) {
        let mut frame = Vec::new();
        request.encode(&mut frame);
        self.stream.write_all(&frame).unwrap();
        self.stream.flush().unwrap();
    }

    /// The next answer; `None` when the shim has closed the connection.
    fn hear(&mut self) -> Option<Answer> {
        loop {
            if let Some((body, length)) = next_frame(&self.read, MAX_FRAME).unwrap() {
                let answer = Answer::decode(body).unwrap();
                self.read.drain(..length);
                return Some(answer);
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => self.read.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(e) => panic!("nothing was heard: {e}"),
            }
        }
    }

    fn start(&mut self, key: &str, script: &str) {
        self.say(&Request::Start(step(key, script)));
        assert_eq!(self.hear(), Some(Answer::Started { key: key.to_owned() }));
    }

    /// Reads to the end of the step from `offset`, giving credit.
    fn rest(&mut self, key: &str, mut at: u64) -> (Vec<u8>, StepEnd) {
        let mut all = Vec::new();
        loop {
            match self.hear().expect("an answer") {
                Answer::Output { offset, bytes, .. } => {
                    assert_eq!(offset, at);
                    at += bytes.len() as u64;
                    all.extend(bytes);
                    self.say(&Request::Credit { key: key.to_owned(), offset: at });
                }
                Answer::Exited { exit, .. } => return (all, exit),
                other => panic!("{other:?}"),
            }
        }
    }

    fn run(&mut self, key: &str, script: &str) -> (String, StepEnd) {
        self.start(key, script);
        let (bytes, exit) = self.rest(key, 0);
        (String::from_utf8(bytes).unwrap(), exit)
    }

    fn attach(&mut self, key: &str, offset: u64) -> Answer {
        self.say(&Request::Attach { key: key.to_owned(), offset, collect: Vec::new() });
        self.hear().expect("an answer")
    }

    fn end(&mut self, job: &str) {
        self.say(&Request::End { job: job.to_owned() });
        while let Some(answer) = self.hear() {
            if let Answer::Ended { left, .. } = answer {
                assert_eq!(left, 0);
                return;
            }
        }
        panic!("the job was not ended");
    }
}

fn step(key: &str, script: &str) -> Start {
    let argv = ["sh", "-c", script].map(str::to_owned).into();
    Start { key: key.to_owned(), argv, cwd: "/".to_owned(), ..Start::default() }
}

#[test]
fn a_step_is_started_once() {
    let shim = Shim::new();
    let mark = shim.temp.path().join("mark");
    let script = format!("echo x >> {}; echo out; exit 7", mark.display());
    let (text, exit) = shim.engine().run("a/1/0", &script);
    assert_eq!((text.as_str(), exit), ("out\n", StepEnd::Code(7)));
    // The same again, from another connection: its state and its stream.
    let (text, exit) = shim.engine().run("a/1/0", &script);
    assert_eq!((text.as_str(), exit), ("out\n", StepEnd::Code(7)));
    assert_eq!(fs::read_to_string(mark).unwrap(), "x\n");
    assert_eq!(shim.engine().attach("a/1/1", 0), Answer::Unknown { key: "a/1/1".to_owned() });
}

/// Steps beside others are started by threads; requests that come meanwhile must find them.
#[test]
fn steps_that_start_side_by_side_are_kept_apart() {
    const STEPS: usize = 200;
    let shim = Shim::new();
    let mut engine = shim.engine();
    let key = |step: usize| format!("job{}/1/{step}", step % 7);
    for step_number in 0..STEPS {
        let script = if step_number % 10 == 9 {
            "exec sleep 1000".to_owned()
        } else {
            format!("echo {step_number}; exit {}", step_number % 50)
        };
        engine.say(&Request::Start(step(&key(step_number), &script)));
        // At once, and again: it is started once, and the signal reaches it.
        engine.say(&Request::Start(step(&key(step_number), &script)));
        if step_number % 10 == 9 {
            engine.say(&Request::Signal { key: key(step_number), signal: StepSignal::Kill });
        }
    }
    let mut exits = std::collections::BTreeMap::new();
    let mut texts = std::collections::BTreeMap::new();
    while exits.len() < STEPS {
        match engine.hear().expect("an answer") {
            Answer::Started { .. } => {}
            Answer::Output { key, offset: 0, bytes } => drop(texts.insert(key, String::from_utf8(bytes).unwrap())),
            Answer::Exited { key, exit, .. } => drop(exits.insert(key, exit)),
            other => panic!("{other:?}"),
        }
    }
    for step_number in 0..STEPS {
        let key = key(step_number);
        if step_number % 10 == 9 {
            assert_eq!(exits[&key], StepEnd::Signal(9));
        } else {
            assert_eq!(exits[&key], StepEnd::Code(i32::try_from(step_number % 50).unwrap()));
            assert_eq!(texts[&key], format!("{step_number}\n"));
        }
    }
    (0..7).for_each(|job| engine.end(&format!("job{job}/1")));
    assert_eq!(fs::read_dir(shim.folder()).unwrap().count(), 0);
}

#[test]
fn a_key_that_an_earlier_shim_used_is_lost() {
    let shim = Shim::new();
    let mut engine = shim.engine();
    fs::create_dir(shim.folder().join("a.1.0")).unwrap();
    let lost = Answer::Lost { key: "a/1/0".to_owned() };
    assert_eq!(engine.attach("a/1/0", 0), lost);
    engine.say(&Request::Start(step("a/1/0", "true")));
    assert_eq!(engine.hear(), Some(lost));
}

#[test]
fn exits_are_told_as_they_were() {
    let shim = Shim::new();
    let mut engine = shim.engine();
    assert_eq!(engine.run("a/1/0", "exit 255").1, StepEnd::Code(255));
    assert_eq!(engine.run("a/1/1", "kill -9 $$").1, StepEnd::Signal(9));
    assert_eq!(engine.run("a/1/2", "kill -TERM $$").1, StepEnd::Signal(15));
    engine.say(&Request::Start(Start { cwd: "/no/such".to_owned(), ..step("a/1/3", "true") }));
    assert!(matches!(engine.hear(), Some(Answer::Refused { reason: Refusal::CwdMissing, .. })));
    engine.say(&Request::Start(Start { argv: vec!["no-such-program".to_owned()], ..step("a/1/4", "") }));
    assert!(matches!(engine.hear(), Some(Answer::Refused { reason: Refusal::ProgramNotFound, .. })));
    engine.say(&Request::Start(Start { argv: vec!["/no/such".to_owned()], ..step("a/1/5", "") }));
    assert!(matches!(engine.hear(), Some(Answer::Refused { reason: Refusal::ProgramNotFound, .. })));
    engine.say(&Request::Start(Start { argv: vec!["/etc/passwd".to_owned()], ..step("a/1/6", "") }));
    assert!(matches!(engine.hear(), Some(Answer::Refused { reason: Refusal::NotExecutable, .. })));
    engine.say(&Request::Start(step("a/../0", "true")));
    assert!(matches!(engine.hear(), Some(Answer::Refused { reason: Refusal::Invalid, .. })));
}

#[test]
fn steps_inherit_no_token_and_no_descriptor() {
    let shim = Shim::new();
    let mut engine = shim.engine();
    assert!(!shim.temp.path().join("token").exists());
    let (text, _) = engine.run("a/1/0", "env; echo fds; ls /proc/$$/fd; exec cat /proc/self/status");
    assert!(text.contains("BASE=1\n") && !text.contains("SLIPWAY_SHIM"), "{text}");
    assert!(!text.contains(std::str::from_utf8(TOKEN).unwrap()), "{text}");
    assert!(text.contains("fds\n0\n1\n2\n"), "{text}");
    // Signals 32 and 33 are the C library's own.
    let mask = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells");
        u64::from_str_radix(line.trim(), 16).unwrap() & 0x7fff_ffff
    };
    assert_eq!((mask("SigBlk:"), mask("SigIgn:")), (0, 0));
}

#[test]
fn no_byte_is_lost_or_doubled_when_clients_die() {
    let shim = Shim::new();
    let key = "a/1/0";
    let mut engine = shim.engine();
    engine.start(key, "i=0; while [ $i -lt 60000 ]; do echo \"line $i\"; i=$((i+1)); done");
    let expected: String = (0..60000).map(|i| format!("line {i}\n")).collect();
    let mut all: Vec<u8> = Vec::new();
    let mut chance: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut deaths = 0;
    let exit = 'all: loop {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        for _ in 0..chance % 12 {
            match engine.hear().expect("an answer") {
                Answer::Output { offset, bytes, .. } => {
                    assert_eq!(offset, all.len() as u64);
                    all.extend(bytes);
                    engine.say(&Request::Credit { key: key.to_owned(), offset: all.len() as u64 });
                    if chance & 64 == 0 {
                        engine.say(&Request::Ack { key: key.to_owned(), offset: all.len() as u64 });
                    }
                }
                Answer::Exited { exit, .. } => break 'all exit,
                other => panic!("{other:?}"),
            }
        }
        deaths += 1;
        engine = shim.engine();
        assert_eq!(engine.attach(key, all.len() as u64), Answer::Started { key: key.to_owned() });
    };
    assert_eq!(exit, StepEnd::Code(0));
    assert!(deaths > 0);
    assert!(String::from_utf8(all).unwrap() == expected);
}

#[test]
fn a_background_process_holds_nothing_up_and_goes_with_its_job() {
    let shim = Shim::new();
    let mut engine = shim.engine();
    let (text, exit) = engine.run("a/1/0", "sleep 1000 & echo $!");
    assert_eq!(exit, StepEnd::Code(0));
    let pid = text.trim().to_owned();
    assert!(alive(&pid));
    // It may go on writing without harm: another step sees it alive, and another job's end leaves it alone.
    engine.run("b/1/0", "true");
    engine.end("b/1");
    assert!(alive(&pid));
    engine.end("a/1");
    assert!(!alive(&pid));
    assert!(!shim.folder().join("a.1.0").exists());
}

/// Forks twice, in a session and environment of its own, and leaves its process id in a file.
fn daemon(file: &Path) -> String {
    let file = file.display();
    format!(
        "(setsid env -i sh -c 'echo $$ > {file}.new; mv {file}.new {file}; exec sleep 1000' > /dev/null 2>&1 &); \
         while [ ! -e {file} ]; do :; done"
    )
}

#[test]
fn daemons_are_killed() {
    let mut shim = Shim::new();
    let mut engine = shim.engine();
    let files = ["one", "two", "three"].map(|name| shim.temp.path().join(name));
    let pid = |file: &Path| fs::read_to_string(file).unwrap().trim().to_owned();

    // With its job, where it is the only one.
    engine.run("a/1/0", &daemon(&files[0]));
    assert!(alive(&pid(&files[0])));
    engine.end("a/1");
    assert!(!alive(&pid(&files[0])));

    // With the step that is killed while its tree stands.
    let script =
        format!("setsid env -i sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000'; true", files[1].display());
    engine.start("b/1/0", &script);
    until("the child has started", || files[1].exists());
    engine.say(&Request::Signal { key: "b/1/0".to_owned(), signal: StepSignal::Kill });
    assert_eq!(engine.rest("b/1/0", 0).1, StepEnd::Signal(9));
    until("the child is gone", || !alive(&pid(&files[1])));

    // Among several jobs, at the latest with the run.
    engine.start("c/1/0", "sleep 1000");
    engine.run("d/1/0", &daemon(&files[2]));
    engine.end("d/1");
    engine.say(&Request::Shutdown);
    while engine.hear().is_some_and(|answer| answer != Answer::Bye) {}
    assert!(!alive(&pid(&files[2])));
    until("the shim has ended", || shim.has_ended());
    assert!(!shim.folder().exists());
}

#[test]
fn signals_reach_the_whole_step() {
    let shim = Shim::new();
    let mut engine = shim.engine();
    let script = "sh -c 'trap \"echo inner; exit\" TERM; echo ready; while :; do :; done' & trap 'wait; echo outer; exit 9' TERM; wait";
    engine.start("a/1/0", script);
    let Some(Answer::Output { bytes, .. }) = engine.hear() else { panic!() };
    assert_eq!(bytes, b"ready\n");
    engine.say(&Request::Signal { key: "a/1/0".to_owned(), signal: StepSignal::Terminate });
    let (text, exit) = engine.rest("a/1/0", 6);
    assert_eq!((text.as_slice(), exit), (&b"inner\nouter\n"[..], StepEnd::Code(9)));
}

#[test]
fn a_step_that_nobody_reads_waits_in_bounded_memory() {
    const ALL: u64 = 80 << 20;
    const SPOOL: u64 = 4 << 20;
    let shim = Shim::new();
    let key = "a/1/0";
    let mut engine = shim.engine();
    engine.say(&Request::Start(Start { spool_bytes: SPOOL, ..step(key, &format!("head -c {ALL} /dev/zero")) }));
    assert_eq!(engine.hear(), Some(Answer::Started { key: key.to_owned() }));
    let size = || fs::metadata(shim.spool(key)).map_or(0, |data| data.len());
    until("the spool is full", || size() >= SPOOL);
    let mut at = 0;
    let mut acked = 0;
    let exit = loop {
        match engine.hear().expect("an answer") {
            Answer::Output { offset, bytes, .. } => {
                assert_eq!(offset, at);
                at += bytes.len() as u64;
                assert!(at <= acked + SPOOL + 65536, "{at}");
                let credit = Request::Credit { key: key.to_owned(), offset: at };
                engine.say(&credit);
                if at - acked >= 1 << 20 {
                    acked = at;
                    engine.say(&Request::Ack { key: key.to_owned(), offset: at });
                }
            }
            Answer::Exited { exit, .. } => break exit,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((at, exit), (ALL, StepEnd::Code(0)));
    let status = fs::read_to_string(format!("/proc/{}/status", shim.process.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kib < 32 << 10, "{peak}");
}

#[test]
fn acknowledged_bytes_are_given_back() {
    let shim = Shim::new();
    let key = "a/1/0";
    let mut engine = shim.engine();
    engine.start(key, "head -c 8388608 /dev/zero");
    assert_eq!(engine.rest(key, 0).1, StepEnd::Code(0));
    let blocks = || fs::metadata(shim.spool(key)).unwrap().blocks() * 512;
    assert!(blocks() >= 8 << 20);
    engine.say(&Request::Ack { key: key.to_owned(), offset: 6 << 20 });
    until("a part is given back", || blocks() <= (2 << 20) + 65536);
    // What is left can be read again.
    assert_eq!(engine.attach(key, 0), Answer::Started { key: key.to_owned() });
    assert_eq!(engine.rest(key, 6 << 20).0.len(), 2 << 20);
    engine.say(&Request::Ack { key: key.to_owned(), offset: 8 << 20 });
    until("all is given back", || blocks() == 0);
}

#[test]
fn files_are_put_and_collected() {
    let shim = Shim::new();
    let mut engine = shim.engine();
    let key = "a/1/0".to_owned();
    for piece in [
        "cat > out <<E\n",
        "hello\nE\nln -s /etc/passwd link; mkfifo pipe; : > empty\nhead -c 11000000 /dev/zero > big\n",
    ] {
        engine.say(&Request::Put { key: key.clone(), name: "script".to_owned(), bytes: piece.into() });
    }
    let folder = shim.folder().join("a.1.0");
    engine.say(&Request::Start(Start {
        argv: ["sh", "-c", "cd \"$SLIPWAY_STEP\" && . ./script"].map(str::to_owned).into(),
        files: vec!["script".to_owned()],
        collect: ["out", "link", "pipe", "empty", "big", "../token", "missing"].map(str::to_owned).into(),
        ..step(&key, "")
    }));
    assert_eq!(engine.hear(), Some(Answer::Started { key: key.clone() }));
    let mut sizes = std::collections::BTreeMap::new();
    let files = loop {
        match engine.hear().expect("an answer") {
            Answer::File { name, bytes, .. } => *sizes.entry(name).or_insert(0) += bytes.len(),
            Answer::Exited { exit, files, .. } => {
                assert_eq!(exit, StepEnd::Code(0));
                break files;
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(files, ["out", "empty", "big"]);
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [("big".to_owned(), 10 << 20), ("out".to_owned(), 6)]);
    assert_eq!(fs::metadata(folder.join("script")).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(folder).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn strangers_are_turned_away() {
    let shim = Shim::new();
    let hello = |version, oldest, token: &[u8]| {
        let mut engine = shim.connect();
        engine.say(&Request::Hello { version, oldest, token: token.to_vec() });
        let answer = engine.hear();
        (answer, engine.hear())
    };
    let Some(Answer::Rejected { reason }) = hello(1, 1, b"0123456789abcdeX").0 else { panic!() };
    assert!(reason.contains("token"));
    assert!(matches!(hello(1, 1, b""), (Some(Answer::Rejected { .. }), None)));
    assert!(matches!(hello(1, 1, &TOKEN[1..]), (Some(Answer::Rejected { .. }), None)));
    let Some(Answer::Rejected { reason }) = hello(3, 2, TOKEN).0 else { panic!() };
    assert!(reason.contains("versions 2 to 3"), "{reason}");
    // A later engine that still speaks our version gets it.
    let mut later = shim.connect();
    later.say(&Request::Hello { version: 2, oldest: 1, token: TOKEN.to_vec() });
    assert_eq!(later.hear(), Some(Answer::Welcome { version: 1 }));
    // No hello, and frames that are none, or too long.
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0, 0, 0], &[1, 0, 0, 0, 99], &[0, 0, 16, 0, 1], &[1, 0, 0, 0, 9]]
    {
        let mut engine = shim.connect();
        engine.stream.write_all(bytes).unwrap();
        assert_eq!(engine.hear(), None, "{bytes:?}");
    }
    assert_eq!(shim.engine().run("a/1/0", "echo still here").0, "still here\n");
}

#[test]
fn without_an_engine_it_ends_after_the_window() {
    let mut shim = Shim::with_window("0.3");
    let mut engine = shim.engine();
    engine.start("a/1/0", "echo $$; exec sleep 1000");
    let Some(Answer::Output { bytes, .. }) = engine.hear() else { panic!() };
    let pid = String::from_utf8(bytes).unwrap().trim().to_owned();
    assert!(alive(&pid));
    drop(engine);
    until("the shim has ended", || shim.has_ended());
    assert!(!alive(&pid));
    assert!(!shim.folder().exists() && !shim.temp.path().join("socket").exists());
}

#[test]
fn asked_to_terminate_it_asks_its_steps() {
    let mut shim = Shim::new();
    let mut engine = shim.engine();
    let mark = shim.temp.path().join("mark");
    engine.start("a/1/0", &format!("trap 'echo x > {}; exit' TERM; echo ready; while :; do :; done", mark.display()));
    assert!(matches!(engine.hear(), Some(Answer::Output { .. })));
    let pid = rustix::process::Pid::from_child(&shim.process);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    until("the shim has ended", || shim.has_ended());
    assert_eq!(fs::read_to_string(mark).unwrap(), "x\n");
}

#[test]
fn a_bridge_carries_the_stream() {
    struct Pipes(std::process::ChildStdin, std::process::ChildStdout);
    impl Read for Pipes {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1.read(buffer)
        }
    }
    impl Write for Pipes {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            self.0.flush()
        }
    }
    let shim = Shim::new();
    let mut bridge = Command::new(write_embedded(shim.temp.path()).unwrap());
    bridge.arg("connect").arg("--socket").arg(shim.temp.path().join("socket"));
    let mut bridge = bridge.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let stream = Pipes(bridge.stdin.take().unwrap(), bridge.stdout.take().unwrap());
    let mut engine = Engine { stream, read: Vec::new() };
    engine.say(&Request::Hello { version: 1, oldest: 1, token: TOKEN.to_vec() });
    assert_eq!(engine.hear(), Some(Answer::Welcome { version: 1 }));
    let (text, exit) = engine.run("a/1/0", "head -c 3000000 /dev/zero | tr '\\0' x");
    assert_eq!((text.len(), exit), (3_000_000, StepEnd::Code(0)));
    drop(engine);
    assert!(bridge.wait().unwrap().success());
}
