//! The lessons, cut short.
//! What a student writes will be cancelled where nobody has thought of it: in the midst of a wait, between the wake and the
//! poll, while a child holds a permit. So each lesson is told again and again, and each time it is stopped one step later.
//!
//! ```text
//!   asked    main ── wait ── wait ── wait ──┤ cancelled: at each of its polls, before it and after it
//!                                           └─ then all that are left are asked, too, and clean up
//!   dropped  poll ─ poll ─ poll ─ poll ─────┤ cancelled or aborted from outside, between two polls of the loop; and
//!                                           │ cancelled there, and a second time at any later point
//!                                           └─ then all that are left are dropped
//!   bereaved child ── poll ─ poll ──────────┤ cancelled or aborted from outside, whatever task it is, after its spawn and
//!                                           │ after each of its polls; main goes on, and makes of it what it can
//!                                           └─ then all that are left are asked, and clean up
//!
//!   after any      no task, no timer, no source, no descriptor more than before; permits as many as before; no panic
//! ```
//!
//! Not here: what the lessons say when nobody disturbs them (`tests`).   Next: `event_loop_basics`, the first lesson.

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use windlass::cancel::catch;
use windlass::task::{AbortHandle, all_tasks, set_unobserved_panic_hook, yield_now};
use windlass::{Loop, metrics, spawn, time::sleep};
use windlass_examples::process::open_descriptors;
use windlass_examples::story::{rehearse, write_down};

/// More turns than any lesson takes from beginning to end.
const TICKS_MAX: u64 = 20_000;
/// Up to here it is cut twice.
const TWICE_MAX: usize = 50;
/// Longer than any clean-up takes, by the loop's clock, and so short that who looks around has done so when a rehearsal's
/// grace is over.
const PATIENCE: Duration = Duration::from_secs(2 * 3600);
/// What the lesson on failures panics with, to show what comes of it.
const ON_PURPOSE: &str = "panicked: there is a 4";

type Told = Result<(), Box<dyn std::error::Error>>;

/// A lesson that is about to be told, and what must hold when it is over, however that came.
pub(crate) struct Telling {
    story: Pin<Box<dyn Future<Output = Told>>>,
    holds: Box<dyn Fn()>,
}

impl Telling {
    pub(crate) fn new(story: impl Future<Output = Told> + 'static, holds: impl Fn() + 'static) -> Self {
        Telling { story: Box::pin(story), holds: Box::new(holds) }
    }
}

/// Cuts the lesson short wherever that can be done, in every way.
#[track_caller]
pub(crate) fn anywhere(lesson: impl Fn() -> Telling) {
    set_unobserved_panic_hook(Some(|panic| {
        if !panic.error.to_string().ends_with(ON_PURPOSE) {
            eprintln!("{panic}");
            PANICS.set(PANICS.get() + 1);
        }
    }));
    let idle = ask(Telling::new(async { Ok(()) }, || {}), Cut { poll: 1, side: Side::After }).1;
    for side in [Side::Before, Side::After] {
        each_point(1.., |poll| {
            let (was_cut, left) = ask(lesson(), Cut { poll, side });
            assert_eq!(left, idle, "left behind, asked to stop {side:?} poll {poll}");
            was_cut
        });
    }
    for how in [How::Cancel, How::Abort] {
        each_point(0.., |polls| cut_from_outside(lesson(), &[(polls, how)]) > 0);
    }
    for how in [How::Cancel, How::Abort] {
        each_point(0..TWICE_MAX, |polls| {
            let again = |pause| cut_from_outside(lesson(), &[(polls, How::Cancel), (pause, how)]);
            (0..).map(again).find(|cuts| *cuts < 2) != Some(0)
        });
        each_point(0.., |point| bereave(lesson(), point, how));
    }
}

/// Cuts at one of the points after the other, until one is beyond the lesson's end.
#[track_caller]
fn each_point(points: impl Iterator<Item = usize>, cut: impl Fn(usize) -> bool) {
    for (cuts, point) in points.enumerate() {
        let before = open_descriptors().expect("Linux");
        let was_cut = cut(point);
        // A call on the blocking pool that nobody waits for any more holds the way to wake its loop until it ends.
        let patience = std::time::Instant::now() + Duration::from_secs(5);
        while open_descriptors().expect("Linux") > before {
            assert!(std::time::Instant::now() < patience, "more descriptors than before, cut at {point}");
            std::thread::yield_now();
        }
        assert_eq!(PANICS.get(), 0, "tasks panicked, cut at {point}");
        if !was_cut {
            assert!(cuts > 0, "a lesson waits at least once");
            return;
        }
    }
}

thread_local! {
    /// Tasks that panicked, and nobody awaited them.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Before,
    After,
}

/// Where the story is asked to stop: at one of its own polls.
#[derive(Clone, Copy)]
struct Cut {
    poll: usize,
    side: Side,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Cancel,
    Abort,
}

/// What is there when everybody has had the time to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Left {
    tasks: usize,
    timers: u64,
}

