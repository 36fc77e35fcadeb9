//! Where git keeps what belongs to a checkout. In a plain clone that is the folder `.git`; in a linked work tree and in a
//! submodule `.git` is a file that points elsewhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Names at the top of a folder of git's data that a copy must not have: they tie work trees of the original together, and
/// `git worktree remove` in the copy would remove those.
const TIES: [&str; 4] = ["worktrees", "commondir", "gitdir", "locked"];

/// Folders of git's data, to be laid over one another in this order.
pub fn git_data(checkout: &Path) -> io::Result<Vec<PathBuf>> {
    let git = checkout.join(".git");
    if !git.is_file() {
        return Ok(if git.is_dir() { vec![git] } else { Vec::new() });
    }
    let text = fs::read_to_string(&git)?;
    let Some(path) = text.strip_prefix("gitdir:") else { return Ok(Vec::new()) };
    let own = checkout.join(path.trim_end_matches(['\r', '\n']).trim_start());
    match fs::read_to_string(own.join("commondir")) {
        // `HEAD` and the index are the work tree's own, the rest is common.
        Ok(common) => Ok(vec![own.join(common.trim_end_matches(['\r', '\n'])), own]),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![own]),
        Err(error) => Err(error),
    }
}

/// Whether `name`, relative to a folder of git's data, belongs in a copy. Locks belong to whoever works in the original.
pub fn is_copied(name: &Path) -> bool {
    name.extension().is_none_or(|extension| extension != "lock") && !TIES.iter().any(|tie| name == Path::new(tie))
}

/// Makes a copy of data that lay elsewhere a plain clone's.
pub fn settle(git: &Path) -> io::Result<()> {
    for change in [&["--unset-all", "core.worktree"][..], &["core.bare", "false"]] {
        let mut command = Command::new("git");
        command.args(["config", "--file"]).arg(git.join("config")).args(change);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        // 5: there was nothing to unset.
        if !status.success() && status.code() != Some(5) {
            return Err(io::Error::other(format!("git cannot set up \"{}\": {change:?} failed", git.display())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::contract::Workspaces;
    use crate::workspace::copy::LocalWorkspaces;

    fn git(folder: &Path, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"])
            .args(args)
            .current_dir(folder)
            .output()
            .expect("git runs");
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A repository with one commit, and what may differ from machine to machine left out.
    fn repository(folder: &Path) {
        fs::create_dir_all(folder).expect("a folder");
        git(folder, &["init", "-q", "-b", "main"]);
        fs::write(folder.join("f"), "1").expect("writes");
        git(folder, &["add", "."]);
        git(folder, &["commit", "-q", "-m", "one"]);
    }

    /// Copies `from` and checks that the copy is a clone of its own.
    fn copied(from: &Path, to: &Path, branch: &str) {
        LocalWorkspaces.populate(from, to).expect("copies");
        assert_eq!(git(to, &["rev-parse", "--abbrev-ref", "HEAD"]), branch);
        assert_eq!(fs::canonicalize(git(to, &["rev-parse", "--show-toplevel"])).ok(), fs::canonicalize(to).ok());
        assert_eq!(git(to, &["status", "--porcelain"]), "");
        let before = git(from, &["rev-parse", "HEAD"]);
        git(to, &["commit", "-q", "--allow-empty", "-m", "two"]);
        assert_eq!(git(from, &["rev-parse", "HEAD"]), before, "the checkout is not touched");
        assert_eq!(git(to, &["worktree", "list"]).lines().count(), 1);
    }

    #[test]
    fn git_works_in_copies_of_linked_work_trees() {
        let temp = tempfile::tempdir().expect("a folder");
        let main = temp.path().join("main");
        repository(&main);
        git(&main, &["worktree", "add", "-q", "-b", "side", "../side"]);
        copied(&temp.path().join("side"), &temp.path().join("copy"), "side");
        copied(&main, &temp.path().join("copy-of-main"), "main");
        // A work tree of a bare repository.
        git(temp.path(), &["clone", "-q", "--bare", "main", "bare.git"]);
        git(&temp.path().join("bare.git"), &["worktree", "add", "-q", "../of-bare", "main"]);
        copied(&temp.path().join("of-bare"), &temp.path().join("copy-of-bare"), "main");
    }

    #[test]
    fn git_works_in_copies_of_submodules_and_of_what_holds_them() {
        let temp = tempfile::tempdir().expect("a folder");
        let (inner, outer) = (temp.path().join("inner"), temp.path().join("outer"));
        repository(&inner);
        repository(&outer);
        git(&outer, &["submodule", "--quiet", "add", "../inner", "sub"]);
        git(&outer, &["commit", "-q", "-m", "sub"]);
        copied(&outer.join("sub"), &temp.path().join("copy-of-sub"), "main");
        let copy = temp.path().join("copy-of-outer");
        copied(&outer, &copy, "main");
        assert_eq!(
            fs::canonicalize(git(&copy.join("sub"), &["rev-parse", "--show-toplevel"])).ok(),
            fs::canonicalize(copy.join("sub")).ok()
        );
    }
}
