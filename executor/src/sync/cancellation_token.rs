//! Asking many to stop, and those below them.
//! Whoever is to stop looks at a token, or waits for it; whoever holds a clone of it can cancel it, once and for all. A
//! request that has parts gives each a child: cancelled alone, it leaves the others be, and all go with the parent.
//!
//! ```text
//!   server ─┬─► request ─┬─► query        request.cancel(): query and upload are cancelled, too
//!           │            └─► upload
//!           └─► request                   this one is not
//! ```
//!
//! The tree is one slab of links, by number, that its tokens share: however deep it is, nothing recurses. A token that
//! is dropped leaves it; its children, if it has several, keep its place, which goes when one is left. So there are
//! never more places than twice the tokens, and each costs the same to leave, wherever it is.
//!
//! This asks those who look. What a task does not look for is asked of it by [`cancel`](crate::cancel), which needs no
//! token and reaches whatever the task awaits.   Next: `task_tracker`, which tells when all have stopped.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::Poll;

use slab::Slab;

use super::until::until;
use super::wait_list::WaitList;
use crate::join::quietly;
use crate::waits::{LazyId, ResourceKind};

/// A request to stop, for all who look. A clone is the same token; it stays on its thread.
///
/// Dropping a token cancels nothing: [`drop_guard`](CancellationToken::drop_guard) does. A child is freed with its last
/// clone, however long its parent lives.
///
/// ```
/// # use windlass_executor::windlass;
/// use windlass::sync::CancellationToken;
/// # windlass_executor::doc(async {
/// let token = CancellationToken::new();
/// let worker = windlass::spawn({
///     let token = token.clone();
///     async move {
///         let mut steps = 0;
///         while !token.is_cancelled() {
///             steps += 1;
///             windlass::task::yield_now().await;
///         }
///         steps
///     }
/// });
/// windlass::task::yield_now().await;
/// token.cancel();
/// assert_eq!(worker.await.unwrap(), 1);
/// # });
/// ```
#[derive(Clone)]
pub struct CancellationToken {
    node: Rc<Node>,
}

impl CancellationToken {
    /// A token without a parent.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// assert!(!windlass::sync::CancellationToken::new().is_cancelled());
    /// ```
    pub fn new() -> Self {
        CancellationToken { node: Node::linked(Rc::default(), NOBODY) }
    }

    /// A token that is cancelled along with this one, at once if this one has been. To cancel it leaves this one alone.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let parent = windlass::sync::CancellationToken::new();
    /// let (one, other) = (parent.child_token(), parent.child_token());
    /// one.cancel();
    /// assert!(!parent.is_cancelled() && !other.is_cancelled());
    /// parent.cancel();
    /// assert!(other.is_cancelled() && parent.child_token().is_cancelled());
    /// ```
    pub fn child_token(&self) -> CancellationToken {
        let tree = self.node.tree.clone();
        let node = match self.is_cancelled() {
            true => Rc::new(Node::new(tree, NOBODY, true)),
            false => Node::linked(tree, self.node.index),
        };
        CancellationToken { node }
    }

    /// Cancels it, and all below it: all are, before the first who waits is woken. Called again it does nothing.
    ///
    /// O(n) in the tokens below it, of whatever depth.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let token = windlass::sync::CancellationToken::new();
    /// let (again, grandchild) = (token.clone(), token.child_token().child_token());
    /// token.cancel();
    /// assert!(again.is_cancelled() && grandchild.is_cancelled());
    /// ```
    pub fn cancel(&self) {
        if !self.is_cancelled() {
            let cancelled = self.node.tree.borrow_mut().cut(self.node.index);
            Waking(cancelled.into_iter()).wake();
        }
    }

