//! The shim's one loop: connections, pipes, ended children, time.
//!
//! One thread has all the state; nothing in it waits but the wait for events. Others only start processes. What it keeps for each step is bounded by the spool's
//! limit, for each connection by a frame and [`super::peer::OUT_HIGH`].

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::job::Ending;
use super::launch::Launcher;
use super::memory::MemoryKills;
use super::peer::Peer;
use super::pool::{Launch, Pool};
use super::protocol::{OUTPUT_CHUNK, StepEnd};
use super::step::{Pipe, Step};
use super::sys::{self, EPOLLIN, EPOLLOUT, Ended, Epoll};

const SIGNALS: u64 = 0;
const LISTENER: u64 = 1;
const LAUNCHED: u64 = 2;
/// Numbers from here on are connections and steps, told apart by the last bit.
const FIRST_NUMBER: u64 = 4;
/// More connections than engines ever make.
const MAX_PEERS: usize = 64;
/// How long a connection may take to say the token.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// How long steps may take after SIGTERM to the shim.
const TERM_GRACE: Duration = Duration::from_secs(5);
/// How often what cannot be waited for is looked at: killed processes, full disks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How to serve.
pub struct Options {
    pub folder: PathBuf,
    pub socket: PathBuf,
    pub token: Vec<u8>,
    pub window: Duration,
    /// Process 1 of a container: memory kills are this container's.
    pub init: bool,
    /// Removes the folder at the end.
    pub remove_folder: bool,
}

/// Everything the loop knows.
pub struct Server {
    pub(super) options: Options,
    pub(super) epoll: Epoll,
    pub(super) pool: Pool,
    /// Starts that were asked for in this round.
    pub(super) launches: Vec<Launch>,
    /// Children that have ended before the thread that started them could tell.
    pub(super) early: HashMap<i32, Ended>,
    pub(super) peers: HashMap<u64, Peer>,
    pub(super) steps: HashMap<u64, Step>,
    pub(super) keys: HashMap<String, u64>,
    pub(super) running: HashMap<i32, u64>,
    pub(super) endings: Vec<Ending>,
    pub(super) buffer: Vec<u8>,
    pub(super) stop: Option<u64>,
    pub(super) next_number: u64,
    listener: UnixListener,
    signals: OwnedFd,
    memory: MemoryKills,
    dirty: HashSet<u64>,
    alone_since: Option<Instant>,
    leaving: Option<Instant>,
}

impl Server {
    pub fn new(options: Options, listener: UnixListener) -> io::Result<Self> {
        sys::hide_memory();
        if !options.init {
            sys::become_subreaper()?;
        }
        listener.set_nonblocking(true)?;
        let signals = sys::signal_descriptor(&[sys::SIGCHLD, sys::SIGTERM, sys::SIGINT, sys::SIGHUP])?;
        let epoll = Epoll::new()?;
        epoll.add(signals.as_raw_fd(), EPOLLIN, SIGNALS)?;
        epoll.add(listener.as_raw_fd(), EPOLLIN, LISTENER)?;
        let pool = Pool::new(Launcher::new()?)?;
        epoll.add(pool.bell(), EPOLLIN, LAUNCHED)?;
        Ok(Self {
            memory: MemoryKills::new(options.init),
            pool,
            launches: Vec::new(),
            early: HashMap::new(),
            options,
            epoll,
            peers: HashMap::new(),
            steps: HashMap::new(),
            keys: HashMap::new(),
            running: HashMap::new(),
            endings: Vec::new(),
            buffer: vec![0; OUTPUT_CHUNK],
            stop: None,
            next_number: FIRST_NUMBER,
            listener,
            signals,
            dirty: HashSet::new(),
            alone_since: Some(Instant::now()),
            leaving: None,
        })
    }

    /// Serves until told to stop, or alone for longer than the window; then nothing of any step is left.
    pub fn run(mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        while !self.is_over() {
            self.epoll.wait(self.timeout(), &mut ready)?;
            let mut signalled = false;
            for (number, events) in ready.iter().copied() {
                match number {
                    SIGNALS => signalled = true,
                    LISTENER => self.accept(),
                    LAUNCHED => self.take_launched(Duration::ZERO),
                    peer if peer % 2 == 0 => self.on_peer(peer, events),
                    step => self.on_pipe(step),
                }
            }
            self.launch_all();
            if signalled {
                self.on_signals();
            }
            self.on_time();
            self.flush();
        }
        self.leave();
        Ok(())
    }

