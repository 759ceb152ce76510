//! Signals, as something to wait for.
//! A signal's handler may interrupt any instruction of any thread, so it may take no lock and allocate nothing; it cannot
//! put anything into a loop's inbox. What it may do is write a byte to a descriptor. So each listener has a socket pair,
//! one end for the handler and one that its loop watches as it watches any other source.
//!
//! ```text
//!   kernel ──► handler: a byte for each listener ──► socket ──► epoll ──► reads all bytes there are: one recv()
//! ```
//!
//! Signals that come before the last one was received are one, as in the kernel itself. The handlers are signal-hook's,
//! which keeps the list of them; nothing here is unsafe.
//!
//! **While nobody listens** to a kind, it does what it did before the first listener: end the process, most often. So a
//! second Ctrl-C ends a program that waits for one `ctrl_c()` and then hangs in its clean-up. (signal-hook alone would
//! leave a handler that does nothing.) If the kind was ignored before, or had a handler, it is left at that.
//!
//! Not here: real-time signals, who sent it, blocking signals for a while.   Next: `AsyncFd`, which waits.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::future::poll_fn;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use signal_hook::SigId;
use signal_hook::consts;
use signal_hook::low_level::{pipe, signal_name, unregister};
use windlass_reactor::{AsyncFd, count_syscalls};

/// Which signal.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::signal::Kind;
/// assert_eq!(Kind::INTERRUPT.to_string(), "SIGINT");
/// assert_eq!(Kind::from_raw(15), Kind::TERMINATE);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Kind(i32);

