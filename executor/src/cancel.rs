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
//! A catch that is pending stands in a small tree that is kept for its task (`extras`): which one is around it, and the
//! waker it was polled with. So nothing between has to know of cancelling, and futures of other crates are simply dropped.
//! A request that nobody takes in the task's next turn, because that catch is not polled any more, goes on outwards: it is
//! never lost. [`Cancelled::propagate`] hands one on by will.
//!
//! Two requests may meet: a catch inside a scope takes what the task was asked, and while it cleans up the scope is ended,
//! clean-up and all. Then the one from further out goes on outwards; the scope remembers what passed through it.
//!
//! Not here: dropping (`join`), time-outs and groups, which stand on [`Scope`].   Next: `extras`, `join`.

use std::cell::{Cell, RefCell};
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
    /// The scope that asked; none if the whole task was asked.
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
    /// assert_eq!(windlass_executor::cancel::Cancelled::new().reason(), None);
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
    Scope { inner: Some(future.into_future()), node: Node::new(Kind::Catch, Rc::default()) }
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
    let scope = Scope { inner: Some(future.into_future()), node: Node::new(Kind::Scope, Rc::clone(&place)) };
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
        if let Some(cancelled) = this.node.take_request() {
            let further_out = this.node.take_passed();
            this.inner.set(None);
            return match further_out {
                None => {
                    this.node.leave(Place::Over(None));
                    Poll::Ready(Err(cancelled))
                }
                Some(further_out) => {
                    this.node.leave(Place::HandedOn);
                    hand_on(further_out);
                    Poll::Pending
                }
            };
        }
        if this.node.has_handed_on() {
            return Poll::Pending; // until what is around drops it
        }
        let inner = this.inner.as_mut().as_pin_mut().expect("a scope was awaited again: it ends once");
        let inside = this.node.enter(cx);
        let polled = inner.poll(cx);
        drop(inside);
        polled.map(|output| {
            this.inner.set(None);
            this.node.leave(Place::Over(None));
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
    /// Whether it was this scope that asked.
    pub(crate) fn has_asked(&self, cancelled: &Cancelled) -> bool {
        matches!(&*self.place.borrow(), Place::In(_, id) if cancelled.from == Some(*id))
    }

    /// What was asked from further out of a catch in the scope, which is over.
    pub(crate) fn passed(&self) -> Option<Cancelled> {
        match &*self.place.borrow() {
            Place::Over(passed) => passed.clone(),
            _ => None,
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
        let mut place = self.place.borrow_mut();
        match &*place {
            Place::Over(_) | Place::HandedOn => false,
            Place::Fresh(_) => {
                *place = Place::Fresh(Some(cancelled));
                true
            }
            Place::In(task, id) => {
                let (task, id) = (task.clone(), *id);
                drop(place); // wakers run
                request(&task, Some(id), cancelled)
            }
        }
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

/// Has a request that was taken delivered once more, after this turn, to whatever the task waits for then.
pub(crate) fn ask_again(cancelled: Cancelled) {
    let task = in_turn().expect("it was taken in a turn");
    if with_current(|core| core.is_some_and(|core| core.cancel_current(task.key))) {
        extras::with(&task, |extras| extras.nodes.later.push(cancelled));
    }
}

/// Of two requests that were taken the one from further out.
pub(crate) fn wider(earlier: Cancelled, later: Cancelled) -> Cancelled {
    let known = in_turn()
        .and_then(|task| extras::look(&task, |extras| extras.nodes.further_out(Some(earlier.clone()), later.clone())));
    known.unwrap_or(later)
}

/// Hands a request on from the place whose poll is under way to the next outwards; past the last the task is dropped.
#[cold]
fn hand_on(cancelled: Cancelled) {
    let (task, around) = (in_turn().expect("propagate was awaited outside a running loop"), AROUND.get());
    match extras::with(&task, |extras| extras.nodes.hand_on(around, cancelled)).flatten() {
        Some(waker) => {
            waker.wake();
            with_current(|core| core.is_some_and(|core| core.cancel_current(task.key)));
        }
        None => {
            assert!(
                task.state.get() != State::Root,
                "main was cancelled as a whole, and block_on waits for its output"
            );
            with_current(|core| core.is_some_and(|core| core.doom_current(task.key)));
        }
    }
}

/// Asks a task to stop: `from` a scope in it, or the whole. False if there is nothing to stop any more.
pub(crate) fn request(task: &TaskRef, from: Option<NodeId>, cancelled: Cancelled) -> bool {
    let cancelled = Cancelled { from, ..cancelled };
    if !matches!(task.state.get(), State::Alive | State::Requested | State::Root | State::Busy) {
        return false;
    }
    if from.is_none() {
        extras::with(task, |extras| extras.nodes.asked(&cancelled));
    }
    if task.state.get() != State::Busy {
        return deliver(task, cancelled);
    }
    // In its own turn nobody knows yet what it will wait for: delivered when that is over.
    let later = with_current(|core| core.is_some_and(|core| core.cancel_current(task.key)));
    later && extras::with(task, |extras| extras.nodes.later.push(cancelled)).is_some()
}

/// Delivers a request to the innermost catches, or drops the task. False if the scope that asked is gone.
fn deliver(task: &TaskRef, cancelled: Cancelled) -> bool {
    let whole = cancelled.from.is_none();
    let wakers = extras::with(task, |extras| extras.nodes.mark(cancelled)).unwrap_or_default();
    if wakers.is_empty() {
        return whole && join::abort(task);
    }
    if task.state.get() == State::Alive {
        task.state.set(State::Requested); // its next turn shows whether it is taken
    }
    wakers.into_iter().for_each(Waker::wake);
    true
}

/// After a turn: delivers what was asked during it. The next turn shows whether what was handed on is taken.
pub(crate) fn deliver_later(task: &TaskRef) {
    let after_turn = |nodes: &mut Nodes| (nodes.begin_waiting(), std::mem::take(&mut nodes.later));
    let (handed_on, later) = extras::look(task, |extras| after_turn(&mut extras.nodes)).unwrap_or_default();
    if handed_on && task.state.get() == State::Alive {
        task.state.set(State::Requested);
    }
    for cancelled in later {
        deliver(task, cancelled);
    }
}

/// After the turn of a task that was asked: what was not taken goes on outwards.
pub(crate) fn escalate(task: &TaskRef) {
    for cancelled in extras::look(task, |extras| extras.nodes.give_up()).unwrap_or_default() {
        deliver(task, cancelled);
    }
}

/// How often the task was asked to stop, and why the last time.
pub(crate) fn requests(task: &TaskRef) -> (u32, Option<Arc<str>>) {
    extras::look(task, |extras| (extras.nodes.requests, extras.nodes.reason.clone())).unwrap_or_default()
}

thread_local! {
    /// The innermost scope whose poll is under way.
    static AROUND: Cell<Option<NodeId>> = const { Cell::new(None) };
}

/// The task whose turn it is.
fn in_turn() -> Option<TaskRef> {
    with_current(|core: Option<&Core>| core?.in_turn())
}

/// A place in a task's tree. The serial number tells two users of one index apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NodeId {
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
    /// Not polled yet; perhaps asked already.
    Fresh(Option<Cancelled>),
    In(TaskRef, NodeId),
    /// With what was asked from further out of a catch in it.
    Over(Option<Cancelled>),
    /// It was ended while a request from further out had passed it, and waits for that to drop it.
    HandedOn,
}

impl Default for Place {
    fn default() -> Self {
        Place::Fresh(None)
    }
}

/// The tree of one task: scopes that have been polled and are not over.
#[derive(Default)]
pub(crate) struct Nodes {
    entries: Slab<Entry>,
    serial: u64,
    requests: u32,
    reason: Option<Arc<str>>,
    /// What was asked in the task's own turn.
    later: Vec<Cancelled>,
    /// What was asked of scopes that were dropped before they took it.
    left: Vec<Cancelled>,
    /// Who asked, of the requests that were taken since their last delivery.
    taken: Vec<Option<NodeId>>,
}

struct Entry {
    serial: u64,
    kind: Kind,
    around: Option<NodeId>,
    waker: Waker,
    request: Option<Cancelled>,
    /// What went through this scope from further out, to a catch in it: the furthest.
    passed: Option<Cancelled>,
    /// The request was handed on to it in the turn that is under way: it could not take it yet.
    fresh: bool,
    /// It did not take a request that it had: nobody polls it.
    deaf: bool,
}

impl Nodes {
    fn get(&mut self, id: NodeId) -> Option<&mut Entry> {
        self.entries.get_mut(id.index).filter(|entry| entry.serial == id.serial)
    }

    fn asked(&mut self, cancelled: &Cancelled) {
        self.requests += 1;
        self.reason.clone_from(&cancelled.reason);
    }

    fn insert(&mut self, kind: Kind, around: Option<NodeId>, waker: Waker) -> NodeId {
        self.serial += 1;
        let entry =
            Entry { serial: self.serial, kind, around, waker, request: None, passed: None, fresh: false, deaf: false };
        NodeId { index: self.entries.insert(entry), serial: self.serial }
    }

    /// Marks the innermost catches, of the whole tree or within the scope that asked, or that scope; their wakers come out.
    fn mark(&mut self, cancelled: Cancelled) -> Vec<Waker> {
        let within = cancelled.from;
        let mut innermost: Vec<NodeId> = self.listening().filter(|&id| self.is_within(id, within)).collect();
        let around: Vec<NodeId> = innermost.iter().flat_map(|&id| self.ways_out(id)).collect();
        innermost.retain(|id| !around.contains(id));
        if innermost.is_empty() {
            innermost.extend(within);
        }
        self.taken.retain(|&from| from != within);
        let mut wakers = Vec::new();
        for id in innermost {
            self.pass_through(id, &cancelled);
            let earlier = self.get(id).and_then(|entry| entry.request.take());
            let request = self.further_out(earlier, cancelled.clone());
            if let Some(entry) = self.get(id).filter(|entry| !entry.deaf) {
                entry.request = Some(request);
                wakers.push(std::mem::replace(&mut entry.waker, Waker::noop().clone()));
            }
        }
        wakers
    }

    /// Tells the scopes between whoever asked and the catch that is marked.
    fn pass_through(&mut self, marked: NodeId, cancelled: &Cancelled) {
        let from = cancelled.from;
        let between = self.ways_out(marked).take_while(|&id| Some(id) != from && self.is_within(id, from));
        let scopes: Vec<NodeId> = between.filter(|id| self.entries[id.index].kind == Kind::Scope).collect();
        for id in scopes {
            let earlier = self.get(id).and_then(|entry| entry.passed.take());
            let furthest = self.further_out(earlier, cancelled.clone());
            if let Some(entry) = self.get(id) {
                entry.passed = Some(furthest);
            }
        }
    }

    /// The one of two requests that comes from further out; of two from the same place, the later.
    fn further_out(&self, earlier: Option<Cancelled>, later: Cancelled) -> Cancelled {
        let is_further = |earlier: &Cancelled| match (earlier.from, later.from) {
            (None, Some(_)) => true,
            (Some(earlier), Some(later)) => self.ways_out(later).any(|id| id == earlier),
            (_, None) => false,
        };
        earlier.filter(is_further).unwrap_or(later)
    }

    /// The catches that somebody polls.
    fn listening(&self) -> impl Iterator<Item = NodeId> {
        let listens = |entry: &Entry| entry.kind == Kind::Catch && !entry.deaf;
        let entries = self.entries.iter().filter(move |(_, entry)| listens(entry));
        entries.map(|(index, entry)| NodeId { index, serial: entry.serial })
    }

    /// Those around `id`, from the inside out.
    fn ways_out(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let around = |id: &NodeId| self.entries.get(id.index).filter(|entry| entry.serial == id.serial)?.around;
        std::iter::successors(around(&id), around)
    }

    fn is_within(&self, id: NodeId, scope: Option<NodeId>) -> bool {
        scope.is_none_or(|scope| self.ways_out(id).any(|around| around == scope))
    }

    /// Hands a request on, from inside of `around`, to the next that takes it; its waker comes out.
    fn hand_on(&mut self, around: Option<NodeId>, cancelled: Cancelled) -> Option<Waker> {
        let outwards = around.into_iter().chain(around.into_iter().flat_map(|id| self.ways_out(id)));
        let takes = |id: &NodeId| Some(*id) == cancelled.from || self.entries[id.index].kind == Kind::Catch;
        let taker = outwards.into_iter().find(takes)?;
        let earlier = self.get(taker)?.request.take();
        let request = self.further_out(earlier, cancelled);
        let entry = self.get(taker)?;
        entry.request = Some(request);
        entry.fresh = true;
        Some(std::mem::replace(&mut entry.waker, Waker::noop().clone()))
    }

    /// The requests that nobody took, and now nobody will: one of each that asked.
    fn give_up(&mut self) -> Vec<Cancelled> {
        let mut given_up = std::mem::take(&mut self.left);
        for (_, entry) in self.entries.iter_mut().filter(|(_, entry)| !entry.fresh) {
            if let Some(request) = entry.request.take() {
                entry.deaf = true;
                given_up.push(request);
            }
        }
        let mut known = std::mem::take(&mut self.taken);
        given_up.retain(|request| {
            !known.contains(&request.from) && {
                known.push(request.from);
                true
            }
        });
        given_up
    }

    /// What was handed on in the last turn may be taken in the next. True if anything was.
    fn begin_waiting(&mut self) -> bool {
        let fresh = self.entries.iter_mut().map(|(_, entry)| std::mem::take(&mut entry.fresh));
        fresh.fold(false, |any, fresh| any | fresh)
    }

    fn take_request(&mut self, id: NodeId) -> Option<Cancelled> {
        let request = self.get(id)?.request.take()?;
        self.taken.push(request.from);
        Some(request)
    }

    /// Removes a scope that is over. What it was asked and did not take is for those around it.
    fn remove(&mut self, id: NodeId) -> Option<Entry> {
        self.get(id)?;
        let mut entry = self.entries.remove(id.index);
        self.left.extend(entry.request.take());
        Some(entry)
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
    fn new(kind: Kind, place: Rc<RefCell<Place>>) -> Self {
        Node { kind, place }
    }

    /// What it was asked, if it was.
    fn take_request(&self) -> Option<Cancelled> {
        match &mut *self.place.borrow_mut() {
            Place::Fresh(early) => early.take(),
            Place::In(task, id) => extras::look(task, |extras| extras.nodes.take_request(*id)).flatten(),
            Place::Over(_) | Place::HandedOn => None,
        }
    }

    /// What passed through it from further out.
    fn take_passed(&self) -> Option<Cancelled> {
        let place = self.place.borrow();
        let Place::In(task, id) = &*place else { return None };
        extras::look(task, |extras| extras.nodes.get(*id)?.passed.take()).flatten()
    }

    fn has_handed_on(&self) -> bool {
        matches!(&*self.place.borrow(), Place::HandedOn)
    }

    /// Takes its place in the tree of the task in whose turn it is polled, or keeps it.
    fn enter(&self, cx: &mut Context<'_>) -> Inside {
        let turn = with_current(|core| core.map_or(Key::NONE, Core::turn));
        let id = match &*self.place.borrow() {
            Place::In(task, id) if task.key == turn => Some((task.clone(), *id)),
            _ => None,
        };
        let id = match id {
            Some((task, id)) => {
                self.listen(&task, id, cx);
                Some(id)
            }
            None => self.register(cx),
        };
        Inside(AROUND.replace(id.or(AROUND.get())))
    }

    /// Leaves its waker.
    fn listen(&self, task: &TaskRef, id: NodeId, cx: &mut Context<'_>) {
        let known = extras::look(task, |extras| {
            extras.nodes.get(id).map(|entry| {
                entry.deaf = false;
                entry.waker.will_wake(cx.waker())
            })
        });
        if known.flatten() == Some(false) {
            let waker = cx.waker().clone();
            let swap = |entry: &mut Entry| std::mem::replace(&mut entry.waker, waker);
            let before = extras::look(task, |extras| extras.nodes.get(id).map(swap));
            drop(before); // with nothing borrowed (I3)
        }
    }

    #[cold]
    fn register(&self, cx: &mut Context<'_>) -> Option<NodeId> {
        self.leave(Place::default()); // of another task's tree, if it was in one
        let task = in_turn()?;
        let waker = cx.waker().clone();
        let id = extras::with(&task, |extras| extras.nodes.insert(self.kind, AROUND.get(), waker))?;
        self.place.replace(Place::In(task, id));
        Some(id)
    }

    /// Gives its place up.
    fn leave(&self, for_place: Place) {
        let before = self.place.replace(for_place);
        if let Place::In(task, id) = &before {
            let entry = extras::look(task, |extras| extras.nodes.remove(*id)).flatten();
            if let (Some(entry), Place::Over(passed)) = (&entry, &mut *self.place.borrow_mut()) {
                passed.clone_from(&entry.passed);
            }
            drop(entry); // with nothing borrowed (I3)
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !matches!(*self.place.borrow(), Place::Over(_)) {
            self.leave(Place::Over(None));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
