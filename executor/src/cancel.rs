//! Asking a task to stop.
//! A future that is dropped cannot say good-bye: nothing can be awaited in a destructor. So beside `abort`, which drops,
//! there is `cancel`, which asks. The request is delivered at the task's next suspension, to the innermost [`catch`] around
//! what it awaits; there the inner future is dropped, and the code after it may await whatever its clean-up needs.
//!
//! ```text
//!   task ── catch A ──┬── catch B ── sleep          cancel ──► B resolves to Err(Cancelled), and so does C;
//!                     └── scope S ── catch C ── read            what comes after them runs, and ends or goes on
//!
//!   no catch at all ──► the task is dropped where it stands
//!   S.cancel()      ──► C alone;   no catch within S ──► S drops what is in it
//! ```
//!
//! A scope (a catch is one) that has been polled stands in a small tree that is kept for its task (`extras`): what kind it
//! is, which is around it, the waker it was polled with. So nothing between has to know of cancelling, and futures of other
//! crates are simply dropped. What becomes of a request is decided at the ends of turns:
//!
//! ```text
//!   asked in its own turn ── turn ends ──┐                                  ┌─ taken, by one or by all ──► that is it
//!   asked otherwise ─────────────────────┴─► with the innermost ─► next turn ┤
//!                                        ┌─► that have ears                  └─ by nobody: now they have no ears,
//!                                        └────────────────────────────────────  until they are polled again
//!   handed on ──► with the next outwards, and the turn after this one decides likewise
//!   nobody has ears ──► the scope that asked has it for its next poll; a task is dropped
//!
//!   a scope: out of any tree ──► in its task's ──► over        (ended while it had let something pass: out again, for good)
//! ```
//!
//! So it may come late, and is never lost. Two requests may meet. Where both are taken by one catch, the one from further out
//! is what it gets. A catch inside a scope may have taken what the task was asked, and while it cleans up the scope is
//! ended, clean-up and all: then what passed the scope goes on outwards, and the scope never resolves.
//!
//! Not here: dropping (`join`), time-outs and groups, which stand on [`Scope`].   Next: `extras`, `join`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use slab::Slab;

use crate::cell::{State, TaskRef, with_current};
use crate::executor::Core;
use crate::join::{self, JoinHandle};
use crate::key::Key;
use crate::{extras, task};

/// A cancellation was delivered here.
///
/// Whoever has it may clean up and end, hand it on with [`propagate`](Cancelled::propagate), or go on as if nothing had
/// been asked; the last can be seen from outside, since [`JoinHandle::cancelling`] counts what was asked.
#[derive(Clone, Debug)]
#[must_use = "hand it on with `propagate`, or end the task"]
pub struct Cancelled {
    reason: Option<Arc<str>>,
    /// The scope that asked; none if it goes all the way out.
    from: Option<NodeId>,
}

impl Cancelled {
    /// A request that says why.
    ///
    /// ```
    /// # use windlass_executor::cancel::{Cancelled, scope};
    /// # windlass_executor::doc(async {
    /// let (scope, canceller) = scope(std::future::pending::<()>());
    /// canceller.cancel(Cancelled::because("closing time"));
    /// assert_eq!(scope.await.unwrap_err().reason(), Some("closing time"));
    /// # });
    /// ```
    pub fn because(reason: impl Into<Arc<str>>) -> Self {
        Cancelled { reason: Some(reason.into()), from: None }
    }

    /// A request without a reason.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert_eq!(windlass::cancel::Cancelled::new().reason(), None);
    /// ```
    #[expect(clippy::new_without_default, reason = "a cancellation by default is nothing anybody wants")]
    pub fn new() -> Self {
        Cancelled { reason: None, from: None }
    }

