//! Several futures in one task.
//! Not everything that happens side by side needs a task of its own. Futures that are polled together may borrow what is
//! around them, need no allocation, and are dropped with whoever awaits them:
//!
//! ```text
//!                          join      (a, b, c)      when all have ended; each is dropped when it has
//!   ( A, B, C )  ── or ──  try_join  Ok((a, b, c))  the same; or Err(e) as soon as one has failed
//!                          race      b              as soon as one has ended
//!
//!   poll 1:  A  B  C        poll 2:  B  C  A        poll 3:  C  A  B        so that no branch eats the others' budget
//! ```
//!
//! **One waker for all.** They are polled with the task's own waker, all that have not ended, whoever was woken. A waker
//! for each branch would have to be `Send`, and so count with atomics what it wakes, where ours is a number that nobody
//! counts; and a few polls too many are cheap. But n futures that are woken one by one take n² polls: for more than a few
//! dozen there are `spawn` and `gather`, which hears of each end by itself.
//!
//! Not here: waiting for tasks (`gather`, `wait`).   Next: `task_group`.

use std::cell::Cell;
use std::ops::DerefMut;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

/// Waits for all of a tuple of two to eight futures, or of a `Vec` of futures of one type, and yields their outputs in
/// their order.
///
/// The first poll begins with the first future, each one after it one further. Whoever ends is dropped at once and not
/// polled again.
///
/// # Panics
/// When a future does; the others are dropped with it. When polled again after it yielded.
///
/// # Cancel
/// Dropping it drops all futures, and the outputs of those that have ended. If the task is cancelled, each future that
/// stands in a catch of its own takes that, and the others go on: a catch around the whole is what ends them together.
///
/// ```
/// # use windlass_executor::{join, yield_now};
/// # windlass_executor::doc(async {
/// let name = String::from("crank");
/// let slow = async { yield_now().await; name.len() };
/// assert_eq!(join((slow, async { &name })).await, (5, &name)); // both borrow it
///
/// let squares: Vec<_> = (1..=3).map(|n| async move { n * n }).collect();
/// assert_eq!(join(squares).await, [1, 4, 9]);
/// # });
/// ```
pub fn join<F: Join>(futures: F) -> impl Future<Output = F::Output> {
    futures.join()
}

/// As [`join`], of futures that yield a `Result` with errors of one type: the values, or the first error as soon as there
/// is one. The futures that have not ended then are dropped.
///
/// Join handles are such futures: it waits for tasks of different types, and does not end them.
///
/// # Errors
/// What the first future to fail ended with.
///
/// # Panics
/// As [`join`].
///
/// # Cancel
/// As [`join`]; after an error as [`race`].
///
/// ```
/// # use windlass_executor::{spawn, try_join};
/// # windlass_executor::doc(async {
/// let both = try_join((spawn(async { 6 }), spawn(async { "seven" })));
/// assert_eq!(both.await.unwrap(), (6, "seven"));
///
/// let parsed = ["6", "up"].map(async |text| text.parse::<u32>());
/// assert!(try_join(Vec::from(parsed)).await.is_err());
/// # });
/// ```
pub fn try_join<F: TryJoin>(futures: F) -> impl Future<Output = Result<F::Output, F::Error>> {
    futures.try_join()
}

/// The output of whichever future ends first, of a tuple of two to eight with outputs of one type, or of a `Vec`. The
/// others are dropped, however far they are: what they must not lose they have to keep elsewhere.
///
/// **Who wins** if several are ready in one poll: the first one polled. The first poll begins with a future that is drawn
/// by lot, so that a race in a loop favours nobody; each one after it begins one further. The lots of a thread are the
/// same ones in each run.
///
/// # Panics
/// If there is no future. When a future does. When polled again after it yielded.
///
/// # Cancel
/// As [`join`]. A loser that was asked to stop and still cleans up is dropped in the midst of that, and the request with
/// it; [`JoinHandle::cancelling`](crate::JoinHandle::cancelling) counts it all the same. For tasks there is
/// [`wait`](crate::wait()), which drops nobody.
///
/// ```
/// # use windlass_executor::{race, yield_now};
/// # windlass_executor::doc(async {
/// let slow = async { yield_now().await; "slow" };
/// assert_eq!(race((slow, async { "quick" })).await, "quick");
/// # });
/// ```
#[track_caller]
pub fn race<F: Race>(futures: F) -> impl Future<Output = F::Output> {
    futures.race()
}

