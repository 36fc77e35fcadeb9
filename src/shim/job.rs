//! What is done on request: start, read, signal, and end jobs so that no process of theirs is left.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::{Duration, Instant};

use super::protocol::{Answer, OLDEST_VERSION, Request, StepSignal, VERSION, folder_of};
use super::serve::{Server, close_pipe};
use super::step::{Phase, Step};
use super::sys;
use super::tree::{self, Known, Process};

/// How long killed processes may take to be gone (one that is stuck in the kernel may take for ever).
const KILL_DEADLINE: Duration = Duration::from_secs(5);
/// Looks at the process table until nothing new is found: a tree that is stopped from the top cannot grow for ever.
const STOP_ROUNDS: usize = 32;

/// A job whose processes are being killed.
pub struct Ending {
    job: String,
    peer: u64,
    deadline: Instant,
}

impl Server {
    /// Handles a request; `false` when the connection must be closed.
    pub(super) fn take_request(&mut self, peer: u64, request: Request) -> bool {
        if !self.peers.get(&peer).is_some_and(|p| p.welcome) {
            return self.hello(peer, request);
        }
        match request {
            Request::Hello { .. } => return false,
            Request::Put { key, name, bytes } => {
                return self.peers.get_mut(&peer).is_some_and(|p| p.put(key, name, &bytes).is_ok());
            }
            Request::Start(start) => self.start(peer, start),
            Request::Attach { key, offset, collect } => match self.keys.get(&key).copied() {
                Some(number) => {
                    if let Some(step) = self.steps.get_mut(&number) {
                        step.collect = collect;
                    }
                    self.open_stream(peer, number, offset);
                }
                None if self.was_claimed(&key) => self.say(peer, &Answer::Lost { key }),
                None => self.say(peer, &Answer::Unknown { key }),
            },
            Request::Signal { key, signal } => self.signal(&key, signal),
            Request::Credit { key, offset } => {
                let Some(number) = self.keys.get(&key).copied() else { return true };
                let reader = self.steps.get_mut(&number).and_then(|s| s.reader.as_mut());
                if let Some(reader) = reader.filter(|r| r.peer == peer) {
                    reader.credit(offset);
                    self.pump(number);
                }
            }
            Request::Ack { key, offset } => {
                let Some(number) = self.keys.get(&key).copied() else { return true };
                if let Some(step) = self.steps.get_mut(&number) {
                    step.spool.acknowledge(offset);
                    step.spool.settle();
                    if !step.is_running() {
                        step.spool.close_if_done();
                    }
                }
                self.watch(number);
            }
            Request::End { job } => self.end(peer, job),
            Request::Shutdown => self.stop = Some(peer),
        }
        true
    }

    fn hello(&mut self, peer: u64, request: Request) -> bool {
        let Request::Hello { version, oldest, token } = request else { return false };
        let reason = if !same(&token, &self.options.token) {
            "the token is wrong".to_owned()
        } else if version < OLDEST_VERSION || oldest > VERSION {
            format!("the engine speaks versions {oldest} to {version}, this shim {OLDEST_VERSION} to {VERSION}")
        } else {
            self.welcome(peer);
            self.say(peer, &Answer::Welcome { version: version.min(VERSION) });
            return true;
        };
        self.say(peer, &Answer::Rejected { reason });
        false
    }

    pub(super) fn say(&mut self, peer: u64, answer: &Answer) {
        if let Some(connection) = self.peers.get_mut(&peer) {
            connection.say(answer);
            self.touch(peer);
        }
    }

    fn was_claimed(&self, key: &str) -> bool {
        folder_of(key).is_some_and(|name| self.options.folder.join(name).exists())
    }