    /// A number for a connection (even) or a step (odd).
    pub(super) fn number(&mut self, step: bool) -> u64 {
        self.next_number += 2;
        self.next_number + u64::from(step)
    }

    fn is_over(&self) -> bool {
        let alone = self.alone_since.is_some_and(|since| since.elapsed() >= self.options.window);
        let left = self.leaving.is_some_and(|until| self.running.is_empty() || Instant::now() >= until);
        self.stop.is_some() || alone || left
    }

    fn timeout(&self) -> i32 {
        let mut wait: Option<Duration> = None;
        let mut at_most = |limit: Duration| wait = Some(wait.map_or(limit, |w| w.min(limit)));
        if !self.endings.is_empty() || self.leaving.is_some() || self.steps.values().any(|s| s.spool.is_stuck()) {
            at_most(LOOK_AGAIN);
        }
        if self.peers.values().any(|peer| !peer.welcome) {
            at_most(HELLO_DEADLINE);
        }
        if let Some(since) = self.alone_since {
            at_most(self.options.window.saturating_sub(since.elapsed()) + Duration::from_millis(1));
        }
        wait.map_or(-1, |wait| i32::try_from(wait.as_millis().max(1)).unwrap_or(i32::MAX))
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.peers.len() >= MAX_PEERS || stream.set_nonblocking(true).is_err() {
                continue;
            }
            let number = self.number(false);
            if self.epoll.add(stream.as_raw_fd(), EPOLLIN, number).is_ok() {
                self.peers.insert(number, Peer::new(stream, Instant::now()));
            }
        }
    }

    fn on_peer(&mut self, number: u64, events: u32) {
        let Some(peer) = self.peers.get_mut(&number) else { return };
        self.dirty.insert(number);
        if events & !EPOLLOUT == 0 {
            return;
        }
        let open = peer.fill(&mut self.buffer).unwrap_or(false);
        if !self.take_requests(number) || !open {
            self.drop_peer(number);
        }
    }

    /// Handles what a connection has asked; `false` when it must be closed.
    fn take_requests(&mut self, number: u64) -> bool {
        loop {
            let request = match self.peers.get_mut(&number).map(Peer::next) {
                Some(Ok(Some(request))) => request,
                Some(Ok(None)) => return true,
                Some(Err(_)) | None => return false,
            };
            if !self.take_request(number, request) {
                return false;
            }
        }
    }

    /// A connection has shown that it knows the token.
    pub(super) fn welcome(&mut self, number: u64) {
        if let Some(peer) = self.peers.get_mut(&number) {
            peer.welcome = true;
            self.alone_since = None;
        }
    }

    fn drop_peer(&mut self, number: u64) {
        if let Some(mut peer) = self.peers.remove(&number) {
            // A last word, such as why it was rejected, may still find its way.
            drop(peer.flush());
        }
        for step in self.steps.values_mut().filter(|s| s.reader.as_ref().is_some_and(|r| r.peer == number)) {
            step.reader = None;
        }
        if self.alone_since.is_none() && !self.peers.values().any(|peer| peer.welcome) {
            self.alone_since = Some(Instant::now());
        }
    }

    fn on_pipe(&mut self, number: u64) {
        let Some(step) = self.steps.get_mut(&number) else { return };
        let peer_number = step.reader.as_ref().map(|r| r.peer);
        let peer = peer_number.and_then(|p| self.peers.get_mut(&p));
        let state = step.read_pipe(&mut self.buffer, peer);
        if state == Pipe::Closed {
            close_pipe(&self.epoll, step);
        }
        self.watch(number);
        self.pump(number);
    }

    /// Lets the event loop watch the step's pipe, or not, as the spool has room.
    pub(super) fn watch(&mut self, number: u64) {
        let Some(step) = self.steps.get_mut(&number) else { return };
        let Some(pipe) = &step.pipe else { return };
        let wanted = step.wants_output();
        if wanted != step.watched {
            let fd = pipe.as_raw_fd();
            let done = if wanted { self.epoll.add(fd, EPOLLIN, number) } else { self.epoll.remove(fd) };
            if done.is_ok() {
                step.watched = wanted;
            }
        }
    }

    /// Sends the step's reader what it may get.
    pub(super) fn pump(&mut self, number: u64) {
        let Some(step) = self.steps.get_mut(&number) else { return };
        let Some(peer_number) = step.reader.as_ref().map(|r| r.peer) else { return };
        if let Some(peer) = self.peers.get_mut(&peer_number) {
            step.pump(&mut self.buffer, peer);
            self.dirty.insert(peer_number);
        }
    }

    /// Something is to be written to the connection.
    pub(super) fn touch(&mut self, number: u64) {
        self.dirty.insert(number);
    }

    fn on_signals(&mut self) {
        for signal in sys::arrived_signals(self.signals.as_raw_fd()) {
            if signal == sys::SIGTERM && self.leaving.is_none() {
                self.leaving = Some(Instant::now() + TERM_GRACE);
                self.signal_all(sys::SIGTERM);
            }
        }
        self.reap();
    }

    /// Learns of all ended children: steps, and orphans that only have to be reaped.
    pub(super) fn reap(&mut self) {
        while let Some((pid, ended)) = sys::reap() {
            if self.running.contains_key(&pid) {
                self.ended(pid, ended);
            } else if !self.pool.is_idle() {
                self.early.insert(pid, ended);
            }
        }
        if self.pool.is_idle() {
            self.early.clear();
        }
    }

    /// A step's process has ended.
    pub(super) fn ended(&mut self, pid: i32, ended: Ended) {
        let Some(number) = self.running.remove(&pid) else { return };
        let Some(step) = self.steps.get_mut(&number) else { return };
        let end = match ended {
            Ended::Signal(sys::SIGKILL) | Ended::Code(137) if self.memory.happened() => StepEnd::OutOfMemory,
            Ended::Signal(signal) => StepEnd::Signal(signal),
            Ended::Code(code) => StepEnd::Code(code),
        };
        let peer_number = step.reader.as_ref().map(|r| r.peer);
        let peer = peer_number.and_then(|p| self.peers.get_mut(&p));
        step.end(end, &mut self.buffer, peer);
        // Most steps leave nobody behind who holds the pipe; then this closes it.
        if step.read_pipe(&mut self.buffer, None) == Pipe::Closed {
            close_pipe(&self.epoll, step);
        }
        step.spool.close_if_done();
        self.watch(number);
        self.pump(number);
    }

    fn on_time(&mut self) {
        self.advance_endings();
        let late = |peer: &Peer| !peer.welcome && peer.since.elapsed() >= HELLO_DEADLINE;
        let late: Vec<u64> = self.peers.iter().filter(|(_, peer)| late(peer)).map(|(number, _)| *number).collect();
        late.into_iter().for_each(|number| self.drop_peer(number));
        let stuck: Vec<u64> =
            self.steps.iter().filter(|(_, s)| s.spool.is_stuck()).map(|(number, _)| *number).collect();
        for number in stuck {
            if let Some(step) = self.steps.get_mut(&number) {
                step.spool.settle();
            }
            self.watch(number);
        }
    }

    fn flush(&mut self) {
        for number in std::mem::take(&mut self.dirty) {
            while let Some(peer) = self.peers.get_mut(&number) {
                let Ok(empty) = peer.flush() else {
                    self.drop_peer(number);
                    break;
                };
                if peer.armed == empty {
                    let events = if empty { EPOLLIN } else { EPOLLIN | EPOLLOUT };
                    if self.epoll.modify(peer.stream.as_raw_fd(), events, number).is_ok() {
                        peer.armed = !empty;
                    }
                }
                if !empty || !std::mem::take(&mut peer.starved) {
                    break;
                }
                let reads = |step: &Step| step.reader.as_ref().is_some_and(|r| r.peer == number);
                let held: Vec<u64> = self.steps.iter().filter(|(_, s)| reads(s)).map(|(n, _)| *n).collect();
                held.into_iter().for_each(|step| self.pump(step));
            }
        }
    }
}

/// Ends the watch before the pipe is closed: a process that another thread is just starting holds a copy of it for a moment,
/// and a closed pipe that is still watched would wake the loop all that time.
pub(super) fn close_pipe(epoll: &Epoll, step: &mut Step) {
    if let Some(pipe) = step.pipe.take()
        && std::mem::take(&mut step.watched)
    {
        drop(epoll.remove(pipe.as_raw_fd()));
    }
}
