//! Who watches the tasks.
//! Debugging and histograms want to know of every spawn, wake-up and poll; a loop that nobody watches must not pay for
//! that. So there is one place to put an [`Instrument`], and the ways to it are those that exist anyway:
//!
//! ```text
//!   spawn    admission: queued │ watched │ refused     a third answer where there were two
//!   wake     queued:    no     │ watched │ yes         likewise
//!   run      run_many::<Unwatched>  or  run_many::<the instrument>, chosen once a run
//! ```
//!
//! An instrument is foreign code: it is told when nothing of the loop's is borrowed, and nobody looks at the current loop
//! (I3, C4). What it panics with goes no further than the panic hook.
//! Not here: what is done with what it is told, and any clock (the facade's `debug` and `histogram`).   Next: `executor`.

use std::any::type_name;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use crate::cell::{Handle, Queued, State, TaskRef, Then, with_current};
use crate::executor::Core;
use crate::extras;
use crate::group::task_group::NoValue;
use crate::join::quietly;
use crate::task::TaskId;
use crate::waits::WaitReason;

/// What an [`Executor`](crate::Executor) tells of its tasks, once it [is watched](crate::Executor::watch).
///
/// Each call is inside the loop's turn or whatever woke or spawned the task: it should be short. It may spawn and wake.
///
/// ```
/// # use std::cell::{Cell, RefCell};
/// # use std::rc::Rc;
/// use windlass_executor::{Instrument, Next, TaskView};
/// #[derive(Default)]
/// struct Log(RefCell<Vec<&'static str>>);
/// impl Instrument for Log {
///     fn spawned(&self, _: TaskView<'_>) {
///         self.0.borrow_mut().push("spawned");
///     }
///     fn poll_ends(&self, _: TaskView<'_>, next: Next) {
///         self.0.borrow_mut().push(if next == Next::Ended { "ended" } else { "polled" });
///     }
/// }
/// # windlass_executor::doc_entered(|executor| {
/// let log = Rc::new(Log::default());
/// executor.watch(log.clone());
/// drop(executor.spawn(windlass_executor::yield_now()));
/// executor.run(&Cell::new(10));
/// assert_eq!(*log.0.borrow(), ["spawned", "polled", "ended"]);
/// # });
/// ```
#[expect(unused_variables, reason = "the names of the arguments are documentation")]
pub trait Instrument {
    /// The task was made and is in line for its first poll.
    fn spawned(&self, task: TaskView<'_>) {}

    /// The task slept, was woken and is in line. A wake-up of a task that was in line already is not told, nor one by the
    /// task itself in its poll: that poll's end says so.
    fn woken(&self, task: TaskView<'_>) {}

    /// The task is about to be polled.
    fn poll_begins(&self, task: TaskView<'_>) {}

    /// The poll is over, be it by a panic. If main panicked there is no such call.
    fn poll_ends(&self, task: TaskView<'_>, next: Next) {}

    /// The task has given an output, and its handle is gone: the output is dropped unseen. Told at the task's end or, if the
    /// handle goes later, then. The children of groups are left out: their groups look at what they give.
    fn drops_output(&self, task: TaskView<'_>) {}

    /// The task's future is about to be dropped before its end. May be inside a poll, or inside another such drop.
    fn drop_begins(&self, task: TaskView<'_>) {}

    /// That is over, be it by a panic.
    fn drop_ends(&self, task: TaskView<'_>) {}

    /// The loop ends, and the task will be dropped asleep.
    fn drops_waiting(&self, task: TaskView<'_>) {}

    /// How long ago the task was spawned, for [`TaskInfo`](crate::TaskInfo), if anybody counts.
    fn age(&self, task: TaskView<'_>) -> Option<Duration> {
        None
    }
}

/// What a task does after a poll.
///
/// ```
/// use windlass_executor::Next;
/// let words = |next| match next {
///     Next::Sleeps => "until it is woken",
///     Next::Ready => "as soon as it is its turn",
///     Next::Ended => "never",
/// };
/// assert_eq!(words(Next::Sleeps), "until it is woken");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// It sleeps.
    Sleeps,
    /// It was woken meanwhile, or woke itself, and is in line again.
    Ready,
    /// It has ended.
    Ended,
}

/// A task, as an [`Instrument`] sees it: to be asked for what is wanted of it.
///
/// ```
/// # use windlass_executor::windlass;
/// # use std::cell::{Cell, RefCell};
/// # use std::rc::Rc;
/// # use windlass_executor::{Instrument, TaskView};
/// #[derive(Default)]
/// struct Names(RefCell<String>);
/// impl Instrument for Names {
///     fn poll_begins(&self, task: TaskView<'_>) {
///         task.append_name(&mut self.0.borrow_mut());
///     }
/// }
/// # windlass_executor::doc_entered(|executor| {
/// let names = Rc::new(Names::default());
/// executor.watch(names.clone());
/// drop(windlass::task::Builder::new().name("crank").spawn(async {}));
/// executor.run(&Cell::new(10));
/// assert_eq!(*names.0.borrow(), "crank");
/// # });
/// ```
#[derive(Clone, Copy)]
pub struct TaskView<'a>(&'a TaskRef);

impl TaskView<'_> {
    /// Its number.
    pub fn id(&self) -> TaskId {
        TaskId(self.0.id())
    }

    /// Its place in the loop's table: a small number that no other task of the loop has as long as this one lives.
    pub fn place(&self) -> usize {
        self.0.key.index()
    }

    /// Appends its name, or `Task-N`, to `text`.
    pub fn append_name(&self, text: &mut String) {
        extras::append_name(self.0, text);
    }

    /// Where it was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.0.spawned_at
    }

    /// The type of its output, as [`std::any::type_name`] has it.
    pub fn output_type(&self) -> &'static str {
        self.0.output_type()
    }

    /// What it waits for, or last waited for.
    pub fn waiting_for(&self) -> WaitReason {
        WaitReason::unpack(self.0.reason())
    }
}

impl std::fmt::Debug for TaskView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TaskView").field(&self.id()).finish()
    }
}

/// Something to be told, when nobody looks at the loop any more.
pub(crate) struct Tell {
    instrument: Rc<dyn Instrument>,
    task: TaskRef,
}

impl Tell {
    pub(crate) fn new(instrument: Rc<dyn Instrument>, task: &TaskRef) -> Self {
        Tell { instrument, task: task.clone() }
    }

