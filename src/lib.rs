//! Simulated computers for Bevy games: VMs that run preempted, sandboxed Luau processes.
//!
//! # Quick start
//!
//! Add [`LuauOsPlugin`], spawn a [`Vm`], and spawn [`Process`]es that belong to it:
//!
//! ```
//! use bevy::prelude::*;
//! use bevy_luau_os::prelude::*;
//!
//! let mut app = App::new();
//! app.add_plugins((MinimalPlugins, LuauOsPlugin::default()));
//! app.add_observer(|exit: On<ProcessExited>| info!("{}: {:?}", exit.name, exit.outcome));
//!
//! let vm = app.world_mut().spawn(Vm::new()).id();
//! let script = Script::new("sum", "local s = 0 for i = 1, 100000 do s += i end return s");
//! app.world_mut().spawn((Process::new(script), ProcessOf(vm)));
//!
//! let report = app.run_processes(1_000); // in a game: app.run()
//! assert_eq!(report.finished, 1);
//! ```
//!
//! # VMs and processes
//!
//! A [`Vm`] is a simulated computer. It hands out PIDs, owns its processes ([`Processes`]), and keeps
//! what they print ([`VmConsole`]). When the last process has ended, [`VmExited`] is triggered and the
//! VM is despawned, unless it is [persistent](Vm::persistent).
//!
//! A [`Process`] is one running program. It has its own globals: nothing that it sets is seen by another
//! process, not even on the same VM. Its life is a [`ProcessState`]; when it ends,
//! [`ProcessExited`] is triggered on its entity, with the [`Outcome`]: the values that its main chunk
//! returned, the error that ended it with a traceback, or the reason why it was killed. Despawning a
//! process or a VM stops it where it is.
//!
//! Spawn them one at a time with `Commands`, or in bulk with `spawn_batch`; a [`Script`] that many
//! processes share is compiled once.
//!
//! # What a tick does
//!
//! The plugin runs in [`FixedUpdate`](bevy::app::FixedUpdate), at 60 Hz unless
//! [told otherwise](LuauOsPlugin::tick_rate). [`LuauOsSystems`] names the steps. In each tick every
//! runnable process gets one slice: it runs until it has passed
//! [`quantum`](LuauOsPlugin::quantum) safepoints (loop back-edges, calls, returns). Then it is
//! interrupted, wherever it is, and goes on in the next tick. A script cannot notice that, not in
//! coroutines, generators, `pcall`s or error handlers. The first safepoints of a new process, up to 16 of its
//! first quantum, are passed when it starts: one that ends there hands its thread on, and never was a burden.
//!
//! With a [time budget](TickBudget::Time), the default, a tick ends when its time is used up, and the
//! next goes on where it stopped: nobody gets a second slice before everybody had the first, except those whose isolate has to
//! be collected before it can go on. With
//! [`TickBudget::Unlimited`] every tick runs everybody, and two runs of the same app with the same
//! [seed](LuauOsPlugin::seed) give the same results.
//!
//! When ticks do not keep up, at most [`max_ticks_per_frame`](LuauOsPlugin::max_ticks_per_frame) are run
//! in a frame; the rest are left out, and counted in [`Metrics::late_ticks`].
//!
//! # Where scripts live
//!
//! VMs share Luau states, called isolates: up to [`vms_per_isolate`](LuauOsPlugin::vms_per_isolate) VMs on each.
//! Isolates run in parallel on Bevy's compute task pool, are collected one by one, and know
//! [what each VM takes](LuauRuntime::vm_bytes). All of them together are the resource [`LuauRuntime`].
//!
//! # What scripts can do
//!
//! Compute, `print`, and wait: `task.wait(seconds)` suspends the process for that much of the game's virtual
//! time, anywhere but in a metamethod or a callback of a library function. `task.spawn`, `task.defer`,
//! `task.delay` and `task.cancel` are Roblox's: a process ends when its main chunk and all its tasks have
//! ended, and fails with the first error that leaves one of them. They have Luau's `bit32`, `buffer`,
//! `coroutine`, `math`, `string`, `table`, `utf8` and `vector` libraries, `debug.traceback`, and `os.clock`,
//! which tells the game's virtual time; `math.random` is each process's own. Those that are assets can
//! `require` others. There is no I/O, no `loadstring`, no `getfenv`. All that is shared is frozen.
//!
//! A process can start other processes of its VM, wait for their ends, and
//! exchange messages with any process, on whichever VM. See the guides [for script authors](guide::scripts) and
//! [for Bevy developers](guide::game).
//!
//! The game gives them more:
//!
//! - [Host functions](HostFunctionAppExt) are called inside the slice, on any thread: for what needs no access
//!   to the world.
//! - [Syscalls](SyscallAppExt) suspend the process. After the tick's slices all calls reach one ordinary
//!   Bevy system as a batch; it answers at once or keeps [`ReplyTo`] and answers later, and the process runs
//!   on in the tick after that.
//!
//! Arguments and results are any types that serde knows ([`Value::to`], [`Value::from`]). What does not fit
//! is an error in the script that names the argument, what was expected and what came.
//!
//! # Scripts as assets
//!
//! A process can be made from a `Handle<LuauScript>`: a `.luau` or `.lua` file that Bevy's asset server loads,
//! from wherever it loads assets. It starts when the script has loaded, and fails with the loader's error if that
//! [cannot be](LuauScriptError).
//!
//! `require("./other")` gives a script what another script returns. Paths are relative to the script and without
//! extension (`other.luau`, `other.lua` or `other/init.luau` beside it), or begin with an alias from the nearest
//! `.luaurc`: `require("@library/vectors")`. They are asset paths, never the disk's. The argument must be a
//! string literal: modules are found and loaded with the script that requires them, and one that is not there,
//! does not compile or requires itself over others is an error of the script, with the chain that leads to it.
//! Each process has its own instance of a module, which runs in it like any other code of it, with its globals.
//!
//! When a script or one of its modules changes ([`file_watcher`](bevy::asset::AssetPlugin)), its processes start
//! again: on the same entity and VM and with the same PID, like a process that calls `exec`, but with new globals.
//! A script that wants to keep something puts it into a global table `state` and defines `on_reload`:
//!
//! ```lua
//! state = { trips = 0 }
//! function on_reload(old) -- called here, where it is defined, with the `state` of the version before
//!     state.trips = old.trips
//! end
//! while true do -- ...
//! ```
//!
//! It is called like a metamethod: it cannot wait. A change that cannot be loaded leaves processes as they are.
//! [`ScriptReloaded`] tells of both.
//!
//! # What scripts cannot do
//!
//! Hold up a frame, use more than their share, or see anything of each other. Every VM has [`VmLimits`]:
//! memory, processes, coroutines, call depth, source, printed text, time. A process that goes beyond one is
//! killed, and [`KillReason`] says which limit it was and what was used; it cannot catch that.
//!
//! - A slice ends when its quantum is used up, and, with a time budget, when it has taken too long. Calls of
//!   the library are charged to it by the size of their arguments, `table.sort` is preempted like any code
//!   of a script, and what would take longer than linear time is capped.
//! - Metamethods, callbacks of library functions and string patterns are preempted, too: where Luau cannot break a
//!   thread, its C stack is kept until the next slice. [`Limits::parked`] bounds how many there are of a VM.
//! - The allocator refuses a slice what would take its VM far over its memory, or more than
//!   [`Limits::SLICE_BYTES`] at once. Garbage is no reason to be killed: the isolate is collected first.
//! - Slices that take long are measured, and their VM does not run until later ticks have paid for them
//!   ([`Limits::time_per_tick`]).
//! - Long scripts are compiled in the background, bytecode is refused, and an error of any kind becomes text
//!   of bounded length without running the script's code.
//!
//! # Watching it
//!
//! [`Metrics`] counts, [`LuauOsDiagnosticsPlugin`] feeds Bevy's diagnostics, and
//! [`LuauRuntime::process_info`] tells what a process has cost so far.