    /// Why, if whoever asked has said so.
    ///
    /// ```
    /// # use windlass_executor::cancel::Cancelled;
    /// assert_eq!(Cancelled::because("closing time").reason(), Some("closing time"));
    /// ```
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Hands the cancellation on, to the next catch outwards or to the scope that asked. Where there is none, the task is
    /// dropped, and its join handle says cancelled. The last line of a clean-up.
    ///
    /// # Panics
    /// When awaited outside a loop; and in the main future of `block_on` itself, not in a task, where nothing catches it:
    /// `block_on` waits for an output that would never come.
    ///
    /// ```
    /// # use windlass_executor::{cancel::catch, spawn, yield_now};
    /// # windlass_executor::doc(async {
    /// let task = spawn(async {
    ///     let Err(cancelled) = catch(std::future::pending::<()>()).await else { return };
    ///     yield_now().await; // says good-bye
    ///     cancelled.propagate().await;
    /// });
    /// yield_now().await;
    /// task.cancel();
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # });
    /// ```
    pub fn propagate(self) -> Propagate {
        Propagate { cancelled: Some(self) }
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "cancelled: {reason}"),
            None => f.write_str("cancelled"),
        }
    }
}

impl std::error::Error for Cancelled {}

/// Runs `future`; if its task is cancelled meanwhile and no catch further in takes it, drops the future and resolves to
/// [`Cancelled`].
///
/// Outside a loop of this crate nobody can be cancelled, and it is the future alone.
///
/// # Cancel
/// Dropping it drops the future.
///
/// ```
/// # use windlass_executor::{cancel::catch, spawn, yield_now};
/// # windlass_executor::doc(async {
/// let task = spawn(async {
///     match catch(std::future::pending::<()>()).await {
///         Ok(()) => "done",
///         Err(_cancelled) => {
///             yield_now().await; // a clean-up may wait
///             "cleaned up"
///         }
///     }
/// });
/// yield_now().await;
/// assert!(task.cancel());
/// assert_eq!(task.await.unwrap(), "cleaned up");
/// # });
/// ```
pub fn catch<F: IntoFuture>(future: F) -> Scope<F::IntoFuture> {
    Scope { inner: Some(future.into_future()), node: Node { kind: Kind::Catch, place: Rc::default() } }
}

/// Runs `future`, of which the [`Canceller`] alone can make an end: a catch within it takes that first, else the future is
/// dropped and the scope resolves to [`Cancelled`]. A cancellation of the task passes through it to the catches inside.
///
/// # Cancel
/// Dropping it drops the future.
///
/// ```
/// # use windlass_executor::cancel::{Cancelled, scope};
/// # windlass_executor::doc(async {
/// let (scope, canceller) = scope(std::future::pending::<()>());
/// assert!(canceller.cancel(Cancelled::new()));
/// assert!(scope.await.is_err());
/// assert!(!canceller.cancel(Cancelled::new())); // it is over
/// # });
/// ```
pub fn scope<F: IntoFuture>(future: F) -> (Scope<F::IntoFuture>, Canceller) {
    let place = Rc::default();
    let scope = Scope { inner: Some(future.into_future()), node: Node { kind: Kind::Scope, place: Rc::clone(&place) } };
    (scope, Canceller { place })
}

pin_project! {
    /// The future of [`catch`] and [`scope`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Scope<F> {
        #[pin]
        inner: Option<F>, // goes before its node
        node: Node,
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.inner.is_none() {
            assert!(!this.node.is_over(), "a scope was awaited again: it ends once");
            return Poll::Pending; // until what it has handed on drops it
        }
        if let Some(cancelled) = this.node.take() {
            this.inner.set(None);
            let Some(further_out) = this.node.leave(Place::Over) else { return Poll::Ready(Err(cancelled)) };
            this.node.leave(Place::default());
            hand_on(further_out);
            return Poll::Pending;
        }
        let inside = this.node.enter(cx);
        let inner = this.inner.as_mut().as_pin_mut().expect("it was there before it was entered");
        let polled = inner.poll(cx);
        drop(inside);
        polled.map(|output| {
            this.inner.set(None);
            this.node.leave(Place::Over);
            Ok(output)
        })
    }
}

/// Makes an end of a [`scope`].
#[derive(Clone, Debug)]
pub struct Canceller {
    place: Rc<RefCell<Place>>,
}

impl Canceller {
    /// What goes on outwards where what is in the scope ends with `cancelled`. If it was the scope that asked, only what was
    /// taken in it from further out, if anything was.
    pub(crate) fn outwards(&self, cancelled: Cancelled) -> Option<Cancelled> {
        match &*self.place.borrow() {
            Place::In(task, id) if cancelled.from == Some(*id) => {
                extras::look(task, |extras| extras.nodes.get(*id)?.passed.clone()).flatten()
            }
            _ => Some(cancelled),
        }
    }

