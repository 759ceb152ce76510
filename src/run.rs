//! A whole program on a loop.
//! `Loop::block_on` drops what is left when main ends. A program wants more: what is left should clean up first.
//!
//! ```text
//!   run(main) ──► a fresh loop; main is its first task
//!     1. turn until main has ended                     Ctrl-C: main is asked to stop; a second one ends the process
//!     2. ask every other task to stop
//!     3. turn until they have, or the grace is over    those that panic, and those that do not stop, are reported
//!     4. drop the loop, return what main returned
//! ```
//!
//! Not here: groups of tasks within a program (`shutdown`).   Next: `event_loop`, what a turn is; `cancel`, what asking is.

use std::fmt;
use std::io;
use std::panic::{Location, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use windlass_executor::{JoinError, JoinHandle, Leftovers, Nested};
use windlass_reactor::time::{Instant, sleep_until};

use crate::event_loop::{Builder, Loop, Running, nested};

/// The exit code of a program that Ctrl-C ended, as shells have it: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

/// Runs `main` to its end, as the first task of a fresh loop, and returns its output. Before that every task that is left
/// is [cancelled](crate::cancel) and waited for, however long it cleans up, with the loop turning; one that panics in its
/// clean-up is reported as any [panic that nobody sees](crate::task::set_unobserved_panic_hook). What the clean-ups
/// themselves spawn is dropped when they are done.
///
/// With the feature `signal`, Ctrl-C cancels `main`, and a second one ends the process. If `main` ends by that without an
/// output, so does the process, with code 130, when all is cleaned up. Without the feature Ctrl-C ends the process at once.
///
/// # Panics
/// As `main` does, after the clean-up. Inside a running loop; the message names both places. If there is no descriptor left
/// for a loop. [`Runner::run`] has errors for the latter two.
///
/// ```
/// use windlass::cancel::catch;
/// let answer = windlass::run(async {
///     let _left = windlass::spawn(async {
///         let _asked = catch(std::future::pending::<()>()).await;
///         println!("cleaned up");
///     });
///     windlass::task::yield_now().await;
///     6 * 7
/// });
/// assert_eq!(answer, 42); // and "cleaned up" was printed
/// ```
#[track_caller]
pub fn run<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
    match Runner::new().run(main) {
        Ok(output) => output,
        Err(error) if error.kind() == RunErrorKind::Cancelled => std::process::exit(INTERRUPTED),
        Err(error) => panic!("{error}"),
    }
}

/// How to [`run`] a program.
///
/// ```
/// use std::time::Duration;
/// use windlass::{Loop, Runner};
/// let runner = Runner::on(Loop::builder().paused_clock()).grace(Duration::from_secs(5));
/// assert_eq!(runner.run(async { 6 * 7 })?, 42);
/// # Ok::<(), windlass::RunError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a runner does nothing until `run`"]
pub struct Runner {
    builder: Builder,
    grace: Option<Duration>,
    #[cfg(feature = "signal")]
    ctrl_c: CtrlC,
}

#[cfg(feature = "signal")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum CtrlC {
    CancelsMain,
    IsLeftAlone,
}

impl Default for Runner {
    fn default() -> Self {
        Runner::new()
    }
}

impl Runner {
    /// As [`run`] does it: on a loop with the system's clock, waiting for every clean-up.
    ///
    /// ```
    /// assert_eq!(windlass::Runner::new().run(async { 7 })?, 7);
    /// # Ok::<(), windlass::RunError>(())
    /// ```
    pub fn new() -> Runner {
        Runner::on(Loop::builder())
    }

    /// On a loop of this kind.
    ///
    /// ```
    /// use windlass::{Loop, Runner, time::sleep};
    /// let hour = std::time::Duration::from_secs(3600);
    /// Runner::on(Loop::builder().paused_clock()).run(sleep(hour))?; // in no time
    /// # Ok::<(), windlass::RunError>(())
    /// ```
    pub fn on(builder: Builder) -> Runner {
        Runner {
            builder,
            grace: None,
            #[cfg(feature = "signal")]
            ctrl_c: CtrlC::CancelsMain,
        }
    }

