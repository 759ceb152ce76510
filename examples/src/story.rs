//! What a lesson says, and when.
//! The lessons speak with [`say!`](crate::say), which puts the loop's time before each line. Run as a program, a lesson
//! is heard on stdout; run by its test, on a paused clock, it is written down, and takes no time.
//!
//! ```text
//!   story ── say!("task 2 is done") ──┬── the program   0.501 s  task 2 is done    the system's clock, a bit late
//!                                     └── rehearse      0.500 s  task 2 is done    a paused clock, to the millisecond
//! ```
//!
//! A paused clock jumps to the next deadline when no task can run and no socket has anything to tell. So a story
//! between sockets of one loop can be rehearsed too, as long as whatever was sent is there at once, as it is on this
//! machine.
//!
//! Not here: the stories. They stand in `lessons/`, and `lessons/tests.rs` has them word for word.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use windlass::time::{Instant, timeout};
use windlass::{Loop, Runner};

/// Longer than any story.
const HANGS: Duration = Duration::from_secs(3600);

/// What has been said on this thread; a loop has one thread, and so has a story.
#[derive(Default)]
struct Story {
    /// When the first line was said.
    began: Option<Instant>,
    /// What was said, if it is to be written down.
    written: Option<String>,
}

thread_local! {
    static STORY: RefCell<Story> = RefCell::default();
}

/// Says a line, with the seconds since the first line before it; takes what `println!` takes.
///
/// ```
/// use windlass_examples::{say, story::rehearse};
/// use windlass::time::sleep;
/// let said = rehearse(async {
///     say!("good morning");
///     sleep(std::time::Duration::from_secs(1_800)).await;
///     say!("good afternoon");
/// });
/// assert_eq!(said, "0.000 s  good morning\n1800.000 s  good afternoon\n");
/// ```
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::story::line(format_args!($($words)*)) };
}

/// What [`say!`](crate::say) expands to.
pub fn line(words: fmt::Arguments<'_>) {
    STORY.with_borrow_mut(|story| {
        let now = Instant::now();
        let time = now - *story.began.get_or_insert(now);
        let line = format!("{:.3} s  {words}\n", time.as_secs_f64());
        match &mut story.written {
            Some(written) => written.push_str(&line),
            None => print!("{line}"),
        }
    });
}

/// Runs `story` as [`windlass::run`] would, but on a paused clock, and gives what it said.
///
/// # Panics
/// If it takes longer than an hour by that clock, which it does at once when it hangs.
pub fn rehearse(story: impl Future<Output = ()> + 'static) -> String {
    STORY.set(Story { began: None, written: Some(String::new()) });
    let paused = Runner::on(Loop::builder().paused_clock()).leave_ctrl_c();
    paused.run(timeout(HANGS, story)).expect("descriptors for a loop").expect("a story comes to its end");
    STORY.take().written.expect("it was written down")
}