    /// Whether it has been cancelled; it stays so.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let token = windlass::sync::CancellationToken::new();
    /// token.cancel();
    /// assert!(token.is_cancelled());
    /// ```
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.node.cancelled.get()
    }

    /// Completes when it is cancelled.
    ///
    /// # Cancel
    /// Dropping it leaves the line; nothing is lost.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let token = windlass::sync::CancellationToken::new();
    /// let child = token.child_token();
    /// let worker = windlass::spawn(async move { child.cancelled().await });
    /// token.cancel();
    /// worker.await.unwrap();
    /// # });
    /// ```
    pub async fn cancelled(&self) {
        let note = || self.node.id.note(ResourceKind::Cancellation);
        until(&self.node.waiters, || self.is_cancelled(), note).await;
    }

    /// Completes with the output of `future`, or with `None` once this is cancelled. If both come in one turn, the
    /// output counts; but a token that was cancelled before keeps `future` from being polled at all. What the task
    /// waits for is what `future` says.
    ///
    /// # Cancel
    /// Dropping it drops `future`. So does the token: for a future that has to clean up, see [`cancel`](crate::cancel).
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let token = windlass::sync::CancellationToken::new();
    /// assert_eq!(token.run_until_cancelled(async { 7 }).await, Some(7));
    /// drop(windlass::spawn({ let token = token.clone(); async move { token.cancel() } }));
    /// assert_eq!(token.run_until_cancelled(std::future::pending::<()>()).await, None);
    /// # });
    /// ```
    pub async fn run_until_cancelled<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut cancelled = pin!(until(&self.node.waiters, || self.is_cancelled(), || ()));
        if self.is_cancelled() {
            cancelled.await; // at the price of a unit of budget
            return None;
        }
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Asked of the token: what was granted takes a unit of budget, and `future` may use up all in every poll.
            Poll::Pending if self.is_cancelled() => Poll::Ready(None),
            Poll::Pending => cancelled.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    /// A guard that cancels this when it is dropped.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// # windlass_executor::doc(async {
    /// let token = windlass::sync::CancellationToken::new();
    /// let helper = windlass::spawn({ let token = token.clone(); async move { token.cancelled().await } });
    /// {
    ///     let _guard = token.drop_guard(); // however this block is left, the helper goes with it
    /// }
    /// helper.await.unwrap();
    /// # });
    /// ```
    pub fn drop_guard(self) -> DropGuard {
        DropGuard { token: Some(self) }
    }

    /// Futures in line, or woken and not polled since.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.node.waiters.entries()
    }

    /// Places in its tree, held against all that the links claim.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        let tree = self.node.tree.borrow();
        for (index, links) in &tree.0 {
            assert!(links.node.strong_count() > 0 || links.children.len() > 1, "a place for nothing");
            assert!(links.parent == NOBODY || tree.0[links.parent].children[links.at] == index);
            assert!(links.children.iter().all(|&child| tree.0[child].parent == index));
        }
        tree.0.len()
    }
}

impl Default for CancellationToken {
    fn default() -> Self {
        CancellationToken::new()
    }
}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cancelled, waiting) = (self.is_cancelled(), self.node.waiters.len());
        f.debug_struct("CancellationToken").field("cancelled", &cancelled).field("waiting", &waiting).finish()
    }
}

/// Cancels its token when it is dropped.
///
/// ```
/// # use windlass_executor::windlass;
/// let token = windlass::sync::CancellationToken::new();
/// drop(token.clone().drop_guard());
/// assert!(token.is_cancelled());
/// ```
#[derive(Debug)]
#[must_use = "dropping it cancels"]
pub struct DropGuard {
    /// None once it has been disarmed.
    token: Option<CancellationToken>,
}

impl DropGuard {
    /// The token, which is not cancelled.
    ///
    /// ```
    /// # use windlass_executor::windlass;
    /// let guard = windlass::sync::CancellationToken::new().drop_guard();
    /// assert!(!guard.disarm().is_cancelled());
    /// ```
    pub fn disarm(mut self) -> CancellationToken {
        self.token.take().expect("a guard is disarmed once: that uses it up")
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.cancel();
        }
    }
}

