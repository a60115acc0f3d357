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
//! fn main() {
//!     App::new()
//!         .add_plugins((MinimalPlugins, LuauOsPlugin::default()))
//!         .add_systems(Startup, |mut commands: Commands| {
//!             let vm = commands.spawn(Vm::new()).id();
//!             let script = Script::new("sum", "local s = 0 for i = 1, 10000 do s += i end return s");
//!             commands.spawn((Process::new(script), ProcessOf(vm)));
//!         })
//!         .add_observer(|exit: On<ProcessExited>, mut app_exit: MessageWriter<AppExit>| {
//!             println!("{}: {:?}", exit.name, exit.outcome); // sum: Finished([Number(50005000.0)])
//!             app_exit.write(AppExit::Success);
//!         })
//!         .run();
//! }
//! ```
//!
//! It takes a sixth of a second: a process runs for one *quantum* in each tick, which is 1,000 loop iterations or
//! calls, and there are 60 ticks a second. With a larger [`LuauOsPlugin::quantum`] scripts compute faster, and
//! fewer of them fit into a tick.
//!
//! Tests and tools need no real time: [`app.run_processes(1_000)`](RunProcessesAppExt::run_processes) runs tick
//! after tick until all processes have ended.
//!
//! # VMs and processes
//!
//! A [`Vm`] is a simulated computer. It owns [`Processes`], numbers them, and keeps what they print in its
//! [`VmConsole`]. When its last process has ended, [`VmExited`] is triggered and the VM is despawned. A
//! [persistent](Vm::persistent) VM stays.
//!
//! A [`Process`] is one running program. It has globals of its own, which no other process can reach, not even one
//! of the same VM. When it ends, [`ProcessExited`] is triggered on its entity and the entity is despawned. The
//! event has the [`Outcome`]: the values that the main chunk returned, the error that stopped it, with a traceback,
//! or the reason why it was killed. Despawning a process or a VM stops it where it is, without an event.
//!
//! Spawn processes one at a time with `Commands`, or many with `spawn_batch`. A [`Script`] that many of them share
//! is compiled once. [`ProcessCommandsExt`] kills, suspends and resumes them; [`Priority`] gives one longer slices.
//!
//! # Ticks
//!
//! Each run of [`FixedUpdate`](bevy::app::FixedUpdate) is a tick. The plugin makes that 60 a second in an app that
//! has not [chosen a timestep](LuauOsPlugin::tick_rate) itself. It can also run in [another
//! schedule](LuauOsPlugin::schedule), which the game may run as it likes. [`LuauOsSystems`] names the steps of a
//! tick, for systems that must run before or after one.
//!
//! In a tick, every process that can run gets a slice, in turns. The slice ends when the process has passed
//! [`quantum`](LuauOsPlugin::quantum) safepoints, which are at loop back-edges, calls and returns. The process is
//! interrupted there, and goes on in its next slice. No script can notice that: coroutines, generators, `pcall` and
//! error handlers are interrupted like anything else. A new process passes its first safepoints, up to 16, as soon
//! as it starts. If it ends within them, its thread goes to the next process, and it costs next to nothing.
//!
//! What a tick may cost is its [`TickBudget`]:
//!
//! - [`Time`](TickBudget::Time), 4 ms by default: the tick ends when the time is used up, and the next one
//!   continues where it stopped. Nobody gets a second slice before everybody had the first, except that processes
//!   may have to wait for the garbage collection of their isolate. While time is left, those that compute get further
//!   slices, until their VM has had its [time](Limits::time_per_tick): 1 ms in each tick by default. Between them
//!   nothing is delivered: whoever waits, or yields, goes on in the next tick.
//! - [`Auto`](TickBudget::Auto): as much time as the game leaves of its frames.
//! - [`Unlimited`](TickBudget::Unlimited): every process gets one slice in every tick, or [so
//!   many](LuauOsPlugin::passes_per_tick), however long that takes. Two runs of the same app with the same
//!   [seed](LuauOsPlugin::seed) then give the same results.
//!
//! Processes share the processor evenly, or with [`Share::PerVm`] VMs do, by their [weights](Limits::cpu_weight).
//! [`LuauRuntime::process_info`] and [`LuauRuntime::vm_info`] tell what they have used.
//!
//! When frames are slow, Bevy makes up for the lost time with several ticks in one frame. At most
//! [`max_ticks_per_frame`](LuauOsPlugin::max_ticks_per_frame) of them run; the others are left out and counted in
//! [`Metrics::late_ticks`].
//!
//! # Isolates
//!
//! VMs share Luau states, called isolates, with up to [`vms_per_isolate`](LuauOsPlugin::vms_per_isolate) VMs on
//! each. Isolates run in parallel on Bevy's compute task pool. Each is garbage-collected by itself, and knows
//! exactly how much [memory each of its VMs](LuauRuntime::vm_bytes) takes. The resource [`LuauRuntime`] is all of
//! them together.
//!
//! # What scripts can do
//!
//! Scripts have Luau's libraries `bit32`, `buffer`, `coroutine`, `math`, `string`, `table`, `utf8` and `vector`,
//! and `debug.traceback`. `os.clock` tells the game's virtual time, and `math.random` has a seed for each process.
//! There is no access to files or the network, no `loadstring` and no `getfenv`.
//!
//! `task.wait(seconds)` suspends the coroutine that calls it for that much virtual time, as in Roblox, and so do all
//! functions that wait. `task.spawn`, `task.defer`, `task.delay` and `task.cancel` are those of Roblox, too, and
//! `task.join` waits for the end of a thread. A process ends when its main chunk and all its tasks have ended. An error
//! ends the task that it leaves, which is a [`TaskFailed`]; one of the main chunk ends the process. Nothing can wait in
//! a metamethod or in a callback of a library function.
//!
//! A process can start other processes of its VM, wait for their ends, and exchange messages with any process of
//! any VM. The [guide for script authors](guide::scripts) has all of it.
//!
//! The game adds functions of its own:
//!
//! - [Host functions](HostFunctionAppExt) are called inside the slice, on any thread. They have no access to the
//!   world.
//! - [Syscalls](SyscallAppExt) suspend the process. After the slices of a tick, one ordinary Bevy system gets all
//!   calls of one kind at once. It answers them, or keeps their [`ReplyTo`] and answers later. The process runs on
//!   in the tick after that.
//!
//! Both are for all scripts, or for those of VMs that have a [library](HostLibraryAppExt). The other way round, scripts
//! export functions that the game [calls](ProcessCommandsExt::call), also while they are busy.
//!
//! Arguments and results have any type that serde knows ([`Value::to`], [`Value::of`]). Where an argument does
//! not fit, the script gets an error that names it, what was expected and what it got. The game also sends
//! [signals](VmCommandsExt) to the processes of a VM, or [of all VMs](SignalCommandsExt). See the [guide for Bevy
//! developers](guide::game).
//!
//! # Scripts as assets
//!
//! A process can also be made from a `Handle<LuauScript>`: a `.luau` or `.lua` file that Bevy's asset server loads.
//! It starts when the script has loaded, and fails with the [loader's error](LuauScriptError) if that is not
//! possible. Where the asset server watches files it does not fail but waits, until the script is corrected.
//!
//! `require("./other")` returns what another script returns. The path is relative to the script and has no
//! extension: it means `other.luau`, `other.lua` or the `init` file of the folder `other`. A path can begin with an
//! alias from the nearest `.luaurc`: `require("@library/vectors")`. With `@self` it begins in the folder that the
//! script stands for, or that has its name. All of them are asset paths; scripts never see the disk.
//!
//! The argument must be a string literal, because modules are found and loaded together with the script that
//! requires them. A module that is missing, does not compile, or requires itself over others is an error of the
//! script, which shows the chain of modules that leads to it. Each process has its own instance of a module, with
//! the globals of the process.
//!
//! A script that is no file, such as one that a player has written in the game, gets its modules by
//! [`Script::with_module`].
//!
//! When a script or one of its modules changes (see [`AssetPlugin`](bevy::asset::AssetPlugin)'s file watcher), its
//! processes start again, like a process that calls `exec`: the entity, the VM and the PID stay, the globals do
//! not. A script that wants to keep something puts it into a global table `state` and defines `on_reload`:
//!
//! ```lua
//! state = { trips = 0 }
//! function on_reload(old) -- called here, where it is defined, with the `state` of the version before
//!     state.trips = old.trips
//! end
//! while true do -- ...
//! ```
//!
//! `on_reload` is called like a metamethod, so it cannot wait. If the new version cannot be loaded, processes run
//! on with what they have. [`ScriptReloaded`] tells of both.
//!
//! # What scripts cannot do
//!
//! A script cannot hold up a frame, use more than its share, or see anything of other processes. Every VM has
//! [`VmLimits`] for memory, processes, coroutines, call depth, source, printed text and time. A process that goes
//! beyond one of them is killed, which it cannot catch. [`KillReason`] names the limit and how much was used.
//!
//! - A slice ends when its quantum is used up or, with a time budget, when it has taken too long. Library calls
//!   count by the size of their arguments, and what they take beyond their slice is paid for by later ticks. Patterns,
//!   sorting and what calls functions of the script are preempted like any code.
//! - Metamethods, callbacks of library functions and string patterns are preempted, too: where Luau cannot break a
//!   thread, its C stack is kept until the next slice. [`Limits::parked`] is the number of those that a VM may
//!   have.
//! - No slice can allocate more than [`Limits::slice_bytes`], nor take its VM far over its memory limit. Nobody is
//!   killed for garbage: the isolate is collected before.
//! - A slice that takes long is measured. Its VM then pauses until later ticks have paid for it, each with
//!   [`Limits::time_per_tick`].
//! - Long scripts are compiled in the background. Bytecode is refused. Errors become text of limited length,
//!   without running code of the script.
//!
//! # Watching it
//!
//! - [`LuauRuntime::process_info`] tells the [state](ProcessState) of a process and what it has cost.
//! - The resource [`Metrics`] counts, and [`LuauOsDiagnosticsPlugin`] feeds Bevy's diagnostics.
//! - Components and resources are registered for reflection, so inspectors and Bevy's remote protocol show VMs,
//!   processes, limits, consoles and metrics. Entities have a [`Name`](bevy::prelude::Name) only if the game gives
//!   them one, because 800,000 names would take more memory than is worth it.

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
#[cfg(feature = "ecs")]
pub mod ecs;
pub mod guide;
mod isolate;
mod luau;
pub mod plugin;
pub mod process;
mod random;
pub mod run;
pub mod runtime;
#[cfg(feature = "save")]
pub mod save;
mod scheduler;
pub mod script;
mod types;
pub mod value;
pub mod vm;

