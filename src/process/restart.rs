//! Processes that start again when they have ended.

use std::time::Duration;

use bevy::prelude::*;

use crate::types::{KillReason, Outcome};

/// On a [`Process`](crate::Process): whether the program starts again, on the same entity, when it has ended.
///
/// It is another process then, with another number. The name and the arguments stay.
/// [`ProcessExited`](crate::ProcessExited) is triggered each time; a process that its observer puts on the entity
/// takes precedence. What the game [ends](crate::ProcessCommandsExt::kill) or despawns does not start again. A VM
/// stays as long as one of its processes is to start again.
///
/// ```
/// # use std::time::Duration;
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// fn boot(mut commands: Commands, vm: Single<Entity, With<Vm>>) {
///     let script = Script::new("shop", "error('sold out')");
///     commands.spawn((Process::new(script), ProcessOf(*vm), Restart::after(Duration::from_secs(5)).on_failure()));
/// }
/// ```
#[derive(Component, Clone, Copy, Debug, Default, PartialEq, Eq, Reflect)]
#[reflect(Component, Clone, Debug, Default, PartialEq)]
pub struct Restart {
    /// Virtual time from the end to the start; `None` if it does not start again.
    delay: Option<Duration>,
    only_on_failure: bool,
}

impl Restart {
    /// It does not start again, as if there were no such component.
    pub fn never() -> Self {
        Self::default()
    }

    /// It starts again in the next tick.
    pub fn always() -> Self {
        Self::after(Duration::ZERO)
    }

    /// It starts again after so much virtual time.
    pub fn after(delay: Duration) -> Self {
        Self { delay: Some(delay), only_on_failure: false }
    }

    /// It does not start again when its main chunk has returned.
    #[must_use]
    pub fn on_failure(mut self) -> Self {
        self.only_on_failure = true;
        self
    }

    /// After which time it starts again, having ended so.
    pub(crate) fn delay(self, outcome: &Outcome) -> Option<Duration> {
        let is_excluded = match outcome {
            Outcome::Finished(_) => self.only_on_failure,
            Outcome::Failed(_) => false,
            Outcome::Killed(reason) => matches!(reason, KillReason::Requested | KillReason::Game { .. }),
        };
        self.delay.filter(|_| !is_excluded)
    }
}
