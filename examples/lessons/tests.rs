//! The lessons, word for word.
//! Each lesson's story is told as its program tells it, but on a paused clock: so it says the same at the same
//! millisecond each time, and takes no time. What stands here is also what to expect on a terminal, where the system's
//! clock makes every line a bit later.
//!
//! And each lesson is cut short, wherever that can be done (`cut_short`).
//!
//! Next: `event_loop_basics`, the first lesson.

#![allow(dead_code, reason = "the programs' `main`")]

use std::rc::Rc;
use std::sync::PoisonError;

use windlass::sync::{Mutex, Semaphore};
use windlass_examples::story::rehearse;

use cut_short::Telling;

mod backpressure;
mod batching;
mod cancel_and_timeout;
mod connection_pool;
mod cut_short;
mod event_loop_basics;
mod exceptions;
mod graceful_shutdown;
mod inspect_loop;
mod lock_and_event;
mod producer_consumer;
mod resilient_fetch;
mod semaphore;
mod task_creation;
mod task_group;

/// One story after the other: those that are cut short count the descriptors of the process.
static STAGE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// What the story says, if it comes to a good end, is what is expected.
#[track_caller]
fn says<E: std::fmt::Debug>(story: impl Future<Output = Result<(), E>> + 'static, expected: &str) {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let said = rehearse(async move { story.await.expect("the story comes to a good end") });
    assert!(said.trim_end() == expected.trim(), "it said:\n{said}");
}

