//! The numbers of processes.

use std::fmt;
use std::num::NonZeroU32;

use bevy::prelude::*;

/// A process's number on its VM: 1, 2, 3 and so on in the order in which processes start there.
///
/// After 4,294,967,295 numbers begin again with 1. Those of processes that have not ended are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Reflect)]
#[reflect(Clone, Debug, PartialEq, Hash)]
pub struct Pid(pub(crate) NonZeroU32);

impl Pid {
    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Hands out the PIDs of one VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PidCounter {
    last: u32,
    /// Whether the numbers have begun again, so that the next one may be taken.
    has_wrapped: bool,
}

impl PidCounter {
    /// The next number for which `is_taken` does not hold. It is only asked once the numbers have begun again, and must
    /// not hold for all of them.
    pub(crate) fn next(&mut self, is_taken: impl Fn(u32) -> bool) -> Pid {
        loop {
            self.last = self.last.wrapping_add(1);
            match NonZeroU32::new(self.last) {
                None => self.has_wrapped = true,
                Some(number) if self.has_wrapped && is_taken(number.get()) => {}
                Some(number) => return Pid(number),
            }
        }
    }

    /// The last number, and whether they have begun again.
    #[cfg(feature = "save")]
    pub(crate) fn parts(self) -> (u32, bool) {
        (self.last, self.has_wrapped)
    }

    #[cfg(feature = "save")]
    pub(crate) fn from_parts((last, has_wrapped): (u32, bool)) -> Self {
        Self { last, has_wrapped }
    }

    /// A counter that has handed out `last`.
    #[cfg(test)]
    pub(crate) fn after(last: u32) -> Self {
        Self { last, has_wrapped: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_up_and_nobody_is_asked_whether_they_are_taken() {
        let mut counter = PidCounter::default();
        let pids: Vec<u32> = (0..3).map(|_| counter.next(|_| panic!("they cannot be")).get()).collect();
        assert_eq!(pids, [1, 2, 3]);
    }

    #[test]
    fn after_the_last_number_they_begin_again_without_those_that_are_taken() {
        let mut counter = PidCounter::after(u32::MAX - 1);
        let pids: Vec<u32> =
            (0..4).map(|_| counter.next(|pid| [1, 3, u32::MAX].contains(&pid)).get()).collect();
        assert_eq!(pids, [u32::MAX, 2, 4, 5]);
    }
}
