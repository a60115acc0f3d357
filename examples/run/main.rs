//! Runs Luau files, each as a process of its own VM. They may require the modules beside them.
//!
//! ```text
//! cargo run --release --example run -- FILE...
//! cargo run --release --features save --example run -- FILE... --migrate 1
//! cargo run --release --example run -- --hash --tick-budget unlimited FILE...   # a digest, the same in each run
//! ```

#[path = "../common/digest.rs"]
mod digest;
mod load;
#[cfg(feature = "save")]
mod migrate;
mod options;

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::prelude::*;
use bevy_luau_os::{CpuUsage, Metrics};
use clap::Parser;
use cpu_time::ThreadTime;
use serde::Serialize;

use digest::Digest;
use load::load;
use options::Options;

/// Prints a line. Where nobody reads any more, there is nothing left to do.
fn say(line: std::fmt::Arguments) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(1);
    }
}

/// Which file runs on a VM, and how it ended.
#[derive(Resource)]
struct Files {
    paths: Vec<PathBuf>,
    of_vm: HashMap<Entity, usize>,
    exits: Vec<Option<Exit>>,
    /// What the apps before this one had, if there were some.
    ticks_before: u64,
    digest: Digest,
}

impl Files {
    /// Prints what a VM has printed, with the file's name in front if there are several.
    fn show(&mut self, vm: Entity, console: &mut VmConsole) {
        let file = self.of_vm[&vm];
        let (path, text) = (self.paths[file].display(), console.take_text());
        self.digest.add((file, &text));
        for line in text.lines() {
            if self.paths.len() > 1 {
                say(format_args!("{path}: {line}"));
            } else {
                say(format_args!("{line}"));
            }
        }
    }
}

struct Exit {
    outcome: Outcome,
    cpu: CpuUsage,
    ticks: u64,
}

#[derive(Serialize)]
struct Report<'a> {
    ticks: u64,
    elapsed_s: f64,
    longest_tick_ms: f64,
    /// Processor time of the main thread, on which everything runs with `--workers 1`.
    longest_tick_cpu_ms: f64,
    files: Vec<FileReport<'a>>,
}

