//! A task's memory, and the waker that is a number.
//! This is the one file of the workspace with `unsafe` in it. It makes two things that safe Rust cannot say:
//!
//! ```text
//!   one allocation, shared by plain count            a waker's 64 data bits, owned by nobody
//!   ┌─────────┬────────────────────────────┐         ┌────────┬────────────┬────────────┐
//!   │ Header  │ Stage: future → output → – │         │ loop 12│  index 26  │ generat. 26│
//!   └─────────┴────────────────────────────┘         └────────┴────────────┴────────────┘
//!      ▲ executor's entry   ▲ join handle               wake() looks the number up; a stale one finds nothing (I4)
//! ```
//!
//! The rules that make it sound, named in the `SAFETY` lines:
//! - **C1** A `TaskRef` counts: the cell lives while one exists, and none ever leaves its thread (`NonNull` is `!Send`; I5).
//! - **C2** The stage is touched only by whoever moved `state` to `Busy`, until it is moved on; nobody else looks (I3).
//! - **C3** The future is pinned: it is dropped where it lies and never moved.
//! - **C4** `CURRENT` is null or points into an `Rc<Core>` that the `Enter` on an outer stack frame holds.
//!
//! Not here: when a task is polled (`executor`), how it ends (`join`), who keeps its memory (`pool`).   Next: `executor`.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

use crate::executor::Core;
use crate::join::JoinError;
use crate::key::Key;
use crate::{inbox, names, pool};

mod header;
pub(crate) use header::{Header, State};

/// What depends on the future's type.
pub(crate) struct VTable {
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> bool,
    end: unsafe fn(NonNull<Header>, JoinError),
    take: unsafe fn(NonNull<Header>, *mut ()),
    free: unsafe fn(NonNull<Header>),
}

enum Stage<F: Future> {
    Alive(F),
    Finished(Option<Result<F::Output, JoinError>>), // none once it was taken
}

#[repr(C)] // a pointer to the header is a pointer to the cell
struct TaskCell<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
}

impl<F: Future> TaskCell<F> {
    const LAYOUT: Layout = pool::rounded(Layout::new::<Self>());
    const VTABLE: VTable = VTable { poll: Self::poll, end: Self::end, take: Self::take, free: Self::free };

    /// # Safety
    /// For this and the functions below: `task` is a live `TaskCell<F>` that the caller claimed (C1, C2).
    unsafe fn stage<'a>(task: NonNull<Header>) -> &'a mut Stage<F> {
        // SAFETY: C1; the vtable was made for this `F`.
        let cell = unsafe { task.cast::<Self>().as_ref() };
        // SAFETY: C2.
        unsafe { &mut *cell.stage.get() }
    }

    unsafe fn poll(task: NonNull<Header>, cx: &mut Context<'_>) -> bool {
        // SAFETY: C2.
        let stage = unsafe { Self::stage(task) };
        let Stage::Alive(future) = stage else { unreachable!("only an alive task is polled") };
        // SAFETY: C3.
        let future = unsafe { Pin::new_unchecked(future) };
        let ended = future.poll(cx).map(|output| *stage = Stage::Finished(Some(Ok(output)))); // drops the future (C3)
        ended.is_ready()
    }

    unsafe fn end(task: NonNull<Header>, error: JoinError) {
        // SAFETY: C2.
        let stage = unsafe { Self::stage(task) };
        // Drops the future where it lies (C3), and stores even if that panics.
        *stage = Stage::Finished(Some(Err(error)));
    }

    unsafe fn take(task: NonNull<Header>, to: *mut ()) {
        // SAFETY: C2.
        let stage = unsafe { Self::stage(task) };
        let Stage::Finished(output) = stage else { unreachable!("only an output is taken") };
        // SAFETY: `Typed::take` passes a place of this very type.
        unsafe { *to.cast::<Option<Result<F::Output, JoinError>>>() = output.take() }
    }

    unsafe fn free(task: NonNull<Header>) {
        let cell = task.cast::<Self>();
        // SAFETY: the last `TaskRef` is going (C1), so only we can look.
        if unsafe { cell.as_ref() }.header.named.get() {
            names::forget(task.as_ptr());
        }
        // SAFETY: as above.
        unsafe { ptr::drop_in_place(cell.as_ptr()) };
        // SAFETY: `TaskRef::new` took it from the pool with this layout.
        pool::keep(unsafe { Memory::from_raw(cell.cast(), Self::LAYOUT) }, Self::LAYOUT);
    }
}

/// What became of a poll. An ended task is left claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Polled {
    Pending,
    Ended,
    NotAlive,
}

/// A counted reference to a task's cell. Stays on its thread.
pub(crate) struct TaskRef(NonNull<Header>);

impl TaskRef {
    #[inline]
    fn new<F: Future>(future: F, id: u64, key: Key, at: &'static Location<'static>) -> Self {
        let header = Header::new(&TaskCell::<F>::VTABLE, id, key, at);
        let place = pool::take(TaskCell::<F>::LAYOUT).into_raw().cast::<TaskCell<F>>();
        // SAFETY: fresh memory of at least this layout.
        unsafe { place.write(TaskCell { header, stage: UnsafeCell::new(Stage::Alive(future)) }) };
        TaskRef(place.cast())
    }

    /// Polls the future, if it is alive. After [`Polled::Ended`] the output lies there, claimed; after a panic the task
    /// is left claimed.
    #[inline]
    pub(crate) fn poll(&self) -> Polled {
        if !self.claim(State::Alive) {
            return Polled::NotAlive;
        }
        let waker = ManuallyDrop::new(waker(self.key));
        // SAFETY: C2, claimed above.
        if unsafe { (self.vtable.poll)(self.0, &mut Context::from_waker(&waker)) } {
            return Polled::Ended;
        }
        self.state.set(State::Alive);
        Polled::Pending
    }