    /// Waits at most this long, by the loop's clock, for the tasks that are left; those that have not ended then are named
    /// on stderr, and dropped.
    ///
    /// ```
    /// use std::time::Duration;
    /// use windlass::{Loop, Runner, cancel::catch, spawn, task::yield_now, time::sleep};
    /// let runner = Runner::on(Loop::builder().paused_clock()).grace(Duration::from_secs(1));
    /// runner.run(async {
    ///     let _thorough = spawn(async {
    ///         let _asked = catch(std::future::pending::<()>()).await;
    ///         sleep(Duration::from_secs(60)).await; // longer than it may
    ///         unreachable!();
    ///     });
    ///     yield_now().await;
    /// })?;
    /// # Ok::<(), windlass::RunError>(())
    /// ```
    pub fn grace(mut self, grace: Duration) -> Runner {
        self.grace = Some(grace);
        self
    }

    /// Leaves Ctrl-C to what it does anyway, also with the feature `signal`.
    ///
    /// ```
    /// assert_eq!(windlass::Runner::new().leave_ctrl_c().run(async { 7 })?, 7);
    /// # Ok::<(), windlass::RunError>(())
    /// ```
    pub fn leave_ctrl_c(self) -> Runner {
        Runner {
            #[cfg(feature = "signal")]
            ctrl_c: CtrlC::IsLeftAlone,
            ..self
        }
    }

    /// Runs `main` as [`run`] does.
    ///
    /// # Errors
    /// Inside a running loop; if no loop can be made; and if `main` was cancelled, by Ctrl-C or by itself, and has no output.
    ///
    /// # Panics
    /// As `main` does, after the clean-up.
    ///
    /// ```
    /// use windlass::{RunErrorKind, Runner};
    /// windlass::run(async {
    ///     let error = Runner::new().run(async {}).unwrap_err();
    ///     assert_eq!(error.kind(), RunErrorKind::Nested);
    /// });
    /// ```
    #[track_caller]
    pub fn run<F: Future<Output: 'static> + 'static>(self, main: F) -> Result<F::Output, RunError> {
        let at = Location::caller();
        let crank = self.builder.clone().build().map_err(RunError::no_loop)?;
        let entered = crank.try_enter(at).map_err(|Nested { outer }| RunError::nested(at, outer))?;
        let running = Running(entered);
        let main = windlass_executor::Builder::new().name("main").spawn(main);
        self.wait_for_main(&crank, &main)?;
        let outcome = take(main);
        self.clean_up(&crank, crank.cancel_tasks("main has ended"));
        drop(running); // and what is left
        match outcome.map_err(JoinError::try_into_panic) {
            Ok(output) => Ok(output),
            Err(Ok(panic)) => resume_unwind(panic),
            Err(Err(_cancelled)) => Err(RunError { what: What::Cancelled }),
        }
    }

    #[cfg(not(feature = "signal"))]
    fn wait_for_main<T>(&self, crank: &Loop, main: &JoinHandle<T>) -> Result<(), RunError> {
        crank.turn_until(|| main.is_finished());
        Ok(())
    }

    /// One Ctrl-C is heard. Then nobody listens any more, and the next ends the process, even if the loop hangs.
    #[cfg(feature = "signal")]
    fn wait_for_main<T>(&self, crank: &Loop, main: &JoinHandle<T>) -> Result<(), RunError> {
        use windlass_net::signal::{Kind, signal};

        let mut ctrl_c = match self.ctrl_c {
            CtrlC::IsLeftAlone => None,
            CtrlC::CancelsMain => Some(signal(Kind::INTERRUPT).map_err(RunError::no_loop)?),
        };
        crank.turn_until(|| {
            if let Some(Poll::Ready(pressed)) = ctrl_c.as_mut().map(listen) {
                ctrl_c = None;
                let _alive = pressed.is_ok() && main.cancel_because("Ctrl-C");
            }
            main.is_finished()
        });
        Ok(())
    }

