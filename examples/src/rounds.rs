//! Who comes when.
//!
//! ```text
//!     round 1   a  b  c
//!     round 2   c  b  a        what the machine does meanwhile, and what the one before has left, meets each in turn
//! ```
//!
//! Not here: what becomes of the rounds' figures ([`crate::figures`]).   Next: [`crate::process`].

/// Who runs in `round`, counted from 1, in which order: to and fro, so that nobody always comes first.
///
/// ```
/// use windlass_examples::rounds::in_turn;
/// assert_eq!(in_turn(&["a", "b"], 1), ["a", "b"]);
/// assert_eq!(in_turn(&["a", "b"], 2), ["b", "a"]);
/// ```
pub fn in_turn<T: Clone>(all: &[T], round: u32) -> Vec<T> {
    let mut all = all.to_vec();
    if round.is_multiple_of(2) {
        all.reverse();
    }
    all
}