    /// Drops what a claimed task holds, future or output, and leaves `error` in its place, even if the drop panics.
    pub(crate) fn end(&self, error: JoinError) {
        assert_eq!(self.state.get(), State::Busy, "only who claimed a task ends it (C2)");
        // SAFETY: C2, just checked.
        unsafe { (self.vtable.end)(self.0, error) }
    }
}

/// A task whose future's output is known to be a `T`.
pub(crate) struct Typed<T>(pub(crate) TaskRef, PhantomData<T>);

impl<T> Typed<T> {
    #[inline]
    pub(crate) fn new<F: Future<Output = T>>(future: F, id: u64, key: Key, at: &'static Location<'static>) -> Self {
        Typed(TaskRef::new(future, id, key, at), PhantomData)
    }

    /// The output, if it is there and was not taken before.
    #[inline]
    pub(crate) fn take(&self) -> Option<Result<T, JoinError>> {
        let mut output: Option<Result<T, JoinError>> = None;
        if self.0.claim(State::Finished) {
            // SAFETY: C2, claimed above; `new` made the task with a future of this output.
            unsafe { (self.0.vtable.take)(self.0.0, (&raw mut output).cast()) };
            self.0.state.set(State::Empty);
        }
        output
    }
}

impl std::ops::Deref for TaskRef {
    type Target = Header;
    #[inline]
    fn deref(&self) -> &Header {
        // SAFETY: C1; a header is cells and plain data.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for TaskRef {
    #[inline]
    fn clone(&self) -> Self {
        // The slab, the queue, the handle and a few on the stack hold one each: it cannot overflow.
        self.refs.set(self.refs.get() + 1);
        TaskRef(self.0)
    }
}

impl Drop for TaskRef {
    #[inline]
    fn drop(&mut self) {
        let left = self.refs.get() - 1;
        self.refs.set(left);
        if left == 0 {
            // SAFETY: C1, this was the last one.
            unsafe { (self.vtable.free)(self.0) }
        }
    }
}

/// Memory for one cell; freed when dropped, unless the pool keeps it.
pub(crate) struct Memory(NonNull<u8>, Layout);

impl Memory {
    pub(crate) fn new(layout: Layout) -> Self {
        assert_ne!(layout.size(), 0, "a cell is at least a header long");
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc(layout) };
        Memory(NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout)), layout)
    }

    fn into_raw(self) -> NonNull<u8> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    /// `place` came from [`Memory::into_raw`] of a memory of this layout, and nobody uses it any more.
    unsafe fn from_raw(place: NonNull<u8>, layout: Layout) -> Self {
        Memory(place, layout)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout, and it was not turned into a cell.
        unsafe { dealloc(self.0.as_ptr(), self.1) }
    }
}

static WAKER: RawWakerVTable = RawWakerVTable::new(|number| RawWaker::new(number, &WAKER), wake, wake, |_| {});

/// A waker for the task that `key` names. Cloning and dropping it costs nothing, and it may go anywhere.
#[inline]
pub(crate) fn waker(key: Key) -> Waker {
    let number = ptr::without_provenance(key.to_bits() as usize);
    // SAFETY: the vtable never follows the pointer: it is a number, valid for ever and on every thread.
    unsafe { Waker::from_raw(RawWaker::new(number, &WAKER)) }
}

fn wake(number: *const ()) {
    let key = Key::from_bits(number.addr() as u64);
    with_current(|core| match core {
        Some(core) if core.is_current(key) => core.wake_current(),
        Some(core) if core.owns(key) => core.wake(key),
        _ => inbox::wake(key),
    });
}

thread_local! {
    static CURRENT: Cell<*const Core> = const { Cell::new(ptr::null()) };
}

/// Calls `f` with the loop that this thread runs, if it runs one.
#[inline]
pub(crate) fn with_current<R>(f: impl FnOnce(Option<&Core>) -> R) -> R {
    // SAFETY: C4.
    f(unsafe { CURRENT.get().as_ref() })
}

/// While this lives, the loop is its thread's current one.
#[derive(Debug)]
pub struct Enter(Rc<Core>);

impl Enter {
    pub(crate) fn new(core: Rc<Core>) -> Self {
        assert!(CURRENT.replace(Rc::as_ptr(&core)).is_null(), "one loop at a time is entered on a thread (C4)");
        Enter(core)
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        CURRENT.set(ptr::null());
        self.0.left();
    }
}

/// A waker whose clone, wake and drop are the hooks that a test has set under `number`: foreign code at its worst.
#[cfg(test)]
pub(crate) fn hooked_waker(number: usize) -> Waker {
    use crate::tests::{Touch, touched};
    fn clone(number: *const ()) -> RawWaker {
        touched(number.addr(), Touch::Clone);
        RawWaker::new(number, &HOOKED)
    }
    static HOOKED: RawWakerVTable = RawWakerVTable::new(
        clone,
        |number| (touched(number.addr(), Touch::Wake), touched(number.addr(), Touch::Drop)).0,
        |number| touched(number.addr(), Touch::Wake),
        |number| touched(number.addr(), Touch::Drop),
    );
    // SAFETY: the vtable never follows the pointer: it is a number.
    unsafe { Waker::from_raw(RawWaker::new(ptr::without_provenance(number), &HOOKED)) }
}