    fn known(&self) -> Known<'_> {
        let mut known = Known { running: self.running.clone(), ..Known::default() };
        let mut numbers: Vec<_> = self.steps.iter().filter(|(_, step)| step.pid > 0).collect();
        numbers.sort_unstable_by_key(|(number, _)| **number);
        for (number, step) in numbers {
            known.sessions.insert(step.pid, *number);
            known.folders.insert(&step.folder, *number);
        }
        known
    }

    pub(super) fn signal(&mut self, key: &str, signal: StepSignal) {
        let Some(number) = self.keys.get(key).copied() else { return };
        if self.keep_signal(number, signal) {
            return;
        }
        let number_is = |owner: Option<u64>| owner == Some(number);
        match signal {
            StepSignal::Kill => drop(kill_all(&self.known(), number_is)),
            StepSignal::Interrupt | StepSignal::Terminate => {
                let signal = if signal == StepSignal::Interrupt { sys::SIGINT } else { sys::SIGTERM };
                for (process, owner) in tree::descendants(&self.known()) {
                    if number_is(owner) {
                        sys::signal_process(process.pid, signal);
                    }
                }
            }
        }
    }

    pub(super) fn signal_all(&mut self, signal: i32) {
        for (process, _) in tree::descendants(&self.known()) {
            sys::signal_process(process.pid, signal);
        }
    }

    fn end(&mut self, peer: u64, job: String) {
        self.take_launched(Duration::ZERO);
        self.reap();
        if self.surely_nothing_left(&job) {
            return self.forget(peer, job, 0);
        }
        self.endings.push(Ending { job, peer, deadline: Instant::now() + KILL_DEADLINE });
        self.advance_endings();
    }

    /// The cheap answer: no process of the job's steps runs, and this thread's children, among which the kernel puts
    /// orphans, are steps of other jobs only. (Other threads' children are steps that they have started.)
    fn surely_nothing_left(&self, job: &str) -> bool {
        let alive = self.steps.values().any(|step| step.is_alive() && step.job == job);
        !alive && tree::children().is_some_and(|children| children.iter().all(|pid| self.running.contains_key(pid)))
    }

    /// Kills on until each ending job has no process left.
    pub(super) fn advance_endings(&mut self) {
        for ending in std::mem::take(&mut self.endings) {
            let left = self.kill_job(&ending.job);
            self.reap();
            if left == 0 || Instant::now() >= ending.deadline {
                self.forget(ending.peer, ending.job, u32::try_from(left).unwrap_or(u32::MAX));
            } else {
                self.endings.push(ending);
            }
        }
    }

    /// Kills the job's processes and gives their number. An orphan that nothing ties to a job belongs to the job that
    /// ends, when it is the only one; else it is killed with the last job, or with the run.
    fn kill_job(&self, job: &str) -> usize {
        let only = self.steps.values().all(|step| step.job == job);
        let job_of = |number: u64| self.steps.get(&number).map(|step| step.job.as_str());
        let launching = |step: &&Step| step.job == job && matches!(step.phase, Phase::Launching { .. });
        let coming = self.steps.values().filter(launching).count();
        let killed = kill_all(&self.known(), |owner| match owner {
            Some(number) => job_of(number) == Some(job),
            None => only && coming == 0,
        });
        killed + coming
    }

    fn forget(&mut self, peer: u64, job: String, left: u32) {
        let numbers: Vec<u64> = self.steps.iter().filter(|(_, s)| s.job == job).map(|(n, _)| *n).collect();
        for number in numbers {
            self.pump(number);
            if let Some(mut step) = self.steps.remove(&number) {
                close_pipe(&self.epoll, &mut step);
                self.keys.remove(&step.key);
                self.running.remove(&step.pid);
                // What cannot be removed goes with the run's folder.
                drop(fs::remove_dir_all(&step.folder));
            }
        }
        self.say(peer, &Answer::Ended { job, left });
    }

    /// Kills everything, says goodbye to who asked for it, and removes what the shim has made.
    pub(super) fn leave(&mut self) {
        let deadline = Instant::now() + KILL_DEADLINE;
        self.launches.clear();
        while (kill_all(&self.known(), |_| true) > 0 || !self.pool.is_idle()) && Instant::now() < deadline {
            self.take_launched(Duration::from_millis(1));
            self.reap();
        }
        self.reap();
        drop(fs::remove_file(&self.options.socket));
        if self.options.remove_folder {
            drop(fs::remove_dir_all(&self.options.folder));
        }
        let Some(mut peer) = self.stop.and_then(|number| self.peers.remove(&number)) else { return };
        peer.say(&Answer::Bye);
        let patient = peer.stream.set_nonblocking(false).is_ok()
            && peer.stream.set_write_timeout(Some(Duration::from_secs(1))).is_ok();
        if patient {
            drop(peer.flush());
        }
    }
}

/// Stops, then kills, all processes whose step is `wanted`: a stopped tree cannot run away while it is looked at.
/// Gives the number of those that were there.
fn kill_all(known: &Known, wanted: impl Fn(Option<u64>) -> bool) -> usize {
    let mut stopped: HashSet<i32> = HashSet::new();
    let mut owners: HashMap<i32, Option<u64>> = HashMap::new();
    for _ in 0..STOP_ROUNDS {
        let mut found = false;
        for (Process { pid, .. }, owner) in tree::descendants(known) {
            if wanted(owner) && stopped.insert(pid) {
                owners.insert(pid, owner);
                sys::signal_process(pid, sys::SIGSTOP);
                found = true;
            }
        }
        if !found {
            break;
        }
    }
    for pid in &stopped {
        sys::signal_process(*pid, sys::SIGKILL);
    }
    stopped.len()
}

/// Compares without telling by its time where the difference is.
fn same(given: &[u8], right: &[u8]) -> bool {
    let difference = given.iter().zip(right).fold(0u8, |sum, (a, b)| sum | (a ^ b));
    !right.is_empty() && given.len() == right.len() && std::hint::black_box(difference) == 0
}
