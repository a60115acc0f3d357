//! Everything that the processes of a VM have in the Luau heap, as bytes, and back into another state.
//!
//! A process that does not run has no C stack, unless it is parked: its threads are frames and values, which can be
//! written down. That it goes on in another state from the same instruction takes access to Luau's own structures, which
//! its interface does not give: see [`heap`].
//!
//! # What is saved
//!
//! Whatever the threads of the processes reach, as one graph: so what several of them share, they share again. What every
//! state has is named ([`names`]), and code is named by its program ([`programs`]). Entries of tables whose keys are
//! numbers or strings are where they were, so loops over them go on. Objects as keys lie elsewhere in another state, so
//! there a loop goes on over the keys that were left, in their old order.
//!
//! # What is loaded
//!
//! An image may come from a stranger. It is [read](model) into numbers first, then [checked](check) against the code that it
//! names: Luau's interpreter trusts its stacks. Only then are objects [made](build).

mod build;
mod bytes;
mod cache;
mod check;
mod facts;
mod find_program;
mod heap;
mod load;
mod meaning;
mod model;
mod names;
mod processes;
mod programs;
mod save;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bevy::ecs::entity::Entity;
use thiserror::Error;

use super::function_ref::FunctionRef;
use super::library::BASES;
use super::modules::LoadedProgram;
use super::records::RECORDS;
use super::stack::{Reference, Stack};
use super::state::LuauState;
use super::threads::{ProcessThread, Tasks};
use crate::script::Script;
use crate::types::{Pid, ProcessIndex, VmIndex};
use bytes::Writer;
use heap::{Heap, Value};
use processes::{Draft, TasksDraft};
use programs::ProgramParts;
use save::{Refusal, Saver};

pub(super) use cache::ImageCache;

/// A program of a VM, and what it is in a state.
#[derive(Clone, Copy)]
pub(crate) struct ImageProgram<'a> {
    pub(crate) script: &'a Script,
    pub(crate) loaded: LoadedProgram,
}

/// Why a process cannot be saved yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SaveObstacle {
    /// Its slice stopped in the middle of a function that is no script's.
    Parked,
}

/// Where an error was met first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SaveRoot {
    /// The number of a process.
    Process(usize),
    /// The number of a function.
    Function(usize),
}

/// Why processes cannot be saved.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum SaveError {
    /// After another slice it may be otherwise.
    #[error("it cannot be saved at this moment: {why}")]
    NotNow { root: SaveRoot, why: Cow<'static, str> },
    #[error("it has a function of `{script}`, which no process runs any more")]
    UnknownProgram { root: SaveRoot, script: String },
    #[error("not enough memory")]
    OutOfMemory,
}

/// Where a process that is loaded gets its thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImagePlace {
    pub(crate) process: ProcessIndex,
    pub(crate) category: u8,
    pub(crate) entity: Entity,
    pub(crate) pid: Pid,
    pub(crate) vm: VmIndex,
}

/// What loading may make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageLimits {
    /// Bytes of objects.
    pub(crate) bytes: usize,
    pub(crate) coroutines: u32,
}

/// What was loaded beside the processes.
#[derive(Debug, Default)]
pub(crate) struct LoadedImage {
    /// Processes that cannot go on, by number, and why. Their places are as they were.
    pub(crate) failed: Vec<(usize, String)>,
    pub(crate) functions: Vec<FunctionRef>,
}

impl LuauState {
    /// Why a process cannot be saved now.
    pub(crate) fn save_obstacle(&self, process: ProcessIndex) -> Option<SaveObstacle> {
        let is_parked = self.threads.get(process.at()).is_some_and(ProcessThread::is_parked);
        is_parked.then_some(SaveObstacle::Parked)
    }

