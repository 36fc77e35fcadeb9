//! The system calls of the shim, declared here and nowhere else; each has a safe face. Linux, any libc.
#![expect(unsafe_code, reason = "this file is where the shim meets the system; the rest of it is safe")]

use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

pub const SIGINT: i32 = 2;
pub const SIGHUP: i32 = 1;
pub const SIGKILL: i32 = 9;
pub const SIGPIPE: i32 = 13;
pub const SIGTERM: i32 = 15;
pub const SIGCHLD: i32 = 17;
pub const SIGSTOP: i32 = 19;
pub const O_NONBLOCK: i32 = 0o4000;
#[cfg(any(target_arch = "aarch64", target_arch = "arm"))]
pub const O_NOFOLLOW: i32 = 0o100_000;
#[cfg(not(any(target_arch = "aarch64", target_arch = "arm")))]
pub const O_NOFOLLOW: i32 = 0o400_000;
pub const EPOLLIN: u32 = 1;
pub const EPOLLOUT: u32 = 4;

const CLOSE_RANGE: c_long = 436; // the same on every architecture, and not in every libc
const CLOEXEC: c_int = 0o2_000_000;
const WNOHANG: c_int = 1;
const F_SETFL: c_int = 4;
const FIONREAD: c_long = 0x541B;
const PR_SET_DUMPABLE: c_int = 4;
const PR_SET_CHILD_SUBREAPER: c_int = 36;
const SPAWN_FLAGS: i16 = 0x04 | 0x08 | 0x80; // signal defaults, signal mask, a session of its own

#[repr(C)]
#[cfg_attr(target_arch = "x86_64", repr(packed))]
#[derive(Clone, Copy)]
struct EpollEvent {
    events: u32,
    data: u64,
}

/// Room for a libc's structures, more than any of them needs (glibc: attributes 336, actions 80, signal set 128 bytes).
#[repr(C, align(16))]
struct Opaque([u8; 512]);

unsafe extern "C" {
    fn pipe2(fds: *mut c_int, flags: c_int) -> c_int;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn ioctl(fd: c_int, request: c_long, ...) -> c_int;
    fn read(fd: c_int, buffer: *mut c_void, count: usize) -> isize;
    fn epoll_create1(flags: c_int) -> c_int;
    fn epoll_ctl(epoll: c_int, operation: c_int, fd: c_int, event: *mut EpollEvent) -> c_int;
    fn epoll_wait(epoll: c_int, events: *mut EpollEvent, max: c_int, timeout_ms: c_int) -> c_int;
    fn sigemptyset(set: *mut Opaque) -> c_int;
    fn sigaddset(set: *mut Opaque, signal: c_int) -> c_int;
    fn sigprocmask(how: c_int, set: *const Opaque, old: *mut Opaque) -> c_int;
    fn signalfd(fd: c_int, mask: *const Opaque, flags: c_int) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn fork() -> c_int;
    fn setsid() -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn fallocate(fd: c_int, mode: c_int, offset: i64, length: i64) -> c_int;
    fn posix_spawn(
        pid: *mut c_int,
        path: *const c_char,
        actions: *const Opaque,
        attributes: *const Opaque,
        argv: *const *const c_char,
        env: *const *const c_char,
    ) -> c_int;
    fn posix_spawnattr_init(attributes: *mut Opaque) -> c_int;
    fn posix_spawnattr_setflags(attributes: *mut Opaque, flags: i16) -> c_int;
    fn posix_spawnattr_setsigdefault(attributes: *mut Opaque, set: *const Opaque) -> c_int;
    fn posix_spawnattr_setsigmask(attributes: *mut Opaque, set: *const Opaque) -> c_int;
    fn posix_spawn_file_actions_init(actions: *mut Opaque) -> c_int;
    fn posix_spawn_file_actions_destroy(actions: *mut Opaque) -> c_int;
    fn posix_spawn_file_actions_adddup2(actions: *mut Opaque, from: c_int, to: c_int) -> c_int;
    fn posix_spawn_file_actions_addchdir_np(actions: *mut Opaque, path: *const c_char) -> c_int;
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn signal_set(signals: &[i32]) -> Opaque {
    let mut set = Opaque([0; 512]);
    // SAFETY: the set is larger than any libc's sigset_t.
    unsafe {
        sigemptyset(&mut set);
        for signal in signals {
            sigaddset(&mut set, *signal);
        }
    }
    set
}

/// A pipe: the reading end does not block, the writing end does; neither is inherited by a program.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: two descriptors are written into an array of two; both are new and ours.
    unsafe {
        check(pipe2(fds.as_mut_ptr(), CLOEXEC))?;
        let ends = (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]));
        check(fcntl(fds[0], F_SETFL, O_NONBLOCK))?;
        Ok(ends)
    }
}

