//! What a task carries with it.
//! A request's number, a user, a deadline: what everything below a call wants to know and no function wants to pass on. A
//! task-local is there while its scope is polled, and for nobody else:
//!
//! ```text
//!   scope.poll:  slot ◄── 7 ──┤ inner.poll: with ─► 7 ├──► slot ◄── what was there before, also after a panic
//! ```
//!
//! The slot belongs to the thread, as its tasks do: no lock, no atomic. The value is counted, so that whoever reads it may
//! open another scope meanwhile.
//! A task that is spawned inside a scope is outside it: give it a scope of its own.
//! Not here: what asks for it.   Next: `task`.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread;

use pin_project_lite::pin_project;

/// Declares task-locals.
///
/// ```
/// # use windlass_executor::windlass;
/// windlass::task_local! {
///     /// The number of the request that is being served.
///     pub static REQUEST: u32;
///     static USER: String;
/// }
/// # windlass_executor::doc(async {
/// REQUEST.scope(7, async {
///     windlass::task::yield_now().await;
///     assert_eq!(REQUEST.get(), 7);
/// }).await;
/// assert!(REQUEST.try_with(|_| ()).is_err());
/// assert_eq!(USER.sync_scope("Ada".into(), || USER.with(|user| user.len())), 3);
/// # });
/// ```
#[macro_export]
macro_rules! task_local {
    ($($(#[$attr:meta])* $vis:vis static $name:ident: $type:ty;)*) => {$(
        $(#[$attr])*
        $vis static $name: $crate::LocalKey<$type> = {
            ::std::thread_local! {
                static SLOT: $crate::LocalSlot<$type> = const { ::std::cell::Cell::new(::std::option::Option::None) };
            }
            $crate::LocalKey::new(&SLOT)
        };
    )*};
}

#[doc(hidden)]
pub type LocalSlot<T> = Cell<Option<Rc<T>>>;

/// A task-local, as [`task_local!`] declares it.
///
/// ```
/// # use windlass_executor::windlass;
/// windlass::task_local! { static DEPTH: u32; }
/// assert_eq!(DEPTH.sync_scope(1, || DEPTH.sync_scope(DEPTH.get() + 1, || DEPTH.get())), 2);
/// ```
pub struct LocalKey<T: 'static> {
    slot: &'static thread::LocalKey<LocalSlot<T>>,
}

/// There is no value: nobody has opened a scope around this.
///
/// ```
/// # use windlass_executor::windlass;
/// windlass::task_local! { static REQUEST: u32; }
/// let error = REQUEST.try_with(|_| ()).unwrap_err();
/// assert_eq!(error.to_string(), "read a task-local outside its scopes");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotInScope(());

impl fmt::Display for NotInScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("read a task-local outside its scopes")
    }
}

impl std::error::Error for NotInScope {}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn new(slot: &'static thread::LocalKey<LocalSlot<T>>) -> Self {
        LocalKey { slot }
    }

    /// Has the value be `value` whenever `future` is polled, and when it is dropped.
    ///
    /// # Cancel
    /// Drops `future` inside the scope, then the value.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// windlass::task_local! { static REQUEST: u32; }
    /// let serve = |request| REQUEST.scope(request, async { REQUEST.get() });
    /// let (one, two) = (windlass::spawn(serve(1)), windlass::spawn(serve(2)));
    /// assert_eq!((one.await.unwrap(), two.await.unwrap()), (1, 2));
    /// # });
    /// ```
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> Scope<T, F> {
        Scope { key: self, value: Rc::new(value), future: Some(future) }
    }

    /// Has the value be `value` while `f` runs.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// windlass::task_local! { static REQUEST: u32; }
    /// assert_eq!(REQUEST.sync_scope(7, || REQUEST.get()), 7);
    /// ```
    pub fn sync_scope<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        let _entered = self.enter(Rc::new(value));
        f()
    }

    /// Calls `f` with the value of the innermost scope.
    ///
    /// # Panics
    /// Outside the scopes of this task-local.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// windlass::task_local! { static USER: String; }
    /// let length = USER.sync_scope("Ada".into(), || USER.with(String::len));
    /// assert_eq!(length, 3);
    /// ```
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.value() {
            Some(value) => f(&value),
            None => panic!("{}: wrap what reads it in `scope`", NotInScope(())),
        }
    }

    /// As [`with`](LocalKey::with).
    ///
    /// # Errors
    /// [`NotInScope`] outside the scopes of this task-local; `f` is not called.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// windlass::task_local! { static REQUEST: u32; }
    /// assert!(REQUEST.try_with(|_| ()).is_err());
    /// ```
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, NotInScope> {
        self.value().map(|value| f(&value)).ok_or(NotInScope(()))
    }

    /// A copy of the value.
    ///
    /// # Panics
    /// As [`with`](LocalKey::with).
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// windlass::task_local! { static REQUEST: u32; }
    /// assert_eq!(REQUEST.sync_scope(7, || REQUEST.get()), 7);
    /// ```
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// None outside its scopes, and on a thread that is ending.
    fn value(&self) -> Option<Rc<T>> {
        let look = |slot: &LocalSlot<T>| {
            let value = slot.take();
            slot.set(value.clone());
            value
        };
        self.slot.try_with(look).ok().flatten()
    }

    fn enter(&'static self, value: Rc<T>) -> Entered<T> {
        Entered { key: self, before: self.swap(Some(value)) }
    }

    /// A thread that is ending has no slot any more: what runs there finds itself outside.
    fn swap(&self, value: Option<Rc<T>>) -> Option<Rc<T>> {
        let mut value = value;
        let before = self.slot.try_with(|slot| slot.replace(value.take()));
        before.ok().flatten()
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// While this lives, the slot has a value; then again what it had before, also if something panics.
struct Entered<T: 'static> {
    key: &'static LocalKey<T>,
    before: Option<Rc<T>>,
}

