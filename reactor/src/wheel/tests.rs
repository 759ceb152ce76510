//! What the wheel promises, one fact a test; at the end, random histories against a model that cannot be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use super::*;

/// A waker that writes its number into a log that all of a test share.
struct Numbered {
    number: u32,
    log: Arc<Mutex<Vec<u32>>>,
}

impl Wake for Numbered {
    fn wake(self: Arc<Self>) {
        self.log.lock().unwrap().push(self.number);
    }
}

/// A wheel whose timers have numbers.
struct Bench {
    wheel: Wheel,
    log: Arc<Mutex<Vec<u32>>>,
}

impl Bench {
    fn new(now: u64) -> Bench {
        Bench { wheel: Wheel::new(now), log: Arc::default() }
    }

    fn waker(&self, number: u32) -> Waker {
        Waker::from(Arc::new(Numbered { number, log: Arc::clone(&self.log) }))
    }

    fn insert(&mut self, deadline: u64, number: u32) -> TimerKey {
        let waker = self.waker(number);
        self.wheel.insert(deadline, waker)
    }

    fn insert_undated(&mut self, duration: u64, number: u32) -> TimerKey {
        let waker = self.waker(number);
        self.wheel.insert_undated(duration, waker)
    }

    fn number_of(&self, waker: Waker) -> u32 {
        waker.wake();
        self.log.lock().unwrap().pop().expect("the waker has just written its number")
    }

    fn cancel(&mut self, key: TimerKey) -> Option<u32> {
        let waker = self.wheel.cancel(key)?;
        Some(self.number_of(waker))
    }

    /// Advances, wakes, and returns who was woken.
    fn advance(&mut self, now: u64) -> Vec<u32> {
        let mut fired = Vec::new();
        self.wheel.advance(now, &mut fired);
        for timer in fired {
            timer.waker.wake();
        }
        std::mem::take(&mut self.log.lock().unwrap())
    }

    /// Lets it sleep from deadline to deadline until nothing asks for a wake-up; returns how often it woke.
    fn run_dry(&mut self) -> usize {
        let mut turns = 0;
        while let Some(deadline) = self.wheel.next_deadline() {
            self.advance(deadline);
            turns += 1;
            assert!(turns <= 100_000, "the wheel spins at {deadline}");
        }
        turns
    }
}

/// Walks all lists and holds them against all that the fields claim.
fn check(wheel: &Wheel) {
    let mut seen = 0;
    for (index, slot) in wheel.slots.iter().enumerate() {
        let bit = wheel.occupied[index / SLOTS] >> (index % SLOTS) & 1;
        assert_eq!(bit == 1, slot.head != NIL, "occupied bit of slot {index}");
        assert!(slot.head != NIL || slot.earliest == u64::MAX, "empty slot {index} has a deadline");
        let (mut prev, mut next) = (NIL, slot.head);
        while next != NIL {
            let entry = &wheel.entries[next as usize];
            assert_eq!(entry.prev, prev);
            assert_eq!(usize::from(entry.place), index);
            let place = if index == UNDATED { UNDATED } else { wheel.place(entry.deadline) };
            assert_eq!(place, index, "{:#x} at {:#x}", entry.deadline, wheel.now);
            assert!(slot.earliest <= entry.deadline);
            (prev, next) = (next, entry.next);
            seen += 1;
        }
        assert_eq!(slot.tail, prev);
    }
    assert_eq!(seen, wheel.len());
    let mut next = wheel.vacant;
    while next != NIL {
        let entry = &wheel.entries[next as usize];
        assert!(entry.waker.is_none());
        next = entry.next;
        seen += 1;
    }
    assert_eq!(seen, wheel.entries.len(), "every entry is in one list");
}

/// Times at which a wheel could trip: around every level boundary, and where others have tripped.
fn awkward_times() -> Vec<u64> {
    let mut times = vec![0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX, 0xdead_beef_cafe_f00d];
    for level in 0..=LEVELS as u32 {
        let width = 1u64.checked_shl(GRAIN_BITS + level * DIGIT_BITS).unwrap_or(u64::MAX);
        times.extend([width - 1, width, width.saturating_add(1)]);
    }
    for bit in [36, 42] {
        times.extend([(1 << bit) - 1, 1 << bit, (1 << bit) + 1]);
    }
    times.sort_unstable();
    times.dedup();
    times
}