#![warn(clippy::print_stdout, clippy::print_stderr)]

#[cfg(panic = "abort")]
compile_error!(
    "bevy_luau_os needs `panic = \"unwind\"`: Luau's errors are C++ exceptions that pass through Rust \
     functions, and with `panic = \"abort\"` any script could abort the game. Remove `panic` from the profile."
);

// From the lowest floor to the highest: each imports only from those above it in this list.
pub mod api;
pub mod assets;
pub mod console;
pub mod diagnostics;
pub mod guide;
mod isolate;
mod luau;
pub mod plugin;
pub mod process;
mod random;
pub mod run;
pub mod runtime;
mod scheduler;
pub mod script;
mod types;
pub mod value;
pub mod vm;

pub use api::{HostFunction, HostFunctionAppExt, ReplyTo, Syscall, SyscallAppExt};
pub use assets::{LuauScript, LuauScriptError, LuauScriptLoader, RequireError, ScriptReloaded};
pub use console::VmConsole;
pub use diagnostics::LuauOsDiagnosticsPlugin;
pub use plugin::{LuauOsPlugin, LuauOsSystems};
pub use process::{
    Priority, Process, ProcessCommandsExt, ProcessExited, ProcessInfo, ProcessOf, Processes, ScriptSource,
};
pub use run::{RunProcessesAppExt, RunReport};
pub use runtime::LuauRuntime;
pub use script::{CompileError, Script};
pub use types::{CpuUsage, KillReason, Limits, Metrics, Outcome, Pid, ProcessState, ScriptError, TickBudget};
pub use value::{Value, ValueError};
pub use vm::{SignalCommandsExt, Vm, VmCommandsExt, VmExited, VmLimits};

/// The README's examples, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Everything that most games need.
pub mod prelude {
    pub use crate::{
        HostFunctionAppExt, Limits, LuauOsPlugin, LuauOsSystems, LuauRuntime, LuauScript, Outcome, Priority,
        Process, ProcessCommandsExt, ProcessExited, ProcessOf, ProcessState, Processes, ReplyTo,
        RunProcessesAppExt, Script, SignalCommandsExt, Syscall, SyscallAppExt, TickBudget, Vm, VmCommandsExt,
        VmConsole, VmExited, VmLimits,
    };
}
