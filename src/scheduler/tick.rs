//! The tick under way, and what its phases take.

use std::time::{Duration, Instant};

use bevy::prelude::*;

use super::adaptive::AdaptiveBudget;
use super::budget::{Account, Phase};
use crate::types::Deadline;

/// The tick under way.
#[derive(Resource, Debug)]
pub(crate) struct Tick {
    pub(super) max_per_frame: u32,
    pub(super) begun_in_frame: u32,
    /// Whether Bevy's fixed loop runs, which makes up for all the time since the last frame. Whoever runs the schedule
    /// outside of it wants a tick for each run.
    pub(super) is_in_fixed_loop: bool,
    pub(super) begun_in_fixed_loop: u32,
    /// Whether the current run of the schedule is a tick. Those beyond the maximum of a frame are
    /// not: catching up would make the next frame late as well.
    pub(super) is_due: bool,
    /// Virtual time from one tick to the next.
    pub(super) timestep: Duration,
    pub(super) began: Instant,
    pub(super) account: Account,
    /// From when processes are placed until they are started.
    pub(super) admitting: Option<PhaseTimer>,
    pub(super) adaptive: AdaptiveBudget,
    pub(super) frame_began: Option<Instant>,
    /// What the main schedule took of the frame under way; zero until it is over.
    pub(super) frame_work: Duration,
    /// What our own systems took of the frame.
    pub(super) spent_in_frame: Duration,
    pub(super) late_at_last_warning: u64,
    pub(super) last_warning: Option<Instant>,
}

/// A phase of the tick under way.
#[derive(Debug)]
pub(super) struct PhaseTimer {
    phase: Phase,
    pub(super) began: Instant,
    /// When it has to stop.
    pub(super) deadline: Deadline,
}

impl Tick {
    pub(crate) fn new(max_per_frame: u32) -> Self {
        Self {
            max_per_frame,
            begun_in_frame: 0,
            is_in_fixed_loop: false,
            begun_in_fixed_loop: 0,
            is_due: false,
            timestep: Duration::from_secs(1) / 60,
            began: Instant::now(),
            account: Account::default(),
            admitting: None,
            adaptive: AdaptiveBudget::default(),
            frame_began: None,
            frame_work: Duration::ZERO,
            spent_in_frame: Duration::ZERO,
            late_at_last_warning: 0,
            last_warning: None,
        }
    }

    pub(super) fn begin_phase(&self, phase: Phase) -> PhaseTimer {
        let began = Instant::now();
        PhaseTimer { phase, began, deadline: self.account.deadline(began, phase) }
    }

    /// When all of a tick has to be over that begins now.
    #[cfg(feature = "save")]
    pub(super) fn whole_budget(&self) -> Deadline {
        self.account.whole(Instant::now())
    }

    /// Returns what the phase took.
    pub(super) fn end_phase(&mut self, PhaseTimer { phase, began, deadline }: PhaseTimer) -> Duration {
        let now = Instant::now();
        self.account.charge(phase, now - began, deadline.has_passed_at(now));
        now - began
    }
}