    #[cold]
    pub(crate) fn woken(self) {
        quietly(|| self.instrument.woken(TaskView(&self.task)));
    }

    pub(crate) fn spawned(self) {
        quietly(|| self.instrument.spawned(TaskView(&self.task)));
    }
}

/// A finished task's handle goes, with its output.
pub(crate) fn output_goes(task: &TaskRef) {
    if let Some(watch) = of_current() {
        watch.output_goes(task);
    }
}

/// Calls `end`, which drops the task's future.
pub(crate) fn while_dropped<R>(task: &TaskRef, end: impl FnOnce() -> R) -> R {
    let Some(watch) = of_current() else { return end() };
    let task = task.clone(); // as in `output_goes`
    quietly(|| watch.drop_begins(TaskView(&task)));
    let result = end();
    quietly(|| watch.drop_ends(TaskView(&task)));
    result
}

fn of_current() -> Option<Rc<dyn Instrument>> {
    with_current(|core: Option<&Core>| core?.instrument())
}

/// What a run of polls does for who watches it.
pub(crate) trait Watch {
    /// False if there is no poll to tell the end of.
    fn poll_begins(&self, task: &TaskRef) -> bool;
    /// In that poll the task has given its output.
    fn ended(&self, task: &TaskRef);
    fn poll_ends(&self, task: &TaskRef, then: Then);
}

/// Nothing.
pub(crate) struct Unwatched;

impl Watch for Unwatched {
    #[inline(always)]
    fn poll_begins(&self, _: &TaskRef) -> bool {
        false
    }

    #[inline(always)]
    fn ended(&self, _: &TaskRef) {}

    #[inline(always)]
    fn poll_ends(&self, _: &TaskRef, _: Then) {}
}

impl Watch for Rc<dyn Instrument> {
    fn poll_begins(&self, task: &TaskRef) -> bool {
        let alive = matches!(task.state.get(), State::Alive | State::Requested);
        if alive {
            quietly(|| self.as_ref().poll_begins(TaskView(task)));
        }
        alive
    }

