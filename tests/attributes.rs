//! Stories that the attributes tell: each of these tests is a future.
//!
//! What they refuse is shown with them, in `src/lib.rs`.

use std::io;
use std::time::Duration;

use windlass::spawn;
use windlass::task::current;
use windlass::time::{Instant, sleep};

#[windlass::test]
async fn a_test_runs_as_the_first_task_of_a_loop() {
    let name = current().map(|task| (task.name, task.spawned_at.file()));
    assert_eq!(name, Some(("main".to_owned(), file!())));
}

#[windlass::test(paused)]
async fn a_paused_test_takes_no_time_by_the_wall() {
    let start = Instant::now();
    sleep(Duration::from_secs(86_400)).await;
    assert_eq!(start.elapsed(), Duration::from_secs(86_400));
}

#[windlass::test]
async fn a_test_may_return_a_result() -> io::Result<()> {
    let task = spawn(async { io::Result::Ok(()) });
    task.await.map_err(io::Error::other)?
}

#[windlass::test]
#[should_panic(expected = "as it should")]
async fn the_other_attributes_stay() {
    panic!("as it should");
}

mod by_another_name {
    /// Documentation stays, too, and so does what is public.
    #[windlass::main]
    pub(super) async fn answer() -> u32 {
        windlass::task::yield_now().await;
        6 * 7
    }
}

#[test]
fn main_may_be_any_function_and_called_again() {
    assert_eq!((by_another_name::answer(), by_another_name::answer()), (42, 42));
}
