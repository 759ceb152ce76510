//! Every interleaving of senders and a receiver, and of a task's end and who waits for it. Run as those of the inbox are.

use std::task::Wake;

use loom::sync::Notify;
use loom::thread;

use super::*;

/// A waker on whose wake a model's thread sleeps. A wake that is lost leaves it asleep, which loom reports.
struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

fn wait_for<F: Future>(future: F) -> F::Output {
    let bell = Arc::new(Bell(Notify::new()));
    let waker = Waker::from(bell.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        bell.0.wait();
    }
}

#[test]
fn loom_a_value_sent_while_the_receiver_goes_to_sleep_wakes_it() {
    loom::model(|| {
        let (sender, mut receiver) = channel(1);
        let thread = thread::spawn(move || sender.try_send(7).unwrap());
        assert_eq!(wait_for(receiver.recv()), Some(7));
        assert_eq!(wait_for(receiver.recv()), None);
        thread.join().unwrap();
    });
}

#[test]
fn loom_two_senders_who_wait_for_one_place_both_get_it() {
    loom::model(|| {
        let (sender, mut receiver) = channel(1);
        let threads = [1, 2].map(|value| {
            let sender = sender.clone();
            thread::spawn(move || wait_for(sender.send(value)).unwrap())
        });
        drop(sender);
        let sum = wait_for(receiver.recv()).unwrap() + wait_for(receiver.recv()).unwrap();
        assert_eq!(sum, 3);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn loom_a_sender_is_let_go_by_a_receiver_that_goes_and_has_its_value_back() {
    loom::model(|| {
        let (sender, receiver) = channel(1);
        sender.try_send(1).unwrap();
        let thread = thread::spawn(move || wait_for(sender.send(2)));
        drop(receiver);
        assert_eq!(thread.join().unwrap(), Err(SendError(2)));
    });
}

#[test]
fn loom_a_promise_that_is_dropped_while_somebody_goes_to_sleep_for_it_wakes_him() {
    loom::model(|| {
        let (handle, promise) = handle::new::<()>(std::thread::current().id(), Location::caller());
        let thread = thread::spawn(move || drop(promise));
        assert!(wait_for(handle).unwrap_err().is_cancelled());
        thread.join().unwrap();
    });
}