    /// Turns until those that were asked have ended, or the grace is over.
    fn clean_up(&self, crank: &Loop, mut leftovers: Leftovers) {
        let deadline = Instant::now() + self.grace.unwrap_or(Duration::MAX);
        let mut alarm = sleep_until(deadline);
        // It ends the loop's sleep; whether the time is over, the clock says.
        let _over = Pin::new(&mut alarm).poll(&mut Context::from_waker(Waker::noop()));
        crank.turn_until(|| !leftovers.any_alive() || deadline <= Instant::now());
        for task in leftovers.alive() {
            eprintln!("windlass: dropped while it cleaned up, since its grace is over: {task}");
        }
    }
}

/// Whether the signal has come. A task for that would be one more in the program's list: here it is asked once a turn, and
/// ends the loop's sleep though it wakes nobody.
#[cfg(feature = "signal")]
fn listen(signal: &mut windlass_net::signal::Signal) -> Poll<io::Result<()>> {
    let heard = std::future::poll_fn(|cx| signal.poll_recv(cx));
    // The budget would be that of the task polled last.
    let heard = std::pin::pin!(windlass_executor::budget::unconstrained(heard));
    heard.poll(&mut Context::from_waker(Waker::noop()))
}

/// What `#[windlass::test]` calls.
#[cfg(feature = "macros")]
#[doc(hidden)]
#[track_caller]
pub fn test<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
    test_on(Loop::builder(), main)
}

/// What `#[windlass::test(paused)]` calls.
#[cfg(feature = "macros")]
#[doc(hidden)]
#[track_caller]
pub fn test_paused<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
    test_on(Loop::builder().paused_clock(), main)
}

#[cfg(feature = "macros")]
#[track_caller]
fn test_on<F: Future<Output: 'static> + 'static>(builder: Builder, main: F) -> F::Output {
    Runner::on(builder).leave_ctrl_c().run(main).unwrap_or_else(|error| panic!("{error}"))
}

/// What a task that has ended leaves.
fn take<T>(mut ended: JoinHandle<T>) -> Result<T, JoinError> {
    match Pin::new(&mut ended).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("a task that has ended yields what it leaves"),
    }
}

/// Why a run gave no output.
///
/// ```
/// windlass::run(async {
///     let error = windlass::Runner::new().run(async {}).unwrap_err();
///     assert!(error.to_string().contains("called inside a running loop, which was begun at"));
/// });
/// ```
#[derive(Debug)]
pub struct RunError {
    what: What,
}

#[derive(Debug)]
enum What {
    Nested { at: &'static Location<'static>, outer: &'static Location<'static> },
    NoLoop(io::Error),
    Cancelled,
}

/// What kind of [`RunError`].
///
/// ```
/// windlass::run(async {
///     let error = windlass::Runner::new().run(async {}).unwrap_err();
///     assert_eq!(error.kind(), windlass::RunErrorKind::Nested);
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RunErrorKind {
    /// There is a loop running on this thread.
    Nested,
    /// No loop could be made; the source says why.
    NoLoop,
    /// Main was cancelled.
    Cancelled,
}

impl RunError {
    fn nested(at: &'static Location<'static>, outer: &'static Location<'static>) -> Self {
        RunError { what: What::Nested { at, outer } }
    }

    fn no_loop(error: io::Error) -> Self {
        RunError { what: What::NoLoop(error) }
    }

    /// What kind it is.
    ///
    /// ```
    /// windlass::run(async {
    ///     let error = windlass::Runner::new().run(async {}).unwrap_err();
    ///     assert_eq!(error.kind(), windlass::RunErrorKind::Nested);
    /// });
    /// ```
    pub fn kind(&self) -> RunErrorKind {
        match self.what {
            What::Nested { .. } => RunErrorKind::Nested,
            What::NoLoop(_) => RunErrorKind::NoLoop,
            What::Cancelled => RunErrorKind::Cancelled,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Nested { at, outer } => f.write_str(&nested("run", at, outer)),
            What::NoLoop(error) => write!(f, "no loop to run on: {error}"),
            What::Cancelled => f.write_str("main was cancelled"),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.what {
            What::NoLoop(error) => Some(error),
            What::Nested { .. } | What::Cancelled => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn main_is_the_only_task_of_a_program_that_spawns_none() {
        let tasks = run(async { windlass_executor::all_tasks() });
        let names: Vec<&str> = tasks.iter().map(|task| &*task.name).collect();
        assert_eq!(names, ["main"]);
    }
}