#[test]
fn an_entry_has_40_bytes_and_a_key_8() {
    assert_eq!(size_of::<Entry>(), 40);
    assert_eq!(size_of::<TimerKey>(), 8);
    assert_eq!(size_of::<Slot>(), 16);
}

#[test]
fn a_timer_fires_at_its_deadline_and_not_a_nanosecond_before_from_any_time_to_any_other() {
    for &start in &awkward_times() {
        for &deadline in awkward_times().iter().filter(|&&deadline| deadline > start) {
            let mut bench = Bench::new(start);
            let key = bench.insert(deadline, 7);
            check(&bench.wheel);
            assert_eq!(bench.wheel.next_deadline(), (deadline != u64::MAX).then_some(deadline));
            assert_eq!(bench.advance(deadline - 1), [], "early: from {start:#x} to {deadline:#x}");
            check(&bench.wheel);
            assert!(bench.wheel.is_pending(key));
            assert_eq!(bench.advance(deadline), [7], "missed: from {start:#x} to {deadline:#x}");
            assert!(!bench.wheel.is_pending(key));
            assert!(bench.wheel.is_empty());
            check(&bench.wheel);
        }
    }
}

#[test]
fn a_timer_fires_in_one_leap_and_in_leaps_from_one_awkward_time_to_the_next() {
    for &start in &awkward_times() {
        for &deadline in awkward_times().iter().filter(|&&deadline| deadline > start) {
            let mut leaping = Bench::new(start);
            leaping.insert(deadline, 1);
            assert_eq!(leaping.advance(u64::MAX), [1]);

            let mut hopping = Bench::new(start);
            hopping.insert(deadline, 1);
            for &stop in awkward_times().iter().filter(|&&stop| stop > start) {
                let expected: &[u32] = if stop == deadline { &[1] } else { &[] };
                assert_eq!(hopping.advance(stop), expected, "from {start:#x} to {deadline:#x}, at {stop:#x}");
                check(&hopping.wheel);
            }
        }
    }
}

#[test]
fn deadlines_just_before_at_and_just_after_now_fire_in_turn() {
    for now in awkward_times() {
        if now == 0 || now == u64::MAX {
            continue;
        }
        let mut bench = Bench::new(0);
        bench.advance(now);
        bench.insert(now + 1, 3);
        bench.insert(now, 2);
        bench.insert(now - 1, 1);
        check(&bench.wheel);
        assert_eq!(bench.wheel.next_deadline(), Some(now - 1));
        assert_eq!(bench.advance(now), [1, 2]);
        assert_eq!(bench.advance(now), []);
        assert_eq!(bench.advance(now + 1), [3]);
    }
}

#[test]
fn a_deadline_that_has_passed_fires_at_the_next_advance() {
    let mut bench = Bench::new(1 << 50);
    bench.insert(5, 1);
    assert_eq!(bench.wheel.next_deadline(), Some(5));
    assert_eq!(bench.advance(1 << 50), [1]);
}

#[test]
fn a_clock_that_goes_back_fires_what_is_due_and_nothing_early() {
    let mut bench = Bench::new(0);
    bench.advance(10_000_000_000);
    bench.insert(7_000_000_000, 1);
    let key = bench.insert(10_000_000_001, 2);
    assert_eq!(bench.advance(5_000_000_000), [1]);
    check(&bench.wheel);
    assert_eq!(bench.wheel.now, 10_000_000_000);
    assert!(bench.wheel.is_pending(key));
    assert_eq!(bench.advance(9_999_999_999), []);
    assert_eq!(bench.advance(10_000_000_001), [2]);
}

#[test]
fn never_asks_for_no_wake_up_and_can_be_cancelled() {
    let mut bench = Bench::new(0);
    let key = bench.insert(u64::MAX, 1);
    assert_eq!(bench.wheel.next_deadline(), None);
    assert_eq!(bench.advance(u64::MAX - 1), []);
    assert_eq!(bench.wheel.next_deadline(), None);
    assert_eq!(bench.cancel(key), Some(1));
    assert!(bench.wheel.is_empty());
}