    /// Asks what is in the scope to stop. False if it is over.
    ///
    /// ```
    /// # use windlass_executor::cancel::{Cancelled, scope};
    /// let (scope, canceller) = scope(async {});
    /// drop(scope);
    /// assert!(!canceller.cancel(Cancelled::new()));
    /// ```
    pub fn cancel(&self, cancelled: Cancelled) -> bool {
        let (task, id) = match &mut *self.place.borrow_mut() {
            Place::Out(asked) => {
                *asked = Some(Cancelled { from: None, ..cancelled });
                return true;
            }
            Place::In(task, id) => (task.clone(), *id),
            Place::Over => return false,
        };
        ask(&task, Cancelled { from: Some(id), ..cancelled }) // with nothing borrowed: wakers run (I3)
    }
}

/// The future of [`Cancelled::propagate`], which never resolves.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Propagate {
    cancelled: Option<Cancelled>,
}

impl Future for Propagate {
    type Output = Infallible;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Infallible> {
        if let Some(cancelled) = self.cancelled.take() {
            hand_on(cancelled);
        }
        Poll::Pending
    }
}

/// Runs `future` as a task of its own, which goes on when whoever awaits it is cancelled or dropped.
///
/// # Errors
/// [`JoinError`](crate::JoinError) if it panicked, or was cancelled by name.
///
/// # Panics
/// Outside a running loop.
///
/// # Cancel
/// Dropping the handle detaches the task; awaited as `&mut`, it can be asked again.
///
/// ```
/// # use windlass_executor::{cancel::shield, spawn, yield_now};
/// # windlass_executor::doc(async {
/// let (say, hear) = std::sync::mpsc::channel();
/// let task = spawn(shield(async move {
///     yield_now().await;
///     say.send("saved").unwrap();
/// }));
/// yield_now().await;
/// task.cancel();
/// yield_now().await;
/// yield_now().await;
/// assert_eq!(hear.try_recv(), Ok("saved"));
/// # });
/// ```
#[track_caller]
pub fn shield<F: Future<Output: 'static> + 'static>(future: F) -> JoinHandle<F::Output> {
    task::spawn(future)
}

/// Asks a whole task to stop. False if it has ended.
pub(crate) fn request(task: &TaskRef, cancelled: Cancelled) -> bool {
    let cancelled = Cancelled { from: None, ..cancelled };
    if is_alive(task) {
        extras::with(task, |extras| extras.nodes.count(&cancelled));
    }
    ask(task, cancelled)
}

/// How often the task was asked to stop, and why the last time.
pub(crate) fn requests(task: &TaskRef) -> (u32, Option<Arc<str>>) {
    extras::look(task, |extras| (extras.nodes.requests, extras.nodes.reason.clone())).unwrap_or_default()
}

/// Has a request that was taken delivered once more, after this turn, to whatever the task waits for then.
pub(crate) fn ask_again(cancelled: Cancelled) {
    ask(&in_turn().expect("it was taken in a turn"), cancelled);
}

/// Of two requests that were taken the one from further out.
pub(crate) fn wider(earlier: Cancelled, later: Cancelled) -> Cancelled {
    let wider = |task: TaskRef| extras::look(&task, |extras| extras.nodes.wider(earlier.clone(), later.clone()));
    in_turn().and_then(wider).unwrap_or(later)
}

/// After a turn in which a request was under way: what nobody took goes on outwards, what came up in it is delivered.
pub(crate) fn after_turn(task: &TaskRef) {
    let Some((waits, given_up)) = extras::look(task, |extras| extras.nodes.judge()) else { return };
    if waits {
        watch(task);
    }
    for cancelled in given_up {
        deliver(task, cancelled);
    }
}

