//! The systems around a frame and around a tick.

use std::time::{Duration, Instant};

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use super::adaptive::Frame;
use super::tick::Tick;
use crate::runtime::LuauRuntime;
use crate::types::{Metrics, TickBudget};

/// At most one warning of late ticks in this time.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// First in a frame. What is measured there only matters to [`TickBudget::Auto`]: ticks need no frames.
pub(crate) fn begin_frame(mut tick: ResMut<Tick>) {
    let now = Instant::now();
    if let Some(began) = tick.frame_began.replace(now) {
        let (work, ours, ticks) = (tick.frame_work, tick.spent_in_frame, tick.begun_in_frame);
        let frame = Frame { interval: now - began, work, ours, ticks };
        let timestep = tick.timestep;
        tick.adaptive.learn(frame, timestep);
    }
    (tick.begun_in_frame, tick.spent_in_frame) = (0, Duration::ZERO);
}

/// Last in a frame, before it waits for the next.
pub(crate) fn end_frame(mut tick: ResMut<Tick>) {
    tick.frame_work = tick.frame_began.map_or(Duration::ZERO, |began| began.elapsed());
}

/// Before Bevy's fixed loop.
pub(crate) fn begin_fixed_loop(mut tick: ResMut<Tick>) {
    (tick.is_in_fixed_loop, tick.begun_in_fixed_loop) = (true, 0);
}

/// After Bevy's fixed loop.
pub(crate) fn end_fixed_loop(mut tick: ResMut<Tick>) {
    tick.is_in_fixed_loop = false;
}

/// Before the systems of a tick. On the main thread like those systems, because waking another thread takes 30 to 60
/// microseconds.
pub(crate) fn begin_tick(
    _main_thread: NonSendMarker,
    mut tick: ResMut<Tick>,
    mut runtime: ResMut<LuauRuntime>,
    mut metrics: ResMut<Metrics>,
    time: Res<Time>,
) {
    tick.is_due = !tick.is_in_fixed_loop || tick.begun_in_fixed_loop < tick.max_per_frame;
    if tick.is_due {
        tick.begun_in_frame += 1;
        tick.begun_in_fixed_loop += 1;
        tick.began = Instant::now();
        if !time.delta().is_zero() {
            tick.timestep = time.delta();
        }
        let budget = match runtime.budget() {
            TickBudget::Unlimited => None,
            TickBudget::Time(budget) => Some(budget),
            TickBudget::Auto => Some(tick.adaptive.budget(tick.timestep)),
        };
        tick.account.begin(budget);
        metrics.ticks += 1;
        metrics.last_tick_resumes = 0;
        runtime.now = time.elapsed();
    } else {
        metrics.late_ticks += 1;
    }
}

/// Whether the systems of a tick have to run.
pub(crate) fn tick_is_due(tick: Res<Tick>) -> bool {
    tick.is_due
}

/// After the systems of a tick, on the main thread as well.
pub(crate) fn end_tick(_main_thread: NonSendMarker, mut tick: ResMut<Tick>, mut metrics: ResMut<Metrics>) {
    if tick.is_due {
        metrics.last_tick_time = tick.began.elapsed();
        let spent = tick.account.spent();
        tick.spent_in_frame += spent;
        metrics.late_ticks += u64::from(metrics.last_tick_time > tick.timestep);
    }
    let late = metrics.late_ticks - tick.late_at_last_warning;
    let may_warn = tick.last_warning.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL);
    if late > 0 && may_warn {
        warn!("{late} late ticks; the last tick took {:?}", metrics.last_tick_time);
        tick.late_at_last_warning = metrics.late_ticks;
        tick.last_warning = Some(Instant::now());
    }
}
