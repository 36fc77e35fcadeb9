//! The shim: starts the steps of a sandbox, keeps their output, and outlives the engine. A program of its own, std only,
//! linked statically, so that it runs in any image. `docs/ARCHITECTURE.md` tells how it fits in.
//!
//! ```text
//! shim serve --dir DIR --socket PATH (--token-file FILE | --token-stdin) [--window SECONDS] [--init | --detach] [--remove-dir]
//! shim connect --socket PATH
//! shim version
//! ```
//!
//! `serve` listens on a unix socket. With `--init` it is process 1 of a container; with `--detach` it goes on in the
//! background once it listens, and the command ends with 0. The token's file is removed once it was read. `connect`
//! carries standard input and output to and from the socket. Exit codes: 0 done, 1 failed, 2 wrong use.

mod job;
mod launch;
mod memory;
mod peer;
mod pool;
#[expect(dead_code, reason = "the engine's half is used by the library")]
mod protocol;
mod serve;
mod spool;
mod start;
mod step;
mod sys;
mod tree;

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use serve::{Options, Server};

/// How long the shim waits for an engine when nothing else is said.
const DEFAULT_WINDOW: Duration = Duration::from_secs(3600);
/// How long `connect` waits for a shim that is starting.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// A token is short.
const MAX_TOKEN: u64 = 1024;

fn main() -> ExitCode {
    sys::close_inherited();
    let mut arguments = std::env::args_os().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let result = match mode.to_str() {
        Some("serve") => serve(arguments.collect()),
        Some("connect") => connect(arguments.collect()),
        Some("version") => writeln!(io::stdout(), "{} {}", protocol::VERSION, std::env::consts::ARCH)
            .map_err(|e| Failure::Run(e.to_string())),
        _ => Err(Failure::Use("the first argument is serve, connect or version".to_owned())),
    };
    let (code, reason) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Use(reason)) => (2, reason),
        Err(Failure::Run(reason)) => (1, reason),
    };
    // When nobody listens on standard error there is nobody to tell.
    drop(writeln!(io::stderr(), "slipway shim: {reason}"));
    ExitCode::from(code)
}

enum Failure {
    Use(String),
    Run(String),
}

fn failed(what: &str) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| Failure::Run(format!("failed to {what}: {error}"))
}

#[derive(Default)]
struct Arguments {
    folder: Option<PathBuf>,
    socket: Option<PathBuf>,
    token_file: Option<PathBuf>,
    token_stdin: bool,
    window: Option<Duration>,
    init: bool,
    detach: bool,
    remove_folder: bool,
}

impl Arguments {
    fn read(given: Vec<std::ffi::OsString>) -> Result<Self, Failure> {
        let mut read = Self::default();
        let mut given = given.into_iter();
        while let Some(name) = given.next() {
            let mut value = || given.next().ok_or_else(|| Failure::Use(format!("{} needs a value", name.display())));
            match name.to_str() {
                Some("--dir") => read.folder = Some(value()?.into()),
                Some("--socket") => read.socket = Some(value()?.into()),
                Some("--token-file") => read.token_file = Some(value()?.into()),
                Some("--window") => {
                    let seconds = value()?.to_str().and_then(|text| text.parse::<f64>().ok());
                    let window = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                    read.window =
                        Some(window.ok_or_else(|| Failure::Use("--window is a number of seconds".to_owned()))?);
                }
                Some("--token-stdin") => read.token_stdin = true,
                Some("--init") => read.init = true,
                Some("--detach") => read.detach = true,
                Some("--remove-dir") => read.remove_folder = true,
                _ => return Err(Failure::Use(format!("unknown argument {}", name.display()))),
            }
        }
        Ok(read)
    }
}

fn needed<T>(value: Option<T>, name: &str) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::Use(format!("{name} is needed")))
}

fn serve(arguments: Vec<std::ffi::OsString>) -> Result<(), Failure> {
    let arguments = Arguments::read(arguments)?;
    let folder = needed(arguments.folder, "--dir")?;
    let socket = needed(arguments.socket, "--socket")?;
    let token = read_token(arguments.token_file.as_deref(), arguments.token_stdin).map_err(failed("read the token"))?;
    if token.is_empty() {
        return Err(Failure::Use("a token is needed: --token-file or --token-stdin".to_owned()));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed("make the folder"))?;
    let listener = listen(&socket).map_err(failed("listen on the socket"))?;
    if arguments.detach && sys::detach().map_err(failed("go to the background"))? {
        return Ok(());
    }
    if arguments.detach || arguments.token_stdin {
        leave_streams(arguments.detach).map_err(failed("leave the standard streams"))?;
    }
    let options = Options {
        folder,
        socket,
        token,
        window: arguments.window.unwrap_or(DEFAULT_WINDOW),
        init: arguments.init,
        remove_folder: arguments.remove_folder,
    };
    let server = Server::new(options, listener).map_err(failed("get ready"))?;
    server.run().map_err(failed("wait for events"))
}

fn read_token(file: Option<&Path>, stdin: bool) -> io::Result<Vec<u8>> {
    let mut token = Vec::new();
    if let Some(path) = file {
        fs::File::open(path)?.take(MAX_TOKEN).read_to_end(&mut token)?;
        // On a read-only mount the file stays; then its owner has to see to it.
        drop(fs::remove_file(path));
    } else if stdin {
        io::stdin().take(MAX_TOKEN).read_to_end(&mut token)?;
    }
    Ok(token.trim_ascii().to_vec())
}

/// Listens. A socket that nobody listens on any more is replaced; one that answers is not.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse && UnixStream::connect(path).is_err() => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        other => other,
    }?;
    // The folder and the token keep others out; the engine may be another user than the container's.
    fs::set_permissions(path, Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Standard streams are the caller's: a shim in the background must not keep them open, nor read the token's again.
fn leave_streams(all: bool) -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let last = if all { 2 } else { 0 };
    (0..=last).try_for_each(|fd| sys::replace_fd(&null, fd))
}

fn connect(arguments: Vec<std::ffi::OsString>) -> Result<(), Failure> {
    let socket = needed(Arguments::read(arguments)?.socket, "--socket")?;
    let deadline = Instant::now() + CONNECT_DEADLINE;
    let stream = loop {
        match UnixStream::connect(&socket) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() >= deadline => return Err(failed("connect to the shim")(error)),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    };
    let mut to_shim = stream.try_clone().map_err(failed("share the connection"))?;
    thread::spawn(move || {
        drop(carry(&mut io::stdin().lock(), &mut to_shim));
        // The engine is gone: the shim sees the end of the stream, answers nothing more, and the other direction ends too.
        drop(to_shim.shutdown(Shutdown::Write));
    });
    carry(&mut &stream, &mut io::stdout().lock()).map_err(failed("carry the shim's answers"))
}

fn carry(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; protocol::OUTPUT_CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                to.write_all(&buffer[..n])?;
                to.flush()?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
