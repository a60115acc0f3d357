//! What the library promises to games, one module a topic. All of it is one binary, which links Bevy and Luau once.

mod answers;
mod assets;
mod calendar;
mod calls;
mod children;
mod commands;
mod common;
mod despawning;
#[cfg(feature = "ecs")]
mod ecs;
mod entities;
mod game_side;
mod garbage;
mod given_modules;
mod handlers;
mod host_functions;
mod isolates;
mod json;
mod libraries;
mod library;
mod lifecycle;
mod limits;
mod manners;
mod messages;
mod misuse;
mod outcomes;
mod preemption;
mod reflection;
mod repeatability;
mod sandbox;
mod scheduling;
mod signals;
mod syscalls;
mod tasks;
mod waiting;
mod whose_bytes;
