//! The random generator behind `math.random`: one per process, so that processes do not share a
//! state and two runs of the same game with the same seed give the same numbers.

use std::hash::{DefaultHasher, Hash, Hasher};

/// PCG32 (O'Neill 2014, XSH-RR), the generator that Luau itself uses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pcg32(u64);

impl Pcg32 {
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut generator = Self(0);
        generator.next_u32();
        generator.0 = generator.0.wrapping_add(seed);
        generator.next_u32();
        generator
    }

    /// What the next numbers depend on.
    #[cfg(feature = "save")]
    pub(crate) fn state(self) -> u64 {
        self.0
    }

    /// The generator whose next numbers depend on that.
    #[cfg(feature = "save")]
    pub(crate) fn from_state(state: u64) -> Self {
        Self(state)
    }

    fn next_u32(&mut self) -> u32 {
        let old = self.0;
        self.0 = old.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(105);
        let shifted = (((old >> 18) ^ old) >> 27) as u32;
        shifted.rotate_right((old >> 59) as u32)
    }

    /// At least 0 and less than 1.
    pub(crate) fn next_f64(&mut self) -> f64 {
        let (high, low) = (u64::from(self.next_u32()), u64::from(self.next_u32()));
        // 53 bits, the precision of the result, so that it cannot be rounded up to 1.
        ((high << 32 | low) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// At least `low` and at most `high`, which must not be less than `low`.
    pub(crate) fn in_range(&mut self, low: i32, high: i32) -> i32 {
        let span = i64::from(high) - i64::from(low) + 1;
        let offset = (i64::from(self.next_u32()) * span) >> 32;
        (i64::from(low) + offset) as i32
    }
}

/// A number for a purpose, from which nobody can tell the seed that it is drawn from.
pub(crate) fn derive(seed: u64, purpose: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new(); // SipHash
    (seed, purpose).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_both_ends_and_nothing_else() {
        let mut generator = Pcg32::from_seed(7);
        let drawn: Vec<i32> = (0..1000).map(|_| generator.in_range(-2, 3)).collect();
        assert_eq!(drawn.iter().min(), Some(&-2));
        assert_eq!(drawn.iter().max(), Some(&3));
        assert_eq!(generator.in_range(5, 5), 5);
        assert!((i32::MIN..=i32::MAX).contains(&generator.in_range(i32::MIN, i32::MAX)));
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let draw = |seed| {
            let mut generator = Pcg32::from_seed(seed);
            [generator.next_f64(), generator.next_f64(), generator.next_f64()]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(3).iter().all(|number| (0.0..1.0).contains(number)));
    }
}
