//! What processes use of the processor.

use std::time::Duration;

use bevy::prelude::*;
use serde::{Deserialize, Serialize};

/// What a process has used of the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Reflect, Serialize, Deserialize)]
#[reflect(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuUsage {
    /// Safepoints passed: loop back-edges, calls and returns. The last safepoint of a slice counts
    /// again when the next slice starts from it.
    pub safepoints: u64,
    /// Slices run.
    pub slices: u64,
    /// Time that they took. Slices of 256 safepoints and more are measured, shorter ones are charged for what those
    /// before them took on average.
    pub time: Duration,
}

impl std::ops::AddAssign for CpuUsage {
    fn add_assign(&mut self, other: Self) {
        self.safepoints += other.safepoints;
        self.slices += other.slices;
        self.time += other.time;
    }
}
