//! The plugin: settings and wiring.

mod reflection;

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use bevy::app::RunFixedMainLoop;
use bevy::ecs::schedule::{InternedScheduleLabel, ScheduleLabel};
use bevy::prelude::*;

use crate::api::syscall::SyscallSystems;
use crate::assets::{self, ScriptAssets};
use crate::console::log::{ErrorLog, PrintLog};
use crate::isolate::MIN_QUANTUM;
use crate::runtime::{HostRegistry, LuauRuntime, RuntimeSettings};
use crate::scheduler::{self, Tick};
use crate::types::Metrics;
use crate::types::{Share, TickBudget};

/// 2000-01-01 00:00:00 UTC.
const YEAR_2000: Duration = Duration::from_secs(946_684_800);

/// VMs are dealt out to so many isolates at a time where two runs must give the same results, whatever the number of
/// processors.
const REPEATABLE_ISOLATES: usize = 8;

/// Runs the Luau processes of the app's VMs.
///
/// Needs Bevy's `TimePlugin` and `TaskPoolPlugin`, which `DefaultPlugins` and `MinimalPlugins` have. For [scripts
/// that are assets](crate::LuauScript) it also needs `AssetPlugin`, which must be added before it. Host functions and
/// syscalls may be [added](crate::HostFunctionAppExt) before it or after it.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// # let mut app = App::new();
/// app.add_plugins((
///     MinimalPlugins,
///     LuauOsPlugin { quantum: 10_000, budget: TickBudget::Auto, ..default() },
/// ));
/// ```
#[derive(Clone, Debug)]
pub struct LuauOsPlugin {
    /// Safepoints (loop back-edges, calls, returns) that a process may pass in one slice; at least 2.
    ///
    /// 1,000 by default: some 10 to 50 microseconds of ordinary code, enough for the decision of a
    /// robot in one tick, and little enough that a hundred endless loops fit into a frame. A script that computes for
    /// long gets one slice after the other while the [budget](Self::budget) of the tick and the
    /// [time](crate::Limits::time_per_tick) of its VM last.
    pub quantum: u32,
    /// What a tick may cost. 4 ms by default: the game's frame rate is not ours to spend.
    pub budget: TickBudget,
    /// How many slices a runnable process gets in each tick with [`TickBudget::Unlimited`]. 1 by default. With a
    /// limited budget there are as many as fit in.
    pub passes_per_tick: u32,
    /// Between whom the processor is shared out: processes, or VMs.
    pub share: Share,
    /// The schedule whose every run is a tick. [`FixedUpdate`] by default.
    ///
    /// Any other will do, also one that the game runs itself: for rollback, in tests, or on a server without Bevy's
    /// `Main`. The clock of scripts is the resource `Time` as it is in that schedule, so whoever runs it must let that
    /// advance, as Bevy does in its fixed loop. Assets are loaded and reloaded in Bevy's `PreUpdate`, and
    /// [`TickBudget::Auto`] measures frames in `First` and `Last`; nothing else needs `Main`.
    ///
    /// ```
    /// use bevy::ecs::schedule::ScheduleLabel;
    /// use bevy::prelude::*;
    /// use bevy_luau_os::prelude::*;
    ///
    /// #[derive(ScheduleLabel, Clone, Debug, PartialEq, Eq, Hash)]
    /// struct Simulate;
    ///
    /// let mut app = App::new();
    /// app.add_plugins((
    ///     MinimalPlugins,
    ///     LuauOsPlugin { schedule: Simulate.intern(), ..default() },
    /// ));
    /// app.world_mut().run_schedule(Simulate); // a tick
    /// ```
    pub schedule: InternedScheduleLabel,
    /// How often a second Bevy's fixed loop, and with it a tick, runs in an app that has not chosen a timestep, at
    /// least 4. 60 by default, instead of Bevy's own default of 64; `None` leaves also that.
    ///
    /// A timestep that the app sets (`Time::<Fixed>::from_hz(30.0)`) is never changed, whether it is set before the
    /// plugin is added or after. The plugin cannot see that an app has set exactly Bevy's default before; set it after,
    /// or set this to `None`. It has no effect where [`schedule`](Self::schedule) is not one of Bevy's fixed loop.
    pub tick_rate: Option<f64>,
    /// How many ticks may run in one frame; more that are due are left out and counted as
    /// [late](Metrics::late_ticks). 2 by default, so that scripts keep up at 30 frames a second.
    ///
    /// The limit is for Bevy's fixed loop, which makes up for long frames. Where the game runs the schedule itself,
    /// each run is a tick.
    pub max_ticks_per_frame: u32,
    /// VMs that share a Luau state (an isolate). 255 by default and at most, if the memory of each VM is
    /// to be known: Luau tells 256 categories apart. With `usize::MAX` and one worker there is one
    /// state for everything.
    pub vms_per_isolate: usize,
    /// Threads that run isolates, of Bevy's compute task pool and the main thread. By default one per
    /// processor.
    ///
    /// VMs are dealt out to as many isolates at a time. Scripts can observe who shares an isolate, so with
    /// [`TickBudget::Unlimited`] there are 8 at a time if this is not set, on any machine.
    pub workers: Option<NonZeroUsize>,
    /// Virtual time after which a [syscall](crate::SyscallAppExt) that the game has not answered fails; 30 s by
    /// default, never with [`Duration::MAX`].
    pub syscall_timeout: Duration,
    /// How many printed lines a second, of all VMs together, are written to the log as well, with the
    /// target `luau_print`. None by default: they are in each VM's [`VmConsole`](crate::VmConsole).
    pub log_prints: Option<NonZeroU32>,
    /// How many errors of scripts a second are written to the log, as warnings with their traceback and the target
    /// `luau_error`: processes and tasks that have failed, and processes that a limit has stopped. 10 by default;
    /// `None` leaves that to the game's observers of [`ProcessExited`](crate::ProcessExited) and
    /// [`TaskFailed`](crate::TaskFailed).
    pub log_errors: Option<NonZeroU32>,
    /// What the random numbers of all processes and the [names of VMs](crate::VmId) depend on; 0 by default. Where
    /// scripts are not to guess each other's addresses, it has to be a secret.
    pub seed: u64,
    /// What the calendar of scripts (`os.time`, `os.date`) shows when virtual time begins, since 1970. By default the
    /// year 2000 begins then, in every run, so that results do not depend on the date. With
    /// `SystemTime::now().duration_since(UNIX_EPOCH)` scripts have the date of the player, and of the server another.
    pub epoch: Duration,
    /// Whether an error that leaves a task ends its process, as one that leaves its main chunk always does. By default
    /// it ends that task alone, is written to the console, and triggers [`TaskFailed`](crate::TaskFailed).
    pub task_errors_end_process: bool,
}