#[test]
fn never_comes_at_the_end_of_time() {
    let mut bench = Bench::new(0);
    bench.insert(u64::MAX, 1);
    assert_eq!(bench.advance(u64::MAX), [1]);
    bench.insert(u64::MAX, 2);
    assert_eq!(bench.advance(u64::MAX), [2]);
}

#[test]
fn a_never_that_was_cancelled_leaves_the_next_timer_alone() {
    let mut bench = Bench::new(0);
    for round in 0..1_000 {
        let never = bench.insert(u64::MAX, 1);
        let deadline = round * 5_000_000;
        let key = bench.insert(deadline, 2);
        assert_eq!(bench.cancel(never), Some(1));
        assert_eq!(bench.wheel.next_deadline(), Some(deadline));
        assert_eq!(bench.advance(deadline), [2]);
        assert!(!bench.wheel.is_pending(key));
    }
}

#[test]
fn cancelling_returns_the_waker_once() {
    let mut bench = Bench::new(0);
    let key = bench.insert(1_000, 9);
    assert_eq!(bench.cancel(key), Some(9));
    assert_eq!(bench.cancel(key), None);
    assert_eq!(bench.wheel.next_deadline(), None);
    assert_eq!(bench.advance(u64::MAX), []);
    check(&bench.wheel);
}

#[test]
fn cancelling_after_the_timer_has_fired_does_nothing() {
    let mut bench = Bench::new(0);
    let key = bench.insert(1_000, 9);
    assert_eq!(bench.advance(1_000), [9]);
    assert_eq!(bench.cancel(key), None);
    check(&bench.wheel);
}

#[test]
fn any_timer_of_a_slot_can_be_cancelled_first_middle_last_and_all() {
    for cancelled in 0..8u32 {
        let mut bench = Bench::new(0);
        let keys: Vec<_> = (0..3).map(|number| bench.insert(1 << 30, number)).collect();
        for number in (0..3).filter(|number| cancelled >> number & 1 == 1) {
            assert_eq!(bench.cancel(keys[number as usize]), Some(number));
            check(&bench.wheel);
        }
        let left: Vec<u32> = (0..3).filter(|number| cancelled >> number & 1 == 0).collect();
        assert_eq!(bench.advance(1 << 30), left);
    }
}

#[test]
fn a_key_whose_entry_was_given_to_another_timer_is_stale() {
    let mut bench = Bench::new(0);
    let fired = bench.insert(10, 1);
    bench.advance(10);
    let cancelled = bench.insert(20, 2);
    bench.cancel(cancelled);
    let live = bench.insert(30, 3);
    assert_eq!((fired.index, cancelled.index), (live.index, live.index), "the entry was used again");
    let stranger = bench.waker(4);
    for stale in [fired, cancelled] {
        assert!(!bench.wheel.is_pending(stale));
        assert!(bench.wheel.waker(stale).is_none());
        assert_eq!(bench.cancel(stale), None);
        let back = bench.wheel.swap_waker(stale, stranger.clone()).expect_err("a stale key has no waker");
        assert!(back.will_wake(&stranger));
    }
    assert_eq!(bench.advance(30), [3]);
}

#[test]
fn a_timer_that_is_reset_after_it_fired_unread_fires_once_more_and_spares_the_next_owner_of_its_entry() {
    // The first timer's entry goes to another before its owner looks at its key.
    let mut bench = Bench::new(0);
    let first = bench.insert(10, 1);
    assert_eq!(bench.advance(10), [1]);
    let other = bench.insert(25, 2);
    assert_eq!(other.index, first.index);
    assert!(!bench.wheel.reset(first, 20));
    bench.insert(20, 1);
    assert_eq!(bench.advance(20), [1]);
    assert!(bench.wheel.is_pending(other));
    assert_eq!(bench.advance(30), [2]);
}

#[test]
fn generations_wrap_around_without_mixing_up_neighbours() {
    let mut bench = Bench::new(0);
    for number in 0..4 {
        bench.insert(0, number);
    }
    bench.advance(0);
    for entry in &mut bench.wheel.entries {
        entry.generation = u32::MAX;
    }
    let keys: Vec<_> = (0..4).map(|number| bench.insert(1_000, number)).collect();
    assert_eq!(bench.cancel(keys[1]), Some(1));
    let again = bench.insert(1_000, 4);
    assert_eq!((again.index, again.generation), (keys[1].index, 0));
    assert_eq!(bench.cancel(keys[1]), None);
    assert_eq!(bench.advance(1_000), [0, 2, 3, 4], "order of insertion, also where the generation wraps");
}