    fn ended(&self, task: &TaskRef) {
        if task.handle.get() == Handle::None {
            self.output_goes(task);
        }
    }

    fn poll_ends(&self, task: &TaskRef, then: Then) {
        let next = match then {
            Then::Sleep(_) | Then::Stop => {
                task.queued.set(Queued::Watched);
                Next::Sleeps
            }
            Then::Queue => Next::Ready,
            Then::Forget => Next::Ended,
        };
        quietly(|| self.as_ref().poll_ends(TaskView(task), next));
    }
}

impl dyn Instrument {
    pub(crate) fn root_poll_begins(&self, task: &TaskRef) {
        quietly(|| self.poll_begins(TaskView(task)));
    }

    /// The main future is not taken from the line: its turn has ended when this is called.
    pub(crate) fn root_poll_ends(&self, task: &TaskRef, ready: bool) {
        if !task.is_queued() {
            task.queued.set(Queued::Watched);
        }
        let next = match () {
            _ if ready => Next::Ended,
            _ if task.is_queued() => Next::Ready,
            _ => Next::Sleeps,
        };
        quietly(|| self.poll_ends(TaskView(task), next));
    }

    /// Nobody will see the output.
    fn output_goes(&self, task: &TaskRef) {
        let is_of_group =
            task.output_type().strip_suffix('>').is_some_and(|name| name.ends_with(type_name::<NoValue>()));
        if !is_of_group {
            let task = task.clone(); // who calls may keep his in a register, since nobody else is shown it
            quietly(|| self.drops_output(TaskView(&task)));
        }
    }

    /// The loop drops all its tasks, this one among them.
    pub(crate) fn drops(&self, task: &TaskRef) {
        if !task.is_queued() && matches!(task.state.get(), State::Alive | State::Requested) {
            quietly(|| self.drops_waiting(TaskView(task)));
        }
    }

