//! Whether the kernel has killed for want of memory in this container.

use std::fs;

/// The container's own counters, under cgroup v2 and v1.
const COUNTERS: [&str; 2] = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];

/// Watches the counter of memory kills.
pub struct MemoryKills {
    path: Option<&'static str>,
    seen: u64,
}

impl MemoryKills {
    /// Outside a container the counters are of more than the steps, so nothing is watched.
    pub fn new(init: bool) -> Self {
        let path = COUNTERS.into_iter().find(|path| init && count(path).is_some());
        Self { path, seen: path.and_then(count).unwrap_or(0) }
    }

    /// Whether there were kills since the last time of asking.
    pub fn happened(&mut self) -> bool {
        let Some(now) = self.path.and_then(count) else { return false };
        now > std::mem::replace(&mut self.seen, now)
    }
}

fn count(path: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}