#[test]
fn a_woken_task_may_cancel_itself_the_next_in_its_slot_and_one_in_another_level() {
    let mut bench = Bench::new(0);
    let fires = bench.insert(100, 1);
    let next_in_slot = bench.insert(200, 2);
    let bystander = bench.insert(300, 3);
    let in_another_level = bench.insert(1 << 40, 4);
    assert_eq!(bench.wheel.entries[0].place, bench.wheel.entries[1].place);
    assert_eq!(bench.advance(150), [1]);
    assert_eq!(bench.cancel(fires), None);
    assert_eq!(bench.cancel(next_in_slot), Some(2));
    assert_eq!(bench.cancel(in_another_level), Some(4));
    check(&bench.wheel);
    assert!(bench.wheel.is_pending(bystander));
    assert_eq!(bench.advance(u64::MAX), [3]);
}

#[test]
fn swapping_gives_back_the_old_waker_and_wakes_the_new_one() {
    let mut bench = Bench::new(0);
    let key = bench.insert(1 << 30, 1);
    let second = bench.waker(2);
    assert!(!bench.wheel.waker(key).expect("pending").will_wake(&second));
    let old = bench.wheel.swap_waker(key, second.clone()).expect("pending");
    assert_eq!(bench.number_of(old), 1);
    assert!(bench.wheel.waker(key).expect("pending").will_wake(&second));
    assert_eq!(bench.advance(1 << 30), [2]);
}

#[test]
fn a_timer_that_is_reset_fires_at_its_new_deadline_in_the_order_of_being_reset() {
    let mut bench = Bench::new(0);
    let key = bench.insert(1_000, 1);
    bench.insert(1 << 40, 2);
    for deadline in [1 << 50, 5, u64::MAX, 1 << 40] {
        assert!(bench.wheel.reset(key, deadline));
        check(&bench.wheel);
        assert_eq!(bench.wheel.next_deadline(), Some(deadline.min(1 << 40)));
    }
    assert_eq!(bench.advance(1 << 40), [2, 1]);
    assert!(!bench.wheel.reset(key, 1 << 41));
    assert!(bench.wheel.is_empty());
}

#[test]
fn an_undated_timer_counts_from_its_dating_and_until_then_asks_for_no_wake_up() {
    for now in awkward_times().into_iter().filter(|&now| now < u64::MAX - 10) {
        let mut bench = Bench::new(0);
        let key = bench.insert_undated(10, 1);
        check(&bench.wheel);
        assert_eq!(bench.wheel.next_deadline(), None);
        assert_eq!(bench.advance(now), []);
        assert!(bench.wheel.is_pending(key));
        assert_eq!(bench.wheel.len(), 1);
        bench.wheel.date(now);
        check(&bench.wheel);
        assert_eq!(bench.wheel.next_deadline(), Some(now + 10));
        assert_eq!(bench.advance(now + 9), []);
        assert_eq!(bench.advance(now + 10), [1]);
        assert!(!bench.wheel.is_pending(key));
    }
}

#[test]
fn an_undated_timer_that_is_cancelled_leaves_no_trace() {
    for cancelled in 0..8u32 {
        let mut bench = Bench::new(0);
        let keys: Vec<_> = (0..3).map(|number| bench.insert_undated(1_000, number)).collect();
        for number in (0..3).filter(|number| cancelled >> number & 1 == 1) {
            assert_eq!(bench.cancel(keys[number as usize]), Some(number));
            check(&bench.wheel);
        }
        bench.wheel.date(500);
        check(&bench.wheel);
        let left: Vec<u32> = (0..3).filter(|number| cancelled >> number & 1 == 0).collect();
        assert_eq!(bench.wheel.next_deadline(), (!left.is_empty()).then_some(1_500));
        assert_eq!(bench.advance(1_499), []);
        assert_eq!(bench.advance(1_500), left);
    }
}

#[test]
fn a_timer_is_dated_once() {
    let mut bench = Bench::new(0);
    bench.insert_undated(1_000, 1);
    bench.wheel.date(0);
    bench.wheel.date(700);
    assert_eq!(bench.wheel.next_deadline(), Some(1_000));
}