/// What [`join`] takes.
///
/// ```
/// # use windlass_executor::windlass;
/// # use windlass_executor::Join;
/// fn twice<F: Future + Clone>(future: F) -> impl Join<Output = (F::Output, F::Output)> {
///     (future.clone(), future)
/// }
/// # windlass_executor::doc(async {
/// assert_eq!(windlass::task::join(twice(std::future::ready(7))).await, (7, 7));
/// # });
/// ```
pub trait Join {
    /// All outputs.
    type Output;

    /// As [`join`].
    ///
    /// ```
    /// # use windlass_executor::Join;
    /// # windlass_executor::doc(async {
    /// assert_eq!((async { 6 }, async { 7 }).join().await, (6, 7));
    /// # });
    /// ```
    fn join(self) -> impl Future<Output = Self::Output>;
}

/// What [`try_join`] takes.
///
/// ```
/// # use windlass_executor::{TryJoin, try_join};
/// async fn report(parts: impl TryJoin<Error = std::num::ParseIntError>) -> &'static str {
///     if try_join(parts).await.is_ok() { "fine" } else { "not a number" }
/// }
/// # windlass_executor::doc(async {
/// assert_eq!(report((async { "6".parse::<u8>() }, async { "up".parse::<u64>() })).await, "not a number");
/// # });
/// ```
pub trait TryJoin {
    /// All values.
    type Output;
    /// What each of the futures may fail with.
    type Error;

    /// As [`try_join`].
    ///
    /// # Errors
    /// What the first future to fail ended with.
    ///
    /// ```
    /// # use windlass_executor::TryJoin;
    /// # windlass_executor::doc(async {
    /// let both = (async { Ok(6) }, async { Err::<u8, _>("no more oil") });
    /// assert_eq!(both.try_join().await, Err("no more oil"));
    /// # });
    /// ```
    fn try_join(self) -> impl Future<Output = Result<Self::Output, Self::Error>>;
}

/// What [`race`] takes.
///
/// ```
/// # use windlass_executor::{Race, race};
/// async fn longest_name(runners: impl Race<Output = &'static str>) -> usize {
///     race(runners).await.len()
/// }
/// # windlass_executor::doc(async {
/// assert_eq!(longest_name((async { "hare" }, std::future::pending())).await, 4);
/// # });
/// ```
pub trait Race {
    /// The output of one of the futures.
    type Output;

    /// As [`race`].
    ///
    /// # Panics
    /// If there is no future.
    ///
    /// ```
    /// # use windlass_executor::Race;
    /// # windlass_executor::doc(async {
    /// assert_eq!((async { "hare" }, std::future::pending()).race().await, "hare");
    /// # });
    /// ```
    fn race(self) -> impl Future<Output = Self::Output>;
}

