//! A task's memory, the line it stands in, the waker that is a number; and memory that two halves of a channel share.
//! This is the one file of the workspace with `unsafe` in it. It makes what safe Rust cannot say:
//!
//! ```text
//!   one allocation, shared by plain count            a waker's 64 data bits, owned by nobody
//!   ┌─────────┬────────────────────────────┐         ┌────────┬────────────┬────────────┐
//!   │ Header  │ Stage: future → output → – │         │ loop 12│ generat. 26│  index 26  │
//!   └─────────┴────────────────────────────┘         └────────┴────────────┴────────────┘
//!      ▲ table's entry   ▲ join handle                 wake() looks the number up; a stale one finds nothing (I4)
//!
//!   first ──► task ──► task ──► task ◄── last         a line that runs through the headers, and counts for nothing
//! ```
//!
//! The rules that make it sound, named in the `SAFETY` lines:
//! - **C1** A `TaskRef` counts: the cell lives while one exists, and none ever leaves its thread (`NonNull` is `!Send`; I5).
//! - **C2** The stage is touched only by whoever moved `state` to `Busy`, until it is moved on; nobody else looks (I3).
//! - **C3** The future is pinned: it is dropped where it lies and never moved.
//! - **C4** `CURRENT` is null or points into an `Rc<Core>` that an `Enter` holds, and while it is looked at nothing foreign
//!   runs that could drop the `Enter`.
//! - **C5** Who stands in line or has its turn is in the table, which counts for it.
//! - **C6** While the table's entries are borrowed nothing else runs.
//! - **C7** What two halves share lives until both are gone, the first of which says so.
//!
//! Not here: when a task is polled (`executor`), how it ends (`join`), who keeps its memory (`pool`).   Next: `executor`.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::any::type_name;
use std::cell::{Cell, UnsafeCell};
use std::hint::unreachable_unchecked;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, offset_of};
use std::panic::Location;
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use slab::Slab;

use crate::executor::{self, Core};
use crate::extras;
use crate::join::JoinError;
use crate::key::Key;

mod header;
mod pool;
mod table;
pub(crate) use header::{After, Handle, Header, Polled, Queued, State, Then, Woken};
pub(crate) use pool::Pool;
use pool::{CLASSES, KEPT, Piece};

/// What depends on the future's type.
pub(crate) struct VTable {
    poll: unsafe fn(NonNull<Header>, Key) -> Poll<()>,
    end: unsafe fn(NonNull<Header>, Option<JoinError>),
    output_type: fn() -> &'static str,
    /// Where in the cell the output lies.
    output: usize,
    layout: Layout,
    /// Its class in the pool.
    class: usize,
}

type Outcome<F> = Result<<F as Future>::Output, JoinError>;

#[repr(C, u64)] // its tag, and at the next multiple of its alignment what it holds
enum Stage<F: Future> {
    Alive(F),
    Finished(Outcome<F>),
    Empty,
}

#[repr(C)] // a pointer to the header is a pointer to the cell
struct TaskCell<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
}

impl<F: Future> TaskCell<F> {
    const LAYOUT: Layout = pool::rounded(Layout::new::<Self>());
    const OUTPUT: usize = offset_of!(Self, stage) + align_of::<Stage<F>>();
    const CLASS: usize = pool::class_of(Self::LAYOUT);
    const VTABLE: VTable = VTable {
        poll: Self::poll,
        end: Self::end,
        output_type: type_name::<F::Output>,
        output: Self::OUTPUT,
        layout: Self::LAYOUT,
        class: Self::CLASS,
    };

    #[inline(always)] // the future is moved once
    fn make(future: F, pool: &Pool, id: u64, key: Key, at: &'static Location<'static>) -> TaskRef {
        let header = Header::new(&Self::VTABLE, id, key, at);
        let place = pool.take(Self::LAYOUT, Self::CLASS).cast::<Self>();
        // SAFETY: fresh memory of at least this layout.
        unsafe { place.write(TaskCell { header, stage: UnsafeCell::new(Stage::Alive(future)) }) };
        TaskRef(place.cast())
    }

    /// # Safety
    /// For this and the functions below: `task` is a live `TaskCell<F>` that the caller claimed (C1, C2).
    unsafe fn stage<'a>(task: NonNull<Header>) -> &'a mut Stage<F> {
        // SAFETY: C1; the vtable was made for this `F`.
        let cell = unsafe { task.cast::<Self>().as_ref() };
        // SAFETY: C2.
        unsafe { &mut *cell.stage.get() }
    }

    unsafe fn poll(task: NonNull<Header>, key: Key) -> Poll<()> {
        // SAFETY: C2.
        let stage = unsafe { Self::stage(task) };
        // SAFETY: C2: the state was alive.
        let Stage::Alive(future) = stage else { unsafe { unreachable_unchecked() } };
        // SAFETY: C3.
        let future = unsafe { Pin::new_unchecked(future) };
        // Made here, where the future's poll is inlined and knows whose waker it is: to clone or wake it is a direct call.
        let waker = ManuallyDrop::new(waker(key));
        // What has ended is dropped where it lies (C3).
        future.poll(&mut Context::from_waker(&waker)).map(|output| *stage = Stage::Finished(Ok(output)))
    }

