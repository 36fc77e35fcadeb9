//! Facts of a checkout, asked of the `git` program by argv, never through a shell. Read-only: no locks are taken, and no
//! program that the checkout's configuration names is started.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `github.sha` is outside git.
pub const ZEROS: &str = "0000000000000000000000000000000000000000";

/// A checkout as it stands. Outside git: the folder itself, zeros and empty texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkout {
    /// Its top folder.
    pub root: PathBuf,
    /// Whether git knows it and it has a commit.
    pub is_git: bool,
    /// HEAD's commit.
    pub sha: String,
    /// `refs/heads/...`, else `refs/tags/...` of a detached HEAD that a tag names, else empty.
    pub reference: String,
    /// Name of the author.
    pub author_name: String,
    /// Mail address of the author.
    pub author_email: String,
    /// Name of the committer.
    pub committer_name: String,
    /// When it was committed, RFC 3339.
    pub committed_at: String,
    /// The whole message.
    pub message: String,
    /// URL of `origin` without credentials.
    pub remote: String,
    /// Whether files differ from HEAD.
    pub dirty: bool,
    /// Files changed against the first parent; `None` when that is unknown (a shallow or first commit).
    pub changed: Option<Vec<String>>,
}

/// The top folder of the checkout that holds `folder`; outside git the folder itself.
pub fn root(folder: &Path) -> PathBuf {
    git(folder, &["rev-parse", "--show-toplevel"]).map_or_else(|| folder.to_owned(), PathBuf::from)
}

/// The facts of the checkout that holds `folder`.
pub fn inspect(folder: &Path) -> Checkout {
    let outside = || Checkout { root: folder.to_owned(), sha: ZEROS.to_owned(), ..Checkout::default() };
    let Some(root) = git(folder, &["rev-parse", "--show-toplevel"]) else { return outside() };
    let root = PathBuf::from(root);
    let Some(log) = git(&root, &["log", "-1", "--no-show-signature", "--format=%H%x00%an%x00%ae%x00%cn%x00%cI%x00%B"])
    else {
        return Checkout { root, ..outside() };
    };
    let mut fields = log.splitn(6, '\0').map(str::to_owned);
    let mut next = || fields.next().unwrap_or_default();
    let branch = git(&root, &["symbolic-ref", "-q", "HEAD"]);
    let tag = || git(&root, &["describe", "--tags", "--exact-match", "HEAD"]).map(|tag| format!("refs/tags/{tag}"));
    Checkout {
        is_git: true,
        sha: next(),
        author_name: next(),
        author_email: next(),
        committer_name: next(),
        committed_at: next(),
        message: next(),
        reference: branch.or_else(tag).unwrap_or_default(),
        remote: git(&root, &["config", "--get", "remote.origin.url"]).map(|url| plain_url(&url)).unwrap_or_default(),
        dirty: git(&root, &["status", "--porcelain", "--ignore-submodules=all"]).is_some_and(|out| !out.is_empty()),
        changed: git(&root, &["diff", "--no-ext-diff", "--no-textconv", "--name-only", "-z", "HEAD^", "HEAD"])
            .map(|out| out.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect()),
        root,
    }
}

/// Standard output of a git command without its last line end; `None` when git fails or is not there.
fn git(folder: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(["--no-pager", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"])
        .args(args)
        .current_dir(folder)
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.trim_end_matches('\n').to_owned())
}

/// A URL without user and password.
fn plain_url(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let host = rest[..end].rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{}", &rest[end..])
        }
        None => url.to_owned(),
    }
}

/// `owner/name` of a remote URL; empty when it has no such form.
pub fn repository(url: &str) -> String {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/').trim_end_matches(".git");
    let mut parts = path.rsplit(['/', ':']);
    match (parts.next(), parts.next()) {
        (Some(name), Some(owner)) if !name.is_empty() && !owner.is_empty() => format!("{owner}/{name}"),
        _ => String::new(),
    }
}

/// The whole path of a remote URL, without `.git`: `owner/name`, or `group/subgroup/name`.
pub fn path_of(url: &str) -> String {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => url.split_once(':').map_or(url, |(_, path)| path),
    };
    path.trim_matches('/').trim_end_matches(".git").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_urls() {
        assert_eq!(plain_url("https://u:p@h.example/a/b.git"), "https://h.example/a/b.git");
        assert_eq!(repository("https://h.example/a/b.git"), "a/b");
        assert_eq!(path_of("https://h.example:3000/a/b/c.git/"), "a/b/c");
        assert_eq!((path_of("git@h.example:a/b.git").as_str(), path_of("https://h.example").as_str()), ("a/b", ""));
        assert_eq!(repository("git@h.example:a/b.git"), "a/b");
    }

    #[test]
    fn outside_git_there_are_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let checkout = inspect(folder.path());
        assert_eq!((checkout.is_git, checkout.sha.as_str()), (false, ZEROS));
    }
}
