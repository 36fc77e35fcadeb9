//! Fetching from a forge by the `git` program, which is given nothing that it could take for something else.
//!
//! - Only `https`, `http` and `ssh` (and plain paths, for a repository on this machine); git itself is told the same.
//! - No configuration of the machine or the user, no hooks, no submodules, no prompts, no redirects to another host.
//! - A credential is in the environment of the one git process, bound to the one host; never in arguments, files, or messages.
//! - It ends after a time, and when the folder grows beyond a size.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::clock::instant;
use crate::secret::Secret;

/// So long may a fetch take.
pub const FETCH_TIME: Duration = Duration::from_secs(300);
/// A repository may be so large on disk.
pub const MAX_BYTES: u64 = 4 << 30;
/// How often time and size are looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Sizes are summed up only so often.
const LOOK_SIZE: Duration = Duration::from_millis(500);
/// So much of what git says about a failure is passed on.
const MAX_SAID: usize = 2000;
/// So many bytes are read of one file of a commit.
const MAX_FILE: u64 = 4 << 20;

/// Why something could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CloneError {
    /// It may work later: the network, the forge.
    #[error("failed to {what}: {reason}")]
    Later {
        /// What was tried.
        what: String,
        /// Why it failed, without credentials.
        reason: String,
    },
    /// It is not there, or not allowed.
    #[error("failed to {what}: {reason}")]
    Never {
        /// What was tried.
        what: String,
        /// Why it failed.
        reason: String,
    },
}

/// What git signs in with.
#[derive(Debug, Clone, Default)]
pub enum Credential {
    /// Nothing.
    #[default]
    None,
    /// A user and a token, over HTTPS.
    Token {
        /// The user.
        user: String,
        /// The token.
        token: Secret,
    },
    /// A private key, over SSH.
    Key(PathBuf),
}

/// Whether git may be given `url`; an error says why not.
pub fn check_url(url: &str) -> Result<(), String> {
    let no = |why: &str| Err(format!("the URL {url:?} is not usable: {why}"));
    if url.is_empty() || url.starts_with('-') || url.chars().any(char::is_control) {
        return Err("the URL is empty, begins with \"-\", or holds control characters".to_owned());
    }
    if url.starts_with('/') {
        return Ok(());
    }
    if url.contains("::") {
        return no("it names a helper program");
    }
    let Ok(parsed) = url::Url::parse(url) else {
        return no("write https://HOST/PATH, ssh://USER@HOST/PATH, or a path from /");
    };
    let host = parsed.host_str().unwrap_or_default();
    match parsed.scheme() {
        "https" | "http" | "ssh" if host.is_empty() || host.starts_with('-') => no("it has no usable host"),
        "https" | "http" if !parsed.username().is_empty() || parsed.password().is_some() => {
            // Without the URL: a password stands in it.
            Err("the URL holds a user or a password; give them as \"clone\"".to_owned())
        }
        "ssh" if parsed.username().starts_with('-') || parsed.password().is_some() => no("its user is not usable"),
        "https" | "http" | "ssh" => Ok(()),
        other => no(&format!("\"{other}\" is neither https nor ssh")),
    }
}

/// A repository of a forge, and its bare copy on this machine, which is made when it is first fetched. One fetch at a time.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// Where from.
    pub url: String,
    /// The copy's folder.
    pub folder: PathBuf,
    /// What git signs in with.
    pub credential: Credential,
    /// Commits of history; 0 is all.
    pub depth: u32,
}

impl Mirror {
    /// Fetches `reference` (a full name) and gives the commit that it has; with `sha` that commit, which it must lead to.
    pub fn fetch(&self, reference: &str, sha: Option<&str>) -> Result<String, CloneError> {
        let what = format!("fetch \"{reference}\" of \"{}\"", self.url);
        if let Some(sha) = sha
            && self.has(sha)
        {
            return Ok(sha.to_owned());
        }
        if !self.folder.join("HEAD").is_file() {
            let folder = self.folder.clone().into_os_string();
            self.git(
                &what,
                &["init".into(), "--quiet".into(), "--bare".into(), "--template=".into(), "--".into(), folder],
            )?;
        }
        let kept = format!("refs/slipway/{}", sha.unwrap_or("base"));
        let mut tried = Ok(());
        // Forges give a commit by its name; one that does not gives the branch, in which it must be.
        for source in sha.into_iter().chain([reference]) {
            tried = self.fetch_as(&what, source, &kept);
            match sha {
                Some(sha) if tried.is_ok() && self.has(sha) => return Ok(sha.to_owned()),
                None if tried.is_ok() => return self.resolve(&what, &kept),
                _ => {}
            }
        }
        tried?;
        Err(CloneError::Never { what, reason: format!("commit {} is not in it any more", sha.unwrap_or_default()) })
    }

