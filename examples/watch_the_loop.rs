//! Every turn of the loop, as it happens.
//!
//! A loop that can be watched is no mystery. Each turn tells what it did: how many tasks it polled and why, what the
//! kernel and the clock said, how long it waited. Here two tasks pass a word over a socket while a third keeps time.
//!
//! ```text
//!     turn ─┬─ polls    tasks that ran            ◄── wakes: somebody had news for them
//!           ├─ events   sockets that became ready ◄── the kernel, asked once a turn
//!           ├─ timers   deadlines that passed     ◄── the wheel
//!           └─ waited   asleep in the kernel, because nothing could run
//! ```
//!
//! The line about a turn is printed at its end, below what the tasks said in it.
//! Run it: `cargo run --example watch_the_loop`.   Next: the loop itself, `src/event_loop.rs`.

use std::{cell::Cell, error::Error, io, rc::Rc, time::Duration};

use windlass::{
    Loop, Tick,
    net::{TcpListener, TcpStream},
    time::interval,
};
use windlass_examples::out::Aside::Stdout;

/// How often the word goes to and fro.
const ROUNDS: u32 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let event_loop = Loop::new()?;
    let turns = Rc::new(Cell::new(0_u64));
    Stdout.say("A line for each turn of the loop, below what the tasks said in it: polls of tasks, wakes of tasks,");
    Stdout.say("events from the kernel, timers that ended, system calls, and how long it waited, asleep.\n");
    Stdout.say("turn  polls  wakes  events  timers  system calls    waited");
    event_loop.on_tick(move |tick| {
        turns.set(turns.get() + 1);
        print_turn(turns.get(), tick);
    });
    event_loop.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
        let address = listener.local_addr()?;
        let answering = windlass::spawn(async move {
            let (stream, _) = listener.accept().await?;
            answer(stream).await
        });
        let asking = windlass::spawn(async move { ask(TcpStream::connect(address).await?).await });
        asking.await??;
        answering.await??;
        Ok(())
    })
}

fn print_turn(number: u64, tick: &Tick) {
    Stdout.say(&format!(
        "{number:>4}  {:>5}  {:>5}  {:>6}  {:>6}  {:>12}  {:>8.1?}",
        tick.polls, tick.wakes, tick.events, tick.timers, tick.syscalls, tick.waited
    ));
}

/// Sends the word every 20 ms and waits for it to come back.
async fn ask(mut stream: TcpStream) -> io::Result<()> {
    let mut every = interval(Duration::from_millis(20));
    let mut word = *b"ping";
    for round in 1..=ROUNDS {
        every.tick().await;
        Stdout.say(&format!("      ask {round}"));
        stream.write_all(&word).await?;
        stream.read_exact(&mut word).await?;
    }
    Ok(())
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut word = [0; 4];
    for round in 1..=ROUNDS {
        stream.read_exact(&mut word).await?;
        Stdout.say(&format!("      answer {round}"));
        stream.write_all(&word).await?;
    }
    Ok(())
}