#[test]
fn two_tasks_take_as_long_as_the_slower_one() {
    says(
        event_loop_basics::story(),
        "
0.000 s  task 1 begins
0.000 s  task 2 begins
0.500 s  task 2 is done
1.000 s  task 1 is done
1.000 s  results: [\"result 1\", \"result 2\"]
1.000 s  in all: 1.00s
",
    );
}

#[test]
fn a_loop_tells_who_is_there() {
    says(
        inspect_loop::story(),
        "
0.000 s  a loop runs on this thread: true
0.000 s  and on another: false
0.000 s  this is task 1 of its loop, called main
0.000 s  tasks: 5
0.000 s    1 curious: running
0.000 s    2 sleeper: waits for a timer
0.000 s    3 patient: waits for event 1 to be set
0.000 s    4 follower: waits for task 2 to end
0.000 s    5 newcomer: ready
0.000 s  tasks: 3
0.000 s    1 curious: running
0.000 s    2 sleeper: waits for a timer
0.000 s    4 follower: waits for task 2 to end
1.000 s  tasks: 1
1.000 s    1 curious: running
",
    );
}

#[test]
fn tasks_have_names_and_run_side_by_side() {
    says(
        task_creation::story(),
        "
0.000 s  three tasks are in line, none has begun
0.000 s  API-1: fetching https://api1.example
0.000 s  API-2: fetching https://api2.example
0.000 s  nobody waits for this, and it runs all the same
0.500 s  API-2: done with https://api2.example
1.000 s  API-1: done with https://api1.example
1.000 s  results: [\"data from https://api1.example\", \"data from https://api2.example\"]
",
    );
}

#[test]
fn a_cancelled_task_cleans_up_as_does_one_out_of_time_and_who_lost_a_race_is_dropped() {
    says(
        cancel_and_timeout::story(),
        "
0.000 s  == cancelled ==
0.000 s  work begins
2.000 s      cancelled: nobody needs it
2.250 s      cleaned up
2.250 s  it was cancelled
2.250 s  == out of time ==
2.250 s  work begins
4.250 s      cancelled: the time was up
4.500 s      cleaned up
4.500 s  it did not end: the time was up
4.500 s  == no longer needed ==
5.500 s      mirror 1 answers
5.500 s  the first answer: mirror 1
10.500 s  and no other
",
    );
}

#[test]
fn one_failure_among_three_stays_in_its_place() {
    says(
        exceptions::story(),
        "
0.000 s  == in the order of the tasks ==
0.300 s  task 1: value of 1
0.300 s  task 2: failed, 2 is unlucky
0.300 s  task 3: value of 3
0.300 s  == as they end ==
0.400 s  success: value of 3
0.500 s  failure: 2 is unlucky
0.600 s  success: value of 1
0.600 s  == the first failure is enough ==
0.800 s  failure: 2 is unlucky, and 1 is still at work
0.800 s  == a panic ==
0.800 s  it panicked: true
0.800 s  and the loop goes on
",
    );
}

#[test]
fn a_group_succeeds_together_or_is_cancelled_together() {
    says(
        task_group::story(),
        "
0.000 s  == all succeed ==
0.000 s  fetching 1
0.000 s  fetching 2
0.000 s  fetching 3
0.500 s    data from 1
0.500 s    data from 2
0.500 s    data from 3
0.500 s  == two fail ==
0.500 s  fetching 4
0.500 s  fetching 5
0.500 s  fetching 6
0.800 s  4 is asked to stop
0.800 s  6 is asked to stop
0.900 s    failed: no answer from 5
0.900 s    failed: the clean-up of 6
",
    );
}

#[test]
fn workers_get_the_time_to_clean_up() {
    says(
        graceful_shutdown::story(),
        "
0.000 s  == by hand ==
0.000 s  worker 7: works
0.500 s  worker 7: cleans up
0.500 s  stubborn: cleans up, and takes its time
1.000 s  worker 7: ends
1.500 s  1 ended in time, 1 did not
1.500 s  == by a token ==
1.800 s  clerk 0: serves a customer
2.100 s  clerk 1: serves a customer
3.100 s  clerk 0: serves a customer
3.500 s  the door is closed, 2 clerks are here
3.500 s  clerk 1: goes home
4.100 s  clerk 0: goes home
4.100 s  == by a registry ==
4.100 s  brief: has nothing to do, and leaves
4.100 s  worker 0: works
4.100 s  worker 1: works
4.100 s  worker 2: works
5.100 s  worker 0: works
5.100 s  worker 1: works
5.100 s  worker 2: works
6.100 s  worker 0: works
6.100 s  worker 1: works
6.100 s  worker 2: works
6.600 s  told to stop: 4 tasks are here
6.600 s  worker 0: cleans up
6.600 s  worker 1: cleans up
6.600 s  worker 2: cleans up
6.600 s  stubborn: cleans up, and takes its time
7.100 s  worker 0: ends
7.100 s  worker 1: ends
7.100 s  worker 2: ends
7.600 s  3 tasks ended; dropped: stubborn
",
    );
}

#[test]
fn the_producer_waits_from_the_high_mark_to_the_low_one() {
    says(
        backpressure::story(),
        "
0.000 s  300 items: one a millisecond comes in, one in five goes out
0.099 s  80 in the queue: the producer pauses
0.395 s  21 in the queue, the new one included: the producer goes on
0.468 s  80 in the queue: the producer pauses
0.765 s  21 in the queue, the new one included: the producer goes on
0.838 s  80 in the queue: the producer pauses
1.135 s  21 in the queue, the new one included: the producer goes on
1.187 s  the producer has nothing more
1.500 s  300 produced, 300 consumed, 3 pauses
",
    );
}

#[test]
fn ten_seconds_of_work_three_at_a_time_take_four() {
    says(
        semaphore::story(),
        "
0.000 s  fetching https://example.com/page0
0.000 s  fetching https://example.com/page1
0.000 s  fetching https://example.com/page2
1.000 s  done     https://example.com/page0
1.000 s  done     https://example.com/page1
1.000 s  done     https://example.com/page2
1.000 s  fetching https://example.com/page3
1.000 s  fetching https://example.com/page4
1.000 s  fetching https://example.com/page5
2.000 s  done     https://example.com/page3
2.000 s  done     https://example.com/page4
2.000 s  done     https://example.com/page5
2.000 s  fetching https://example.com/page6
2.000 s  fetching https://example.com/page7
2.000 s  fetching https://example.com/page8
3.000 s  done     https://example.com/page6
3.000 s  done     https://example.com/page7
3.000 s  done     https://example.com/page8
3.000 s  fetching https://example.com/page9
4.000 s  done     https://example.com/page9
4.000 s  10 pages in 4.0s
4.000 s  the last: data from https://example.com/page9
4.000 s  3 permits, as before
",
    );
}

#[test]
fn a_mutex_keeps_increments_apart_and_an_event_lets_all_go() {
    says(
        lock_and_event::story(),
        "
0.000 s  == a mutex ==
0.000 s  worker 0: it is 0
0.100 s  worker 0: now it is 1
0.100 s  worker 1: it is 1
0.200 s  worker 1: now it is 2
0.200 s  worker 2: it is 2
0.300 s  worker 2: now it is 3
0.300 s  worker 3: it is 3
0.400 s  worker 3: now it is 4
0.400 s  worker 4: it is 4
0.500 s  worker 4: now it is 5
0.500 s  in the end: 5
0.500 s  == an event ==
0.500 s  the event will be in two seconds
0.500 s  worker 0: waits for the event
0.500 s  worker 1: waits for the event
0.500 s  worker 2: waits for the event
2.500 s  worker 0: it has happened, to work!
2.500 s  worker 1: it has happened, to work!
2.500 s  worker 2: it has happened, to work!
",
    );
}

#[test]
fn every_item_finds_a_consumer_and_everybody_goes_home() {
    says(
        producer_consumer::story(),
        "
0.000 s  producer 0: P0-item0
0.000 s  producer 1: P1-item0
0.000 s      consumer 0: begins P0-item0
0.000 s      consumer 1: begins P1-item0
0.130 s  producer 0: P0-item1
0.130 s      consumer 2: begins P0-item1
0.370 s      consumer 2: has done P0-item1
0.410 s  producer 1: P1-item1
0.410 s      consumer 2: begins P1-item1
0.570 s      consumer 0: has done P0-item0
0.570 s      consumer 1: has done P1-item0
0.580 s  producer 0: P0-item2
0.580 s  producer 1: P1-item2
0.580 s      consumer 0: begins P0-item2
0.580 s      consumer 1: begins P1-item2
0.650 s      consumer 2: has done P1-item1
0.830 s  producer 0: P0-item3
0.830 s      consumer 2: begins P0-item3
0.870 s  producer 1: P1-item3
0.960 s      consumer 0: has done P0-item2
0.960 s      consumer 0: begins P1-item3
0.960 s      consumer 1: has done P1-item2
1.150 s  producer 0: P0-item4
1.150 s      consumer 1: begins P0-item4
1.230 s  producer 1: P1-item4
1.340 s      consumer 2: has done P0-item3
1.340 s      consumer 2: begins P1-item4
1.450 s  all is produced
1.470 s      consumer 0: has done P1-item3
1.480 s      consumer 1: has done P0-item4
1.670 s      consumer 2: has done P1-item4
1.670 s  all is consumed
1.670 s  10 items, and everybody has gone home
",
    );
}

#[test]
fn fifteen_requests_go_over_five_connections() {
    says(
        connection_pool::story(),
        "
0.000 s  15 requests, at most 5 connections to a host
0.500 s  5 requests are under way, 10 wait in line
1.500 s  5 requests are under way, 5 wait in line
2.500 s  5 requests are under way, 0 wait in line
3.000 s  15 of 15 succeeded, 195 bytes, in 3.0s
3.000 s  5 connections opened, 10 requests went over a used one
",
    );
}

#[test]
fn twenty_items_go_in_four_batches_three_wait_for_company_and_one_batch_fails() {
    says(
        batching::story(),
        "
0.000 s  twenty callers, each with an item
0.000 s  processing a batch of 5: [0, 1, 2, 3, 4]
0.500 s  processing a batch of 5: [5, 6, 7, 8, 9]
1.000 s  processing a batch of 5: [10, 11, 12, 13, 14]
1.500 s  processing a batch of 5: [15, 16, 17, 18, 19]
2.000 s  20 results, such as [\"row 0\", \"row 1\", \"row 2\"]
2.000 s  three more, and nobody after them
2.500 s  processing a batch of 3: [20, 21, 22]
3.000 s  3 results: [\"row 20\", \"row 21\", \"row 22\"]
3.000 s  four more; the first gives up, the last asks for what is not there
3.100 s  the first: no answer in time
3.500 s  processing a batch of 3: [24, 25, 26]
4.000 s  24: failed, batch: there is no row 26
4.000 s  25: failed, batch: there is no row 26
4.000 s  26: failed, batch: there is no row 26
4.000 s  batches: 6, of which failed: 1
4.000 s  items: 26, and left out: 1
",
    );
}

#[test]
fn what_may_succeed_is_tried_again_and_what_will_not_is_not() {
    says(
        resilient_fetch::story(),
        "
0.000 s  attempt 1/3: https://fast.example
0.000 s  attempt 1/3: https://slow.example
0.000 s  attempt 1/3: https://very-slow.example
0.000 s  attempt 1/3: https://gone.example
0.500 s      https://slow.example: status 503, once more in 500ms
0.500 s      https://gone.example: status 404, giving up
1.000 s      https://very-slow.example: no answer in time, once more in 500ms
1.000 s  attempt 2/3: https://slow.example
1.500 s  attempt 2/3: https://very-slow.example
2.000 s      https://slow.example: no answer in time, once more in 1s
2.500 s      https://very-slow.example: no answer in time, once more in 1s
3.000 s  attempt 3/3: https://slow.example
3.500 s  attempt 3/3: https://very-slow.example
4.500 s      https://very-slow.example: no answer in time, giving up
4.500 s  all is over after 4.5s
4.500 s  https://fast.example: data from https://fast.example
4.500 s  https://slow.example: data from https://slow.example
4.500 s  https://very-slow.example: AttemptsExhausted after 3 attempts
4.500 s  https://gone.example: NotRetryable after 1 attempts
",
    );
}

/// Cut short wherever it can be, a lesson leaves nothing behind.
macro_rules! cut_short_anywhere {
    ($($lesson:ident)*) => {
        mod cut_short_anywhere_nothing_is_left_of {
            $(#[test]
            fn $lesson() {
                super::leaves_nothing(|| super::Telling::new(super::$lesson::story(), || {}));
            })*
        }
    };
}

cut_short_anywhere! {
    event_loop_basics
    inspect_loop
    task_creation
    cancel_and_timeout
    exceptions
    task_group
    graceful_shutdown
    backpressure
    semaphore
    lock_and_event
    producer_consumer
    connection_pool
    batching
    resilient_fetch
}

#[test]
fn permits_are_as_many_as_before_wherever_the_fetches_are_cut_short() {
    leaves_nothing(|| {
        let semaphore = Rc::new(Semaphore::new(3));
        let fetches = semaphore::fetch_all(Rc::clone(&semaphore));
        Telling::new(fetches, move || assert_eq!(semaphore.available_permits(), 3))
    });
}

#[test]
fn the_mutex_is_free_wherever_the_increments_are_cut_short() {
    leaves_nothing(|| {
        let value = Rc::new(Mutex::new(0));
        let increments = lock_and_event::increments(Rc::clone(&value));
        Telling::new(increments, move || assert!(*value.try_lock().expect("nobody holds it") <= 5))
    });
}

#[track_caller]
fn leaves_nothing(lesson: impl Fn() -> Telling) {
    let _alone = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    cut_short::anywhere(lesson);
}
