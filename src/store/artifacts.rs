//! Files kept with runs.
//!
//! ```text
//! runs/<id>/artifacts/<job>/manifest.json    paths, sizes, SHA-256
//! runs/<id>/artifacts/<job>/files/...        the files, at their paths in the workspace
//! ```
//!
//! A job's files appear whole or not at all: they are gathered beside and renamed. Links are not followed out of a workspace.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use sha2::{Digest, Sha256};

use crate::event::KeptFile;
use crate::id::{JobId, RunId, StageId};
use crate::store::contract::Artifacts;
use crate::store::folder::make_private;
use crate::store::within::make_within;
use crate::workspace::contract::hex;

/// Bytes that one job may keep.
const MAX_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// Files that one job may keep.
const MAX_FILES: usize = 1_000_000;

/// The kept files below a folder of runs.
#[derive(Debug, Clone)]
pub struct FileArtifacts {
    runs: PathBuf,
}

impl FileArtifacts {
    /// Below `runs` (`runs` of the state folder).
    pub fn new(runs: PathBuf) -> Self {
        Self { runs }
    }

    fn folder(&self, run: &RunId) -> PathBuf {
        self.runs.join(run.as_str()).join("artifacts")
    }

    /// What the jobs of a run kept, or those of one stage: jobs in order of their names.
    pub fn list(&self, run: &RunId, stage: Option<&StageId>) -> io::Result<Vec<(JobId, Vec<KeptFile>)>> {
        let mut jobs = Vec::new();
        let entries = match fs::read_dir(self.folder(run)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(jobs),
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let job = JobId::from(name);
            if job.as_str().starts_with('.') || stage.is_some_and(|stage| job.stage() != *stage) {
                continue;
            }
            let manifest = fs::read(entry.path().join("manifest.json"))?;
            jobs.push((job, serde_json::from_slice(&manifest).map_err(io::Error::other)?));
        }
        jobs.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(jobs)
    }

    /// Copies what `jobs` of a run kept (from [`FileArtifacts::list`]) into `folder`, at the same paths, jobs in their order.
    /// Unless `force`, nothing is copied when a file of that name exists, or when two jobs kept different files at one path.
    pub fn bring_out(
        &self,
        run: &RunId,
        jobs: &[(JobId, Vec<KeptFile>)],
        folder: &Path,
        force: bool,
    ) -> io::Result<()> {
        if !force {
            refuse_clashes(jobs, folder)?;
        }
        fs::create_dir_all(folder)?;
        for (job, files) in jobs {
            let from = self.folder(run).join(job.as_str()).join("files");
            for file in files {
                place(&from, folder, &file.path)?;
            }
        }
        Ok(())
    }
}