/// Delivers a request; in the task's own turn, where nobody knows yet what it will wait for, when that is over.
fn ask(task: &TaskRef, cancelled: Cancelled) -> bool {
    if task.may_be_in_turn() && with_current(|core| core.is_some_and(|core| core.cancel_current(task.key))) {
        return extras::with(task, |extras| extras.nodes.put(cancelled, BTreeSet::new(), Stage::Delivered)).is_some();
    }
    is_alive(task) && task.state.get() != State::Busy && deliver(task, cancelled)
}

fn is_alive(task: &TaskRef) -> bool {
    matches!(task.state.get(), State::Alive | State::Requested | State::Root | State::Busy)
}

/// Delivers a request to the innermost catches; a task that has none is dropped. False if the scope that asked is gone.
fn deliver(task: &TaskRef, cancelled: Cancelled) -> bool {
    let whole = cancelled.from.is_none();
    let Some(wakers) = extras::look(task, |extras| extras.nodes.deliver(cancelled)).flatten() else {
        return whole && join::abort(task);
    };
    watch(task);
    for waker in wakers {
        join::quietly(|| waker.wake()); // one that panics keeps neither the others nor the task from going on
    }
    true
}

/// Has [`after_turn`] called after the task's next turn. After those of a main future it always is.
fn watch(task: &TaskRef) {
    if task.state.get() == State::Alive {
        task.state.set(State::Requested);
    }
}

/// Hands a request on from the place whose poll is under way to the next outwards; past the last the task is dropped.
#[cold]
fn hand_on(cancelled: Cancelled) {
    let task = in_turn().expect("propagate was awaited outside a running loop");
    let taker = extras::look(&task, |extras| extras.nodes.hand_on(AROUND.get(), cancelled)).flatten();
    let Some(waker) = taker else {
        assert!(task.state.get() != State::Root, "main was cancelled as a whole, and block_on waits for its output");
        with_current(|core| core.is_some_and(|core| core.doom_current(task.key)));
        return;
    };
    waker.into_iter().for_each(Waker::wake);
    with_current(|core| core.is_some_and(|core| core.cancel_current(task.key)));
}

thread_local! {
    /// The innermost scope whose poll is under way.
    static AROUND: Cell<Option<NodeId>> = const { Cell::new(None) };
    /// How many places there were: no two have one number, also in different tasks.
    static SERIAL: Cell<u64> = const { Cell::new(0) };
}

/// The task whose turn it is.
fn in_turn() -> Option<TaskRef> {
    with_current(|core: Option<&Core>| core?.in_turn())
}

/// A place in a task's tree. The serial number tells two users of one index apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct NodeId {
    index: usize,
    serial: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Takes what its task is asked.
    Catch,
    /// Takes only what it asked itself.
    Scope,
}

/// Where a scope is.
#[derive(Debug)]
enum Place {
    /// In no tree, not yet or not any more; perhaps asked already.
    Out(Option<Cancelled>),
    In(TaskRef, NodeId),
    Over,
}

impl Default for Place {
    fn default() -> Self {
        Place::Out(None)
    }
}

/// The tree of one task, of the scopes that have been polled and are not over, and the requests under way in it.
#[derive(Default)]
pub(crate) struct Nodes {
    entries: Slab<Entry>,
    under_way: Vec<Request>,
    requests: u32,
    reason: Option<Arc<str>>,
}

struct Entry {
    serial: u64,
    kind: Kind,
    /// As of its last poll.
    around: Option<NodeId>,
    /// None from a delivery to the next poll.
    waker: Option<Waker>,
    /// What was taken in this scope and came from further out: the furthest.
    passed: Option<Cancelled>,
}

struct Request {
    cancelled: Cancelled,
    /// Who may take it: nobody yet if it was asked in the task's own turn.
    at: BTreeSet<NodeId>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// In the turn that is under way: the next will show.
    HandedOn,
    /// This turn shows whether it is taken.
    Delivered,
    /// Somebody took it. Others may, in the same turn.
    Taken,
}

impl Nodes {
    fn count(&mut self, cancelled: &Cancelled) {
        self.requests += 1;
        self.reason.clone_from(&cancelled.reason);
    }

    fn insert(&mut self, kind: Kind, around: Option<NodeId>, waker: Waker) -> NodeId {
        let serial = SERIAL.get() + 1;
        SERIAL.set(serial);
        let entry = Entry { serial, kind, around, waker: Some(waker), passed: None };
        NodeId { index: self.entries.insert(entry), serial }
    }