#[test]
fn a_duration_beyond_the_end_of_time_is_never() {
    let mut bench = Bench::new(0);
    let key = bench.insert_undated(u64::MAX - 5, 1);
    bench.wheel.date(6);
    assert_eq!(bench.wheel.next_deadline(), None);
    assert_eq!(bench.cancel(key), Some(1));
}

#[test]
fn an_undated_timer_that_is_reset_has_that_deadline_and_is_not_dated_again() {
    let mut bench = Bench::new(0);
    let key = bench.insert_undated(1_000, 1);
    assert!(bench.wheel.reset(key, 77));
    check(&bench.wheel);
    bench.wheel.date(50);
    assert_eq!(bench.wheel.next_deadline(), Some(77));
    assert_eq!(bench.advance(77), [1]);
}

#[test]
fn no_waker_is_cloned_or_dropped_inside() {
    let mut bench = Bench::new(0);
    let counted = Arc::new(Numbered { number: 1, log: Arc::clone(&bench.log) });
    let waker = || Waker::from(Arc::clone(&counted));
    let key = bench.wheel.insert_undated(5, waker());
    let old = bench.wheel.swap_waker(key, waker());
    bench.wheel.date(7);
    assert!(bench.wheel.reset(key, 1 << 40));
    assert_eq!(Arc::strong_count(&counted), 3);
    let mut fired = Vec::new();
    bench.wheel.advance((1 << 40) - 1, &mut fired); // moves it down
    assert_eq!(Arc::strong_count(&counted), 3);
    let cancelled = bench.wheel.cancel(key);
    let key = bench.wheel.insert(1 << 40, waker());
    bench.wheel.advance(1 << 40, &mut fired);
    let refused = bench.wheel.swap_waker(key, waker());
    assert_eq!(Arc::strong_count(&counted), 5);
    drop((old, cancelled, refused, fired));
    assert_eq!(Arc::strong_count(&counted), 1);
}

#[test]
fn equal_deadlines_fire_in_order_of_insertion_whenever_and_wherever_they_were_inserted() {
    let deadline = (1 << 45) + 12_345;
    let mut bench = Bench::new(0);
    let mut number = 0;
    for bit in (0..46).rev() {
        bench.advance(deadline - (1 << bit));
        for _ in 0..3 {
            bench.insert(deadline, number);
            number += 1;
        }
        bench.insert(u64::MAX - u64::from(number), u32::MAX);
        check(&bench.wheel);
    }
    assert_eq!(bench.advance(deadline), (0..number).collect::<Vec<_>>());
}

#[test]
fn many_timers_of_one_slot_fire_in_order_of_deadline_then_insertion() {
    let mut bench = Bench::new(0);
    for number in 0..1_000 {
        bench.insert((1 << 40) + u64::from(999 - number) / 10, number);
    }
    let fired = bench.advance(1 << 41);
    let expected: Vec<u32> = (0..100).rev().flat_map(|ten| ten * 10..ten * 10 + 10).collect();
    assert_eq!(fired, expected);
}

#[test]
fn what_fires_carries_the_deadline_that_was_asked_for() {
    let mut bench = Bench::new(1_000);
    for deadline in [3, 1_000, 70_000, 1 << 33] {
        bench.insert(deadline, 0);
    }
    let mut fired = Vec::new();
    bench.wheel.advance(1 << 34, &mut fired);
    let deadlines: Vec<u64> = fired.iter().map(|timer| timer.deadline).collect();
    assert_eq!(deadlines, [3, 1_000, 70_000, 1 << 33]);
}

#[test]
fn advance_appends_and_leaves_what_was_there() {
    let mut bench = Bench::new(0);
    let mut fired = Vec::new();
    for deadline in [20, 10] {
        bench.insert(deadline, 0);
        bench.wheel.advance(20, &mut fired);
    }
    let deadlines: Vec<u64> = fired.iter().map(|timer| timer.deadline).collect();
    assert_eq!(deadlines, [20, 10]);
}

#[test]
fn nobody_wakes_up_to_move_a_timer() {
    let mut bench = Bench::new(1);
    for bit in 0..64 {
        bench.insert((1 << bit) + 77, bit);
    }
    assert_eq!(bench.run_dry(), 64, "one wake-up a deadline");
    assert!(bench.wheel.is_empty());
}

