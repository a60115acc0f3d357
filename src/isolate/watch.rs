//! Whose slices are looked at closely.
//!
//! The clock is looked at every few safepoints of a slice, more rarely while they are quick. What comes between two looks
//! can take long: a script that knows that is quick for a while, and then is not. And a slice that takes much longer than
//! it should is charged as if it had not, because most of the time that was the operating system. So a VM is watched
//! for some slices after one that took long: each of its safepoints is a look, and what takes long again is charged in
//! full.

/// Nanoseconds that no slice takes unless one instruction or one library call does.
const LONG_SLICE: u32 = 500_000;

/// For so many slices a VM is watched.
const SLICES: u8 = 255;

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    long_slices: u8,
    slices_left: u8,
}

impl Watch {
    /// A slice took so many nanoseconds.
    #[inline]
    pub(super) fn measured(&mut self, time: u32) {
        if time > LONG_SLICE {
            self.long_slices = self.long_slices.saturating_add(1);
            self.slices_left = SLICES;
        } else if self.slices_left > 0 {
            self.slices_left -= 1;
            if self.slices_left == 0 {
                self.long_slices = 0;
            }
        }
    }

    #[inline]
    pub(super) fn is_watched(self) -> bool {
        self.long_slices > 0
    }

    /// Whether it was no accident that slices took long.
    #[inline]
    pub(super) fn pays_in_full(self) -> bool {
        self.long_slices > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_long_is_watched_for_a_while_and_who_does_it_again_pays() {
        let mut watch = Watch::default();
        watch.measured(LONG_SLICE);
        assert!(!watch.is_watched());
        watch.measured(LONG_SLICE + 1);
        assert!(watch.is_watched() && !watch.pays_in_full());
        for _ in 1..SLICES {
            watch.measured(1);
        }
        assert!(watch.is_watched());
        let mut again = watch;
        watch.measured(1);
        assert!(!watch.is_watched());
        again.measured(u32::MAX);
        assert!(again.pays_in_full());
        for _ in 0..SLICES {
            again.measured(1);
        }
        assert!(!again.is_watched() && !again.pays_in_full());
    }
}
