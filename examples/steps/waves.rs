//! Tasks that come and go.
//!
//! Step 6 needs many short lives, one after another in the same cells, and a few wakers that are kept for too long.
//!
//! ```text
//!     wave 1: 100 tasks ──► all end; 10 of their wakers are kept
//!     wave 2: 100 tasks move into the same cells ◄── the 10 wakers wake, and mean tasks of wave 1
//! ```

use crate::wheel::sleep;
use crate::{Loop, echo, nap};
use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

pub(crate) const WAVES: u64 = 100;
/// In each wave; the last of them ends before the next wave comes.
pub(crate) const TASKS: u64 = 100;
/// Of each wave, how many leave a waker behind.
pub(crate) const KEPT: u64 = 10;

/// Sends the waves, with a nap and a talk after each, and then waits for another thread. At the end, `kept` has the
/// wakers of the last one.
pub(crate) async fn waves(lp: Rc<Loop>, addr: SocketAddr, kept: Rc<RefCell<Vec<Waker>>>) {
    for _ in 0..WAVES {
        for id in 0..TASKS {
            let kept = Rc::clone(&kept);
            lp.executor.spawn(poll_fn(move |cx| {
                kept.borrow_mut().extend((id < KEPT).then(|| cx.waker().clone()));
                Poll::Ready(())
            }));
        }
        kept.take().into_iter().for_each(Waker::wake);
        sleep(&lp.wheel, Duration::from_millis(1)).await;
        echo::talk(&lp, addr, 1).await.expect("the server answers");
    }
    // A helper thread's wake goes the same way. All others have ended: only the bell can end the sleep of the loop now.
    nap::sleep(Duration::from_millis(1)).await;
}
