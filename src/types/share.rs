//! Between whom the processor is shared out.

use bevy::prelude::*;

/// Between whom the processor is shared out evenly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Reflect)]
#[reflect(Clone, Debug, Default, PartialEq)]
pub enum Share {
    /// Between processes: each has one slice in each pass. A VM with 64 processes gets 64 times as much as one with one.
    #[default]
    PerProcess,
    /// Between VMs, by their [weight](crate::Limits::cpu_weight): the processes of a VM share the quantum of one. With
    /// many of them slices become shorter, down to 32 safepoints; beyond that not everyone has one in each pass.
    PerVm,
}