impl Default for LuauOsPlugin {
    fn default() -> Self {
        Self {
            quantum: 1_000,
            budget: TickBudget::default(),
            passes_per_tick: 1,
            share: Share::default(),
            schedule: FixedUpdate.intern(),
            tick_rate: Some(60.0),
            max_ticks_per_frame: 2,
            vms_per_isolate: 255,
            workers: None,
            syscall_timeout: Duration::from_secs(30),
            log_prints: None,
            log_errors: NonZeroU32::new(10),
            seed: 0,
            epoch: YEAR_2000,
            task_errors_end_process: false,
        }
    }
}

/// The steps of a tick, in this order, in the schedule of the plugin: [`FixedUpdate`] unless it is
/// [told otherwise](LuauOsPlugin::schedule).
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LuauOsSystems {
    /// New processes get their isolate, their PID and their thread, and run their first safepoints.
    Admit,
    /// Processes whose time has come, or whose syscalls were answered, run on.
    Wake,
    /// Runnable processes get a slice.
    Run,
    /// The systems that answer [syscalls](crate::SyscallAppExt) get the calls.
    Syscalls,
    /// Isolates that have grown are collected.
    Collect,
    /// Prints and exits reach the ECS; ended processes and finished VMs are despawned.
    Settle,
}

impl Plugin for LuauOsPlugin {
    /// # Panics
    ///
    /// When a setting is out of its range.
    fn build(&self, app: &mut App) {
        self.check();
        if let Some(rate) = self.tick_rate.filter(|_| self.runs_in_fixed_loop()) {
            let mut time = app.world_mut().get_resource_or_init::<Time<Fixed>>();
            if time.timestep() == Time::<Fixed>::default().timestep() {
                time.set_timestep_hz(rate);
            }
        }
        if let Some(lines_per_second) = self.log_prints {
            app.insert_resource(PrintLog::new(lines_per_second.get()));
        }
        if let Some(errors_per_second) = self.log_errors {
            app.insert_resource(ErrorLog::new(errors_per_second.get()));
        }
        if app.world().contains_resource::<AssetServer>() {
            assets::build(app);
            app.add_systems(PreUpdate, scheduler::follow_assets);
        }
        let registry = app.world_mut().remove_resource::<HostRegistry>().unwrap_or_default();
        app.insert_resource(LuauRuntime::new(self.runtime_settings(), registry))
            .insert_resource(Tick::new(self.max_ticks_per_frame))
            .init_resource::<Metrics>()
            .init_resource::<SyscallSystems>()
            .init_resource::<ScriptAssets>();
        reflection::register_types(app);
        #[cfg(feature = "ecs")]
        crate::ecs::build(app);
        self.add_systems(app);
        #[cfg(feature = "save")]
        self.add_save_systems(app);
    }
}