fn refuse_clashes(jobs: &[(JobId, Vec<KeptFile>)], folder: &Path) -> io::Result<()> {
    let mut first: HashMap<&str, (&JobId, &str)> = HashMap::new();
    for (job, files) in jobs {
        for file in files {
            let target = folder.join(&file.path);
            // A link that leads nowhere is there too.
            if target.symlink_metadata().is_ok() {
                let message = format!("\"{}\" exists already; --force replaces it", target.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
            }
            let (other, sha256) = *first.entry(&file.path).or_insert((job, &file.sha256));
            if sha256 != file.sha256 {
                let message = format!(
                    "jobs \"{other}\" and \"{job}\" kept different files at \"{}\"; name one of them, or let the last one \
                     win with --force",
                    file.path
                );
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
            }
        }
    }
    Ok(())
}

impl Artifacts for FileArtifacts {
    fn keep(&self, run: &RunId, job: &JobId, workspace: &Path, patterns: &[String]) -> io::Result<Vec<KeptFile>> {
        let wanted = find(workspace, patterns)?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let parent = self.folder(run);
        let gathered = parent.join(format!(".{job}-{}", uuid::Uuid::new_v4().simple()));
        make_private(&gathered.join("files"))?;
        let kept = gather(workspace, &gathered, wanted);
        let placed = kept.and_then(|kept| {
            let target = parent.join(job.as_str());
            let _ = fs::remove_dir_all(&target);
            fs::rename(&gathered, target)?;
            Ok(kept)
        });
        if placed.is_err() {
            let _ = fs::remove_dir_all(&gathered);
        }
        placed
    }

    fn restore(&self, run: &RunId, stage: &StageId, workspace: &Path) -> io::Result<Vec<KeptFile>> {
        let jobs = self.list(run, Some(stage))?;
        self.bring_out(run, &jobs, workspace, true)?;
        Ok(jobs.into_iter().flat_map(|(_, files)| files).collect())
    }

    fn adopt(&self, from: &RunId, run: &RunId, job: &JobId) -> io::Result<()> {
        let source = self.folder(from).join(job.as_str());
        if !source.exists() {
            return Ok(());
        }
        let manifest = fs::read(source.join("manifest.json"))?;
        let files: Vec<KeptFile> = serde_json::from_slice(&manifest).map_err(io::Error::other)?;
        let target = self.folder(run).join(job.as_str());
        make_private(&target.join("files"))?;
        for file in &files {
            place(&source.join("files"), &target.join("files"), &file.path)?;
        }
        fs::write(target.join("manifest.json"), manifest)
    }
}

fn gather(workspace: &Path, gathered: &Path, wanted: Vec<PathBuf>) -> io::Result<Vec<KeptFile>> {
    let mut kept = Vec::with_capacity(wanted.len());
    let mut total = 0;
    for relative in wanted {
        let path = relative.to_string_lossy().into_owned();
        let target = gathered.join("files").join(&relative);
        if let Some(parent) = target.parent() {
            make_private(parent)?;
        }
        let (size, sha256) = copy_hashed(&workspace.join(&relative), &target)?;
        total += size;
        if total > MAX_BYTES {
            return Err(io::Error::other(format!("they are larger than {} GiB together", MAX_BYTES >> 30)));
        }
        kept.push(KeptFile { path, size, sha256 });
    }
    fs::write(gathered.join("manifest.json"), serde_json::to_vec(&kept).map_err(io::Error::other)?)?;
    Ok(kept)
}

/// One pattern; a leading `!` takes away.
struct Pattern {
    whole: GlobMatcher,
    /// The pattern names a folder: all that is in it.
    within: GlobMatcher,
    takes_away: bool,
}

fn find(workspace: &Path, patterns: &[String]) -> io::Result<Vec<PathBuf>> {
    let lines = patterns.iter().flat_map(|pattern| pattern.lines()).map(str::trim).filter(|line| !line.is_empty());
    let patterns = lines.map(pattern).collect::<io::Result<Vec<_>>>()?;
    let root = workspace.canonicalize()?;
    let mut found = Vec::new();
    for entry in ignore::WalkBuilder::new(workspace).standard_filters(false).follow_links(false).build() {
        let entry = entry.map_err(io::Error::other)?;
        let relative = entry.path().strip_prefix(workspace).unwrap_or(entry.path());
        let last = patterns.iter().rev().find(|p| p.whole.is_match(relative) || p.within.is_match(relative));
        if last.is_none_or(|pattern| pattern.takes_away) {
            continue;
        }
        let Some(kind) = entry.file_type() else { continue };
        // A link counts as the file that it leads to, if that is in the workspace.
        let inside = || entry.path().canonicalize().is_ok_and(|path| path.starts_with(&root) && path.is_file());
        if kind.is_file() || kind.is_symlink() && inside() {
            found.push(relative.to_owned());
        }
        if found.len() > MAX_FILES {
            return Err(io::Error::other(format!("more than {MAX_FILES} files match")));
        }
    }
    found.sort();
    Ok(found)
}

fn pattern(line: &str) -> io::Result<Pattern> {
    let (takes_away, text) = match line.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, line),
    };
    let text = text.trim_start_matches("./").trim_end_matches('/');
    if text.starts_with('/') || Path::new(text).components().any(|part| part == Component::ParentDir) {
        let message = format!("pattern \"{line}\" leaves the workspace; write it relative to that");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let glob = |text: &str| {
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        glob.map(|glob| glob.compile_matcher()).map_err(|e| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("pattern \"{line}\" is not valid: {}", e.kind()))
        })
    };
    Ok(Pattern { whole: glob(text)?, within: glob(&format!("{text}/**"))?, takes_away })
}

/// Copies a file and hashes it on the way; gives size and SHA-256.
fn copy_hashed(from: &Path, to: &Path) -> io::Result<(u64, String)> {
    let mut source = File::open(from)?;
    let mode = source.metadata()?.permissions().mode() & 0o777;
    let mut target = File::create(to)?;
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 256 * 1024]);
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        target.write_all(&buffer[..read])?;
        size += read as u64;
    }
    target.set_permissions(fs::Permissions::from_mode(mode | 0o200))?;
    Ok((size, hex(&hash.finalize())))
}

