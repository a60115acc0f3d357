//! Times on the game's clock.

use std::time::Duration;

/// A time on the game's virtual clock, in half the space of a [`Duration`].
///
/// It may be before the clock began: a VM that was loaded is older than the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VirtualTime {
    nanoseconds: i64,
}

impl VirtualTime {
    /// Later than anything.
    pub(crate) const MAX: Self = Self { nanoseconds: i64::MAX };

    /// How long ago it was when it is `now`.
    pub(crate) fn until(self, now: Duration) -> Duration {
        let time = Self::from(now).nanoseconds.saturating_sub(self.nanoseconds);
        Duration::from_nanos(time.try_into().unwrap_or_default())
    }
}

/// Times of one clock on another.
#[cfg(feature = "save")]
impl VirtualTime {
    pub(crate) fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self { nanoseconds }
    }

    pub(crate) fn nanoseconds(self) -> i64 {
        self.nanoseconds
    }

    /// The same time on a clock that shows so much more. The end of time stays.
    pub(crate) fn shifted(self, nanoseconds: i64) -> Self {
        if self == Self::MAX {
            return self;
        }
        Self { nanoseconds: self.nanoseconds.saturating_add(nanoseconds) }
    }
}

impl From<Duration> for VirtualTime {
    fn from(time: Duration) -> Self {
        Self { nanoseconds: time.as_nanos().try_into().unwrap_or(i64::MAX) }
    }
}

/// What is before the clock began is its beginning.
impl From<VirtualTime> for Duration {
    fn from(time: VirtualTime) -> Self {
        Self::from_nanos(time.nanoseconds.try_into().unwrap_or_default())
    }
}