    fn fetch_as(&self, what: &str, source: &str, kept: &str) -> Result<(), CloneError> {
        let mut args: Vec<OsString> = self.at_folder();
        args.extend(
            ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"].map(Into::into),
        );
        if self.depth > 0 {
            args.push(format!("--depth={}", self.depth).into());
        }
        args.extend(["--".into(), self.url.clone().into(), format!("+{source}:{kept}").into()]);
        self.git(what, &args).map(drop)
    }

    fn at_folder(&self) -> Vec<OsString> {
        vec!["--git-dir".into(), self.folder.clone().into_os_string()]
    }

    /// Whether the copy has the commit.
    pub fn has(&self, sha: &str) -> bool {
        let mut args = self.at_folder();
        args.extend(["cat-file", "-e", "--end-of-options"].map(Into::into));
        args.push(format!("{sha}^{{commit}}").into());
        self.folder.join("HEAD").is_file() && self.git("look for a commit", &args).is_ok()
    }

    fn resolve(&self, what: &str, reference: &str) -> Result<String, CloneError> {
        let mut args = self.at_folder();
        args.extend(["rev-parse", "--verify", "--quiet", "--end-of-options"].map(Into::into));
        args.push(format!("{reference}^{{commit}}").into());
        self.git(what, &args).map(|out| String::from_utf8_lossy(&out).trim().to_owned())
    }

    /// Paths and texts of the commit's files that are named `paths`, or lie in a folder of them that ends in `/`.
    pub fn files(&self, sha: &str, paths: &[&str]) -> Result<Vec<(String, Vec<u8>)>, CloneError> {
        let what = format!("read files of commit {sha}");
        let mut args = self.at_folder();
        args.extend(["ls-tree", "-z", "--full-tree", "--end-of-options"].map(Into::into));
        args.push(sha.into());
        args.push("--".into());
        args.extend(paths.iter().map(Into::into));
        let listed = self.git(&what, &args)?;
        let mut files = Vec::new();
        for line in listed.split(|b| *b == 0).filter(|line| !line.is_empty()) {
            let line = String::from_utf8_lossy(line);
            let Some((meta, path)) = line.split_once('\t') else { continue };
            let mut parts = meta.split(' ');
            // Links and submodules are no files of this commit.
            let (Some("100644" | "100755"), Some("blob"), Some(object)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let mut args = self.at_folder();
            args.extend(["cat-file", "blob", "--end-of-options", object].map(Into::into));
            files.push((path.to_owned(), self.git(&what, &args)?));
        }
        Ok(files)
    }

    /// Makes `folder` a checkout of the commit, on a branch or detached; `origin` is the URL without credentials.
    pub fn check_out(&self, sha: &str, reference: &str, folder: &Path) -> Result<(), CloneError> {
        let what = format!("check out commit {sha}");
        let run = |args: &[&str]| {
            let mut all: Vec<OsString> = Vec::new();
            if args[0] != "init" {
                all.extend(["-C".into(), folder.to_owned().into_os_string()]);
            }
            all.extend(args.iter().map(Into::into));
            if args[0] == "init" {
                all.push(folder.to_owned().into_os_string());
            }
            self.git(&what, &all).map(drop)
        };
        run(&["init", "--quiet", "--template=", "--"])?;
        let mirror = self.folder.to_string_lossy().into_owned();
        let mut fetch = vec!["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"];
        let depth = format!("--depth={}", self.depth);
        if self.depth > 0 {
            fetch.push(&depth);
        }
        let kept = format!("+{sha}:refs/remotes/origin/slipway");
        fetch.extend(["--", mirror.as_str(), kept.as_str()]);
        run(&fetch)?;
        match reference.strip_prefix("refs/heads/") {
            Some(_) => {
                run(&["update-ref", "--", reference, sha])?;
                run(&["symbolic-ref", "HEAD", reference])?;
                run(&["reset", "--quiet", "--hard"])?;
            }
            None => run(&["checkout", "--quiet", "--detach", "--force", sha])?,
        }
        run(&["remote", "add", "--", "origin", &self.url])
    }

    /// Runs git; gives what it printed.
    fn git(&self, what: &str, args: &[OsString]) -> Result<Vec<u8>, CloneError> {
        let later = |reason: String| CloneError::Later { what: what.to_owned(), reason };
        let mut command = Command::new("git");
        command.args(["--no-pager", "--no-optional-locks"]).args(args);
        self.environment(&mut command);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| later(format!("git does not start: {e}")))?;
        let out = reader(child.stdout.take());
        let err = reader(child.stderr.take());
        let ended = self.watch(&mut child);
        let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
        match ended {
            Ok(true) => Ok(out),
            Ok(false) => Err(later(self.said(&err))),
            Err(Some(why)) => Err(CloneError::Never { what: what.to_owned(), reason: why }),
            Err(None) => Err(later(format!("it took longer than {} s", FETCH_TIME.as_secs()))),
        }
    }

