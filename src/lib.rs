//! Simulated computers for Bevy games.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod console;
pub mod diagnostics;
pub mod metrics;
pub mod plugin;
pub mod process;
mod random;
pub mod run;
pub mod runtime;
mod scheduler;
pub mod script;
pub mod value;
pub mod vm;

pub use console::VmConsole;
pub use diagnostics::LuauOsDiagnosticsPlugin;
pub use metrics::Metrics;
pub use plugin::{LuauOsPlugin, LuauOsSystems};
pub use process::exit::{CpuUsage, KillReason, Outcome, ProcessExited, ScriptError, VmFinished};
pub use process::{Pid, Process, ProcessOf, ProcessState, Processes};
pub use run::{RunProcesses, RunReport};
pub use runtime::{LuauRuntime, ProcessInfo};
pub use scheduler::budget::TickBudget;
pub use script::{CompileError, Script};
pub use value::Value;
pub use vm::Vm;

/// Everything that most games need.
pub mod prelude {
    pub use crate::{
        LuauOsPlugin, LuauOsSystems, LuauRuntime, Outcome, Process, ProcessExited, ProcessOf, ProcessState,
        Processes, RunProcesses, Script, TickBudget, Vm, VmConsole, VmFinished,
    };
}