/// Reads once; `WouldBlock` when nothing is there.
pub fn read_fd(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is valid for its length.
    let n = unsafe { read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Bytes waiting in a pipe.
pub fn waiting_bytes(fd: RawFd) -> usize {
    let mut count: c_int = 0;
    // SAFETY: FIONREAD writes one int.
    let result = unsafe { ioctl(fd, FIONREAD, &raw mut count) };
    if result < 0 { 0 } else { usize::try_from(count).unwrap_or(0) }
}

/// Gives a range of a file back to the file system; its length stays.
pub fn punch_hole(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // SAFETY: a plain call; 3 is PUNCH_HOLE with KEEP_SIZE.
    check(unsafe { fallocate(file.as_raw_fd(), 3, offset, length) }).map(drop)
}

/// An epoll instance.
pub struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: the descriptor is new and ours.
        unsafe { Ok(Self(OwnedFd::from_raw_fd(check(epoll_create1(CLOEXEC))?))) }
    }

    fn control(&self, operation: c_int, fd: RawFd, events: u32, data: u64) -> io::Result<()> {
        let mut event = EpollEvent { events, data };
        // SAFETY: the event lives through the call.
        check(unsafe { epoll_ctl(self.0.as_raw_fd(), operation, fd, &mut event) }).map(drop)
    }

    pub fn add(&self, fd: RawFd, events: u32, data: u64) -> io::Result<()> {
        self.control(1, fd, events, data)
    }

    pub fn modify(&self, fd: RawFd, events: u32, data: u64) -> io::Result<()> {
        self.control(3, fd, events, data)
    }

    pub fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(2, fd, 0, 0)
    }

    /// Waits; `ready` gets (data, events) of what is ready. An interrupted wait gives nothing.
    pub fn wait(&self, timeout_ms: i32, ready: &mut Vec<(u64, u32)>) -> io::Result<()> {
        let mut events = [EpollEvent { events: 0, data: 0 }; 128];
        // SAFETY: room for 128 events is there.
        let result = unsafe { epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), 128, timeout_ms) };
        ready.clear();
        match check(result) {
            Ok(n) => ready.extend(events.iter().take(usize::try_from(n).unwrap_or(0)).map(|e| (e.data, e.events))),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }
}

/// Blocks the signals and gives a descriptor that reads them.
pub fn signal_descriptor(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = signal_set(signals);
    // SAFETY: the set lives through the calls; the descriptor is new and ours.
    unsafe {
        check(sigprocmask(0, &set, ptr::null_mut()))?;
        Ok(OwnedFd::from_raw_fd(check(signalfd(-1, &set, CLOEXEC | O_NONBLOCK))?))
    }
}

/// The numbers of the signals that have arrived.
pub fn arrived_signals(fd: RawFd) -> Vec<i32> {
    let mut buffer = [0u8; 128 * 8];
    let mut signals = Vec::new();
    while let Ok(n) = read_fd(fd, &mut buffer) {
        if n == 0 {
            break;
        }
        let records = buffer[..n].chunks_exact(128);
        signals.extend(records.map(|r| i32::from_ne_bytes([r[0], r[1], r[2], r[3]])));
    }
    signals
}

/// Orphans among the descendants become this process's children.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: a plain call.
    check(unsafe { prctl(PR_SET_CHILD_SUBREAPER, 1 as c_long, 0 as c_long, 0 as c_long, 0 as c_long) }).map(drop)
}

/// Processes of the same user cannot look into this one's memory.
pub fn hide_memory() {
    // SAFETY: a plain call; where it fails nothing is worse than before.
    unsafe { prctl(PR_SET_DUMPABLE, 0 as c_long, 0 as c_long, 0 as c_long, 0 as c_long) };
}

/// Goes on in a child of its own session; the calling process gets `true` and should end.
pub fn detach() -> io::Result<bool> {
    // SAFETY: the shim has one thread, so the child may do anything.
    unsafe {
        if check(fork())? > 0 {
            return Ok(true);
        }
        check(setsid())?;
    }
    Ok(false)
}

