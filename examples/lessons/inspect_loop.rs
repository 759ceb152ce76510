//! A loop that can be asked.
//! Which task am I, who else is here, and what is each waiting for? A loop knows it all: it is one thread, and whoever
//! asks is the only one who runs. So the answer is exact; nothing moves while one looks.
//!
//! ```text
//!   all_tasks() ──► 1 curious    running                       who asks
//!                   2 sleeper    waits for a timer             each leaf says why it sleeps, in one word,
//!                   3 patient    waits for event 1             when it returns Pending
//!                   4 follower   waits for task 2 to end
//!                   5 newcomer   ready                         in line, for the next turn
//! ```
//!
//! | asyncio | Windlass |
//! |---|---|
//! | `asyncio.get_running_loop()`, an error outside one | `current_loop()`, which is `None` outside one |
//! | `loop.is_running()`, `loop.is_closed()` | `Loop::is_running`; a loop that is closed is gone |
//! | `asyncio.current_task().get_name()`, `set_name` | `task::current()`: number, name, state; `task::set_name` |
//! | `asyncio.all_tasks()` | `task::all_tasks()`, each with what it waits for; `task::dump()` prints them as a table |
//!
//! Run it: `cargo run --example inspect_loop`.   Next: `task_creation`.

use std::{error::Error, rc::Rc, time::Duration};

use windlass::{
    current_loop,
    sync::Event,
    task::{self, TaskState, WaitReason},
    time::sleep,
};
use windlass_examples::say;

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// Four tasks in four states, and a look at them before and after the event.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    say!("a loop runs on this thread: {}", current_loop().is_some());
    let elsewhere = task::spawn_blocking(|| current_loop().is_some()).await?;
    say!("and on another: {elsewhere}");
    let me = task::current().expect("this runs in a task");
    say!("this is task {} of its loop, called {}", me.id, me.name);
    task::set_name("curious");

    let named = |name: &str| task::Builder::new().name(name);
    let event = Rc::new(Event::new());
    let sleeper = named("sleeper").spawn(sleep(Duration::from_secs(1)));
    let patient = named("patient").spawn({
        let event = Rc::clone(&event);
        async move { event.wait().await }
    });
    let follower = named("follower").spawn(sleeper);
    task::yield_now().await; // they begin, and go to sleep
    let newcomer = named("newcomer").spawn(async {});
    look();

    event.set();
    patient.await?;
    newcomer.await?;
    look();

    follower.await??;
    look();
    Ok(())
}

/// Says who is here. A task that has ended is not.
fn look() {
    let tasks = task::all_tasks();
    say!("tasks: {}", tasks.len());
    for task in tasks {
        match task.state {
            TaskState::Waiting => match task.waiting_for {
                WaitReason::Timer { .. } => say!("  {} {}: waits for a timer", task.id, task.name),
                other => say!("  {} {}: waits for {other}", task.id, task.name),
            },
            TaskState::Ready => say!("  {} {}: ready", task.id, task.name),
            _ => say!("  {} {}: running", task.id, task.name),
        }
    }
}