pin_project! {
    /// A future, and then its output.
    #[project = BranchNow]
    enum Branch<F: Future> {
        Running { #[pin] future: F, ends_all: fn(&F::Output) -> bool },
        Ended { output: Option<F::Output> },
    }
}

impl<F: Future> Branch<F> {
    /// `ends_all` says whether with this output nobody waits for the others.
    fn new(future: F, ends_all: fn(&F::Output) -> bool) -> Self {
        Branch::Running { future, ends_all }
    }

    /// None if it has not ended.
    fn output(self: Pin<&mut Self>) -> Option<F::Output> {
        match self.project() {
            BranchNow::Running { .. } => None,
            BranchNow::Ended { output } => output.take(),
        }
    }
}

/// A branch whose type is of no interest.
trait Step {
    /// Polls it, unless it has ended. Ready if it ended now, and whether that ends all.
    fn step(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Then>;
}

enum Then {
    GoOn,
    EndAll,
}

impl<F: Future> Step for Branch<F> {
    fn step(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Then> {
        let BranchNow::Running { future, ends_all } = self.as_mut().project() else { return Poll::Pending };
        let output = ready!(future.poll(cx));
        let then = if ends_all(&output) { Then::EndAll } else { Then::GoOn };
        self.set(Branch::Ended { output: Some(output) }); // drops the future
        Poll::Ready(then)
    }
}

/// Who is polled first, and how many have not ended.
struct Order {
    first: usize,
    left: usize,
}

impl Order {
    /// Ready once all have ended, or one that ends all.
    fn poll<B: DerefMut<Target: Step>>(&mut self, branches: &mut [Pin<B>], cx: &mut Context<'_>) -> Poll<()> {
        if branches.is_empty() {
            return Poll::Ready(());
        }
        assert!(self.left > 0, "a join or a race was awaited again: it yields once");
        let (later, sooner) = branches.split_at_mut(self.first);
        self.first = if sooner.len() > 1 { self.first + 1 } else { 0 };
        for branch in sooner.iter_mut().chain(later) {
            match branch.as_mut().step(cx) {
                Poll::Pending => {}
                Poll::Ready(Then::GoOn) => self.left -= 1,
                Poll::Ready(Then::EndAll) => self.left = 0,
            }
            if self.left == 0 {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

/// Branches in some container.
trait Branches {
    fn poll_in(self: Pin<&mut Self>, order: &mut Order, cx: &mut Context<'_>) -> Poll<()>;
}

pin_project! {
    /// Branches until they are over, and what is then made of them.
    struct Together<B, O> {
        #[pin]
        branches: B,
        order: Order,
        outputs: O,
    }
}

impl<B: Branches, O: FnMut(Pin<&mut B>) -> T, T> Together<B, O> {
    fn new(branches: B, order: Order, outputs: O) -> Self {
        Together { branches, order, outputs }
    }
}

impl<B: Branches, O: FnMut(Pin<&mut B>) -> T, T> Future for Together<B, O> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut this = self.project();
        ready!(this.branches.as_mut().poll_in(this.order, cx));
        Poll::Ready((this.outputs)(this.branches))
    }
}

const ALL_ENDED: &str = "all branches have ended, and nobody took their outputs";
const ONE_ENDED: &str = "one branch has ended, and nobody took its output";

macro_rules! tuple {
    ($Tuple:ident, $len:literal: $($F:ident $V:ident $f:ident),*) => {
        pin_project! {
            struct $Tuple<$($F: Future),*> {
                $(#[pin] $f: Branch<$F>,)*
            }
        }

        impl<$($F: Future),*> Branches for $Tuple<$($F),*> {
            fn poll_in(self: Pin<&mut Self>, order: &mut Order, cx: &mut Context<'_>) -> Poll<()> {
                let this = self.project();
                order.poll(&mut [$(this.$f as Pin<&mut dyn Step>),*], cx)
            }
        }

        impl<$($F: Future),*> Join for ($($F,)*) {
            type Output = ($($F::Output,)*);

            fn join(self) -> impl Future<Output = Self::Output> {
                let ($($f,)*) = self;
                let branches = $Tuple { $($f: Branch::new($f, |_| false)),* };
                Together::new(branches, Order { first: 0, left: $len }, |ended| {
                    let ended = ended.project();
                    ($(ended.$f.output().expect(ALL_ENDED),)*)
                })
            }
        }

        impl<E, $($V, $F: Future<Output = Result<$V, E>>),*> TryJoin for ($($F,)*) {
            type Output = ($($V,)*);
            type Error = E;

            fn try_join(self) -> impl Future<Output = Result<Self::Output, E>> {
                let ($($f,)*) = self;
                let branches = $Tuple { $($f: Branch::new($f, Result::is_err)),* };
                Together::new(branches, Order { first: 0, left: $len }, |ended| {
                    let ended = ended.project();
                    $(let $f = ended.$f.output().transpose()?;)*
                    Ok(($($f.expect(ALL_ENDED),)*))
                })
            }
        }

        impl<T, $($F: Future<Output = T>),*> Race for ($($F,)*) {
            type Output = T;

            fn race(self) -> impl Future<Output = T> {
                let ($($f,)*) = self;
                let branches = $Tuple { $($f: Branch::new($f, |_| true)),* };
                Together::new(branches, Order { first: lot($len), left: $len }, |ended| {
                    let ended = ended.project();
                    None$(.or_else(|| ended.$f.output()))*.expect(ONE_ENDED)
                })
            }
        }
    };
}

tuple!(Two, 2: A V a, B W b);
tuple!(Three, 3: A V a, B W b, C X c);
tuple!(Four, 4: A V a, B W b, C X c, D Y d);
tuple!(Five, 5: A V a, B W b, C X c, D Y d, F Z f);
tuple!(Six, 6: A V a, B W b, C X c, D Y d, F Z f, G S g);
tuple!(Seven, 7: A V a, B W b, C X c, D Y d, F Z f, G S g, H R h);
tuple!(Eight, 8: A V a, B W b, C X c, D Y d, F Z f, G S g, H R h, I Q i);

/// Each in a place of its own, since a branch that was polled does not move.
type Many<F> = Vec<Pin<Box<Branch<F>>>>;

impl<F: Future> Branches for Many<F> {
    fn poll_in(mut self: Pin<&mut Self>, order: &mut Order, cx: &mut Context<'_>) -> Poll<()> {
        order.poll(&mut self, cx)
    }
}

fn many<F: Future>(futures: Vec<F>, ends_all: fn(&F::Output) -> bool) -> Many<F> {
    futures.into_iter().map(|future| Box::pin(Branch::new(future, ends_all))).collect()
}

/// The outputs that are there, in their order.
fn outputs<F: Future>(branches: &mut Many<F>) -> impl Iterator<Item = F::Output> {
    branches.iter_mut().filter_map(|branch| branch.as_mut().output())
}

impl<F: Future> Join for Vec<F> {
    type Output = Vec<F::Output>;

    fn join(self) -> impl Future<Output = Self::Output> {
        let order = Order { first: 0, left: self.len() };
        Together::new(many(self, |_| false), order, |mut ended| outputs(&mut ended).collect())
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> TryJoin for Vec<F> {
    type Output = Vec<T>;
    type Error = E;

    fn try_join(self) -> impl Future<Output = Result<Vec<T>, E>> {
        let order = Order { first: 0, left: self.len() };
        Together::new(many(self, Result::is_err), order, |mut ended| outputs(&mut ended).collect())
    }
}

impl<F: Future> Race for Vec<F> {
    type Output = F::Output;

    #[track_caller]
    fn race(self) -> impl Future<Output = F::Output> {
        assert!(!self.is_empty(), "a race of no futures would never end");
        let order = Order { first: lot(self.len()), left: self.len() };
        Together::new(many(self, |_| true), order, |mut ended| outputs(&mut ended).next().expect(ONE_ENDED))
    }
}

thread_local! {
    static LOTS: Cell<u64> = const { Cell::new(0) };
}

/// A number below `n`. SplitMix64: Steele, Lea & Flood 2014; a counter is its state, so that no seed is a bad one.
fn lot(n: usize) -> usize {
    let count = LOTS.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    LOTS.set(count);
    let mixed = (count ^ (count >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) % n as u64) as usize
}