#[derive(Serialize)]
struct FileReport<'a> {
    file: &'a Path,
    outcome: &'static str,
    message: String,
    traceback: String,
    ticks: u64,
    slices: u64,
    safepoints: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut scripts = Vec::new();
    for path in &options.files {
        match load(path) {
            Ok(script) => scripts.push(script),
            Err(error) => eprintln!("{error}"),
        }
    }
    if scripts.len() < options.files.len() {
        return ExitCode::from(2);
    }
    let mut app = build(&options);
    let limits = VmLimits::from(options.limits());
    for (i, script) in scripts.into_iter().enumerate() {
        let vm = app.world_mut().spawn((Vm::new(), limits.clone())).id();
        app.world_mut().spawn((Process::new(script), ProcessOf(vm)));
        app.world_mut().resource_mut::<Files>().of_vm.insert(vm, i);
    }
    let times = tick(&mut app, &options);
    let reports = close(&app, &options);
    if options.hash {
        say(format_args!("digest {}", app.world().resource::<Files>().digest));
    }
    let finished = reports.iter().all(|report| report.outcome == "finished");
    if let Some(path) = &options.report {
        let ticks = ticks(&app);
        let [longest_tick_ms, longest_tick_cpu_ms] =
            [times.longest_tick, times.longest_tick_cpu].map(|time| time.as_secs_f64() * 1e3);
        let elapsed_s = times.elapsed.as_secs_f64();
        let report = Report { ticks, elapsed_s, longest_tick_ms, longest_tick_cpu_ms, files: reports };
        let json = serde_json::to_string_pretty(&report).expect("strings and numbers") + "\n";
        if let Err(error) = std::fs::write(path, json) {
            eprintln!("cannot write {}: {error}", path.display());
            return ExitCode::from(2);
        }
    }
    if finished { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn build(options: &Options) -> App {
    let mut app = App::new();
    app.add_plugins((MinimalPlugins, options.plugin()))
        .insert_resource(TimeUpdateStrategy::FixedTimesteps(1))
        .insert_resource(Files {
            paths: options.files.clone(),
            of_vm: HashMap::new(),
            exits: options.files.iter().map(|_| None).collect(),
            ticks_before: 0,
            digest: Digest::default(),
        })
        .add_systems(Update, show_consoles)
        .add_observer(record_exit);
    app
}

fn show_consoles(
    mut consoles: Query<(Entity, &mut VmConsole), Changed<VmConsole>>,
    mut files: ResMut<Files>,
) {
    for (vm, mut console) in &mut consoles {
        files.show(vm, &mut console);
    }
}

fn record_exit(
    exit: On<ProcessExited>,
    mut files: ResMut<Files>,
    mut consoles: Query<&mut VmConsole>,
    metrics: Res<Metrics>,
) {
    // The VM is about to go, and its console with it.
    if let Ok(mut console) = consoles.get_mut(exit.vm) {
        files.show(exit.vm, &mut console);
    }
    let file = files.of_vm[&exit.vm];
    let (outcome, cpu) = (exit.outcome.clone(), exit.cpu);
    let ticks = files.ticks_before + metrics.ticks;
    files.digest.add((file, ticks, &outcome));
    files.exits[file] = Some(Exit { outcome, cpu, ticks });
}

/// Ticks so far.
fn ticks(app: &App) -> u64 {
    app.world().resource::<Files>().ticks_before + app.world().resource::<Metrics>().ticks
}

/// How long the run took.
#[derive(Default)]
struct Times {
    elapsed: Duration,
    longest_tick: Duration,
    longest_tick_cpu: Duration,
}

/// Ticks until everything has ended or a limit is reached.
fn tick(app: &mut App, options: &Options) -> Times {
    let began = Instant::now();
    let mut times = Times::default();
    let limit = options.seconds.map(Duration::from_secs_f64);
    let frame = options.fps.map(|fps| Duration::from_secs_f64(1.0 / fps));
    loop {
        let (tick_began, tick_began_cpu) = (Instant::now(), ThreadTime::now());
        app.update();
        times.longest_tick = times.longest_tick.max(tick_began.elapsed());
        times.longest_tick_cpu = times.longest_tick_cpu.max(tick_began_cpu.elapsed());
        let is_done = app.world().resource::<Metrics>().processes() == 0;
        let out_of_ticks = options.ticks.is_some_and(|limit| ticks(app) >= limit);
        let out_of_time = limit.is_some_and(|limit| began.elapsed() >= limit);
        if is_done || out_of_ticks || out_of_time {
            times.elapsed = began.elapsed();
            return times;
        }
        #[cfg(feature = "save")]
        migrate::if_due(app, options);
        if let Some(frame) = frame {
            std::thread::sleep(frame.saturating_sub(tick_began.elapsed()));
        }
    }
}

/// Prints how each file ended.
fn close<'a>(app: &App, options: &'a Options) -> Vec<FileReport<'a>> {
    let ticks = ticks(app);
    let exits = &app.world().resource::<Files>().exits;
    let reports = options.files.iter().zip(exits).map(|(file, exit)| {
        let mut report = FileReport {
            file,
            outcome: "unfinished",
            message: String::new(),
            traceback: String::new(),
            ticks: exit.as_ref().map_or(ticks, |exit| exit.ticks),
            slices: exit.as_ref().map_or(0, |exit| exit.cpu.slices),
            safepoints: exit.as_ref().map_or(0, |exit| exit.cpu.safepoints),
        };
        let name = file.display();
        match exit.as_ref().map(|exit| &exit.outcome) {
            Some(Outcome::Finished(_)) => {
                report.outcome = "finished";
                say(format_args!("{name}: finished after {} ticks", report.ticks));
            }
            Some(Outcome::Failed(error)) => {
                report.outcome = "failed";
                report.message = error.message.to_string();
                report.traceback = error.traceback.to_string();
                say(format_args!("{name}: failed: {error}"));
                for frame in error.traceback.lines() {
                    say(format_args!("    {frame}"));
                }
            }
            Some(Outcome::Killed(reason)) => {
                report.outcome = "killed";
                report.message = reason.to_string();
                say(format_args!("{name}: killed: {reason}"));
            }
            _ => say(format_args!("{name}: unfinished after {ticks} ticks")),
        }
        report
    });
    reports.collect()
}
