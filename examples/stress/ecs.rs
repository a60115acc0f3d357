//! The run through the plugin.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use bevy::log::LogPlugin;
use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{LuauOsDiagnosticsPlugin, Metrics};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::chart::{Sample, Timeline};
use crate::fairness::SliceCounter;
use crate::hash;
use crate::hostile::{self, Attacks};
use crate::options::Options;
use crate::pinning::Pinning;
use crate::report::{Quarters, Report, Times, memory};
#[cfg(feature = "save")]
use crate::saves;
use crate::workload::Workload;

/// VMs spawned between two updates of the progress bar.
const VMS_PER_BATCH: u32 = 20_000;

/// How long the run goes on when all VMs have been despawned.
const AFTER_DESPAWN: Duration = Duration::from_secs(1);

pub fn run(options: &Options, workload: Workload) -> Report {
    let mut app = build(options);
    let idle_bytes = memory("VmRSS");
    let bar = progress_bar(options);

    let began = Instant::now();
    #[cfg(feature = "save")]
    let load_s = saves::load(&mut app, options);
    #[cfg(feature = "save")]
    let is_loaded = load_s.is_some();
    #[cfg(not(feature = "save"))]
    let is_loaded = false;
    if !is_loaded {
        spawn(&mut app, options, &workload.script, &bar);
    }
    if let Some(attacks) = workload.attacks {
        hostile::attack(&mut app, attacks, options.attacks);
    }
    let spawn_time = began.elapsed();
    bar.set_message("running");
    bar.set_position(0);

    let run_began = Instant::now();
    let (mut frames, mut ticks) = (Times::new(), Times::new());
    let (mut frame_count, mut late_frames, mut isolate_bytes) = (0, 0, 0);
    let mut quarters = Quarters::default();
    let mut slice_counter = options.time_limit().map(|_| SliceCounter::new(&mut app));
    let mut timeline = Timeline::new();
    let (mut fairness, mut despawned) = (None, None);
    loop {
        let frame_began = Instant::now();
        let (ticks_before, gc_before) = (metrics(&app).ticks, metrics(&app).gc_time);
        app.update();
        let work = frame_began.elapsed();
        frames.record(work);
        frame_count += 1;
        late_frames += u64::from(work > options.frame());
        if let Some(limit) = options.time_limit() {
            quarters.record(run_began.elapsed().div_duration_f64(limit), work > options.frame());
        }
        if let Some(counter) = &mut slice_counter {
            counter.update(&app);
        }
        let metrics = metrics(&app);
        timeline.record(Sample {
            at: frame_began - run_began,
            frame: work,
            tick: metrics.last_tick_time,
            collector: metrics.gc_time - gc_before,
            processes: metrics.processes(),
        });
        if metrics.ticks > ticks_before {
            ticks.record(metrics.last_tick_time);
            isolate_bytes = isolate_bytes.max(app.world().resource::<LuauRuntime>().isolate_bytes());
        }
        bar.set_position(metrics.processes_created - metrics.processes());
        let is_done = metrics.vms() == 0 || options.ticks.is_some_and(|ticks| metrics.ticks >= ticks);
        let time_is_up = options.time_limit().is_some_and(|limit| run_began.elapsed() >= limit);
        if time_is_up && options.despawn && despawned.is_none() {
            fairness = slice_counter.take().map(|counter| counter.finish(&app));
            despawned = Some((despawn(&mut app), Instant::now()));
        }
        let is_over = match despawned {
            Some((_, when)) => when.elapsed() >= AFTER_DESPAWN,
            None => time_is_up || is_done,
        };
        if is_over {
            break;
        }
        if !options.uncapped {
            // A frame that is late has nothing to wait for.
            std::thread::sleep(options.frame().saturating_sub(frame_began.elapsed()));
        }
    }
    let elapsed = began.elapsed();
    #[cfg(feature = "save")]
    let saved = saves::save(&mut app, options);
    bar.finish_and_clear();

    let peak = memory("VmHWM");
    let digest = hash::digest(&mut app);
    let some_live = metrics(&app).processes() > 0;
    let mut runtime = app.world_mut().resource_mut::<LuauRuntime>();
    let live_bytes = if some_live { runtime.collect_garbage() } else { 0 };
    let runtime = app.world().resource::<LuauRuntime>();
    let metrics = metrics(&app);
    let run_ns = metrics.run_time.as_nanos() as f64 * runtime.workers() as f64;
    let report = Report {
        workload: workload.name,
        vms: metrics.vms_created,
        processes: metrics.processes_created,
        finished: metrics.processes_finished,
        failed: metrics.processes_failed,
        killed: metrics.processes_killed,
        unfinished: metrics.processes(),
        vm_ticks: metrics.vm_ticks,
        resumes: metrics.resumes,
        starting_resumes: metrics.starting_resumes,
        frames: frame_count,
        late_ticks: late_frames,
        elapsed_s: elapsed.as_secs_f64(),
        spawn_s: spawn_time.as_secs_f64(),
        despawn_s: despawned.map_or(0.0, |(took, _)| took.as_secs_f64()),
        frame_ms: frames.distribution(),
        tick_ms: ticks.distribution(),
        resume_ns: match metrics.resumes - metrics.starting_resumes {
            0 => 0.0,
            resumes => run_ns / resumes as f64,
        },
        gc_ms: metrics.gc_time.as_secs_f64() * 1e3,
        gc_pause_max_ms: metrics.gc_longest_pause.as_secs_f64() * 1e3,
        isolate_bytes: isolate_bytes as u64,
        live_bytes: live_bytes as u64,
        peak_rss_bytes: peak,
        bytes_per_process: peak.saturating_sub(idle_bytes) as f64 / options.process_count() as f64,
        workers: runtime.workers() as u64,
        isolates: runtime.isolate_count() as u64,
        quantum: options.quantum,
        tick_budget: match options.tick_budget() {
            TickBudget::Unlimited => "unlimited".to_owned(),
            TickBudget::Auto => "auto".to_owned(),
            TickBudget::Time(time) => format!("{time:?}"),
        },
        #[cfg(feature = "save")]
        save_s: saved.seconds,
        #[cfg(feature = "save")]
        save_bytes: saved.bytes,
        #[cfg(feature = "save")]
        save_frame_max_ms: saved.frame_max_ms,
        #[cfg(feature = "save")]
        load_s: load_s.unwrap_or_default(),
        #[cfg(not(feature = "save"))]
        save_s: 0.0,
        #[cfg(not(feature = "save"))]
        save_bytes: 0,
        #[cfg(not(feature = "save"))]
        save_frame_max_ms: 0.0,
        #[cfg(not(feature = "save"))]
        load_s: 0.0,
        baseline: false,
        quarters,
        neighbours_ended: app.world().get_resource::<Attacks>().map_or(0, |attacks| attacks.neighbours_ended),
        fairness: fairness.or_else(|| slice_counter.map(|counter| counter.finish(&app))).unwrap_or_default(),
        digest,
    };
    if let Some(path) = &options.chart {
        let title = format!("{}k processes of {}.luau", report.processes / 1000, report.workload);
        if let Err(error) = timeline.draw(path, &title, options.frame()) {
            eprintln!("stress: cannot write {}: {error}", path.display());
        }
    }
    // The operating system takes the memory back faster than we can free it piece by piece.
    std::mem::forget(app);
    report
}

