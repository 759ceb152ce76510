//! What groups of tasks promise, one fact a test.
//!
//! Everything happens in turns that `yield_now` counts: nobody sleeps.

mod branches;
mod gather;
mod groups;
mod interleavings;
mod sets;
mod storm;
mod wait;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::cancel::tests::{Bell, log, turns};
use crate::cancel::{Cancelled, catch, scope};
use crate::*;

/// A task that ends with `output` after so many turns.
fn after<T: 'static>(n: usize, output: T) -> JoinHandle<T> {
    spawn(async move {
        turns(n).await;
        output
    })
}

/// How many are to be told of a task's end.
fn watchers<T>(task: &JoinHandle<T>) -> usize {
    crate::extras::look(task.task(), |extras| extras.watchers.len()).unwrap_or(0)
}

/// Waits until it is asked to stop, says so, takes some turns to clean up, and hands the request on.
async fn tidy(clean_up: usize, say: impl Fn(&'static str)) {
    let Err(cancelled) = catch(pending::<()>()).await else { return };
    say("asked");
    turns(clean_up).await;
    say("cleaned up");
    cancelled.propagate().await;
}

fn it_slips() {
    panic!("it slipped");
}

#[derive(Debug, PartialEq)]
struct Slipped(u32);

impl std::fmt::Display for Slipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "slipped at {}", self.0)
    }
}

impl std::error::Error for Slipped {}

fn slips(group: &ErrorGroup) -> Vec<u32> {
    group.errors().iter().filter_map(|error| Some(error.downcast_ref::<Slipped>()?.0)).collect()
}

/// Counts what was made and is not dropped yet.
#[derive(Clone, Default)]
struct Living(Rc<Cell<i64>>, Rc<Cell<u64>>);

struct Life(Rc<Cell<i64>>);

impl Living {
    fn one(&self) -> Life {
        self.0.set(self.0.get() + 1);
        self.1.set(self.1.get() + 1);
        Life(self.0.clone())
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