    unsafe fn end(task: NonNull<Header>, error: Option<JoinError>) {
        // SAFETY: C2.
        let stage = unsafe { Self::stage(task) };
        // Drops what is there where it lies (C3), and stores even if that panics.
        *stage = error.map_or(Stage::Empty, |error| Stage::Finished(Err(error)));
    }
}

/// A counted reference to a task's cell. Stays on its thread.
pub(crate) struct TaskRef(NonNull<Header>);

impl TaskRef {
    /// Polls the future, if it is alive. After [`Polled::Ended`] the output lies there, claimed; after a panic the task
    /// is left claimed.
    #[inline(always)] // one caller, the loop
    pub(crate) fn poll(&self, key: Key) -> Polled {
        if !self.claim(State::Alive) {
            return Polled::NotAlive;
        }
        // SAFETY: C2, claimed above.
        if unsafe { (self.vtable.poll)(self.0, key) }.is_ready() {
            return Polled::Ended;
        }
        self.state.set(State::Alive);
        Polled::Pending
    }

    /// Drops what a claimed task holds, future or output, and leaves `error` in its place, even if the drop panics.
    pub(crate) fn end(&self, error: Option<JoinError>) {
        assert_eq!(self.state.get(), State::Busy, "only who claimed a task ends it (C2)");
        // SAFETY: C2, just checked.
        unsafe { (self.vtable.end)(self.0, error) }
    }

    /// The last reference goes.
    #[inline(never)]
    fn free(&self) {
        if self.state.get() != State::Empty || self.has_joiner() || self.extras.get() {
            self.clear();
        }
        let VTable { layout, class, .. } = *self.vtable;
        // SAFETY: C1; `TaskCell::make` had it from a pool.
        unsafe { give_back(self.0.cast(), layout, class) }
    }

    #[cold]
    fn clear(&self) {
        extras::forget(self.0.as_ptr());
        drop(self.joiner.take());
        if self.state.replace(State::Empty) != State::Empty {
            // SAFETY: C1, nobody else is left.
            unsafe { (self.vtable.end)(self.0, None) }
        }
    }
}

/// A task whose future's output is known to be a `T`.
pub(crate) struct Typed<T>(pub(crate) TaskRef, PhantomData<T>);

impl<T> Typed<T> {
    #[inline(always)] // as `TaskCell::make`
    pub(crate) fn new<F: Future<Output = T>>(
        f: F,
        pool: &Pool,
        id: u64,
        key: Key,
        at: &'static Location<'static>,
    ) -> Self {
        Typed(TaskCell::make(f, pool, id, key, at), PhantomData)
    }

    /// The output, if it is there and was not taken before.
    #[inline]
    pub(crate) fn take(&self) -> Option<Result<T, JoinError>> {
        if self.0.state.get() != State::Finished {
            return None;
        }
        self.0.state.set(State::Empty);
        // SAFETY: it lies in the cell.
        let output = unsafe { self.0.0.cast::<Result<T, JoinError>>().byte_add(self.0.vtable.output) };
        // SAFETY: C2; it was finished, and the stage of an empty cell is never looked at again.
        Some(unsafe { output.read() })
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
        self.refs.set(self.refs.get() + 1); // the table, the handle and a few on the stack: it cannot overflow
        TaskRef(self.0)
    }
}

impl Drop for TaskRef {
    #[inline]
    fn drop(&mut self) {
        let left = self.refs.get() - 1;
        self.refs.set(left);
        if left == 0 {
            self.free();
        }
    }
}

/// One of two owners of a value, whose memory is the loop's. Stays on its thread.
pub(crate) struct Half<T>(NonNull<Shared<T>>);

struct Shared<T> {
    other_gone: Cell<bool>,
    value: T,
}

impl<T> Half<T> {
    const LAYOUT: Layout = pool::rounded(Layout::new::<Shared<T>>());
    const CLASS: usize = pool::class_of(Self::LAYOUT);

    #[inline(always)] // the value is made where it lies
    pub(crate) fn pair(value: impl FnOnce() -> T) -> [Half<T>; 2] {
        let take = |core: Option<&Core>| Some(core?.pool.take(Self::LAYOUT, Self::CLASS));
        let place = with_current(take).unwrap_or_else(|| fresh(Self::LAYOUT)).cast::<Shared<T>>();
        // SAFETY: fresh memory of at least this layout.
        unsafe { place.write(Shared { other_gone: Cell::new(false), value: value() }) };
        [Half(place), Half(place)]
    }

    #[inline(never)]
    fn free(&self) {
        // SAFETY: C7; nobody looks at it again. If it panics the memory is nobody's for ever.
        unsafe { self.0.drop_in_place() }
        // SAFETY: `pair` had it from a pool.
        unsafe { give_back(self.0.cast(), Self::LAYOUT, Self::CLASS) }
    }
}

impl<T> std::ops::Deref for Half<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: C7.
        unsafe { &self.0.as_ref().value }
    }
}

