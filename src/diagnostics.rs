//! Measurements for Bevy's diagnostics, for logs and overlays.

use bevy::diagnostic::{Diagnostic, DiagnosticPath, Diagnostics, RegisterDiagnostic};
use bevy::prelude::*;

use crate::runtime::LuauRuntime;
use crate::types::Metrics;

/// Adds diagnostics of the runtime to an app that has [`LuauOsPlugin`](crate::LuauOsPlugin).
///
/// `LogDiagnosticsPlugin` shows them; so does anything else that reads Bevy's `DiagnosticsStore`.
pub struct LuauOsDiagnosticsPlugin;

impl LuauOsDiagnosticsPlugin {
    /// VMs alive.
    pub const VMS: DiagnosticPath = DiagnosticPath::const_new("luau/vms");
    /// Processes alive, new ones included.
    pub const PROCESSES: DiagnosticPath = DiagnosticPath::const_new("luau/processes");
    /// Processes that wait for their next slice.
    pub const RUNNABLE: DiagnosticPath = DiagnosticPath::const_new("luau/runnable");
    /// Slices run in the last tick.
    pub const RESUMES: DiagnosticPath = DiagnosticPath::const_new("luau/resumes_per_tick");
    /// Wall time of the last tick, in milliseconds.
    pub const TICK_TIME: DiagnosticPath = DiagnosticPath::const_new("luau/tick_time");
    /// Tick deadlines missed since the app started.
    pub const LATE_TICKS: DiagnosticPath = DiagnosticPath::const_new("luau/late_ticks");
    /// Bytes that all Luau states use, garbage included, in MiB.
    pub const ISOLATE_BYTES: DiagnosticPath = DiagnosticPath::const_new("luau/isolate_bytes");
    /// Time spent on collecting garbage in the last tick, added up over all workers, in milliseconds.
    pub const GC_TIME: DiagnosticPath = DiagnosticPath::const_new("luau/gc_time");
}

impl Plugin for LuauOsDiagnosticsPlugin {
    fn build(&self, app: &mut App) {
        for diagnostic in [
            Diagnostic::new(Self::VMS),
            Diagnostic::new(Self::PROCESSES),
            Diagnostic::new(Self::RUNNABLE),
            Diagnostic::new(Self::RESUMES),
            Diagnostic::new(Self::TICK_TIME).with_suffix("ms"),
            Diagnostic::new(Self::LATE_TICKS),
            Diagnostic::new(Self::ISOLATE_BYTES).with_suffix("MiB"),
            Diagnostic::new(Self::GC_TIME).with_suffix("ms"),
        ] {
            app.register_diagnostic(diagnostic.with_smoothing_factor(0.0));
        }
        app.add_systems(Update, measure);
    }
}

fn measure(
    mut diagnostics: Diagnostics,
    metrics: Option<Res<Metrics>>,
    runtime: Option<Res<LuauRuntime>>,
    mut last: Local<Metrics>,
) {
    let (Some(metrics), Some(runtime)) = (metrics, runtime) else { return };
    if metrics.ticks == last.ticks {
        return; // no tick in this frame
    }
    type Paths = LuauOsDiagnosticsPlugin;
    diagnostics.add_measurement(&Paths::VMS, || metrics.vms() as f64);
    diagnostics.add_measurement(&Paths::PROCESSES, || metrics.processes() as f64);
    diagnostics.add_measurement(&Paths::RUNNABLE, || runtime.runnable() as f64);
    diagnostics.add_measurement(&Paths::RESUMES, || metrics.last_tick_resumes as f64);
    diagnostics.add_measurement(&Paths::TICK_TIME, || metrics.last_tick_time.as_secs_f64() * 1e3);
    diagnostics.add_measurement(&Paths::LATE_TICKS, || metrics.late_ticks as f64);
    diagnostics
        .add_measurement(&Paths::ISOLATE_BYTES, || runtime.isolate_bytes() as f64 / f64::from(1 << 20));
    diagnostics.add_measurement(&Paths::GC_TIME, || {
        metrics.gc_time.saturating_sub(last.gc_time).as_secs_f64() * 1e3
    });
    *last = metrics.clone();
}