fn build(options: &Options) -> App {
    let mut app = App::new();
    let workers = options.workers.map(NonZeroUsize::get);
    let pinning = Pinning::new(workers);
    let pools = workers.map_or_else(default, TaskPoolOptions::with_num_threads);
    app.add_plugins((
        MinimalPlugins.set(TaskPoolPlugin { task_pool_options: pinning.pin_pool(pools) }),
        LuauOsPlugin {
            quantum: options.quantum,
            budget: options.tick_budget(),
            tick_rate: Some(options.fps),
            vms_per_isolate: options.vms_per_isolate,
            workers: options.workers,
            ..default()
        },
        LuauOsDiagnosticsPlugin,
    ));
    if options.hash {
        hash::observe(&mut app);
    }
    if options.no_limits {
        app.world_mut().resource_mut::<LuauRuntime>().measure_without_limits();
    }
    if !options.quiet {
        app.add_plugins(LogPlugin::default());
    }
    // What the workload `syscall` calls.
    app.add_syscall("stress.add", |In(calls): In<Vec<Syscall<(f64, f64), f64>>>| {
        for call in calls {
            let sum = call.args.0 + call.args.1;
            call.reply(sum);
        }
    });
    if let Some(ms) = options.game_load_ms {
        let time = Duration::from_secs_f64(ms / 1e3);
        app.add_systems(Update, move || {
            let began = Instant::now();
            while began.elapsed() < time {
                std::hint::spin_loop();
            }
        });
    }
    // Every frame is one tick, late or not. So lateness does not pile up, and `--uncapped` changes nothing but the
    // waiting.
    app.insert_resource(TimeUpdateStrategy::FixedTimesteps(1));
    app.finish();
    app.cleanup();
    pinning.pin_main_thread();
    app.update(); // the first frame of an app starts its clock and has no tick
    app
}

fn spawn(app: &mut App, options: &Options, script: &Script, bar: &ProgressBar) {
    let world = app.world_mut();
    let usual = Limits::default();
    let silent = Limits { console_bytes: 0, ..usual.clone() };
    let limits = VmLimits::from(if options.hash { usual } else { silent });
    let mut left = options.vms;
    while left > 0 {
        let batch = left.min(VMS_PER_BATCH);
        left -= batch;
        let vms = world.spawn_batch((0..batch).map(|_| (Vm::new(), limits.clone())));
        let vms: Vec<Entity> = vms.collect();
        let processes = vms.into_iter().flat_map(|vm| {
            (0..options.processes).map(move |_| (Process::new(script.clone()), ProcessOf(vm)))
        });
        world.spawn_batch(processes);
        bar.inc(u64::from(batch) * u64::from(options.processes));
    }
    world.flush();
}

/// Despawns all VMs in one command flush. Returns what it took.
fn despawn(app: &mut App) -> Duration {
    let world = app.world_mut();
    let vms: Vec<Entity> = world.query_filtered::<Entity, With<Vm>>().iter(world).collect();
    let began = Instant::now();
    let mut commands = world.commands();
    vms.into_iter().for_each(|vm| commands.entity(vm).despawn());
    world.flush();
    began.elapsed()
}

fn progress_bar(options: &Options) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:9} {wide_bar} {human_pos}/{human_len} {elapsed}")
        .expect("a valid template");
    let bar = ProgressBar::new(options.process_count()).with_style(style).with_message("spawning");
    // It hides by itself where there is no terminal.
    if options.quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn metrics(app: &App) -> &Metrics {
    app.world().resource()
}