impl<T> Drop for Half<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: C7.
        if unsafe { self.0.as_ref() }.other_gone.replace(true) {
            self.free();
        }
    }
}

/// The tasks of a loop that have not ended, and the line of those that are ready.
#[derive(Default)]
pub(crate) struct Table {
    entries: UnsafeCell<Slab<TaskRef>>,
    first: Cell<Option<NonNull<Header>>>,
    last: Cell<*const Header>, // of a line that has a first
    /// Whose turn it is; while nothing foreign runs it may be the last one's.
    pub(crate) turn: Cell<Key>,
    /// What is to become of that task when its turn is over.
    pub(crate) after: Cell<After>,
}

impl Table {
    /// Calls `f` with the entries.
    #[inline(always)]
    fn entries<R>(&self, f: impl FnOnce(&mut Slab<TaskRef>) -> R) -> R {
        // SAFETY: C6, as whoever calls this sees to.
        f(unsafe { &mut *self.entries.get() })
    }

    /// Sends a task of the table that is not in line to its end.
    #[inline]
    fn queue(&self, task: &TaskRef) {
        task.queued.set(Queued::Yes);
        task.link.set(ptr::null());
        match self.first.get() {
            // SAFETY: C5.
            Some(_) => unsafe { &*self.last.get() }.link.set(task.0.as_ptr()),
            None => self.first.set(Some(task.0)),
        }
        self.last.set(task.0.as_ptr());
    }

    /// The head of the line, which is the table's to count.
    #[inline]
    fn pop(&self) -> Option<ManuallyDrop<TaskRef>> {
        let task = ManuallyDrop::new(TaskRef(self.first.get()?)); // C5
        self.first.set(NonNull::new(task.link.get().cast_mut()));
        task.queued.set(Queued::No);
        Some(task)
    }
}

impl Pool {
    /// Memory of a layout and its class: recycled, if there is any.
    #[inline(always)] // both are known where it is called
    fn take(&self, layout: Layout, class: usize) -> NonNull<u8> {
        let Some((kept, first)) = self.first(class) else { return fresh(layout) };
        // SAFETY: `keep` wrote it, and it has been nobody's since.
        kept.first.set(unsafe { first.read() }.0);
        kept.count.set(kept.count.get() - 1);
        first.cast()
    }

    /// Keeps the memory of a cell that is gone. False if there is enough.
    #[inline]
    fn keep(&self, place: NonNull<Piece>, class: usize) -> bool {
        let Some(kept) = self.0.get(class).filter(|kept| kept.count.get() < KEPT) else { return false };
        // SAFETY: the cell was at least this large, and is gone.
        unsafe { place.write(Piece(kept.first.replace(Some(place)))) };
        kept.count.set(kept.count.get() + 1);
        true
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for class in 0..CLASSES {
            while self.first(class).is_some() {
                let layout = pool::layout_of(class);
                // SAFETY: what is kept in a class was made with its layout.
                unsafe { dealloc(self.take(layout, class).as_ptr(), layout) }
            }
        }
    }
}

/// # Safety
/// It is memory of this class with this layout, and nobody's any more.
#[inline]
unsafe fn give_back(place: NonNull<Piece>, layout: Layout, class: usize) {
    if !with_current(|core| core.is_some_and(|core| core.pool.keep(place, class))) {
        // SAFETY: as the caller says.
        unsafe { dealloc(place.cast().as_ptr(), layout) }
    }
}

#[cold]
fn fresh(layout: Layout) -> NonNull<u8> {
    assert_ne!(layout.size(), 0, "what is shared is never empty");
    // SAFETY: the size is not zero.
    let memory = unsafe { alloc(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
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
    executor::wake(Key::from_bits(number.addr() as u64));
}

thread_local! {
    static CURRENT: Cell<*const Core> = const { Cell::new(ptr::null()) };
}

/// Calls `f` with the loop that this thread runs, if it runs one. It must call nothing foreign (C4).
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
        assert!(CURRENT.get().is_null(), "one loop at a time is entered on a thread (C4)");
        CURRENT.set(Rc::as_ptr(&core));
        Enter(core)
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        CURRENT.set(ptr::null());
        self.0.left();
    }
}

/// A waker whose clone, wake and drop are the hooks that a test has set under `number`: foreign code at its worst. Its clones
/// have the first of two equal tables; one that has the second is not known by them, though they wake the same.
#[cfg(test)]
pub(crate) fn hooked_waker(number: usize, table: usize) -> Waker {
    use crate::tests::{Touch, touched};
    static HOOKED: [RawWakerVTable; 2] = [TABLE; 2];
    const TABLE: RawWakerVTable = RawWakerVTable::new(
        |number| (touched(number.addr(), Touch::Clone), RawWaker::new(number, &HOOKED[0])).1,
        |number| (touched(number.addr(), Touch::Wake), touched(number.addr(), Touch::Drop)).0,
        |number| touched(number.addr(), Touch::Wake),
        |number| touched(number.addr(), Touch::Drop),
    );
    // SAFETY: the vtable never follows the pointer: it is a number.
    unsafe { Waker::from_raw(RawWaker::new(ptr::without_provenance(number), &HOOKED[table])) }
}
