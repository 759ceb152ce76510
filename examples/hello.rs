//! Two tasks and a clock.
//!
//! The smallest program that shows what an event loop is for: while one task sleeps, another works, and no thread waits.
//!
//! ```text
//!     main task ──► spawn greeter ──► counts to three ──► awaits the greeter's word ──► prints it
//!                        └── sleeps 20 ms ── "world" ───────────▲
//! ```
//!
//! Run it: `cargo run --example hello`.   Next: `echo_server`.

use std::{error::Error, time::Duration};

use windlass::time::sleep;

fn main() -> Result<(), Box<dyn Error>> {
    let event_loop = windlass::Loop::new()?;
    event_loop.block_on(async {
        let greeter = windlass::spawn(async {
            sleep(Duration::from_millis(20)).await;
            "world"
        });
        for count in 1..=3 {
            println!("{count}");
            sleep(Duration::from_millis(5)).await;
        }
        println!("hello, {}", greeter.await?);
        Ok(())
    })
}