    /// Whether git succeeded; an error says that it was ended: for its size, or after its time.
    fn watch(&self, child: &mut Child) -> Result<bool, Option<String>> {
        let (start, mut sized) = (instant(), instant());
        let end = |child: &mut Child| {
            if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
                // Its helpers too.
                let _ = kill_process_group(pid, Signal::KILL);
            }
            let _ = child.wait();
        };
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status.success()),
                Ok(None) => {}
                Err(_) => return Ok(false),
            }
            if start.elapsed() > FETCH_TIME {
                end(child);
                return Err(None);
            }
            if sized.elapsed() > LOOK_SIZE {
                sized = instant();
                if size(&self.folder) > MAX_BYTES {
                    end(child);
                    return Err(Some(format!("the repository is larger than {} GiB", MAX_BYTES >> 30)));
                }
            }
            std::thread::sleep(LOOK);
        }
    }

    fn environment(&self, command: &mut Command) {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        command.env_clear().env("PATH", path).env("LC_ALL", "C").env("HOME", "/nonexistent");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
        command.env("GIT_ALLOW_PROTOCOL", "https:http:ssh:file").env("GIT_LFS_SKIP_SMUDGE", "1");
        command.env("GIT_ASKPASS", "true").env("SSH_ASKPASS", "true");
        let mut settings: Vec<(String, String)> = [
            ("core.hooksPath", "/dev/null"),
            ("core.fsmonitor", "false"),
            ("core.protectNTFS", "true"),
            ("protocol.ext.allow", "never"),
            ("submodule.recurse", "false"),
            ("http.followRedirects", "false"),
            ("transfer.fsckObjects", "true"),
            ("fetch.fsck.zeroPaddedFilemode", "ignore"),
            ("uploadpack.allowAnySHA1InWant", "true"),
            ("init.defaultBranch", "main"),
            ("advice.detachedHead", "false"),
            ("gc.auto", "0"),
            ("safe.directory", "*"),
            ("credential.helper", ""),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec();
        match &self.credential {
            Credential::None => {}
            Credential::Token { user, token } => {
                // The program text names variables; values are in this one process's environment.
                let helper = "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \"$SLIPWAY_GIT_USER\" \"$SLIPWAY_GIT_TOKEN\"; }; f";
                if let Some(host) = host_of(&self.url) {
                    settings.push((format!("credential.{host}.helper"), helper.to_owned()));
                    command.env("SLIPWAY_GIT_USER", user).env("SLIPWAY_GIT_TOKEN", token.expose());
                }
            }
            Credential::Key(key) => {
                let known = "-o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=accept-new";
                let key = key.to_string_lossy().replace('\'', "'\\''");
                command.env("GIT_SSH_COMMAND", format!("ssh -i '{key}' {known}"));
            }
        }
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (at, (key, value)) in settings.into_iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{at}"), key).env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
    }

    /// What git said, bounded, without the credential.
    fn said(&self, err: &[u8]) -> String {
        let text = String::from_utf8_lossy(&err[..err.len().min(MAX_SAID)]);
        let text = text.trim().replace('\n', "; ");
        match &self.credential {
            Credential::Token { token, .. } => text.replace(token.expose(), "***"),
            _ if text.is_empty() => "git failed without a word".to_owned(),
            _ => text,
        }
    }
}

/// `https://host:port` of a URL.
fn host_of(url: &str) -> Option<String> {
    let parsed = url::Url::parse(url).ok()?;
    let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{}{port}", parsed.scheme(), parsed.host_str()?))
}

fn reader<R: std::io::Read + Send + 'static>(stream: Option<R>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            let mut stream = stream;
            // What goes beyond is read and dropped, so that git does not hang on a full pipe.
            let _ = stream.by_ref().take(MAX_FILE).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
        bytes
    })
}

fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
#[path = "clone_tests.rs"]
mod clone_tests;