#[test]
fn a_cancelled_timer_costs_at_most_one_idle_wake_up() {
    // 100 timers share a far slot; all but the last are cancelled. The slot keeps the first's deadline as its bound.
    let mut bench = Bench::new(0);
    let keys: Vec<_> = (0..100).map(|number| bench.insert((1 << 40) + u64::from(number) * 1_000, number)).collect();
    for &key in &keys[..99] {
        bench.wheel.cancel(key);
    }
    assert_eq!(bench.wheel.next_deadline(), Some(1 << 40));
    assert_eq!(bench.run_dry(), 2);
    assert!(bench.wheel.is_empty());
}

#[test]
fn a_wake_up_for_a_cancelled_timer_in_the_slot_of_now_is_not_repeated() {
    let mut bench = Bench::new(0);
    let first = bench.insert(100, 1);
    bench.insert(200, 2);
    bench.cancel(first);
    assert_eq!(bench.wheel.next_deadline(), Some(100));
    assert_eq!(bench.advance(100), []);
    assert_eq!(bench.wheel.next_deadline(), Some(200));
}

#[test]
fn a_timer_that_is_inserted_and_cancelled_over_and_over_wakes_nobody() {
    let mut bench = Bench::new(0);
    for round in 0..1_000u64 {
        let key = bench.insert(round * 777, 1);
        bench.cancel(key);
    }
    assert_eq!(bench.wheel.next_deadline(), None);
    assert!(bench.wheel.entries.capacity() <= 4, "one entry, used again");
}

#[test]
fn a_leap_over_centuries_looks_at_slots_and_not_at_time() {
    // Were it to step through time, this would not end within a lifetime: 2^48 level-0 slots.
    let mut bench = Bench::new(0);
    bench.insert(u64::MAX - 1, 1);
    for leap in 1..1_000 {
        assert_eq!(bench.advance(u64::MAX / 1_000 * leap), []);
    }
    assert_eq!(bench.advance(u64::MAX - 1), [1]);
}

/// xorshift64*: a few lines of randomness, the same on every machine.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        // Neighbouring seeds start far apart, and none at zero.
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// A span of at most `bits` bits whose magnitude is as random as its digits.
    fn span(&mut self, bits: usize) -> u64 {
        let bits = 1 + self.below(bits);
        self.next() >> (64 - bits)
    }
}

/// The same timers in a sorted map, and who has been cancelled where the wheel may still wake up.
struct Model {
    now: u64,
    /// Insertions and datings.
    ordered: u32,
    pending: BTreeMap<(u64, u32), u32>,
    /// By order: the duration, and the number.
    undated: BTreeMap<u32, (u64, u32)>,
    /// All that there ever were.
    timers: Vec<Timer>,
    idle_wake_ups: BTreeSet<u64>,
}

/// Where the model finds a timer, if it is pending.
#[derive(Clone, Copy)]
struct Timer {
    /// None while it is undated.
    deadline: Option<u64>,
    order: u32,
    key: TimerKey,
}

impl Model {
    fn next_order(&mut self) -> u32 {
        self.ordered += 1;
        self.ordered
    }

    fn len(&self) -> usize {
        self.pending.len() + self.undated.len()
    }

    /// Its number, to be changed.
    fn number(&mut self, timer: Timer) -> Option<&mut u32> {
        match timer.deadline {
            Some(deadline) => self.pending.get_mut(&(deadline, timer.order)),
            None => self.undated.get_mut(&timer.order).map(|(_, number)| number),
        }
    }

    fn remove(&mut self, timer: Timer) -> Option<u32> {
        match timer.deadline {
            Some(deadline) => self.pending.remove(&(deadline, timer.order)),
            None => self.undated.remove(&timer.order).map(|(_, number)| number),
        }
    }

    fn date(&mut self, now: u64) {
        for (order, (duration, number)) in std::mem::take(&mut self.undated) {
            let dated = self.next_order();
            let deadline = now.saturating_add(duration);
            self.pending.insert((deadline, dated), number);
            let is_it = |timer: &&mut Timer| timer.deadline.is_none() && timer.order == order;
            let timer = self.timers.iter_mut().rev().find(is_it).expect("all that there ever were");
            (timer.deadline, timer.order) = (Some(deadline), dated);
        }
    }