    pub(crate) fn age_of(&self, task: &TaskRef) -> Option<Duration> {
        self.age(TaskView(task))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::{pending, poll_fn};
    use std::rc::Weak;
    use std::task::Poll;

    use super::*;
    use crate::{Executor, JoinHandle, Stop, doc_entered, spawn, yield_now};

    /// Writes down what it is told, and does what it was asked to.
    #[derive(Default)]
    struct Log {
        told: RefCell<Vec<String>>,
        meddle: RefCell<Option<Meddle>>,
    }

    type Meddle = Box<dyn FnMut(&str)>;

    impl Log {
        fn on(executor: &Executor) -> Rc<Log> {
            let log = Rc::new(Log::default());
            executor.watch(log.clone());
            log
        }

        fn write(&self, what: &str, task: TaskView<'_>) {
            self.told.borrow_mut().push(format!("{what} {}", task.id()));
            let meddle = self.meddle.take();
            if let Some(mut meddle) = meddle {
                meddle(what);
                self.meddle.replace(Some(meddle));
            }
        }

        fn told(&self) -> Vec<String> {
            self.told.take()
        }
    }

    impl Instrument for Log {
        fn spawned(&self, task: TaskView<'_>) {
            self.write("spawned", task);
        }
        fn woken(&self, task: TaskView<'_>) {
            self.write("woken", task);
        }
        fn poll_begins(&self, task: TaskView<'_>) {
            self.write("begins", task);
        }
        fn poll_ends(&self, task: TaskView<'_>, next: Next) {
            self.write(&format!("{next:?}").to_lowercase(), task);
        }
        fn drops_waiting(&self, task: TaskView<'_>) {
            self.write("drops", task);
        }
    }

    fn run(executor: &Executor) {
        assert_eq!(executor.run(&Cell::new(100)), Stop::Idle);
        executor.assert_queue_agrees_with_the_bits();
    }

    #[test]
    fn a_tasks_life_is_told_in_order() {
        doc_entered(|executor| {
            let log = Log::on(executor);
            let waker = Rc::new(Cell::new(None));
            let leaves = waker.clone();
            let mut polls = 0;
            drop(spawn(poll_fn(move |cx| {
                polls += 1;
                match polls {
                    1 => cx.waker().wake_by_ref(),
                    2 => leaves.set(Some(cx.waker().clone())),
                    _ => return Poll::Ready(()),
                }
                Poll::Pending
            })));
            run(executor);
            let waker = waker.take().unwrap();
            waker.wake_by_ref();
            waker.wake(); // in line already: not told
            run(executor);
            let told = ["spawned 1", "begins 1", "ready 1", "begins 1", "sleeps 1", "woken 1", "begins 1", "ended 1"];
            assert_eq!(log.told(), told);
        });
    }

    #[test]
    fn a_wake_up_from_another_thread_is_told_when_it_is_read() {
        doc_entered(|executor| {
            let log = Log::on(executor);
            let task: JoinHandle<()> = spawn(poll_fn(|cx| {
                let waker = cx.waker().clone();
                std::thread::spawn(|| waker.wake()).join().unwrap();
                Poll::Pending
            }));
            run(executor);
            executor.read_inbox();
            assert_eq!(log.told(), ["spawned 1", "begins 1", "sleeps 1", "woken 1"]);
            drop(task);
        });
    }

    #[test]
    fn a_task_aborted_in_line_has_no_poll_to_tell_of() {
        doc_entered(|executor| {
            let log = Log::on(executor);
            let task = spawn(pending::<()>());
            task.abort();
            run(executor);
            assert_eq!(log.told(), ["spawned 1"]);
        });
    }

    #[test]
    fn the_end_of_a_loop_tells_who_slept_and_not_who_was_in_line() {
        doc_entered(|executor| {
            let log = Log::on(executor);
            drop(spawn(pending::<()>()));
            run(executor);
            drop(spawn(pending::<()>()));
            log.told();
            executor.drop_tasks();
            assert_eq!(log.told(), ["drops 1"]);
            drop(spawn(async {}));
            assert_eq!(log.told(), ["spawned 3"], "and the loop takes tasks again");
        });
    }

    #[test]
    fn a_loop_that_closes_refuses_tasks_also_when_it_is_watched() {
        struct Spawns(Rc<Cell<bool>>);
        impl Drop for Spawns {
            fn drop(&mut self) {
                self.0.set(spawn(async {}).is_finished());
            }
        }
        doc_entered(|executor| {
            let log = Log::on(executor);
            let refused = Rc::new(Cell::new(false));
            let spawns = Spawns(refused.clone());
            drop(spawn(async move {
                let _spawns = spawns;
                pending::<()>().await
            }));
            run(executor);
            executor.drop_tasks();
            assert!(refused.get());
            assert!(!log.told().contains(&"spawned 2".to_owned()));
        });
    }

    #[test]
    fn an_instrument_may_abort_wake_and_spawn_whenever_it_is_told() {
        for at in ["spawned", "woken", "begins", "sleeps", "ready", "ended"] {
            doc_entered(|executor| {
                let log = Log::on(executor);
                let victim = Rc::new(spawn(async {
                    yield_now().await;
                    pending::<()>().await
                }));
                let weak: Weak<JoinHandle<()>> = Rc::downgrade(&victim);
                let mut meddled = 0;
                log.meddle.replace(Some(Box::new(move |what| {
                    if what == at && meddled < 3 {
                        meddled += 1;
                        drop(spawn(yield_now()));
                        weak.upgrade().map(|victim| victim.abort());
                    }
                })));
                drop(spawn(async {
                    let sleeper = spawn(yield_now());
                    sleeper.await.unwrap();
                }));
                run(executor);
                assert!(victim.is_finished(), "{at}");
                log.meddle.take();
            });
        }
    }

    #[test]
    fn an_instrument_that_panics_keeps_nothing_from_the_tasks() {
        doc_entered(|executor| {
            let log = Log::on(executor);
            log.meddle.replace(Some(Box::new(|what| panic!("told of {what}"))));
            let task = spawn(async { spawn(yield_now()).await });
            for _ in 0..3 {
                executor.run(&Cell::new(100));
            }
            assert!(task.is_finished());
        });
    }
}
