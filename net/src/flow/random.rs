//! Numbers that nobody can foresee, unless they know the seed.
//!
//! ```text
//!   state ──► + golden ratio ──► mix ──► a number       2^64 of them before they repeat
//! ```
//!
//! SplitMix64 (Steele, Lea, Flood 2014: "Fast splittable pseudorandom number generators"). To spread callers over time
//! it is good enough; to keep a secret it is not.   Next: `backoff`, which draws from it.

use std::hash::{BuildHasher, RandomState};

/// 2^64 divided by the golden ratio, made odd: steps of it visit every state.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    pub(crate) fn new(seed: u64) -> Self {
        SplitMix64(seed)
    }

    /// Seeded by the system, through the keys that it gives to every hash map.
    pub(crate) fn from_system() -> Self {
        SplitMix64(RandomState::new().hash_one(GOLDEN))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// One of `0..=max`, each as likely as the others but for one part in 2^64 / max.
    pub(crate) fn up_to(&mut self, max: u64) -> u64 {
        ((self.next() as u128 * (max as u128 + 1)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_are_those_of_the_reference() {
        let mut random = SplitMix64::new(1_234_567);
        let first = [(); 3].map(|()| random.next());
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn a_range_is_met_from_end_to_end_and_not_left() {
        let mut random = SplitMix64::new(1);
        let mut seen = [0; 8];
        (0..8_000).for_each(|_| seen[random.up_to(7) as usize] += 1);
        assert!(seen.iter().all(|&times| (900..1_100).contains(&times)), "{seen:?}");
        assert_eq!(random.up_to(0), 0);
        let _any = random.up_to(u64::MAX);
    }
}
