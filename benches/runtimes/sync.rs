//! What tasks coordinate with, library by library.
//!
//! The primitives are not bound to a runtime, so each library says on which one its rows run: its own, or the baseline's.
//! A trait for each primitive, so that a library that lacks one has no row for it, and no stand-in.
//!
//! ```text
//!                      windlass::sync   tokio::sync    smol (async-lock, -channel)   local-sync
//!      Semaphores           x                x                    x                      x
//!      Mutexes              x                x                    x
//!      Channels             x                x                    x                      x
//!      Oneshots             x                x             a channel for one             x
//!      Notifies             x                x
//!      JoinSets             x                x
//! ```
//!
//! local-sync is for one thread, as ours is; it has no executor, and runs on tokio's.
//!
//! Next: `work::sync`.

use std::fmt::Debug;
use std::future::Future;
use std::ops::DerefMut;

use super::{LocalRuntime, Runtime, Smol, Windlass};

/// The primitives of one library.
pub(crate) trait Library: 'static {
    /// Where its rows run.
    type On: Runtime;
}

/// Permits; dropping one gives it back.
pub(crate) trait Semaphores: Library {
    type Semaphore: 'static;
    fn semaphore(permits: usize) -> Self::Semaphore;
    fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output = impl Sized>;
}

/// One at a time; dropping the guard unlocks.
pub(crate) trait Mutexes: Library {
    type Mutex: 'static;
    fn mutex(value: u64) -> Self::Mutex;
    fn lock(mutex: &Self::Mutex) -> impl Future<Output = impl DerefMut<Target = u64>>;
}

/// Many send, one receives; with a bound and without.
pub(crate) trait Channels: Library {
    type Sender: 'static;
    type Receiver: 'static;
    type UnboundedSender: 'static;
    type UnboundedReceiver: 'static;
    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver);
    fn send(sender: &Self::Sender, value: u64) -> impl Future<Output = Result<(), impl Debug>>;
    /// None once the sender is gone.
    fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = Option<u64>>;
    fn unbounded() -> (Self::UnboundedSender, Self::UnboundedReceiver);
    fn send_now(sender: &Self::UnboundedSender, value: u64) -> Result<(), impl Debug>;
    /// None once the sender is gone.
    fn receive_unbounded(receiver: &mut Self::UnboundedReceiver) -> impl Future<Output = Option<u64>>;
}

/// One value, once.
pub(crate) trait Oneshots: Library {
    type Sender: 'static;
    type Receiver: 'static;
    fn oneshot() -> (Self::Sender, Self::Receiver);
    fn answer(sender: Self::Sender, value: u64);
    fn hear(receiver: Self::Receiver) -> impl Future<Output = Result<u64, impl Debug>>;
}

/// Somebody is told to look; if nobody waits, the next who asks is.
pub(crate) trait Notifies: Library {
    type Notify: 'static;
    fn notify() -> Self::Notify;
    fn tell(notify: &Self::Notify);
    /// Tells all who wait.
    fn tell_all(notify: &Self::Notify);
    fn told(notify: &Self::Notify) -> impl Future<Output = ()>;
}

