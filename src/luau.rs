//! One Luau state behind a safe interface: the only module of the crate with `unsafe` code.
//!
//! What keeps it sound:
//!
//! - A [`LuauState`] owns its state and never hands out a handle to it, so `&mut self` is exclusive
//!   access to everything in it, and moving it to another operating-system thread is fine.
//! - Its allocator ([`memory`]) and its sandbox ([`open`]) are ours, so no other code finds its way in.
//! - Every `lua_State` pointer kept here belongs to a thread that the state's registry anchors: the
//!   main thread, or the root of a process, held by its process's entry in an anchor table from
//!   the moment it is made until the entry is overwritten. Coroutines of a break chain are kept
//!   alive by their parents' stacks.
//! - What Luau is asked to do with values goes through a [`Stack`](stack::Stack), which cannot be misused.
//! - Calls that can throw are made inside [`LuauState::protect`], or by Luau itself.
//! - What scripts call ([`library`]) is safe code: it gets a `Call` and returns what is to happen.
//!   Other callbacks ([`mod@slice`]) hold nothing that needs dropping where Luau may throw.

#![expect(
    unsafe_code,
    reason = "mlua's safe interface cannot break and resume nested coroutines, see `slice`"
)]

mod anchors;
mod arguments;
mod audit;
mod bases;
mod context;
mod errors;
mod exports;
mod failed_task;
mod function_ref;
mod growth;
mod handlers;
mod host_functions;
#[cfg(feature = "save")]
mod image;
mod libraries;
mod library;
pub(crate) mod mailbox;
mod memory;
mod modules;
mod notes;
mod objects;
mod open;
mod prefetch;
mod processes;
mod reach;
#[cfg(test)]
mod reachable;
mod records;
pub(crate) mod replies;
pub(crate) mod request;
mod reset;
mod roots;
mod shared;
pub(crate) mod signals;
mod slice;
mod slices;
mod stack;
mod state;
mod string_table;
mod thread;
mod threads;
mod transfer;
pub(crate) mod world;

pub(crate) use context::{Answer, Caller, Context, VmName};
pub(crate) use failed_task::FailedTask;
pub(crate) use function_ref::FunctionRef;
pub(crate) use handlers::Handler;
pub(crate) use host_functions::{
    BoxedFunction, Entry, FOR_ALL, HostFunctions, LibrarySet, Parser, SyscallEntry,
};
#[cfg(feature = "save")]
pub(crate) use image::{ImageLimits, ImagePlace, ImageProgram, LoadedImage, SaveError, SaveRoot};
pub(crate) use modules::LoadedProgram;
pub(crate) use prefetch::prefetch;
pub(crate) use replies::Reply;
pub(crate) use slice::{Batch, LimitViolation, Slice, SliceEnd, SliceLimits, SliceReport, Turn};
pub(crate) use slices::{Allowance, Slices};
pub(crate) use state::{LuauState, NORMAL_PRIORITY};
pub(crate) use threads::{Purpose, TaskId};

pub use arguments::CallArguments;