/// What the clones of a token share.
struct Node {
    cancelled: Cell<bool>,
    tree: Rc<RefCell<Tree>>,
    /// Its place in the tree; not its own any more once it is cancelled.
    index: usize,
    waiters: WaitList<()>,
    id: LazyId,
}

impl Node {
    fn new(tree: Rc<RefCell<Tree>>, index: usize, cancelled: bool) -> Self {
        Node { cancelled: Cell::new(cancelled), tree, index, waiters: WaitList::new(), id: LazyId::new() }
    }

    /// One with a place in the tree, below `parent`.
    fn linked(tree: Rc<RefCell<Tree>>, parent: usize) -> Rc<Self> {
        Rc::new_cyclic(|node| {
            let index = tree.borrow_mut().add(node.clone(), parent);
            Node::new(tree, index, false)
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !self.cancelled.get() {
            self.tree.borrow_mut().fold(self.index);
        }
    }
}

/// The parent of those that have none.
const NOBODY: usize = usize::MAX;

/// Who is below whom, of those that are not cancelled. A place whose node is gone has at least two children.
#[derive(Default)]
struct Tree(Slab<Links>);

struct Links {
    node: Weak<Node>,
    parent: usize,
    /// Where it is among its parent's children.
    at: usize,
    children: Vec<usize>,
}

impl Tree {
    fn add(&mut self, node: Weak<Node>, parent: usize) -> usize {
        let index = self.0.vacant_key();
        let at = self.0.get_mut(parent).map_or(0, |above| {
            above.children.push(index);
            above.children.len() - 1
        });
        self.0.insert(Links { node, parent, at, children: Vec::new() })
    }

    /// Takes a place out whose node is gone, unless it has several children; an only one has its place then.
    fn fold(&mut self, index: usize) {
        let Links { ref node, parent, at, ref children } = self.0[index];
        if node.strong_count() > 0 {
            return;
        }
        match children[..] {
            [] => {
                self.0.remove(index);
                self.part(parent, at);
            }
            [only] => {
                self.0.remove(index);
                (self.0[only].parent, self.0[only].at) = (parent, at);
                if let Some(above) = self.0.get_mut(parent) {
                    above.children[at] = only;
                }
            }
            [..] => {}
        }
    }

    /// Takes from `parent`, if there is one, its child at `at`.
    fn part(&mut self, parent: usize, at: usize) {
        let Some(above) = self.0.get_mut(parent) else { return };
        above.children.swap_remove(at);
        if let Some(&moved) = above.children.get(at) {
            self.0[moved].at = at;
        }
        self.fold(parent); // if its node is gone it has one child at least, and so this goes no further up
    }

    /// Takes out a place and all below it, which are cancelled now; returns those that somebody waits for, each before
    /// those below it.
    fn cut(&mut self, index: usize) -> Vec<Rc<Node>> {
        let Links { parent, at, .. } = self.0[index];
        self.part(parent, at);
        let (mut places, mut next, mut awaited) = (vec![index], 0, Vec::new());
        while let Some(&place) = places.get(next) {
            let Links { node, children, .. } = self.0.remove(place);
            if let Some(node) = node.upgrade() {
                node.cancelled.set(true);
                if !node.waiters.is_empty() {
                    awaited.push(node);
                }
            }
            places.extend(children);
            next += 1;
        }
        awaited
    }
}

/// Wakes those who wait for tokens that have been cancelled; if one of the wakers panics, the others all the same.
struct Waking(std::vec::IntoIter<Rc<Node>>);

impl Waking {
    fn wake(&mut self) {
        for node in &mut self.0 {
            node.waiters.grant_while(|()| true);
        }
    }
}

impl Drop for Waking {
    fn drop(&mut self) {
        for node in &mut self.0 {
            quietly(|| node.waiters.grant_while(|()| true)); // as in `wait_list`
        }
    }
}
