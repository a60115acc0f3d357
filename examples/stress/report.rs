//! What a run was and what it cost.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::fairness::Fairness;

/// The JSON report. Times in the units that the names say.
#[derive(Serialize, Debug, Default)]
pub struct Report {
    pub workload: String,
    pub vms: u64,
    pub processes: u64,
    pub finished: u64,
    pub failed: u64,
    pub killed: u64,
    pub unfinished: u64,
    pub vm_ticks: u64,
    pub resumes: u64,
    /// Slices that ran while their process started.
    pub starting_resumes: u64,
    pub frames: u64,
    /// Frames whose work took longer than 1/fps.
    pub late_ticks: u64,
    /// From the first spawn to the last despawn.
    pub elapsed_s: f64,
    pub spawn_s: f64,
    /// What `--despawn` took, or 0.
    pub despawn_s: f64,
    pub frame_ms: Distribution,
    pub tick_ms: Distribution,
    /// Wall time of the Run phases, times workers, divided by the slices that ran there. Those are `resumes` without
    /// `starting_resumes`. 0 if there are none.
    pub resume_ns: f64,
    pub gc_ms: f64,
    pub gc_pause_max_ms: f64,
    /// The most memory that isolates had after a tick.
    pub isolate_bytes: u64,
    /// Bytes of the objects that a full collection left at the end. 0 if no process was left.
    pub live_bytes: u64,
    pub peak_rss_bytes: u64,
    /// Peak memory, less what the program used before it spawned anything, divided by the number of processes.
    pub bytes_per_process: f64,
    pub workers: u64,
    pub isolates: u64,
    pub quantum: u32,
    /// What a tick was allowed to take: `unlimited`, `auto`, or a time such as `4ms`.
    pub tick_budget: String,
    /// With `--save`: from the first frame that saves to the bytes.
    pub save_s: f64,
    pub save_bytes: u64,
    /// The longest frame meanwhile.
    pub save_frame_max_ms: f64,
    /// With `--load`: from the bytes to the frame in which the last VM is there.
    pub load_s: f64,
    /// Whether this was the run without this crate.
    pub baseline: bool,
    /// With the workload `hostile`: well-behaved processes that ended. They never should.
    pub neighbours_ended: u64,
    /// With `--seconds`: whether anything grows during the run.
    pub quarters: Quarters,
    /// With `--seconds`: whether all processes get the same number of slices.
    pub fairness: Fairness,
    /// With `--hash`: the digest of what scripts did.
    pub digest: Option<String>,
}

/// What was measured in each quarter of a run.
#[derive(Serialize, Debug, Default)]
pub struct Quarters {
    pub late_ticks: [u64; 4],
    /// Resident memory at the end of each.
    pub rss_bytes: [u64; 4],
    #[serde(skip)]
    begun: usize,
}

impl Quarters {
    /// Records a frame. `done` is the part of the run that is over, from 0 to 1.
    pub fn record(&mut self, done: f64, is_late: bool) {
        let quarter = ((done * 4.0) as usize).min(3);
        self.late_ticks[quarter] += u64::from(is_late);
        if quarter > self.begun {
            self.rss_bytes[self.begun] = memory("VmRSS");
            self.begun = quarter;
        } else if done >= 1.0 {
            self.rss_bytes[3] = memory("VmRSS");
        }
    }
}

#[derive(Serialize, Debug, Default)]
pub struct Distribution {
    pub mean: f64,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// Durations, with a precision of three digits.
pub struct Times(Histogram<u64>);

impl Times {
    pub fn new() -> Self {
        Self(Histogram::new(3).expect("3 is a valid number of digits"))
    }

    pub fn record(&mut self, time: Duration) {
        // The histogram grows with what it is given; nothing here takes 500 years.
        self.0.record(time.as_nanos() as u64).expect("a histogram that grows");
    }