    /// Removes a scope that is over. What waits for it there will not be taken.
    fn remove(&mut self, id: NodeId) -> Option<Entry> {
        self.get(id)?;
        Some(self.entries.remove(id.index))
    }

    fn get(&mut self, id: NodeId) -> Option<&mut Entry> {
        self.entries.get_mut(id.index).filter(|entry| entry.serial == id.serial)
    }

    fn put(&mut self, cancelled: Cancelled, at: BTreeSet<NodeId>, stage: Stage) {
        self.under_way.push(Request { cancelled, at, stage });
    }

    /// Puts a request to the innermost catches, of the whole tree or within the scope that asked, or to that scope; their
    /// wakers come out. None if there is nobody.
    fn deliver(&mut self, cancelled: Cancelled) -> Option<Vec<Waker>> {
        let mut at = self.innermost(cancelled.from);
        if at.is_empty() {
            at.extend(cancelled.from.filter(|&id| self.get(id).is_some()));
        }
        let wakers = at.iter().filter_map(|&id| self.get(id)?.waker.take()).collect();
        let asked = !at.is_empty();
        asked.then(|| {
            self.put(cancelled, at, Stage::Delivered);
            wakers
        })
    }

    /// Puts a request to the next from `around` outwards that takes it; its waker comes out.
    fn hand_on(&mut self, around: Option<NodeId>, cancelled: Cancelled) -> Option<Option<Waker>> {
        let takes = |id: &NodeId| Some(*id) == cancelled.from || self.entries[id.index].kind == Kind::Catch;
        let taker = self.outwards(around).find(takes)?;
        self.put(cancelled, BTreeSet::from([taker]), Stage::HandedOn);
        Some(self.get(taker)?.waker.take())
    }

    /// All that waits for the one that is polled, as one. The scopes between it and whoever asked remember that.
    fn take(&mut self, id: NodeId) -> Option<Cancelled> {
        let mut here = Vec::new();
        for request in &mut self.under_way {
            if request.at.remove(&id) {
                request.stage = Stage::Taken;
                here.push(request.cancelled.clone());
            }
        }
        let mut taken = here.into_iter().reduce(|earlier, later| self.wider(earlier, later))?;
        let within = self.outwards(Some(id)).take_while(|&id| Some(id) != taken.from);
        let scopes: Vec<NodeId> = within.filter(|id| self.entries[id.index].kind == Kind::Scope).collect();
        for scope in scopes {
            let passed = &self.entries[scope.index].passed;
            let furthest = passed.clone().map_or(taken.clone(), |earlier| self.wider(earlier, taken.clone()));
            self.entries[scope.index].passed = Some(furthest);
        }
        taken.from = taken.from.filter(|&from| from != id); // who asked has it: from here it goes all the way out
        Some(taken)
    }

    /// What nobody took in this turn, and whether anything waits for the next.
    fn judge(&mut self) -> (bool, Vec<Cancelled>) {
        let judged = self.under_way.extract_if(.., |request| request.stage != Stage::HandedOn);
        let given_up = judged.filter(|request| request.stage == Stage::Delivered).map(|request| request.cancelled);
        let given_up = given_up.collect();
        self.under_way.iter_mut().for_each(|request| request.stage = Stage::Delivered);
        (!self.under_way.is_empty(), given_up)
    }

    fn innermost(&self, within: Option<NodeId>) -> BTreeSet<NodeId> {
        let ids = self.entries.iter().map(|(index, entry)| NodeId { index, serial: entry.serial });
        let is_within = |&id: &NodeId| within.is_none() || self.outwards(Some(id)).any(|id| Some(id) == within);
        // In this order: whether it listens may take as long as there are requests under way.
        let catches: BTreeSet<NodeId> = ids.filter(is_within).filter(|&id| self.listens(id)).collect();
        let around: BTreeSet<NodeId> = catches.iter().flat_map(|&id| self.outwards(Some(id)).skip(1)).collect();
        &catches - &around
    }

