//! From a start request to a process: files, environment, program, pipe.

use std::collections::HashMap;
use std::ffi::{CString, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::protocol::{Refusal, Start, plain_name};
use super::sys::{self, Spawner};
use super::tree::MARKER;

/// Where programs are looked for when the environment has no PATH.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why it was not started, and of what.
pub type Refused = (Refusal, String);

/// Starts steps.
pub struct Launcher {
    spawner: Spawner,
    base: Vec<(Vec<u8>, Vec<u8>)>,
    null: File,
}

impl Launcher {
    /// The environment of this process, but for the shim's own settings, is the base of all steps' environments.
    pub fn new() -> io::Result<Self> {
        let own = |name: &OsString| name.as_bytes().starts_with(b"SLIPWAY_SHIM_");
        let variables = std::env::vars_os().filter(|(name, _)| !own(name));
        let base = variables.map(|(name, value)| (name.into_vec(), value.into_vec())).collect();
        Ok(Self { spawner: Spawner::new()?, base, null: File::open("/dev/null")? })
    }

    /// Makes the step's folder: the proof on disk that the key was used. `AlreadyExists` when it was.
    pub fn claim(folder: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(folder)
    }

    /// Writes the step's files and starts it; gives its process id and the end of the pipe to read from.
    pub fn launch(
        &self,
        start: &Start,
        folder: &Path,
        mut contents: HashMap<String, Vec<u8>>,
    ) -> Result<(i32, OwnedFd), Refused> {
        for name in &start.files {
            if !plain_name(name) {
                return Err((Refusal::Invalid, format!("\"{name}\" is no name for a file of the step")));
            }
            let content = contents.remove(name).unwrap_or_default();
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(name));
            made.and_then(|mut file| file.write_all(&content))
                .map_err(|e| (Refusal::System, format!("failed to write the step's file \"{name}\": {e}")))?;
        }
        let environment = self.environment(start, folder);
        let path = environment.get(b"PATH".as_slice()).map_or(DEFAULT_PATH, Vec::as_slice);
        let program = find_program(start, path)?;
        let env = environment.iter().map(|(name, value)| c_text([name.as_slice(), b"=", value].concat()));
        let env = env.collect::<Result<Vec<_>, _>>()?;
        let argv = start.argv.iter().map(|a| c_text(a.as_bytes().to_vec())).collect::<Result<Vec<_>, _>>()?;
        let cwd = c_text(start.cwd.as_bytes().to_vec())?;
        let program_text = c_text(program.as_os_str().as_bytes().to_vec())?;
        let (reader, writer) = sys::pipe().map_err(|e| (Refusal::System, format!("failed to make a pipe: {e}")))?;
        let spawned = self.spawner.spawn(&program_text, &argv, &env, &cwd, self.null.as_raw_fd(), writer.as_raw_fd());
        match spawned {
            Ok(pid) => Ok((pid, reader)),
            Err(error) => Err(explain(&error, start, &program)),
        }
    }

    fn environment(&self, start: &Start, folder: &Path) -> HashMap<Vec<u8>, Vec<u8>> {
        let mut environment: HashMap<Vec<u8>, Vec<u8>> = self.base.iter().cloned().collect();
        for (name, value) in &start.env {
            environment.insert(name.clone().into_bytes(), value.clone().into_bytes());
        }
        if !start.path.is_empty() {
            let mut path = start.path.join(":").into_bytes();
            path.push(b':');
            path.extend_from_slice(environment.get(b"PATH".as_slice()).map_or(DEFAULT_PATH, Vec::as_slice));
            environment.insert(b"PATH".to_vec(), path);
        }
        environment.insert(MARKER.as_bytes().to_vec(), folder.as_os_str().as_bytes().to_vec());
        environment
    }
}

fn c_text(bytes: Vec<u8>) -> Result<CString, Refused> {
    CString::new(bytes).map_err(|_| (Refusal::Invalid, "an argument or a variable has a NUL byte in it".to_owned()))
}

fn find_program(start: &Start, path: &[u8]) -> Result<PathBuf, Refused> {
    let Some(name) = start.argv.first().filter(|name| !name.is_empty()) else {
        return Err((Refusal::Invalid, "no program was given".to_owned()));
    };
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let mut unusable = None;
    for folder in path.split(|b| *b == b':') {
        let candidate = Path::new(&start.cwd).join(Path::new(std::ffi::OsStr::from_bytes(folder))).join(name);
        match fs::metadata(&candidate) {
            Ok(data) if data.is_file() && data.permissions().mode() & 0o111 != 0 => return Ok(candidate),
            Ok(data) if data.is_file() => unusable = Some(candidate),
            _ => {}
        }
    }
    // A missing folder makes no program findable that is looked up in relation to it; it is the better thing to tell.
    check_cwd(start)?;
    Err(match unusable {
        Some(found) => (Refusal::NotExecutable, format!("{}: permission denied", found.display())),
        None => (Refusal::ProgramNotFound, format!("PATH is {}", String::from_utf8_lossy(path))),
    })
}

fn check_cwd(start: &Start) -> Result<(), Refused> {
    match fs::metadata(&start.cwd) {
        Ok(data) if data.is_dir() => Ok(()),
        Ok(_) => Err((Refusal::CwdMissing, format!("{} is no directory", start.cwd))),
        Err(error) => Err((Refusal::CwdMissing, format!("{}: {error}", start.cwd))),
    }
}

fn explain(error: &io::Error, start: &Start, program: &Path) -> Refused {
    if let Err(refused) = check_cwd(start) {
        return refused;
    }
    let detail = format!("{}: {error}", program.display());
    match error.raw_os_error() {
        // A script that is there while its interpreter is not gives the same error as a program that is missing.
        Some(2 | 20) if Path::new(&start.cwd).join(program).exists() => {
            (Refusal::NotExecutable, format!("{}: its interpreter is missing", program.display()))
        }
        Some(2 | 20) => (Refusal::ProgramNotFound, detail),
        Some(8 | 13 | 21) => (Refusal::NotExecutable, detail),
        _ => (Refusal::System, detail),
    }
}