impl LuauOsPlugin {
    fn check(&self) {
        assert!(
            self.quantum >= MIN_QUANTUM,
            "LuauOsPlugin::quantum is {}; it must be at least {MIN_QUANTUM}",
            self.quantum
        );
        assert!(self.vms_per_isolate > 0, "LuauOsPlugin::vms_per_isolate is 0; it must be at least 1");
        assert!(self.passes_per_tick > 0, "LuauOsPlugin::passes_per_tick is 0: nothing would run");
        assert!(self.max_ticks_per_frame > 0, "LuauOsPlugin::max_ticks_per_frame is 0: nothing would run");
        if let Some(rate) = self.tick_rate {
            // Bevy's virtual clock advances by 250 ms a frame at most.
            assert!(
                (4.0..=1e6).contains(&rate),
                "LuauOsPlugin::tick_rate is {rate}; it must be 4 to 1,000,000"
            );
        }
    }

    fn runs_in_fixed_loop(&self) -> bool {
        let fixed = [
            FixedFirst.intern(),
            FixedPreUpdate.intern(),
            FixedUpdate.intern(),
            FixedPostUpdate.intern(),
            FixedLast.intern(),
        ];
        fixed.contains(&self.schedule)
    }

    fn runtime_settings(&self) -> RuntimeSettings {
        let workers = self.workers.or(std::thread::available_parallelism().ok());
        let workers = workers.map_or(1, NonZeroUsize::get);
        let isolates_at_a_time = match (self.budget, self.workers) {
            (TickBudget::Unlimited, None) => REPEATABLE_ISOLATES,
            _ => workers,
        };
        RuntimeSettings {
            quantum: self.quantum,
            passes_per_tick: self.passes_per_tick,
            share: self.share,
            syscall_timeout: self.syscall_timeout,
            seed: self.seed,
            epoch: self.epoch,
            task_errors_end_process: self.task_errors_end_process,
            vms_per_isolate: self.vms_per_isolate,
            workers,
            isolates_at_a_time,
            budget: self.budget,
        }
    }

    #[cfg(feature = "save")]
    fn add_save_systems(&self, app: &mut App) {
        app.register_type::<crate::VmSnapshot>().register_type::<crate::VmSnapshots>();
        app.add_systems(
            self.schedule,
            (
                scheduler::go_on_saving
                    .run_if(scheduler::tick_is_due.and_then(resource_exists::<scheduler::SaveUnderWay>))
                    .after(scheduler::begin_tick)
                    .before(LuauOsSystems::Admit),
                scheduler::load_images
                    .run_if(scheduler::tick_is_due.and_then(scheduler::has_images))
                    .after(scheduler::go_on_saving)
                    .before(LuauOsSystems::Admit),
            ),
        );
    }

    fn add_systems(&self, app: &mut App) {
        let fixed_loop = RunFixedMainLoopSystems::FixedMainLoop;
        let phases = (
            LuauOsSystems::Admit,
            LuauOsSystems::Wake,
            LuauOsSystems::Run,
            LuauOsSystems::Syscalls,
            LuauOsSystems::Collect,
            LuauOsSystems::Settle,
        )
            .chain()
            .run_if(scheduler::tick_is_due);
        #[cfg(feature = "save")]
        let phases = phases.run_if(scheduler::no_save_is_under_way);
        app.configure_sets(self.schedule, phases)
            .add_systems(First, scheduler::begin_frame)
            .add_systems(
                RunFixedMainLoop,
                (
                    // Between the game's own systems and the loop: those may run the schedule, too.
                    scheduler::begin_fixed_loop
                        .after(RunFixedMainLoopSystems::BeforeFixedMainLoop)
                        .before(fixed_loop),
                    scheduler::end_fixed_loop
                        .after(fixed_loop)
                        .before(RunFixedMainLoopSystems::AfterFixedMainLoop),
                ),
            )
            .add_systems(Last, scheduler::end_frame)
            .add_systems(
                self.schedule,
                (
                    scheduler::begin_tick.before(LuauOsSystems::Admit),
                    #[cfg(not(feature = "ecs"))]
                    scheduler::admit.in_set(LuauOsSystems::Admit),
                    #[cfg(feature = "ecs")]
                    (scheduler::place, scheduler::start).chain().in_set(LuauOsSystems::Admit),
                    scheduler::wake.in_set(LuauOsSystems::Wake),
                    scheduler::run.in_set(LuauOsSystems::Run),
                    #[cfg(feature = "ecs")]
                    crate::ecs::apply_changes
                        .before(scheduler::dispatch_syscalls)
                        .in_set(LuauOsSystems::Syscalls),
                    scheduler::dispatch_syscalls.in_set(LuauOsSystems::Syscalls),
                    scheduler::collect.in_set(LuauOsSystems::Collect),
                    scheduler::settle.in_set(LuauOsSystems::Settle),
                    scheduler::end_tick.after(LuauOsSystems::Settle),
                ),
            );
    }
}
