//! The systems of a tick: admit, wake, run, collect, settle.

mod adaptive;
mod admit;
mod budget;
mod collect;
mod kernel_requests;
mod parallel;
pub(crate) mod reload;
mod run;
mod settle;
mod wake;

use std::time::{Duration, Instant};

use bevy::ecs::system::NonSendMarker;
use bevy::prelude::*;

use crate::runtime::LuauRuntime;
use crate::types::{Metrics, TickBudget};

use adaptive::{AdaptiveBudget, Frame};
use budget::{Account, Phase};

pub(crate) use admit::admit;
pub(crate) use collect::collect;
pub(crate) use reload::follow_assets;
pub(crate) use run::run;
pub(crate) use settle::settle;
pub(crate) use wake::{dispatch_syscalls, wake};

/// At most one warning of late ticks in this time.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// The tick under way.
#[derive(Resource, Debug)]
pub(crate) struct Tick {
    max_per_frame: u32,
    begun_in_frame: u32,
    /// Whether the current run of `FixedUpdate` is a tick. Those beyond the maximum of a frame are
    /// not: catching up would make the next frame late as well.
    is_due: bool,
    began: Instant,
    account: Account,
    adaptive: AdaptiveBudget,
    frame_began: Option<Instant>,
    /// What the main schedule took of the frame under way; zero until it is over.
    frame_work: Duration,
    /// What our own systems took of the frame.
    spent_in_frame: Duration,
    late_at_last_warning: u64,
    last_warning: Option<Instant>,
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
}

/// A phase of the tick under way.
struct PhaseTimer {
    phase: Phase,
    began: Instant,
    /// When it has to stop.
    deadline: Option<Instant>,
}

impl Tick {
    fn begin_phase(&self, phase: Phase) -> PhaseTimer {
        let began = Instant::now();
        PhaseTimer { phase, began, deadline: self.account.deadline(began, phase) }
    }

    /// Returns what the phase took.
    fn end_phase(&mut self, PhaseTimer { phase, began, deadline }: PhaseTimer) -> Duration {
        let now = Instant::now();
        let was_cut = deadline.is_some_and(|deadline| now >= deadline);
        self.account.charge(phase, now - began, was_cut);
        now - began
    }
}

/// First in a frame.
pub(crate) fn begin_frame(mut tick: ResMut<Tick>, fixed: Res<Time<Fixed>>) {
    let now = Instant::now();
    if let Some(began) = tick.frame_began.replace(now) {
        let (work, ours, ticks) = (tick.frame_work, tick.spent_in_frame, tick.begun_in_frame);
        let frame = Frame { interval: now - began, work, ours, ticks };
        tick.adaptive.learn(frame, fixed.timestep());
    }
    (tick.begun_in_frame, tick.spent_in_frame) = (0, Duration::ZERO);
}

/// Last in a frame, before it waits for the next.
pub(crate) fn end_frame(mut tick: ResMut<Tick>) {
    tick.frame_work = tick.frame_began.map_or(Duration::ZERO, |began| began.elapsed());
}

/// Before the systems of a tick. On the main thread, as those are: to wake another one takes 30 to 60 microseconds.
pub(crate) fn begin_tick(
    _main_thread: NonSendMarker,
    mut tick: ResMut<Tick>,
    mut runtime: ResMut<LuauRuntime>,
    mut metrics: ResMut<Metrics>,
    time: Res<Time>,
    fixed: Res<Time<Fixed>>,
) {
    tick.is_due = tick.begun_in_frame < tick.max_per_frame;
    if tick.is_due {
        tick.begun_in_frame += 1;
        tick.began = Instant::now();
        let budget = match runtime.budget() {
            TickBudget::Unlimited => None,
            TickBudget::Time(budget) => Some(budget),
            TickBudget::Auto => Some(tick.adaptive.budget(fixed.timestep())),
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
pub(crate) fn end_tick(
    _main_thread: NonSendMarker,
    mut tick: ResMut<Tick>,
    mut metrics: ResMut<Metrics>,
    fixed: Res<Time<Fixed>>,
) {
    if tick.is_due {
        metrics.last_tick_time = tick.began.elapsed();
        let spent = tick.account.spent();
        tick.spent_in_frame += spent;
        metrics.late_ticks += u64::from(metrics.last_tick_time > fixed.timestep());
    }
    let late = metrics.late_ticks - tick.late_at_last_warning;
    let may_warn = tick.last_warning.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL);
    if late > 0 && may_warn {
        warn!("{late} late ticks; the last tick took {:?}", metrics.last_tick_time);
        tick.late_at_last_warning = metrics.late_ticks;
        tick.last_warning = Some(Instant::now());
    }
}
