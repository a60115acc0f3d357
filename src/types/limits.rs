//! What a VM may use.

use std::time::Duration;

use bevy::prelude::*;
use serde::{Deserialize, Serialize};

/// The limits of a VM. A process that goes beyond one of them is killed, with a
/// [`KillReason`](crate::KillReason) that names the limit and what was used; it cannot catch that. Other
/// VMs do not notice, and other processes of the same VM run on.
#[derive(Clone, Debug, PartialEq, Eq, Reflect, Serialize, Deserialize)]
#[reflect(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes that the objects of all processes together may take. 8 MiB by default: a thousand times
    /// what a small program needs, and little enough that no library call on data of that size holds up
    /// a tick.
    ///
    /// Garbage does not count: before a process is killed for this, the isolate is collected, for which it
    /// waits. One slice may pass the limit by [`Limits::memory_slack`]; more is refused.
    ///
    /// Only kept where VMs are told apart, that is with up to 255 [VMs on an
    /// isolate](crate::LuauOsPlugin::vms_per_isolate); otherwise only [`Limits::slice_bytes`] holds.
    pub memory_bytes: usize,
    /// Bytes that one slice may allocate, garbage included, whatever its VM may hold. 32 MiB by default, more than
    /// [`Limits::memory_bytes`] lets a VM have by default. It matters where a VM may hold much: filling a block of
    /// memory cannot be interrupted, and takes half a millisecond for each MiB.
    pub slice_bytes: usize,
    /// Processes at a time. 64 by default.
    pub processes: u32,
    /// Coroutines at a time, all processes together. 1,000 by default. Those that are garbage do not
    /// count, as with memory.
    pub coroutines: u32,
    /// Calls inside calls of one coroutine or main chunk, seen where a slice ends. 20,000 by default,
    /// where Luau itself raises the error `stack overflow`, with a traceback.
    pub call_depth: u32,
    /// Processes that are *parked* at a time: their slice was over in the middle of a metamethod, a callback of a
    /// library function or a string pattern, so that their C stack is kept for their next one. It takes a few pages
    /// of memory, up to 1 MiB. 16 by default.
    pub parked: u32,
    /// Tasks at a time of one process: its threads that run, wait or are ready. 256 by default: `task.spawn` and its
    /// like raise an error at more, which does not kill the process.
    pub tasks: usize,
    /// Messages in the mailbox of one process. 256 by default. More are refused, which the sender is told.
    /// Messages of other VMs may fill three quarters of it: the rest is kept for the VM's own.
    pub mailbox_messages: usize,
    /// Bytes of the messages in the mailbox of one process, and of the signals that are kept for it. 64 KiB by default;
    /// see [`Limits::mailbox_messages`].
    pub mailbox_bytes: usize,
    /// Signals of the game that are kept for one process until it takes them. 1,024 by default, and together no more
    /// than [`Limits::mailbox_bytes`]. When there are more, the oldest are dropped and
    /// [counted](crate::ProcessInfo::signals_dropped).
    pub signals: usize,
    /// Calls of the game that wait for one process until it can run them: it may not have started, or have as many
    /// [tasks](Limits::tasks) as it may. 256 by default, and their arguments together no more than
    /// [`Limits::mailbox_bytes`]. More are [refused](crate::CallError::TooManyCalls).
    pub calls: usize,
    /// Bytes of one script's source. 256 KiB by default, which take some 10 ms to compile.
    pub source_bytes: usize,
    /// Bytes of printed text that are kept until the game takes them: the newest. 4 KiB by default. With
    /// 0, `print` does nothing.
    pub console_bytes: usize,
    /// Time in each tick, for the slices of all processes together. 1 ms by default: a quarter of the plugin's default
    /// [budget](crate::LuauOsPlugin::budget). What is used beyond that is a debt: the VM does not run until later ticks
    /// have paid it off.
    ///
    /// It is measured where slices take noticeably longer than their quantum should, and not with
    /// [`TickBudget::Unlimited`](crate::TickBudget::Unlimited), whose results must not depend on a clock.
    pub time_per_tick: Duration,
    /// The VM's part of the processor among others, with [`Share::PerVm`](crate::Share::PerVm): one of 200 gets twice
    /// as much as one of 100, which is the default, as with control groups in Linux.
    pub cpu_weight: u32,
}

impl Limits {
    /// By how many bytes one slice may pass [`memory_bytes`](Limits::memory_bytes) before it is refused
    /// more: an eighth of the limit, at least 64 KiB and at most 1 MiB. It may have produced garbage.
    pub fn memory_slack(&self) -> usize {
        (self.memory_bytes / 8).clamp(64 << 10, 1 << 20)
    }

    /// Bytes of the pages in which Luau keeps small objects that a VM may have: four times
    /// [`memory_bytes`](Limits::memory_bytes), and 4 MiB for VMs that may have little. Luau gives a page back when no
    /// object is left in it, so a script that keeps one object of each holds on to many pages with little memory.
    pub fn page_bytes(&self) -> usize {
        self.memory_bytes.saturating_mul(4).saturating_add(4 << 20)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 8 << 20,
            slice_bytes: 32 << 20,
            processes: 64,
            coroutines: 1_000,
            call_depth: 20_000,
            parked: 16,
            tasks: 256,
            mailbox_messages: 256,
            mailbox_bytes: 64 * 1024,
            signals: 1_024,
            calls: 256,
            source_bytes: 256 * 1024,
            console_bytes: 4 * 1024,
            time_per_tick: Duration::from_millis(1),
            cpu_weight: 100,
        }
    }
}