    /// Saves what the processes of a VM, and functions that it has handed over, have in the heap. The processes must have
    /// been started. Their order, and that of the programs and the functions, is that of their numbers.
    ///
    /// # Errors
    ///
    /// With the number of the first process of which something cannot be saved.
    pub(crate) fn save_processes(
        &mut self,
        processes: &[ProcessIndex],
        programs: &[ImageProgram<'_>],
        functions: &[&FunctionRef],
    ) -> Result<Vec<u8>, SaveError> {
        for (number, &process) in processes.iter().enumerate() {
            if self.save_obstacle(process).is_some() {
                let why = "it is in the middle of a function that is no script's".into();
                return Err(SaveError::NotNow { root: SaveRoot::Process(number), why });
            }
        }
        let drafts: Vec<Draft> = processes.iter().map(|&process| self.draft(process)).collect();
        let functions: Vec<Reference> = functions.iter().map(|function| function.reference).collect();
        let has_records = self.has_records;
        let environment = programs.first().map(|program| program.loaded.environment);
        let saved = self.with_cache(environment, |stack, heap, cache| {
            let programs = known_programs(stack, heap, cache, programs);
            save(stack, heap, cache, &programs, (&drafts, has_records), &functions)
        });
        saved.unwrap_or(Err(SaveError::OutOfMemory))
    }

    fn draft(&self, process: ProcessIndex) -> Draft {
        let thread = &self.threads[process.at()];
        let tasks = |tasks: &Tasks| TasksDraft {
            tasks: tasks.save(),
            anchors: tasks.anchors,
            results: tasks.results().to_vec(),
        };
        Draft {
            root: self.root(process),
            random: self.context_ref().random_of(process),
            extras: thread.save(),
            tasks: thread.tasks().map(tasks),
            handed_over: self.handed_over.get(&process).copied(),
        }
    }

    /// Calls `f` in a protected call, with what is remembered from image to image of VMs whose environments have a
    /// metatable. `None` if there was not enough memory.
    fn with_cache<R>(
        &mut self,
        environment: Option<Reference>,
        f: impl FnOnce(&mut Stack<'_>, &Heap, &mut ImageCache) -> R,
    ) -> Option<R> {
        // SAFETY: nothing runs in a state that is borrowed, and nothing is collected but by its functions. All objects that
        // are asked for come from there.
        let heap = unsafe { Heap::new(self.main) };
        let environment = environment.unwrap_or(self.bases.first_environment());
        let base = self.bases.with_environment(environment)?;
        let known = self.images.iter().position(|(other, _)| *other == environment);
        let mut cache = known.map(|known| self.images.swap_remove(known).1).unwrap_or_default();
        let result = self.protect(|stack| {
            stack.resize(0);
            cache.refresh(stack, &heap, base);
            f(stack, &heap, &mut cache)
        });
        self.images.push((environment, cache));
        result.ok()
    }
}

/// Makes sure that the cache knows programs. Returns the references by which it does.
fn known_programs(
    stack: &mut Stack<'_>,
    heap: &Heap,
    cache: &mut ImageCache,
    programs: &[ImageProgram<'_>],
) -> Vec<Reference> {
    let know = |program: &ImageProgram<'_>| {
        let main = program.loaded.main.0;
        if !cache.programs.contains_key(&main) {
            let parts = find_program::find(stack, heap, program.script, program.loaded);
            cache.programs.insert(main, parts);
        }
        main
    };
    programs.iter().map(know).collect()
}

fn save(
    stack: &mut Stack<'_>,
    heap: &Heap,
    cache: &ImageCache,
    programs: &[Reference],
    (drafts, has_records): (&[Draft], bool),
    functions: &[Reference],
) -> Result<Vec<u8>, SaveError> {
    let programs: Vec<&ProgramParts> = programs.iter().map(|program| &cache.programs[program]).collect();
    let mut saver = Saver::new(heap, cache, &programs);
    hide(&mut saver, stack, drafts);
    let mut rest = Writer::default();
    rest.number(programs.len());
    for program in &programs {
        rest.number(program.parts.len());
        program.parts.iter().for_each(|part| rest.word(part.as_ref().map_or(0, |part| part.hash)));
    }
    rest.number(drafts.len());
    for (number, draft) in drafts.iter().enumerate() {
        let written = processes::write(&mut saver, stack, draft, has_records, &mut rest);
        written.map_err(|refusal| error(refusal, SaveRoot::Process(number)))?;
    }
    rest.number(functions.len());
    for (number, &function) in functions.iter().enumerate() {
        stack.push_reference(function);
        let function = heap.at(stack.top());
        stack.pop(1);
        let saved = match function {
            Value::Object(object, _) => {
                let number = saver.number(object);
                rest.number(number);
                saver.run()
            }
            _ => Err(Refusal::now("a function is not there")),
        };
        saved.map_err(|refusal| error(refusal, SaveRoot::Function(number)))?;
    }
    Ok(saver.finish(rest))
}

/// What is ours alone: the records of all processes of the state, and what anchors tasks.
fn hide(saver: &mut Saver<'_>, stack: &mut Stack<'_>, drafts: &[Draft]) {
    for registered in [RECORDS, BASES] {
        stack.push_registered(registered);
        saver.hide(stack.top());
        stack.pop(1);
    }
    for tasks in drafts.iter().filter_map(|draft| draft.tasks.as_ref()) {
        stack.push_reference(tasks.anchors);
        saver.hide(stack.top());
        stack.pop(1);
    }
}

fn error(refusal: Refusal, root: SaveRoot) -> SaveError {
    match refusal {
        Refusal::NotNow(why) => SaveError::NotNow { root, why },
        Refusal::UnknownProgram(script) => SaveError::UnknownProgram { root, script },
    }
}
