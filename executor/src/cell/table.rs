//! Who is here, and who runs next.
//! The loop's tasks, each at the index that its key names, and the line of those that were woken.
//!
//! ```text
//!   wake(number) ──► entry ──► its place in line ──► its turn: poll ──┬─ woken meanwhile? the end of the line
//!                                      ▲                              ├─ pending? it sleeps, and says why
//!                                      └──────────────────────────────┘  ended? the entry is free
//! ```
//!
//! The line is linked through the tasks themselves: to queue one writes two words and allocates nothing. Nothing foreign
//! runs while the entries are borrowed (I3), and nobody is forgotten while in line or in turn: what `cell` builds on.
//!
//! Next: `executor`, which says what a turn is.

use std::cell::Cell;
use std::ptr;
#[cfg(test)]
use std::ptr::NonNull;

use slab::Slab;

use super::{After, Queued, Table, TaskRef, Then, Woken};
use crate::key::Key;

impl Table {
    /// The place that the next task will have.
    #[inline]
    pub(crate) fn vacant(&self) -> usize {
        self.entries(|entries| entries.vacant_key())
    }

    /// Queues a fresh task, made for the vacant place.
    #[inline]
    pub(crate) fn insert(&self, task: &TaskRef) {
        assert!(!task.is_queued(), "it is fresh (I1)");
        self.entries(|entries| entries.insert(task.clone()));
        self.queue(task);
    }

    /// Queues the task that `key` names, unless it is queued (I1); in its turn, when that is over. Nobody if the key is
    /// stale (I4).
    #[inline]
    pub(crate) fn wake(&self, key: Key) -> Woken {
        if self.turn.get() == key {
            if self.after.get() != After::Sleep {
                return Woken::Ready;
            }
            self.after.set(After::Queue);
            return Woken::Asleep;
        }
        self.entries(|entries| match entries.get(key.index()) {
            Some(task) if task.key == key => match task.queued.get() {
                Queued::No => {
                    self.queue(task);
                    Woken::Asleep
                }
                Queued::Watched => {
                    self.queue(task);
                    Woken::Watched
                }
                Queued::Yes => Woken::Ready,
            },
            _ => Woken::Nobody,
        })
    }

    /// Gives those in line their turns, at most as many as are `left`, until one says stop. The last one taken off `left`
    /// nobody had.
    #[inline(always)] // one caller, the loop
    pub(crate) fn take_turns(&self, left: &Cell<u32>, mut turn: impl FnMut(&TaskRef, Key) -> Then) {
        assert!(self.turn.get() == Key::NONE, "a loop was run inside a poll of its own");
        self.after.set(After::Sleep); // the last turn may have ended in a panic
        while left.replace(left.get().wrapping_sub(1)) > 0 // now: the poll may panic
            && let Some(task) = self.pop()
        {
            let key = task.key;
            self.turn.set(key);
            match turn(&task, key) {
                Then::Sleep(reason) => task.link.set(ptr::without_provenance(reason as usize)),
                Then::Queue => {
                    self.after.set(After::Sleep);
                    self.queue(&task);
                }
                Then::Forget => {
                    self.turn.set(Key::NONE);
                    self.after.set(After::Sleep);
                    drop(self.entries(|entries| entries.remove(task.key.index())));
                }
                Then::Stop => break,
            }
        }
        self.turn.set(Key::NONE); // nothing foreign ran since it was somebody's
    }

    #[inline]
    pub(crate) fn begin_turn(&self, key: Key) {
        self.after.set(After::Sleep);
        self.turn.set(key);
    }

    /// Ends the turn of a task that was not taken from the line.
    pub(crate) fn end_turn(&self, task: &TaskRef, reason: u64) {
        self.turn.set(Key::NONE);
        if !task.is_queued() {
            task.link.set(ptr::without_provenance(reason as usize));
        }
        if matches!(self.after.get(), After::Queue | After::Cancel) {
            self.wake(task.key);
        }
    }

    /// Forgets an ended task. One that is in line is forgotten in its turn.
    #[inline]
    pub(crate) fn remove(&self, key: Key) {
        assert!(self.turn.get() == Key::NONE, "nobody leaves the table in a turn (C5)");
        let ended = self.entries(|entries| {
            let known = entries.get(key.index()).is_some_and(|task| task.key == key && !task.is_queued());
            known.then(|| entries.remove(key.index()))
        });
        drop(ended); // with nothing borrowed (I3)
    }

    /// Forgets them all.
    pub(crate) fn take(&self) -> Slab<TaskRef> {
        assert!(self.turn.get() == Key::NONE, "nobody leaves the table in a turn (C5)");
        self.first.set(None);
        self.entries(std::mem::take)
    }

    pub(crate) fn find(&self, key: Key) -> Option<TaskRef> {
        self.entries(|entries| entries.get(key.index()).filter(|task| task.key == key).cloned())
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.first.get().is_none()
    }

    /// How many are in line. Walks the table.
    pub(crate) fn ready(&self) -> usize {
        self.entries(|entries| entries.iter().filter(|(_, task)| task.is_queued()).count())
    }

    pub(crate) fn all(&self) -> Vec<TaskRef> {
        self.entries(|entries| entries.iter().map(|(_, task)| task.clone()).collect())
    }

    /// Asserts that the line holds exactly the tasks whose bit is set, each once (I1), and nobody from elsewhere (C5).
    #[cfg(test)]
    pub(crate) fn assert_line_agrees_with_the_bits(&self) {
        let all = self.all();
        let mut not_in_line: std::collections::HashMap<_, _> = all.iter().map(|task| (task.0, task)).collect();
        let mut next = self.first.get();
        while let Some(header) = next {
            let task = not_in_line.remove(&header).expect("who is in line is in the table, and once in line");
            assert!(task.is_queued(), "task {} is in line without its bit", task.id());
            next = NonNull::new(task.link.get().cast_mut());
        }
        for task in not_in_line.values() {
            assert!(!task.is_queued(), "task {} has its bit and is not in line", task.id());
        }
    }
}
