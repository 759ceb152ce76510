//! What this process is and uses.
//!
//! Two sides are compared fairly when each is a process of its own, on a core of its own, and is asked for its own CPU
//! time and memory.
//!
//! ```text
//!     pin_to(core)          one core for one side
//!     CpuTime::of_self()    user and kernel time so far
//!     cpu_time_of(pid)      the same of another process, as one sum
//!     peak_rss_kb()         the most memory it ever had
//!     open_descriptors()    what it has open now
//!     meant(signals)        what it is asked to do
//! ```
//!
//! Not here: limits, which are what a process may use rather than what it does.   Next: [`crate::limits`].

use std::{
    fs, io,
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::{
        prctl,
        resource::{UsageWho, getrusage},
        signal::{self, Signal},
        time::TimeValLike,
    },
    time::ClockId,
    unistd::{Pid, getppid},
};

/// CPU time, in the program's own code and in the kernel on its behalf.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CpuTime {
    /// In seconds.
    pub user_s: f64,
    /// In seconds.
    pub system_s: f64,
}

impl CpuTime {
    /// What this process, with all its threads, has used so far.
    ///
    /// # Errors
    /// Those of `getrusage`.
    ///
    /// ```
    /// let before = windlass_examples::process::CpuTime::of_self()?;
    /// let spent = windlass_examples::process::CpuTime::of_self()?.since(before);
    /// assert!(spent.user_s >= 0.0 && spent.system_s >= 0.0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn of_self() -> io::Result<Self> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let seconds = |time: nix::sys::time::TimeVal| time.num_microseconds() as f64 / 1e6;
        Ok(Self { user_s: seconds(usage.user_time()), system_s: seconds(usage.system_time()) })
    }

    /// The time between `earlier` and this.
    pub fn since(self, earlier: Self) -> Self {
        Self { user_s: self.user_s - earlier.user_s, system_s: self.system_s - earlier.system_s }
    }

    /// Both together, in seconds.
    pub fn total_s(self) -> f64 {
        self.user_s + self.system_s
    }
}

/// The CPU time that the process `pid` has used so far.
///
/// # Errors
/// `ESRCH` if there is no such process.
///
/// ```
/// assert!(windlass_examples::process::cpu_time_of(std::process::id()).is_ok());
/// ```
pub fn cpu_time_of(pid: u32) -> io::Result<Duration> {
    let time = ClockId::pid_cpu_clock_id(as_pid(pid))?.now()?;
    Ok(Duration::from(time))
}

/// The cores that this process may run on, in ascending order.
///
/// # Errors
/// Those of `sched_getaffinity`.
///
/// ```
/// assert!(!windlass_examples::process::cores()?.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn cores() -> io::Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|&core| allowed.is_set(core) == Ok(true)).collect())
}

/// Keeps this thread, and the threads it starts from now on, on `core`.
///
/// # Errors
/// `EINVAL` if the process may not run there.
pub fn pin_to(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Asks the kernel to kill this process when `parent`, which started it, ends for whatever reason.
///
/// # Errors
/// `NotFound` if the parent has ended already, so that nobody would be left to notice.
pub fn die_with(parent: u32) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() == as_pid(parent) {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::NotFound, "the process that started this one has ended"))
    }
}

/// The process that started this one, or that took it over when the one that did had ended.
///
/// ```
/// assert_ne!(windlass_examples::process::parent(), std::process::id());
/// ```
pub fn parent() -> u32 {
    getppid().as_raw().unsigned_abs()
}

/// A signal that comes sooner after the one before is the same once more.
const ONCE_MORE: Duration = Duration::from_millis(500);

/// Those of `signals` that were meant: `timeout` sends its signal to a program and to its group, and that is one, though the
/// program hears two. What comes within half a second of the last that was passed on is left out.
///
/// ```
/// use windlass_examples::process::meant;
/// assert!(meant([2, 2]).eq([2]));
/// ```
pub fn meant(signals: impl IntoIterator<Item = i32>) -> impl Iterator<Item = i32> {
    let mut last: Option<Instant> = None;
    signals.into_iter().filter(move |_| {
        let is_meant = last.is_none_or(|last| last.elapsed() >= ONCE_MORE);
        if is_meant {
            last = Some(Instant::now());
        }
        is_meant
    })
}

/// Sends `signal` to the process `pid`.
///
/// # Errors
/// Those of `kill`. The caller makes sure that `pid` has not been reaped: numbers are used again.
pub fn send_signal(pid: u32, signal: Signal) -> io::Result<()> {
    Ok(signal::kill(as_pid(pid), signal)?)
}

/// The most memory that this process ever had resident, in kB; `None` where the kernel does not say.
///
/// It is read from `/proc` and not from `getrusage`, whose figure starts with the memory of the parent.
pub fn peak_rss_kb() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How many descriptors this process has open; `None` where the kernel does not say.
///
/// ```
/// let before = windlass_examples::process::open_descriptors();
/// let held = std::fs::File::open("/dev/null")?;
/// assert_eq!(windlass_examples::process::open_descriptors(), before.map(|open| open + 1));
/// # drop(held);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn open_descriptors() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    Some(entries.saturating_sub(1)) // the listing itself holds one
}

fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("the kernel's process numbers are positive and below 2^22"))
}