/// Closes what the caller has left open but for the standard streams, so that neither the shim nor a step keeps it. To be
/// called before anything is opened.
pub fn close_inherited() {
    // SAFETY: nothing was opened yet, so no descriptor from 3 on belongs to anything here.
    unsafe {
        if syscall(CLOSE_RANGE, 3 as c_long, c_long::from(i32::MAX), 0 as c_long) < 0 {
            (3..1024).for_each(|fd| drop(check(close(fd))));
        }
    }
}

/// Puts `file` in the place of descriptor `fd` (0, 1 or 2).
pub fn replace_fd(file: &File, fd: RawFd) -> io::Result<()> {
    // SAFETY: a plain call; only standard streams are replaced, which nothing here owns.
    check(unsafe { dup2(file.as_raw_fd(), fd) }).map(drop)
}

/// How a child ended.
#[derive(Debug, Clone, Copy)]
pub enum Ended {
    Code(i32),
    Signal(i32),
}

/// A child that has ended, if any has.
pub fn reap() -> Option<(i32, Ended)> {
    let mut status: c_int = 0;
    // SAFETY: one int is written.
    let pid = unsafe { waitpid(-1, &mut status, WNOHANG) };
    (pid > 0).then(|| {
        let signal = status & 0x7f;
        (pid, if signal == 0 { Ended::Code((status >> 8) & 0xff) } else { Ended::Signal(signal) })
    })
}

/// Signals one process; that it is gone already is no error.
pub fn signal_process(pid: i32, signal: i32) {
    if pid > 0 {
        // SAFETY: a plain call.
        unsafe { kill(pid, signal) };
    }
}

/// Starts programs: session of their own, default signals, given standard streams.
pub struct Spawner {
    attributes: Box<Opaque>,
}

impl Spawner {
    pub fn new() -> io::Result<Self> {
        let mut attributes = Box::new(Opaque([0; 512]));
        let defaults = signal_set(&[SIGHUP, SIGINT, 3, SIGPIPE, SIGTERM, SIGCHLD, 10, 12, 14]);
        let mask = signal_set(&[]);
        // SAFETY: attributes and sets are larger than any libc's.
        let results = unsafe {
            [
                posix_spawnattr_init(&mut *attributes),
                posix_spawnattr_setflags(&mut *attributes, SPAWN_FLAGS),
                posix_spawnattr_setsigdefault(&mut *attributes, &defaults),
                posix_spawnattr_setsigmask(&mut *attributes, &mask),
            ]
        };
        match results.into_iter().find(|r| *r != 0) {
            Some(code) => Err(io::Error::from_raw_os_error(code)),
            None => Ok(Self { attributes }),
        }
    }

    /// Starts `program` in `cwd` and gives its process id, once the program runs in the child's place.
    pub fn spawn(
        &self,
        program: &CString,
        argv: &[CString],
        env: &[CString],
        cwd: &CString,
        stdin: RawFd,
        output: RawFd,
    ) -> io::Result<i32> {
        let pointers = |texts: &[CString]| -> Vec<*const c_char> {
            texts.iter().map(|t| t.as_ptr()).chain([ptr::null()]).collect()
        };
        let (argv, env) = (pointers(argv), pointers(env));
        let mut actions = Opaque([0; 512]);
        let mut pid: c_int = 0;
        // SAFETY: all texts and lists live through the calls and end in null; the actions are destroyed after their use.
        let code = unsafe {
            posix_spawn_file_actions_init(&mut actions);
            let mut code = posix_spawn_file_actions_adddup2(&mut actions, stdin, 0);
            code |= posix_spawn_file_actions_adddup2(&mut actions, output, 1);
            code |= posix_spawn_file_actions_adddup2(&mut actions, output, 2);
            code |= posix_spawn_file_actions_addchdir_np(&mut actions, cwd.as_ptr());
            if code == 0 {
                let attributes: *const Opaque = &*self.attributes;
                code = posix_spawn(&mut pid, program.as_ptr(), &actions, attributes, argv.as_ptr(), env.as_ptr());
            }
            posix_spawn_file_actions_destroy(&mut actions);
            code
        };
        if code == 0 { Ok(pid) } else { Err(io::Error::from_raw_os_error(code)) }
    }
}