/// Tasks that are joined in the order in which they end.
pub(crate) trait JoinSets: Library {
    type Set: 'static;
    fn set() -> Self::Set;
    fn spawn(set: &mut Self::Set, future: impl Future<Output = u64> + 'static);
    /// None once the set is empty.
    fn join_next(set: &mut Self::Set) -> impl Future<Output = Option<Result<u64, impl Debug>>>;
}

impl Library for Windlass {
    type On = Windlass;
}

impl Library for LocalRuntime {
    type On = LocalRuntime;
}

/// Windlass and tokio name nearly everything alike, and so they are one source.
macro_rules! alike {
    (
        $library:ident, $sync:path, $task:path,
        unbounded: $unbounded:ident, $send_now:ident, $tx:ident, $rx:ident,
        spawn: $spawn:ident
    ) => {
        const _: () = {
            use $sync as sync;
            use $task as task;

            impl Semaphores for $library {
                type Semaphore = sync::Semaphore;

                fn semaphore(permits: usize) -> sync::Semaphore {
                    sync::Semaphore::new(permits)
                }

                fn acquire(semaphore: &sync::Semaphore) -> impl Future<Output = impl Sized> {
                    semaphore.acquire()
                }
            }

            impl Mutexes for $library {
                type Mutex = sync::Mutex<u64>;

                fn mutex(value: u64) -> sync::Mutex<u64> {
                    sync::Mutex::new(value)
                }

                fn lock(mutex: &sync::Mutex<u64>) -> impl Future<Output = impl DerefMut<Target = u64>> {
                    mutex.lock()
                }
            }

            impl Channels for $library {
                type Sender = sync::mpsc::Sender<u64>;
                type Receiver = sync::mpsc::Receiver<u64>;
                type UnboundedSender = sync::mpsc::$tx<u64>;
                type UnboundedReceiver = sync::mpsc::$rx<u64>;

                fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
                    sync::mpsc::channel(capacity)
                }

                fn send(sender: &Self::Sender, value: u64) -> impl Future<Output = Result<(), impl Debug>> {
                    sender.send(value)
                }

                fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = Option<u64>> {
                    receiver.recv()
                }

                fn unbounded() -> (Self::UnboundedSender, Self::UnboundedReceiver) {
                    sync::mpsc::$unbounded()
                }

                fn send_now(sender: &Self::UnboundedSender, value: u64) -> Result<(), impl Debug> {
                    sender.$send_now(value)
                }

                fn receive_unbounded(receiver: &mut Self::UnboundedReceiver) -> impl Future<Output = Option<u64>> {
                    receiver.recv()
                }
            }

            impl Oneshots for $library {
                type Sender = sync::oneshot::Sender<u64>;
                type Receiver = sync::oneshot::Receiver<u64>;

                fn oneshot() -> (Self::Sender, Self::Receiver) {
                    sync::oneshot::channel()
                }

                fn answer(sender: Self::Sender, value: u64) {
                    sender.send(value).expect(LISTENS);
                }

                fn hear(receiver: Self::Receiver) -> impl Future<Output = Result<u64, impl Debug>> {
                    receiver
                }
            }

            impl Notifies for $library {
                type Notify = sync::Notify;

                fn notify() -> sync::Notify {
                    sync::Notify::new()
                }

                fn tell(notify: &sync::Notify) {
                    notify.notify_one();
                }

                fn tell_all(notify: &sync::Notify) {
                    notify.notify_waiters();
                }

                fn told(notify: &sync::Notify) -> impl Future<Output = ()> {
                    notify.notified()
                }
            }

            impl JoinSets for $library {
                type Set = task::JoinSet<u64>;

                fn set() -> task::JoinSet<u64> {
                    task::JoinSet::new()
                }

                fn spawn(set: &mut task::JoinSet<u64>, future: impl Future<Output = u64> + 'static) {
                    set.$spawn(future);
                }

                fn join_next(set: &mut task::JoinSet<u64>) -> impl Future<Output = Option<Result<u64, impl Debug>>> {
                    set.join_next()
                }
            }
        };
    };
}

alike!(
    Windlass, windlass::sync, windlass::task,
    unbounded: unbounded, try_send, Sender, Receiver,
    spawn: spawn
);
alike!(
    LocalRuntime, tokio::sync, tokio::task,
    unbounded: unbounded_channel, send, UnboundedSender, UnboundedReceiver,
    spawn: spawn_local
);

const LISTENS: &str = "whoever asked listens";

impl Library for Smol {
    type On = Smol;
}

impl Semaphores for Smol {
    type Semaphore = smol::lock::Semaphore;

    fn semaphore(permits: usize) -> Self::Semaphore {
        smol::lock::Semaphore::new(permits)
    }

    fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output = impl Sized> {
        semaphore.acquire()
    }
}

impl Mutexes for Smol {
    type Mutex = smol::lock::Mutex<u64>;

    fn mutex(value: u64) -> Self::Mutex {
        smol::lock::Mutex::new(value)
    }

    fn lock(mutex: &Self::Mutex) -> impl Future<Output = impl DerefMut<Target = u64>> {
        mutex.lock()
    }
}

impl Channels for Smol {
    type Sender = smol::channel::Sender<u64>;
    type Receiver = smol::channel::Receiver<u64>;
    type UnboundedSender = smol::channel::Sender<u64>;
    type UnboundedReceiver = smol::channel::Receiver<u64>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        smol::channel::bounded(capacity)
    }

    fn send(sender: &Self::Sender, value: u64) -> impl Future<Output = Result<(), impl Debug>> {
        sender.send(value)
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await.ok()
    }

    fn unbounded() -> (Self::UnboundedSender, Self::UnboundedReceiver) {
        smol::channel::unbounded()
    }

    fn send_now(sender: &Self::UnboundedSender, value: u64) -> Result<(), impl Debug> {
        sender.try_send(value)
    }

    async fn receive_unbounded(receiver: &mut Self::UnboundedReceiver) -> Option<u64> {
        receiver.recv().await.ok()
    }
}

/// It has none; what its users take is a channel with room for one.
impl Oneshots for Smol {
    type Sender = smol::channel::Sender<u64>;
    type Receiver = smol::channel::Receiver<u64>;

    fn oneshot() -> (Self::Sender, Self::Receiver) {
        smol::channel::bounded(1)
    }

    fn answer(sender: Self::Sender, value: u64) {
        sender.try_send(value).expect(LISTENS);
    }

    async fn hear(receiver: Self::Receiver) -> Result<u64, impl Debug> {
        receiver.recv().await
    }
}

/// The crate local-sync.
pub(crate) struct LocalSync;

impl Library for LocalSync {
    type On = LocalRuntime;
}

impl Semaphores for LocalSync {
    type Semaphore = local_sync::semaphore::Semaphore;

    fn semaphore(permits: usize) -> Self::Semaphore {
        local_sync::semaphore::Semaphore::new(permits)
    }

    fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output = impl Sized> {
        semaphore.acquire()
    }
}

impl Channels for LocalSync {
    type Sender = local_sync::mpsc::bounded::Tx<u64>;
    type Receiver = local_sync::mpsc::bounded::Rx<u64>;
    type UnboundedSender = local_sync::mpsc::unbounded::Tx<u64>;
    type UnboundedReceiver = local_sync::mpsc::unbounded::Rx<u64>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        local_sync::mpsc::bounded::channel(capacity)
    }

    fn send(sender: &Self::Sender, value: u64) -> impl Future<Output = Result<(), impl Debug>> {
        sender.send(value)
    }

    fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = Option<u64>> {
        receiver.recv()
    }

    fn unbounded() -> (Self::UnboundedSender, Self::UnboundedReceiver) {
        local_sync::mpsc::unbounded::channel()
    }

    fn send_now(sender: &Self::UnboundedSender, value: u64) -> Result<(), impl Debug> {
        sender.send(value)
    }

    fn receive_unbounded(receiver: &mut Self::UnboundedReceiver) -> impl Future<Output = Option<u64>> {
        receiver.recv()
    }
}

impl Oneshots for LocalSync {
    type Sender = local_sync::oneshot::Sender<u64>;
    type Receiver = local_sync::oneshot::Receiver<u64>;

    fn oneshot() -> (Self::Sender, Self::Receiver) {
        local_sync::oneshot::channel()
    }

    fn answer(sender: Self::Sender, value: u64) {
        sender.send(value).expect(LISTENS);
    }

    fn hear(receiver: Self::Receiver) -> impl Future<Output = Result<u64, impl Debug>> {
        receiver
    }
}