    /// Whether it is a catch that somebody polls: it has left its waker, or that was woken for a request that still waits.
    fn listens(&self, id: NodeId) -> bool {
        let entry = &self.entries[id.index];
        let is_asked = || self.under_way.iter().any(|request| request.at.contains(&id));
        entry.kind == Kind::Catch && (entry.waker.is_some() || is_asked())
    }

    /// `id` and those around it, from the inside out.
    fn outwards(&self, id: Option<NodeId>) -> impl Iterator<Item = NodeId> {
        let entry = |id: &NodeId| self.entries.get(id.index).filter(|entry| entry.serial == id.serial);
        let there = move |id: &NodeId| entry(id).is_some();
        std::iter::successors(id.filter(there), move |id| entry(id)?.around.filter(there))
    }

    /// The one of two requests that comes from further out; of two from the same place, the later.
    fn wider(&self, earlier: Cancelled, later: Cancelled) -> Cancelled {
        let is_wider = match (earlier.from, later.from) {
            (None, Some(_)) => true,
            (Some(_), Some(_)) => self.outwards(later.from).skip(1).any(|id| Some(id) == earlier.from),
            (_, None) => false,
        };
        if is_wider { earlier } else { later }
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id())
    }
}

/// A scope's side of its place in the tree.
#[derive(Debug)]
struct Node {
    kind: Kind,
    place: Rc<RefCell<Place>>,
}

/// While this lives, scopes that are polled are inside the one that made it.
struct Inside(Option<NodeId>);

impl Drop for Inside {
    fn drop(&mut self) {
        AROUND.set(self.0);
    }
}

impl Node {
    fn is_over(&self) -> bool {
        matches!(*self.place.borrow(), Place::Over)
    }

    /// What it was asked, if it was.
    fn take(&self) -> Option<Cancelled> {
        match &mut *self.place.borrow_mut() {
            Place::Out(asked) => asked.take(),
            Place::In(task, id) => extras::look(task, |extras| extras.nodes.take(*id)).flatten(),
            Place::Over => None,
        }
    }

    /// Takes its place in the tree of the task in whose turn it is polled, or keeps it.
    fn enter(&self, cx: &mut Context<'_>) -> Inside {
        let turn = with_current(|core| core.map_or(Key::NONE, Core::turn));
        let here = match &*self.place.borrow() {
            Place::In(task, id) if task.key == turn => Some((task.clone(), *id)),
            _ => None,
        };
        let id = match here {
            Some((task, id)) => {
                Self::listen(&task, id, cx);
                Some(id)
            }
            None => self.register(cx),
        };
        Inside(AROUND.replace(id.or(AROUND.get())))
    }

    /// Leaves its waker, and says what is around it now: that may have changed.
    fn listen(task: &TaskRef, id: NodeId, cx: &mut Context<'_>) {
        let known = extras::look(task, |extras| {
            let entry = extras.nodes.get(id)?;
            entry.around = AROUND.get();
            Some(entry.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())))
        });
        if known.flatten() == Some(false) {
            let waker = cx.waker().clone();
            let before = extras::look(task, |extras| extras.nodes.get(id)?.waker.replace(waker));
            drop(before); // with nothing borrowed (I3)
        }
    }

    #[cold]
    fn register(&self, cx: &mut Context<'_>) -> Option<NodeId> {
        self.leave(Place::default()); // of another task's tree, if it was in one
        let task = in_turn()?;
        let waker = cx.waker().clone();
        let id = extras::with(&task, |extras| extras.nodes.insert(self.kind, AROUND.get(), waker))?;
        if let Place::Out(Some(asked)) = self.place.replace(Place::In(task.clone(), id)) {
            ask(&task, Cancelled { from: Some(id), ..asked }); // by the waker, when it was cloned
        }
        Some(id)
    }

    /// Gives its place up. What passed through it comes out.
    fn leave(&self, to: Place) -> Option<Cancelled> {
        let Place::In(task, id) = self.place.replace(to) else { return None };
        let entry = extras::look(&task, |extras| extras.nodes.remove(id)).flatten()?;
        entry.passed // the rest is dropped with nothing borrowed (I3)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.leave(Place::Over);
    }
}

#[cfg(test)]
pub(crate) mod tests;