/// Puts the kept file `path` below `to`. What the manifest says is checked again: it never leaves `to`, not even by a link
/// that stands there already.
fn place(from: &Path, to: &Path, path: &str) -> io::Result<()> {
    let relative = Path::new(path);
    if relative.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the kept path \"{path}\" leaves its folder")));
    }
    make_within(to, relative.parent().unwrap_or(Path::new("")))?;
    let target = to.join(relative);
    match fs::remove_file(&target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let copied = fs::copy(from.join(relative), &target);
    copied.map(drop).map_err(|e| io::Error::new(e.kind(), format!("\"{}\": {e}", target.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("below something")).expect("a folder");
        fs::write(path, text).expect("writes");
    }

    fn keep(patterns: &[&str]) -> io::Result<Vec<String>> {
        let temp = tempfile::tempdir().expect("a folder");
        let workspace = temp.path().join("w");
        for name in ["dist/a.bin", "dist/sub/b.bin", "dist/notes.txt", "src/c.rs"] {
            write(&workspace.join(name), name);
        }
        std::os::unix::fs::symlink("/etc/passwd", workspace.join("dist/out")).expect("links");
        std::os::unix::fs::symlink("a.bin", workspace.join("dist/in")).expect("links");
        let artifacts = FileArtifacts::new(temp.path().join("runs"));
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        let (run, job) = (RunId::from("r"), JobId::from("build"));
        let kept = artifacts.keep(&run, &job, &workspace, &patterns)?;
        let out = temp.path().join("out");
        fs::create_dir_all(&out)?;
        let restored = artifacts.restore(&run, &job.stage(), &out)?;
        assert_eq!(kept, restored);
        for file in &kept {
            assert_eq!(fs::read(out.join(&file.path))?.len() as u64, file.size);
        }
        Ok(kept.into_iter().map(|file| file.path).collect())
    }

    #[test]
    fn globs_folders_and_exceptions_choose_files() {
        assert_eq!(keep(&["dist/**/*.bin"]).expect("kept"), ["dist/a.bin", "dist/sub/b.bin"]);
        assert_eq!(keep(&["dist/"]).expect("kept"), ["dist/a.bin", "dist/in", "dist/notes.txt", "dist/sub/b.bin"]);
        assert_eq!(keep(&["dist", "!dist/sub", "!dist/in"]).expect("kept"), ["dist/a.bin", "dist/notes.txt"]);
        assert!(keep(&["nothing"]).expect("nothing").is_empty());
    }

    #[test]
    fn nothing_outside_the_workspace_is_kept() {
        assert!(keep(&["../*"]).is_err());
        assert!(keep(&["/etc/passwd"]).is_err());
        assert!(keep(&["["]).is_err());
    }

    #[test]
    fn bringing_out_does_not_replace_unless_told_and_never_leaves_the_folder() {
        let temp = tempfile::tempdir().expect("a folder");
        write(&temp.path().join("w/a/f"), "1");
        let artifacts = FileArtifacts::new(temp.path().join("runs"));
        let run = RunId::from("r");
        artifacts.keep(&run, &JobId::from("j"), &temp.path().join("w"), &["a".to_owned()]).expect("kept");
        let jobs = artifacts.list(&run, None).expect("lists");
        let out = temp.path().join("out");
        write(&out.join("a/f"), "mine");
        assert!(artifacts.bring_out(&run, &jobs, &out, false).is_err());
        artifacts.bring_out(&run, &jobs, &out, true).expect("told so");
        assert_eq!(fs::read_to_string(out.join("a/f")).expect("there"), "1");
        let trap = temp.path().join("trap");
        fs::create_dir_all(&trap).expect("a folder");
        std::os::unix::fs::symlink(temp.path(), trap.join("a")).expect("links");
        assert!(artifacts.bring_out(&run, &jobs, &trap, true).is_err());
        artifacts.adopt(&run, &RunId::from("r2"), &JobId::from("j")).expect("adopted");
        assert_eq!(artifacts.list(&RunId::from("r2"), None).expect("lists")[0].1.len(), 1);
    }

    #[test]
    fn two_jobs_that_kept_different_files_at_one_path_do_not_replace_each_other() {
        let temp = tempfile::tempdir().expect("a folder");
        let (workspace, out) = (temp.path().join("w"), temp.path().join("out"));
        let artifacts = FileArtifacts::new(temp.path().join("runs"));
        let run = RunId::from("r");
        for (job, text) in [("t.1", "same"), ("t.2", "same"), ("t.3", "other")] {
            write(&workspace.join("report"), text);
            artifacts.keep(&run, &JobId::from(job), &workspace, &["report".to_owned()]).expect("kept");
        }
        let jobs = artifacts.list(&run, None).expect("lists");
        let error = artifacts.bring_out(&run, &jobs, &out, false).expect_err("they differ").to_string();
        assert!(error.contains("\"t.1\" and \"t.3\""), "{error}");
        assert!(!out.exists(), "nothing was copied");
        artifacts.bring_out(&run, &jobs[..2], &out, false).expect("they are the same");
        assert_eq!(fs::read_to_string(out.join("report")).expect("there"), "same");
        artifacts.bring_out(&run, &jobs, &out, true).expect("told so");
        assert_eq!(fs::read_to_string(out.join("report")).expect("there"), "other");
    }
}
