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

/// Longer than any story, and than any clean-up after it.
const HANGS: Duration = Duration::from_secs(10 * 3600);

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

/// Writes down what is said on this thread while `tell` runs.
///
/// ```
/// use windlass_examples::{say, story::write_down};
/// let (sum, said) = write_down(|| windlass::run(async { say!("two and two"); 2 + 2 }));
/// assert_eq!((sum, said.as_str()), (4, "0.000 s  two and two\n"));
/// ```
pub fn write_down<T>(tell: impl FnOnce() -> T) -> (T, String) {
    STORY.set(Story { began: None, written: Some(String::new()) });
    let told = tell();
    (told, STORY.take().written.expect("it was written down"))
}

/// Runs `story` as [`windlass::run`] would, but on a paused clock, and gives what it said.
///
/// # Panics
/// If it takes longer than ten hours by that clock, which it does at once when it hangs. As long its tasks have to clean up.
pub fn rehearse(story: impl Future<Output = ()> + 'static) -> String {
    let paused = Runner::on(Loop::builder().paused_clock()).leave_ctrl_c().grace(HANGS);
    let told = write_down(|| paused.run(timeout(HANGS, story)).expect("descriptors for a loop"));
    told.0.expect("a story comes to its end");
    told.1
}
