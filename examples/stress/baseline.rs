//! The baseline: how hundreds of thousands of scripts are run without this crate.
//!
//! One sandboxed Luau state; each process compiles its source, gets a thread, and is resumed in a
//! loop over all VMs, through mlua's safe interface; an interrupt yields at every second safepoint.
//! No entities, no limits, no isolation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mlua::thread::ThreadStatus;
use mlua::{Lua, Thread, VmState};

use crate::options::Options;
use crate::report::{Report, Times, memory};
use crate::workload::Workload;

struct Process {
    _id: u64,
    thread: Thread,
    finished: bool,
    _created: Instant,
}

struct Os {
    processes: Vec<Process>,
    next_id: u64,
}

impl Os {
    fn spawn_process(&mut self, lua: &Lua, source: &[u8]) -> mlua::Result<()> {
        let main = lua.load(source).into_function()?;
        let thread = lua.create_thread(main)?;
        self.next_id += 1;
        self.processes.push(Process { _id: self.next_id, thread, finished: false, _created: Instant::now() });
        Ok(())
    }

    /// Resumes every unfinished process once and drops the finished.
    fn tick(&mut self, totals: &mut Totals) {
        for process in &mut self.processes {
            totals.resumes += 1;
            match process.thread.resume::<()>(()) {
                Ok(()) if process.thread.status() == ThreadStatus::Resumable => {}
                Ok(()) => {
                    totals.finished += 1;
                    process.finished = true;
                }
                Err(_) => {
                    totals.failed += 1;
                    process.finished = true;
                }
            }
        }
        self.processes.retain(|process| !process.finished);
    }
}

#[derive(Default)]
struct Totals {
    resumes: u64,
    finished: u64,
    failed: u64,
    vm_ticks: u64,
}

fn create_lua_state(quantum: u32) -> mlua::Result<Lua> {
    let lua = Lua::new();
    lua.globals().set("print", lua.create_function(|_, _: mlua::MultiValue| Ok(()))?)?;
    lua.sandbox(true)?;
    let safepoints = AtomicU64::new(0);
    lua.set_interrupt(move |_| {
        let count = safepoints.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(if count.is_multiple_of(u64::from(quantum)) { VmState::Yield } else { VmState::Continue })
    });
    Ok(lua)
}

pub fn run(options: &Options, workload: &Workload) -> Report {
    let idle_bytes = memory("VmRSS");
    let began = Instant::now();
    let lua = create_lua_state(options.quantum).expect("a Luau state");
    let mut vms: Vec<Os> = (0..options.vms).map(|_| Os { processes: Vec::new(), next_id: 0 }).collect();
    for vm in &mut vms {
        for _ in 0..options.processes {
            vm.spawn_process(&lua, workload.script.source()).expect("the script compiles");
        }
    }
    let spawn_time = began.elapsed();

    let run_began = Instant::now();
    let mut totals = Totals::default();
    let mut frames = Times::new();
    let (mut frame_count, mut late_frames) = (0, 0);
    let mut tick_time = Duration::ZERO;
    let mut isolate_bytes = lua.used_memory();
    while !vms.is_empty() && options.time_limit().is_none_or(|limit| run_began.elapsed() < limit) {
        let frame_began = Instant::now();
        for vm in &mut vms {
            totals.vm_ticks += 1;
            vm.tick(&mut totals);
        }
        vms.retain(|vm| !vm.processes.is_empty());
        let work = frame_began.elapsed();
        frames.record(work);
        tick_time += work;
        frame_count += 1;
        late_frames += u64::from(work > options.frame());
        isolate_bytes = isolate_bytes.max(lua.used_memory());
        if !options.uncapped && !vms.is_empty() {
            std::thread::sleep(options.frame().saturating_sub(work));
        }
    }
    let elapsed = began.elapsed();
    let peak = memory("VmHWM");
    let report = Report {
        workload: workload.name.clone(),
        vms: u64::from(options.vms),
        processes: options.process_count(),
        finished: totals.finished,
        failed: totals.failed,
        unfinished: vms.iter().map(|vm| vm.processes.len() as u64).sum(),
        vm_ticks: totals.vm_ticks,
        resumes: totals.resumes,
        frames: frame_count,
        late_ticks: late_frames,
        elapsed_s: elapsed.as_secs_f64(),
        spawn_s: spawn_time.as_secs_f64(),
        frame_ms: frames.distribution(),
        tick_ms: frames.distribution(),
        resume_ns: tick_time.as_nanos() as f64 / totals.resumes.max(1) as f64,
        isolate_bytes: isolate_bytes as u64,
        peak_rss_bytes: peak,
        bytes_per_process: peak.saturating_sub(idle_bytes) as f64 / options.process_count() as f64,
        workers: 1,
        isolates: 1,
        quantum: options.quantum,
        tick_budget: "unlimited".to_owned(),
        baseline: true,
        ..Report::default()
    };
    // The operating system takes the memory back faster than we can free it piece by piece.
    std::mem::forget((vms, lua));
    report
}
