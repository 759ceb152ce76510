//! One failure among three.
//! An exception travels up through whoever awaits, and one that nobody awaits is lost. An error is a value: it stands
//! in its task's place among the results, and the compiler asks what is to become of it. So nothing has to be switched
//! on to keep one failure from hiding the others' results.
//!
//! ```text
//!   gather_all     [ Ok, Err, Ok ]                    in the order of the tasks, when all have ended
//!   as_completed   0.1 s Ok · 0.2 s Err · 0.3 s Ok    one after the other
//!   try_gather     0.2 s Err                          the first failure is enough; the others go on, unheard
//! ```
//!
//! A panic is not an error: it says that the program is wrong. It ends its task and no other, and whoever awaits the
//! task is told.
//!
//! | asyncio | Windlass |
//! |---|---|
//! | `gather(…, return_exceptions=True)`, `isinstance(result, Exception)` | `gather_all(tasks).await`, `match` on each |
//! | `for task in asyncio.as_completed(tasks):` | `while let Some(ended) = as_completed(tasks).next().await` |
//! | `gather(…)`, and the first exception is raised | `try_gather(tasks).await`, and the first `Err` is returned |
//! | an exception nobody retrieves is logged some time | so is a panic, when the task ends, by name and place |
//!
//! Run it: `cargo run --example exceptions`.   Next: `task_group`.

use std::{error::Error, fmt, time::Duration};

use windlass::{
    task::{as_completed, gather_all, try_gather},
    time::sleep,
};
use windlass_examples::say;

fn main() -> Result<(), Box<dyn Error>> {
    windlass::run(story())
}

/// Three tasks of which one fails, in three ways to hear of it; then one that panics.
pub(crate) async fn story() -> Result<(), Box<dyn Error>> {
    say!("== in the order of the tasks ==");
    let outcomes = gather_all([1, 2, 3].map(|id| windlass::spawn(work(id)))).await;
    for (outcome, id) in outcomes.into_iter().zip(1..) {
        match outcome? {
            Ok(value) => say!("task {id}: {value}"),
            Err(error) => say!("task {id}: failed, {error}"),
        }
    }

    say!("== as they end ==");
    let mut tasks = as_completed([1, 2, 3].map(|id| windlass::spawn(work(id))));
    while let Some(ended) = tasks.next().await {
        match ended? {
            Ok(value) => say!("success: {value}"),
            Err(error) => say!("failure: {error}"),
        }
    }

    say!("== the first failure is enough ==");
    match try_gather([1, 2, 3].map(|id| windlass::spawn(work(id)))).await? {
        Ok(values) => say!("success: {values:?}"),
        Err(error) => say!("failure: {error}, and 1 is still at work"),
    }

    say!("== a panic ==");
    let careless = windlass::spawn(async { [1, 2, 3].iter().position(|&n| n == 4).expect("there is a 4") });
    if let Err(error) = careless.await {
        say!("it panicked: {}", error.is_panic());
    }
    say!("and the loop goes on");
    Ok(())
}

#[derive(Debug)]
struct Unlucky(u64);

impl fmt::Display for Unlucky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is unlucky", self.0)
    }
}

impl Error for Unlucky {}

/// The higher its number, the sooner it ends: after 0.3, 0.2 and 0.1 s.
async fn work(id: u64) -> Result<String, Unlucky> {
    sleep(Duration::from_millis(100 * (4 - id))).await;
    if id == 2 { Err(Unlucky(id)) } else { Ok(format!("value of {id}")) }
}