macro_rules! kinds {
    ($($(#[$docs:meta])* $name:ident = $signal:ident;)*) => {
        impl Kind {$(
            $(#[$docs])*
            ///
            /// ```
            /// # use windlass_net::windlass;
            #[doc = concat!("let kind = windlass::signal::Kind::", stringify!($name), ";")]
            #[doc = concat!("assert_eq!(kind.to_string(), \"", stringify!($signal), "\");")]
            /// ```
            pub const $name: Kind = Kind(consts::$signal);
        )*}
    };
}

kinds! {
    /// Ctrl-C at the terminal.
    INTERRUPT = SIGINT;
    /// A polite request to end: what `kill` sends.
    TERMINATE = SIGTERM;
    /// The terminal is gone; for services, read the configuration again.
    HANGUP = SIGHUP;
    /// Ctrl-\ at the terminal.
    QUIT = SIGQUIT;
    /// What the program makes of it.
    USER_1 = SIGUSR1;
    /// What the program makes of it.
    USER_2 = SIGUSR2;
    /// A child has ended or stopped.
    CHILD = SIGCHLD;
    /// The terminal has another size.
    WINDOW_CHANGE = SIGWINCH;
}

impl Kind {
    /// The signal of this number.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// assert_eq!(windlass::signal::Kind::from_raw(14).to_string(), "SIGALRM");
    /// ```
    pub const fn from_raw(number: i32) -> Kind {
        Kind(number)
    }

    /// Its number.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// assert_eq!(windlass::signal::Kind::TERMINATE.as_raw(), 15);
    /// ```
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match signal_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// Waits for Ctrl-C (`SIGINT`), from the first poll on; one that comes when this is over ends the process, unless
/// something else listens.
///
/// # Errors
/// If there are no descriptors left for it.
///
/// # Cancel
/// Dropping it gives Ctrl-C back what it did before.
///
/// ```
/// # use windlass_net::windlass;
/// # use windlass_executor::spawn;
/// # windlass_reactor::doc_real(async {
/// let until_told = spawn(windlass::signal::ctrl_c());
/// # windlass_executor::yield_now().await;
/// # signal_hook::low_level::raise(signal_hook::consts::SIGINT)?;
/// until_told.await.unwrap()?;
/// println!("good night");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub async fn ctrl_c() -> io::Result<()> {
    signal(Kind::INTERRUPT)?.recv().await
}

/// Listens to signals of a kind, from now on.
///
/// # Errors
/// `InvalidInput` for a kind that no program hears of (`SIGKILL`, `SIGSTOP`), that is a fault of its own (`SIGSEGV`,
/// `SIGILL`, `SIGFPE`), or that has no name here, as real-time signals; and if there are no descriptors left.
///
/// # Panics
/// Outside a running loop.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::signal::{Kind, signal};
/// # windlass_reactor::doc_real(async {
/// let mut reload = signal(Kind::HANGUP)?;
/// # signal_hook::low_level::raise(signal_hook::consts::SIGHUP)?;
/// reload.recv().await?;
/// println!("reading the configuration again");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[track_caller]
pub fn signal(kind: Kind) -> io::Result<Signal> {
    if signal_name(kind.0).is_none() || consts::FORBIDDEN.contains(&kind.0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{kind} cannot be listened to")));
    }
    let (ours, handlers) = UnixStream::pair()?;
    count_syscalls(2);
    ours.set_nonblocking(true)?;
    let fd = AsyncFd::new(ours)?;
    let listening = Listening::begin(kind, handlers)?;
    Ok(Signal { fd, listening })
}

/// Signals of a kind, as they come: see [`signal`]. As a `Stream` it has no end. When the last listener to its kind is
/// dropped, the kind does again what it did before the first.
///
/// # Errors
/// Off its loop it gives errors; it may be dropped anywhere.
///
/// ```
/// # use windlass_net::windlass;
/// use windlass::signal::{Kind, signal};
/// # windlass_reactor::doc_real(async {
/// let mut heard = signal(Kind::USER_1)?;
/// # let send = || signal_hook::low_level::raise(signal_hook::consts::SIGUSR1);
/// send()?;
/// send()?;
/// heard.recv().await?; // both: they are one until they are received
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct Signal {
    fd: AsyncFd<UnixStream>,
    listening: Listening,
}

impl Signal {
    /// Waits for the next signal: for one that came since this was made, or since the last one was received.
    ///
    /// # Cancel
    /// Dropping it loses no signal.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::signal::{Kind, signal};
    /// # windlass_reactor::doc_real(async {
    /// let mut resized = signal(Kind::WINDOW_CHANGE)?;
    /// # signal_hook::low_level::raise(signal_hook::consts::SIGWINCH)?;
    /// resized.recv().await?;
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn recv(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for who polls. One task may wait: the last that polled.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::signal::{Kind, signal};
    /// # windlass_reactor::doc_real(async {
    /// let mut heard = signal(Kind::USER_2)?;
    /// # signal_hook::low_level::raise(signal_hook::consts::SIGUSR2)?;
    /// std::future::poll_fn(|cx| heard.poll_recv(cx)).await?;
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut heard = Poll::Pending;
        loop {
            let mut bytes = [0; 64];
            match self.fd.poll_read_stream(cx, &mut bytes)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(64) => heard = Poll::Ready(Ok(())), // and there may be more
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return heard,
            }
        }
    }

    /// What it listens to.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::signal::{Kind, signal};
    /// # windlass_reactor::doc_real(async {
    /// assert_eq!(signal(Kind::HANGUP)?.kind(), Kind::HANGUP);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn kind(&self) -> Kind {
        self.listening.kind
    }
}

impl Stream for Signal {
    type Item = io::Result<()>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<()>>> {
        self.poll_recv(cx).map(Some)
    }
}

/// The kinds that were ever listened to in this process, whatever the loop: signals are the process's.
static KINDS: Mutex<BTreeMap<Kind, Listeners>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct Listeners {
    count: usize,
    /// Whether the kind's default action follows: read by the handler.
    none: Arc<AtomicBool>,
}

/// One listener's place in the handler. Dropping it gives it up.
#[derive(Debug)]
struct Listening {
    kind: Kind,
    handler: SigId,
}

impl Listening {
    fn begin(kind: Kind, handlers: UnixStream) -> io::Result<Listening> {
        let mut kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked before there is a handler of ours. A signal that comes between the two registrations is heard.
        let by_default = !kinds.contains_key(&kind) && acts_by_default(kind);
        let handler = pipe::register(kind.0, handlers)?;
        let listeners = kinds.entry(kind).or_default();
        if by_default
            && let Err(error) = signal_hook::flag::register_conditional_default(kind.0, listeners.none.clone())
        {
            unregister(handler);
            return Err(error);
        }
        listeners.count += 1;
        listeners.none.store(false, Ordering::SeqCst);
        Ok(Listening { kind, handler })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
        let listeners = kinds.get_mut(&self.kind).expect("a kind that was listened to stays entered");
        listeners.count -= 1;
        // In this order: a signal that comes in between has its default action, and is not lost.
        listeners.none.store(listeners.count == 0, Ordering::SeqCst);
        unregister(self.handler);
    }
}

/// Whether the kind is neither ignored nor handled, as far as the system tells (`proc(5)`). If it does not tell, no: a
/// signal that does nothing is better than one that ends a process which meant to ignore it.
fn acts_by_default(kind: Kind) -> bool {
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return false };
    let mask = |name| {
        let line = status.lines().find_map(|line: &str| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    let (ignored, caught) = (mask("SigIgn:"), mask("SigCgt:"));
    ignored.zip(caught).is_some_and(|(ignored, caught)| (ignored | caught) >> (kind.0 - 1) & 1 == 0)
}
