//! The systems of a tick: admit, wake, run, collect, settle.

mod adaptive;
mod admit;
mod budget;
mod collect;
#[cfg(feature = "ecs")]
mod ecs;
mod frame;
mod kernel_requests;
#[cfg(feature = "save")]
mod loading;
mod parallel;
pub(crate) mod reload;
mod run;
#[cfg(feature = "save")]
pub(crate) mod saving;
mod settle;
mod syscalls;
mod tick;
mod wake;

#[cfg(not(feature = "ecs"))]
pub(crate) use admit::admit;
#[cfg(feature = "ecs")]
pub(crate) use admit::place;
pub(crate) use collect::collect;
#[cfg(feature = "ecs")]
pub(crate) use ecs::{run, start};
pub(crate) use frame::{
    begin_fixed_loop, begin_frame, begin_tick, end_fixed_loop, end_frame, end_tick, tick_is_due,
};
#[cfg(feature = "save")]
pub(crate) use loading::{has_images, load_images};
pub(crate) use reload::follow_assets;
#[cfg(not(feature = "ecs"))]
pub(crate) use run::run;
#[cfg(feature = "save")]
pub(crate) use saving::{SaveUnderWay, go_on_saving, no_save_is_under_way};
pub(crate) use settle::settle;
pub(crate) use syscalls::dispatch_syscalls;
pub(crate) use tick::Tick;
pub(crate) use wake::wake;
