//! Whose slices are looked at closely.
//!
//! The clock is looked at every few safepoints of a slice, more rarely while they are quick. What comes between two
//! looks can take long: a script that knows that is quick for a while, and then is not. So a VM is watched for some
//! slices after one that took long: each of its safepoints is a look. If it was the operating system that took the
//! time, that does little harm: looks only cost a tight loop some of its time.

/// Nanoseconds that no slice takes unless one instruction or one library call does.
const LONG_SLICE: u32 = 500_000;

/// For so many slices a VM is watched.
const SLICES: u8 = 255;

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    slices_left: u8,
}

impl Watch {
    /// A slice took so many nanoseconds.
    #[inline]
    pub(super) fn measured(&mut self, time: u32) {
        self.slices_left = if time > LONG_SLICE { SLICES } else { self.slices_left.saturating_sub(1) };
    }

    #[inline]
    pub(super) fn is_watched(self) -> bool {
        self.slices_left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_long_is_watched_for_a_while() {
        let mut watch = Watch::default();
        watch.measured(LONG_SLICE);
        assert!(!watch.is_watched());
        watch.measured(LONG_SLICE + 1);
        for _ in 0..SLICES {
            assert!(watch.is_watched());
            watch.measured(1);
        }
        assert!(!watch.is_watched());
    }
}
