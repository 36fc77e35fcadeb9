//! Threads that start steps side by side: a start blocks until the program runs in the child's place, which is most of what
//! a short step costs, and the loop must not stand still for so long.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::launch::{Launcher, Refused};
use super::protocol::{Refusal, Start};

/// More threads than this start no more steps in a second: the kernel's locks are what is waited for then.
const MAX_THREADS: usize = 4;

/// A step to start.
pub struct Launch {
    pub number: u64,
    pub start: Start,
    pub folder: PathBuf,
    pub contents: HashMap<String, Vec<u8>>,
}

/// What came of it.
pub enum Launched {
    /// Process id, and the end of the pipe to read from.
    Running(i32, OwnedFd),
    Refused(Refused),
    /// The key was used by an earlier shim.
    Claimed,
}

/// The threads, made when they are first needed.
pub struct Pool {
    launcher: Arc<Launcher>,
    queue: Option<Sender<Launch>>,
    results: Receiver<(u64, Launched)>,
    result_sender: Sender<(u64, Launched)>,
    bell: UnixStream,
    ringer: Arc<UnixStream>,
    under_way: usize,
}

impl Pool {
    pub fn new(launcher: Launcher) -> io::Result<Self> {
        let (bell, ringer) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ringer.set_nonblocking(true)?;
        let (result_sender, results) = mpsc::channel();
        let (launcher, ringer) = (Arc::new(launcher), Arc::new(ringer));
        Ok(Self { launcher, queue: None, results, result_sender, bell, ringer, under_way: 0 })
    }

    /// Readable when results are there.
    pub fn bell(&self) -> RawFd {
        self.bell.as_raw_fd()
    }

    pub fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    /// Starts a step in this thread.
    pub fn launch_here(&self, launch: Launch) -> Launched {
        self.launcher.claim_and_launch(launch)
    }

    /// Starts a step in another thread. As many may wait as steps are asked for; the engine bounds them.
    pub fn launch(&mut self, launch: Launch) {
        if self.queue.is_none() {
            self.queue = self.make_threads();
        }
        self.under_way += 1;
        let unsent = match &self.queue {
            Some(queue) => queue.send(launch).err().map(|error| error.0),
            None => Some(launch),
        };
        if let Some(launch) = unsent {
            let number = launch.number;
            let launched = self.launch_here(launch);
            report(&self.result_sender, &self.ringer, number, launched);
        }
    }

    /// The next result; waits no longer than `patience`.
    pub fn result(&mut self, patience: Duration) -> Option<(u64, Launched)> {
        let result =
            if patience.is_zero() { self.results.try_recv().ok() } else { self.results.recv_timeout(patience).ok() };
        self.under_way -= usize::from(result.is_some());
        result
    }

    /// Takes note that results were announced.
    pub fn hush(&mut self) {
        let mut rings = [0; 256];
        while (&self.bell).read(&mut rings).is_ok_and(|n| n == rings.len()) {}
    }

    /// `None` when not even one can be made.
    fn make_threads(&self) -> Option<Sender<Launch>> {
        let (queue, launches) = mpsc::channel::<Launch>();
        let launches = Arc::new(Mutex::new(launches));
        let count = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let made = (0..count).filter(|_| {
            let (launcher, launches) = (Arc::clone(&self.launcher), Arc::clone(&launches));
            let (results, ringer) = (self.result_sender.clone(), Arc::clone(&self.ringer));
            let work = move || {
                loop {
                    let next = launches.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(launch) = next else { return };
                    let number = launch.number;
                    report(&results, &ringer, number, launcher.claim_and_launch(launch));
                }
            };
            thread::Builder::new().stack_size(256 << 10).spawn(work).is_ok()
        });
        (made.count() > 0).then_some(queue)
    }
}

impl Launcher {
    fn claim_and_launch(&self, launch: Launch) -> Launched {
        let Launch { start, folder, contents, .. } = launch;
        match Self::claim(&folder) {
            Ok(()) => match self.launch(&start, &folder, contents) {
                Ok((pid, pipe)) => Launched::Running(pid, pipe),
                Err(refused) => Launched::Refused(refused),
            },
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Launched::Claimed,
            Err(e) => {
                let detail = format!("failed to make the step's folder {}: {e}", folder.display());
                Launched::Refused((Refusal::System, detail))
            }
        }
    }
}

fn report(results: &Sender<(u64, Launched)>, mut ringer: &UnixStream, number: u64, launched: Launched) {
    // The receiver lives as long as the process; a bell that cannot be rung because it is full has rung.
    drop(results.send((number, launched)));
    drop(ringer.write(&[1]));
}