    fn take_due(&mut self, now: u64) -> Vec<u32> {
        self.now = self.now.max(now);
        let later = match self.now.checked_add(1) {
            Some(next) => self.pending.split_off(&(next, 0)),
            None => BTreeMap::new(),
        };
        std::mem::replace(&mut self.pending, later).into_values().collect()
    }
}

struct History {
    random: Random,
    /// How many bits the spans of this history have. With all 64 it is soon at the end of time.
    reach: usize,
    bench: Bench,
    model: Model,
}

impl History {
    fn new(mut random: Random) -> History {
        let times = awkward_times();
        let now = match random.below(3) {
            0 => 0,
            1 => times[random.below(times.len())],
            _ => random.span(64),
        };
        let reach = 12 + random.below(53);
        let model = Model {
            now,
            ordered: 0,
            pending: BTreeMap::new(),
            undated: BTreeMap::new(),
            timers: Vec::new(),
            idle_wake_ups: BTreeSet::new(),
        };
        History { random, reach, bench: Bench::new(now), model }
    }

    fn span(&mut self) -> u64 {
        self.random.span(self.reach)
    }

    fn some_deadline(&mut self) -> u64 {
        let now = self.model.now;
        match self.random.below(16) {
            0 => now,
            1 => now.saturating_sub(1),
            2 => now.saturating_sub(self.span()),
            3 => now.saturating_add(1),
            4 => u64::MAX - (self.random.next() & 1),
            5..7 if !self.model.timers.is_empty() => {
                let at = self.some_timer();
                self.model.timers[at].deadline.unwrap_or(now)
            }
            7..10 => {
                // At the edge of a slot of some level.
                let width = 1u64 << (GRAIN_BITS as usize + self.random.below(LEVELS) * DIGIT_BITS as usize);
                let edge = (now | (width - 1)).saturating_add(width * (self.random.next() & 3));
                edge.saturating_add(self.random.next() & 1)
            }
            _ => now.saturating_add(self.span()),
        }
    }

    /// The place of one of the timers so far, mostly a recent one, pending or not.
    fn some_timer(&mut self) -> usize {
        let all = self.model.timers.len();
        let among = if self.random.below(4) == 0 { all } else { all.min(64) };
        all - 1 - self.random.below(among)
    }

    fn insert(&mut self) {
        let deadline = self.some_deadline();
        let order = self.model.next_order();
        let key = self.bench.insert(deadline, order);
        self.model.timers.push(Timer { deadline: Some(deadline), order, key });
        self.model.pending.insert((deadline, order), order);
        assert!(self.bench.wheel.is_pending(key));
    }

    fn insert_undated(&mut self) {
        let duration = match self.random.below(16) {
            0 => 0,
            1 => u64::MAX,
            _ => self.span(),
        };
        let order = self.model.next_order();
        let key = self.bench.insert_undated(duration, order);
        self.model.timers.push(Timer { deadline: None, order, key });
        self.model.undated.insert(order, (duration, order));
        assert!(self.bench.wheel.is_pending(key));
    }

    /// Also from a time that the wheel has not reached, or has left behind.
    fn date(&mut self) {
        let now = match self.random.below(4) {
            0 => self.model.now.saturating_sub(self.span()),
            1 => self.model.now.saturating_add(self.span()),
            _ => self.model.now,
        };
        self.bench.wheel.date(now);
        self.model.date(now);
    }

    fn cancel(&mut self) {
        let at = self.some_timer();
        let timer = self.model.timers[at];
        let expected = self.model.remove(timer);
        assert_eq!(self.bench.cancel(timer.key), expected);
        assert!(!self.bench.wheel.is_pending(timer.key));
        if expected.is_some() {
            self.model.idle_wake_ups.extend(timer.deadline);
        }
    }

    fn reset(&mut self) {
        let at = self.some_timer();
        let timer = self.model.timers[at];
        let deadline = self.some_deadline();
        let number = self.model.remove(timer);
        assert_eq!(self.bench.wheel.reset(timer.key, deadline), number.is_some());
        if let Some(number) = number {
            self.model.idle_wake_ups.extend(timer.deadline);
            let order = self.model.next_order();
            self.model.timers[at] = Timer { deadline: Some(deadline), order, key: timer.key };
            self.model.pending.insert((deadline, order), number);
        }
    }