#[cfg(feature = "save")]
#[doc(inline)]
pub use api::SyscallSaveAppExt;
#[doc(inline)]
pub use api::{
    CallInput, Calls, GlobalsAppExt, HostFunction, HostFunctionAppExt, HostLibrary, HostLibraryAppExt,
    ReplyTo, Syscall, SyscallAppExt, SyscallInput,
};
#[doc(inline)]
pub use assets::{LuauScript, LuauScriptError, LuauScriptLoader, RequireError, ScriptReloaded};
#[doc(inline)]
pub use console::VmConsole;
#[doc(inline)]
pub use diagnostics::LuauOsDiagnosticsPlugin;
#[cfg(feature = "ecs")]
#[doc(inline)]
pub use ecs::{EcsAccess, EcsTypesExt};
#[doc(inline)]
pub use plugin::{LuauOsPlugin, LuauOsSystems};
#[doc(inline)]
pub use process::{
    CallCommandsExt, CallEnded, Priority, Process, ProcessCommandsExt, ProcessExited, ProcessInfo, ProcessOf,
    Processes, Restart, ScriptSource, TaskFailed, VmProcessExited,
};
#[doc(inline)]
pub use run::{RunProcessesAppExt, RunReport};
#[doc(inline)]
pub use runtime::LuauRuntime;
#[cfg(feature = "save")]
#[doc(inline)]
pub use scheduler::saving::{SaveCommandsExt, VmsSaved};
#[doc(inline)]
pub use script::{CompileError, Script};
pub use types::{
    CallError, CallId, CpuUsage, HostCaller, KillReason, Limits, Metrics, Outcome, Pid, ProcessState,
    ScriptError, ScriptPlace, Share, TickBudget, VmId,
};
#[doc(inline)]
pub use value::{EntityValue, Value, ValueError};
#[doc(inline)]
pub use vm::{
    HostLibraries, MailPolicy, PublishedValues, SignalAppExt, SignalCommandsExt, Vm, VmCommandsExt, VmExited,
    VmInfo, VmLimits, VmSuspended,
};
#[cfg(feature = "save")]
pub use vm::{VmImage, VmLoadFailed, VmLoaded, VmSnapshot, VmSnapshots};

/// The README's examples, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Everything that most games need.
pub mod prelude {
    pub use crate::{
        CallCommandsExt, CallEnded, CallError, CallId, Calls, CompileError, CpuUsage, GlobalsAppExt,
        HostCaller, HostFunctionAppExt, HostLibraries, HostLibraryAppExt, KillReason, Limits,
        LuauOsDiagnosticsPlugin, LuauOsPlugin, LuauOsSystems, LuauRuntime, LuauScript, MailPolicy, Metrics,
        Outcome, Priority, Process, ProcessCommandsExt, ProcessExited, ProcessOf, ProcessState, Processes,
        ReplyTo, Restart, RunProcessesAppExt, Script, ScriptError, ScriptReloaded, Share, SignalAppExt,
        SignalCommandsExt, Syscall, SyscallAppExt, TaskFailed, TickBudget, Value, Vm, VmCommandsExt,
        VmConsole, VmExited, VmLimits, VmProcessExited, VmSuspended,
    };
}
