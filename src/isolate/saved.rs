//! A VM as its isolate writes it down.
//!
//! Processes have numbers here, in the order in which they have their turns, and so have the scripts that they run.

mod draft;
mod job;
mod load;
mod save;

use serde::{Deserialize, Serialize};

use super::waits::saved::SavedWaits;
use crate::luau::mailbox::saved::SavedMailbox;
use crate::luau::replies::saved::SavedReply;
use crate::luau::request::saved::SavedRequest;
use crate::luau::signals::saved::SavedSignals;
use crate::save::{Bytes, SavedError, SavedOutcome, SavedValues};
use crate::types::CpuUsage;

pub(crate) use job::{SaveJob, SavedNewcomer};
pub(crate) use load::{LoadJob, LoadedVm, Newcomer};

/// See the [module](self). Times are those of the VM's clock, in nanoseconds.
#[derive(Debug, Serialize, Deserialize)]
struct SavedVm {
    now: i64,
    spawned_at: i64,
    /// Of processes that have ended.
    cpu: CpuUsage,
    ended: u32,
    /// What it has used of the tick in which it ran last, and how many ticks ago that was.
    used_time: (u32, u32),
    console: Option<SavedConsole>,
    processes: Vec<SavedProcess>,
    /// Numbers of the scripts, in the whole save.
    scripts: Vec<u32>,
    /// How many of them the heap has code of: the first.
    programs: u32,
    waits: Option<Box<SavedWaits>>,
    /// What the kernel is asked for, by waits.
    requests: Vec<(u32, SavedRequest)>,
    /// Syscalls that are made again: waits, paths and arguments.
    repeats: Vec<(u32, Bytes, SavedValues)>,
    /// Processes that were not admitted.
    newcomers: Vec<SavedStart>,
    /// Errors that have ended tasks, of which the game has not heard.
    task_errors: Vec<(u32, SavedError)>,
    /// Last, so that it is known where it begins.
    heap: Bytes,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedConsole {
    text: Bytes,
    dropped: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedProcess {
    pid: u32,
    /// How long after its VM.
    spawned_after: i64,
    safepoints: u64,
    time: u64,
    slices: u32,
    priority: u8,
    /// Why it is suspended.
    pause: u8,
    turn: SavedTurn,
    life: SavedLife,
    more: Option<Box<SavedMore>>,
}

/// Whether it waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum SavedTurn {
    Queued,
    Waiting,
    /// It has something to do when it is resumed.
    Suspended,
}

/// Where it is in its life.
#[derive(Debug, Serialize, Deserialize)]
enum SavedLife {
    /// It has a thread in the heap. With the number of its script.
    Started(u32),
    /// It was admitted.
    Starting(Box<SavedStart>),
    /// The game has not heard of its end.
    Ended(SavedOutcome),
}

/// What was sent to it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct SavedMore {
    mail: Option<SavedMailbox>,
    signals: Option<SavedSignals>,
    replies: Vec<SavedReply>,
    /// Names and anchors of functions that the game can call.
    exports: Vec<(Box<str>, u32)>,
}

/// What a process starts with.
#[derive(Debug, Serialize, Deserialize)]
struct SavedStart {
    script: u32,
    name: Option<Box<str>>,
    arguments: SavedValues,
    /// The number of its function among those in the heap.
    function: Option<u32>,
    signals: Option<SavedSignals>,
    /// The wait of who has asked for it.
    parent: Option<u32>,
    is_suspended: bool,
}