/// Has the story cancelled, and then, as at the end of every program, all that are left. Whether it was, and what stays.
fn ask(telling: Telling, cut: Cut) -> (bool, Left) {
    let (was_cut, left) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(None)));
    let (cutting, looking) = (was_cut.clone(), left.clone());
    rehearse(async move {
        drop(spawn(look_around(looking)));
        yield_now().await; // it listens
        let end = Rc::new(OnceCell::new());
        let story = spawn(cut_at(telling.story, cut, end.clone(), cutting));
        end.set(story.abort_handle()).expect("a story is cut by one handle");
        match story.await {
            Ok(told) => told.expect("a story that goes on comes to a good end"),
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
    });
    (telling.holds)();
    (was_cut.get(), left.get().expect("somebody has looked"))
}

/// Waits until main has ended and everybody is asked to stop; then until they have, and looks who has not.
async fn look_around(left: Rc<Cell<Option<Left>>>) {
    let _main_has_ended = catch(pending::<()>()).await;
    let mut pause = Duration::from_millis(1);
    while all_tasks().len() > 1 && pause < PATIENCE {
        sleep(pause).await;
        pause *= 2;
    }
    let sums = metrics();
    left.set(Some(Left { tasks: all_tasks().len(), timers: sums.timers_set - sums.timers - sums.timers_cancelled }));
}

/// Polls the story until the cut comes, which its own task asks for.
async fn cut_at(
    mut story: Pin<Box<dyn Future<Output = Told>>>,
    cut: Cut,
    end: Rc<OnceCell<AbortHandle>>,
    was_cut: Rc<Cell<bool>>,
) -> Told {
    let (mut poll, mut over) = (0, false);
    poll_fn(|cx| {
        poll += 1;
        let here = poll == cut.poll && !over;
        let ask = || was_cut.set(end.get().expect("it was set before the first poll").cancel());
        if here && matches!(cut.side, Side::Before) {
            over = true;
            ask();
            return Poll::Pending;
        }
        let polled = story.as_mut().poll(cx);
        if here && polled.is_pending() {
            over = true;
            ask();
        }
        polled
    })
    .await
}

/// Ends the story's task, once or repeatedly, each time after so many polls of the loop, and drops what is left. How many
/// of the cuts found it alive.
fn cut_from_outside(telling: Telling, cuts: &[(usize, How)]) -> usize {
    let crank = Loop::builder().paused_clock().poll_budget(1).build().expect("descriptors for a loop");
    let (found_alive, _said) = write_down(|| {
        let story = crank.spawn(telling.story);
        let alarm = crank.spawn(sleep(PATIENCE)); // a loop in which nothing happens any more wakes up for it
        let turn = || {
            crank.tick();
            assert!(crank.metrics().ticks < TICKS_MAX && !alarm.is_finished(), "cut at {cuts:?} it hangs");
        };
        let mut found_alive = 0;
        for (polls, how) in cuts {
            (0..*polls).take_while(|_| !story.is_finished()).for_each(|_| turn());
            found_alive += usize::from(match how {
                How::Cancel => story.cancel(),
                How::Abort => story.abort(),
            });
        }
        while !story.is_finished() {
            turn();
        }
        match crank.block_on(story) {
            Ok(told) => told.expect("a story that goes on comes to a good end"),
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
        found_alive
    });
    let left = crank.gauges();
    assert_eq!((left.alive, left.ready, left.timers, left.sources), (0, 0, 0, 0), "left behind, cut at {cuts:?}");
    drop(crank);
    (telling.holds)();
    found_alive
}

/// Ends one task of the story, main or a child or a child's child, and lets the others go on. The points are counted
/// through: each task has one when it was spawned, and one after each of its polls. False if there are not so many.
fn bereave(telling: Telling, point: usize, how: How) -> bool {
    let crank = Loop::builder().paused_clock().poll_budget(1).build().expect("descriptors for a loop");
    let ((victim, told), _said) = write_down(|| {
        let story = crank.spawn(telling.story);
        let alarm = crank.spawn(sleep(PATIENCE));
        let (mut polls, mut points, mut victim) = (HashMap::new(), 0, None);
        while !story.is_finished() {
            for task in crank.all_tasks() {
                let is_new = task.id != alarm.id() && polls.insert(task.id, task.polls) != Some(task.polls);
                if is_new && points == point {
                    let end = task.abort_handle();
                    let asked = match how {
                        How::Cancel => end.cancel(),
                        How::Abort => end.abort(),
                    };
                    assert!(asked, "it was there");
                    victim = Some(task);
                }
                points += usize::from(is_new);
            }
            crank.tick();
            assert!(crank.metrics().ticks < TICKS_MAX && !alarm.is_finished(), "without {victim:?} the others hang");
        }
        (victim, crank.block_on(story))
    });
    if let Err(error) = told {
        assert!(error.is_cancelled(), "without {victim:?}: {error}");
    }
    let left = crank.gauges();
    assert_eq!((left.alive, left.ready, left.timers, left.sources), (0, 0, 0, 0), "left behind without {victim:?}");
    drop(crank);
    (telling.holds)();
    victim.is_some()
}