    fn swap_waker(&mut self) {
        let at = self.some_timer();
        let timer = self.model.timers[at];
        let number = self.random.next() as u32;
        let waker = self.bench.waker(number);
        let owned = self.model.number(timer);
        assert_eq!(self.bench.wheel.waker(timer.key).is_some(), owned.is_some());
        match (self.bench.wheel.swap_waker(timer.key, waker), owned) {
            (Ok(old), Some(expected)) => {
                let expected = std::mem::replace(expected, number);
                assert_eq!(self.bench.number_of(old), expected);
            }
            (Err(new), None) => assert_eq!(self.bench.number_of(new), number),
            (result, owned) => panic!("swap_waker: {result:?}, the model says {owned:?}"),
        }
    }

    /// Asks for the next deadline, and goes there.
    fn sleep(&mut self) {
        let true_next = self.model.pending.first_key_value().map(|(&(deadline, _), _)| deadline);
        let next = self.bench.wheel.next_deadline();
        match (next, true_next) {
            (None, None | Some(u64::MAX)) => return,
            (Some(next), Some(true_next)) if next == true_next => {}
            (Some(next), Some(true_next)) => {
                assert!(next < true_next, "would sleep until {next:#x}, past {true_next:#x}");
                assert!(self.model.idle_wake_ups.remove(&next), "idle wake-up at {next:#x} for nobody");
            }
            (next, true_next) => panic!("next deadline is {next:?}, the model says {true_next:?}"),
        }
        self.advance(next.expect("returned above"));
    }

    fn advance(&mut self, now: u64) {
        let expected = self.model.take_due(now);
        assert_eq!(self.bench.advance(now), expected);
    }

    fn step(&mut self) {
        match self.random.below(32) {
            0..9 => self.insert(),
            9..15 => self.insert_undated(),
            15..20 if !self.model.timers.is_empty() => self.cancel(),
            20 if !self.model.timers.is_empty() => self.reset(),
            21..23 if !self.model.timers.is_empty() => self.swap_waker(),
            23..27 => self.sleep(),
            27..29 => self.date(),
            29 => {
                let span = self.span();
                self.advance(self.model.now.saturating_sub(span));
            }
            _ => {
                // A fifth of the reach, mostly: what is pending should be many, and near and far.
                let bits = if self.random.below(8) == 0 { self.reach } else { self.reach / 5 + 1 };
                let span = self.random.span(bits);
                self.advance(self.model.now.saturating_add(span));
            }
        }
        assert_eq!(self.bench.wheel.len(), self.model.len());
        assert_eq!(self.bench.wheel.is_empty(), self.model.len() == 0);
    }

    fn run(mut self, steps: usize) {
        for step in 0..steps {
            self.step();
            if step % 64 == 0 {
                check(&self.bench.wheel);
            }
        }
        self.date();
        let most = self.model.pending.len() + self.model.idle_wake_ups.len();
        let turns = self.bench.run_dry();
        assert!(turns <= most, "{turns} wake-ups for {most} deadlines");
        let nevers = self.model.pending.keys().filter(|&&(deadline, _)| deadline == u64::MAX).count();
        let at_the_end = if self.bench.wheel.now == u64::MAX { 0..=nevers } else { nevers..=nevers };
        assert!(at_the_end.contains(&self.bench.wheel.len()));
        check(&self.bench.wheel);
    }
}

/// Says which seed it was, so that `WHEEL_SEED=that cargo test` runs it again.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("WHEEL_SEED={} fails", self.0);
        }
    }
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// A million operations: 16,000 for each of 64 seeds, in histories of different lengths. `WHEEL_OPS` sets how many a
/// seed has, `WHEEL_SEED` runs that one alone.
#[test]
fn every_random_history_fires_exactly_what_a_sorted_map_would_in_the_same_order() {
    let steps = from_environment("WHEEL_OPS").unwrap_or(16_000) as usize;
    let seeds = match from_environment("WHEEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..64,
    };
    for seed in seeds {
        let _named = Seed(seed);
        let mut random = Random::new(seed);
        let mut left = steps;
        while left > 0 {
            let length = left.min(100 << random.below(6));
            History::new(Random::new(random.next())).run(length);
            left -= length;
        }
    }
}
