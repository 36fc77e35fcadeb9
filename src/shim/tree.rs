//! Which processes descend from the shim, and which step each belongs to.
//!
//! The shim is process 1 or a subreaper, so whatever a step starts stays among its descendants, however it forks, changes
//! session or clears its environment. A descendant belongs to the running step at the top of its ancestors; an orphan to the
//! step whose session it is in, else to the one named by its environment, else to its parent's. What remains is `None`.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The variable that tells orphans' steps apart; its value is the step's folder.
pub const MARKER: &str = "SLIPWAY_STEP";

/// A process.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub session: i32,
    pub zombie: bool,
}

/// What is known of the steps' processes.
#[derive(Default)]
pub struct Known<'a> {
    /// Root processes of running steps, and the step's number.
    pub running: HashMap<i32, u64>,
    /// Sessions of all steps that are not forgotten (a later step wins where the system has used a number again).
    pub sessions: HashMap<i32, u64>,
    /// Steps by folder.
    pub folders: HashMap<&'a Path, u64>,
}

/// All descendants of this process with their steps, parents before their children; zombies are left out. The order counts
/// for signals: a shell whose child is interrupted first takes that for the child's failure, and its trap never runs.
pub fn descendants(known: &Known) -> Vec<(Process, Option<u64>)> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let all: HashMap<i32, Process> = processes().map(|p| (p.pid, p)).collect();
    let living = all.values().filter(|p| !p.zombie);
    let mut found: Vec<_> =
        living.filter_map(|p| chain(*p, &all, own).map(|chain| (chain.len(), *p, owner(&chain, known)))).collect();
    found.sort_by_key(|(depth, process, _)| (*depth, process.pid));
    found.into_iter().map(|(_, process, owner)| (process, owner)).collect()
}

/// The children of this process, if the kernel tells.
pub fn children() -> Option<Vec<i32>> {
    let own = std::process::id();
    let text = fs::read_to_string(format!("/proc/self/task/{own}/children")).ok()?;
    Some(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// A process and its ancestors up to this process's child; `None` for no descendant.
fn chain(process: Process, all: &HashMap<i32, Process>, own: i32) -> Option<Vec<Process>> {
    let mut chain = vec![process];
    // Process ids can be used again while they are read, so a circle is possible; it is no chain.
    while chain.len() <= all.len() {
        let last = chain.last()?;
        if last.pid == own {
            return None;
        }
        if last.parent == own {
            return Some(chain);
        }
        chain.push(*all.get(&last.parent)?);
    }
    None
}

fn owner(chain: &[Process], known: &Known) -> Option<u64> {
    let top = chain.last()?;
    if let Some(step) = known.running.get(&top.pid) {
        return Some(*step);
    }
    chain.iter().find_map(|p| known.sessions.get(&p.session).copied().or_else(|| marked(p.pid, known)))
}

fn marked(pid: i32, known: &Known) -> Option<u64> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environment
        .split(|b| *b == 0)
        .find_map(|entry| entry.strip_prefix(MARKER.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")))?;
    known.folders.get(Path::new(OsStr::from_bytes(value))).copied()
}

fn processes() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in brackets and may hold anything, brackets and spaces too.
        let close = stat.iter().rposition(|b| *b == b')')?;
        let mut fields = stat.get(close + 1..)?.split(|b| *b == b' ').filter(|f| !f.is_empty());
        let state = *fields.next()?.first()?;
        let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse::<i32>().ok();
        let (parent, _group, session) = (number()?, number()?, number()?);
        Some(Process { pid, parent, session, zombie: matches!(state, b'Z' | b'X') })
    })
}
