//! Times on the game's clock.

use std::time::Duration;

/// A time on the game's virtual clock, in half the space of a [`Duration`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct VirtualTime {
    nanoseconds: u64,
}

impl VirtualTime {
    /// Later than anything.
    pub(crate) const MAX: Self = Self { nanoseconds: u64::MAX };
}

impl From<Duration> for VirtualTime {
    fn from(time: Duration) -> Self {
        Self { nanoseconds: time.as_nanos().try_into().unwrap_or(u64::MAX) }
    }
}

impl From<VirtualTime> for Duration {
    fn from(time: VirtualTime) -> Self {
        Self::from_nanos(time.nanoseconds)
    }
}