impl<T: 'static> Drop for Entered<T> {
    fn drop(&mut self) {
        let ours = self.key.swap(self.before.take());
        drop(ours); // foreign, if it is the last
    }
}

pin_project! {
    /// The future of [`LocalKey::scope`].
    ///
    /// # Panics
    /// When polled again after it was ready.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// windlass::task_local! { static REQUEST: u32; }
    /// let scope = REQUEST.scope(7, async { REQUEST.get() });
    /// assert_eq!(scope.await, 7);
    /// # });
    /// ```
    #[must_use = "futures do nothing unless awaited"]
    pub struct Scope<T, F>
    where
        T: 'static,
    {
        key: &'static LocalKey<T>,
        value: Rc<T>,
        #[pin]
        future: Option<F>,
    }

    impl<T, F> PinnedDrop for Scope<T, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.key.enter(this.value.clone());
            this.future.set(None);
        }
    }
}

impl<T: 'static, F: Future> Future for Scope<T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let future = this.future.as_mut().as_pin_mut().expect("a scope was polled again after it was ready");
        let _entered = this.key.enter(this.value.clone());
        let outcome = future.poll(cx);
        if outcome.is_ready() {
            this.future.set(None);
        }
        outcome
    }
}

impl<T: 'static, F> fmt::Debug for Scope<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::{doc, doc_entered, spawn, yield_now};

    crate::task_local! {
        static REQUEST: u32;
        static USER: String;
    }

    #[test]
    fn two_tasks_in_turn_each_see_their_own_value() {
        doc(async {
            let serve = |request| {
                REQUEST.scope(request, async move {
                    for _ in 0..3 {
                        assert_eq!(REQUEST.get(), request);
                        yield_now().await;
                    }
                })
            };
            let tasks = [1, 2, 3].map(|request| spawn(serve(request)));
            for task in tasks {
                task.await.unwrap();
            }
        });
    }

    #[test]
    fn between_two_polls_of_a_scope_there_is_no_value() {
        doc(async {
            drop(spawn(REQUEST.scope(7, pending::<()>())));
            yield_now().await;
            assert_eq!(REQUEST.try_with(|_| ()), Err(NotInScope(())));
        });
    }

    #[test]
    fn the_inner_scope_hides_the_outer_one_until_it_is_over() {
        doc(REQUEST.scope(1, async {
            REQUEST
                .scope(2, async {
                    yield_now().await;
                    assert_eq!(REQUEST.get(), 2);
                })
                .await;
            assert_eq!(REQUEST.get(), 1);
        }));
    }

    #[test]
    fn scopes_of_different_task_locals_do_not_meet() {
        doc(REQUEST.scope(
            1,
            USER.scope("Ada".into(), async {
                assert_eq!((REQUEST.get(), USER.get().as_str()), (1, "Ada"));
            }),
        ));
    }

    #[test]
    fn after_a_panic_the_value_before_is_back() {
        REQUEST.sync_scope(1, || {
            let panicked = catch_unwind(|| REQUEST.sync_scope(2, || panic!("in the inner scope")));
            assert!(panicked.is_err());
            assert_eq!(REQUEST.get(), 1);
        });
        doc_entered(|executor| {
            drop(spawn(REQUEST.scope(3, async { panic!("in a poll") })));
            executor.run(&Cell::new(10));
            assert!(REQUEST.try_with(|_| ()).is_err());
        });
    }

    #[test]
    fn a_spawned_task_is_outside_the_scope_that_spawned_it() {
        doc(REQUEST.scope(1, async {
            let outside = spawn(async { REQUEST.try_with(|_| ()).is_err() });
            assert!(outside.await.unwrap());
        }));
    }

    #[test]
    fn what_is_dropped_with_a_scope_still_sees_its_value() {
        struct Sees(Rc<Cell<u32>>);
        impl Drop for Sees {
            fn drop(&mut self) {
                self.0.set(REQUEST.get());
            }
        }
        let seen = Rc::new(Cell::new(0));
        let sees = Sees(seen.clone());
        drop(REQUEST.scope(7, async move {
            let _sees = sees;
            pending::<()>().await
        }));
        assert_eq!(seen.get(), 7, "aborted");
        let sees = Sees(seen.clone());
        // By hand: unlike an async block, it holds what it captured after it is ready.
        let holds = poll_fn(move |_| {
            sees.0.set(0);
            Poll::Ready(())
        });
        doc(REQUEST.scope(8, holds));
        assert_eq!(seen.get(), 8, "and done");
    }

    #[test]
    fn whoever_reads_a_value_may_open_a_scope_meanwhile() {
        REQUEST.sync_scope(1, || {
            REQUEST.with(|outer| REQUEST.sync_scope(outer + 1, || assert_eq!((REQUEST.get(), *outer), (2, 1))));
            assert_eq!(REQUEST.get(), 1);
        });
    }

    #[test]
    fn outside_its_scopes_a_task_local_panics_and_says_what_to_do() {
        let panic = catch_unwind(AssertUnwindSafe(|| REQUEST.get())).unwrap_err();
        let told = panic.downcast_ref::<String>().unwrap();
        assert_eq!(told, "read a task-local outside its scopes: wrap what reads it in `scope`");
    }
}
