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
    /// Whether the current run of `FixedUpdate` is a tick. Those beyond the maximum of a frame are
    /// not: catching up would make the next frame late as well.
    pub(super) is_due: bool,
    pub(super) began: Instant,
    pub(super) account: Account,
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
            is_due: false,
            began: Instant::now(),
            account: Account::default(),
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

    /// Returns what the phase took.
    pub(super) fn end_phase(&mut self, PhaseTimer { phase, began, deadline }: PhaseTimer) -> Duration {
        let now = Instant::now();
        self.account.charge(phase, now - began, deadline.has_passed_at(now));
        now - began
    }
}