    pub fn distribution(&self) -> Distribution {
        let ms = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        Distribution {
            mean: self.0.mean() / 1e6,
            p50: ms(self.0.value_at_quantile(0.5)),
            p99: ms(self.0.value_at_quantile(0.99)),
            p999: ms(self.0.value_at_quantile(0.999)),
            max: ms(self.0.max()),
        }
    }
}

impl Report {
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")
    }

    /// The run in four lines.
    pub fn summary(&self) -> String {
        let Self { vms, processes, vm_ticks, elapsed_s, .. } = self;
        format!(
            "VMs created: {vms}\n\
             Processes executed: {processes}\n\
             Ticks executed: {vm_ticks}\n\
             Run time: {elapsed_s:.2} s"
        )
    }
}

/// A table for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.baseline { "baseline" } else { "bevy_luau_os" };
        let mib = |bytes: u64| bytes / (1024 * 1024);
        writeln!(f, "workload     {} ({how}), quantum {}", self.workload, self.quantum)?;
        writeln!(f, "isolates     {} on {} workers", self.isolates, self.workers)?;
        writeln!(
            f,
            "processes    {} finished, {} failed, {} killed, {} unfinished",
            self.finished, self.failed, self.killed, self.unfinished
        )?;
        writeln!(f, "spawning     {:.2} s", self.spawn_s)?;
        if self.load_s > 0.0 {
            writeln!(f, "loading      {:.2} s", self.load_s)?;
        }
        if self.save_bytes > 0 {
            let Self { save_s, save_bytes, save_frame_max_ms, .. } = self;
            writeln!(
                f,
                "saving       {save_s:.2} s, {} MiB, longest frame {save_frame_max_ms:.2} ms",
                mib(*save_bytes)
            )?;
        }
        if self.despawn_s > 0.0 {
            writeln!(f, "despawning   {:.2} s", self.despawn_s)?;
        }
        for (name, times) in [("frame", &self.frame_ms), ("tick", &self.tick_ms)] {
            writeln!(
                f,
                "{name:<13}mean {:.2} ms, p50 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2}",
                times.mean, times.p50, times.p99, times.p999, times.max
            )?;
        }
        write!(
            f,
            "late         {} of {} frames, tick budget {}",
            self.late_ticks, self.frames, self.tick_budget
        )?;
        // Or somebody takes it for what a game's frames will be like.
        let is_by_choice = self.late_ticks > 0 && self.tick_budget == "unlimited" && !self.baseline;
        writeln!(f, "{}", if is_by_choice { " (`--tick-budget auto` holds the frame rate)" } else { "" })?;
        let (all, starting) = (self.resumes, self.starting_resumes);
        write!(f, "slices       {all}, {starting} of them while their processes started")?;
        match all - starting {
            0 => writeln!(f)?,
            _ => writeln!(f, "; the others {:.0} ns each", self.resume_ns)?,
        }
        writeln!(f, "collector    {:.1} ms, longest pause {:.2} ms", self.gc_ms, self.gc_pause_max_ms)?;
        if let Quarters { begun: 1.., late_ticks: late, rss_bytes: rss } = self.quarters {
            writeln!(f, "quarters     late {late:?}, resident MiB {:?}", rss.map(mib))?;
        }
        if let Fairness { processes: 1.., passes, least_slices: least, most_slices: most } = self.fairness {
            writeln!(f, "fairness     {least} to {most} slices each in {passes} passes")?;
        }
        write!(f, "memory       {} MiB in isolates", mib(self.isolate_bytes))?;
        if self.live_bytes > 0 {
            let times = self.isolate_bytes as f64 / self.live_bytes as f64;
            write!(f, ", {times:.2} times the {} that live", mib(self.live_bytes))?;
        }
        write!(f, ", {} MiB peak, {:.0} bytes a process", mib(self.peak_rss_bytes), self.bytes_per_process)
    }
}

/// A field of `/proc/self/status`, in bytes; 0 where there is no such file.
pub fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
