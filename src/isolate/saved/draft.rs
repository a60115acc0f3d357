//! What processes start with, and the scripts and functions that the heap has to name for them.

use bevy::platform::collections::HashMap;

use super::super::keys::ProcessKey;
use super::super::start::Start;
use super::SavedStart;
use super::job::{SaveJob, SavedNewcomer};
use crate::luau::request::KernelRequest;
use crate::luau::request::saved::SavedRequest;
use crate::luau::signals::saved::SavedSignals;
use crate::luau::{FunctionRef, LibrarySet};
use crate::save::SavedValues;
use crate::script::Script;

/// Stands for a function that cannot be saved.
pub(super) const NO_FUNCTION: u32 = u32::MAX;

/// See the [module](self).
pub(super) struct Draft<'a> {
    job: &'a SaveJob<'a>,
    /// Those of the VM.
    pub(super) libraries: LibrarySet,
    /// By their numbers in the whole save, in the order of those in the VM.
    pub(super) scripts: Vec<(u32, Script)>,
    starts: HashMap<ProcessKey, (Option<&'a Start>, Option<u32>)>,
    newcomers: Vec<(&'a SavedNewcomer<'a>, Option<u32>)>,
    functions: Vec<Option<&'a FunctionRef>>,
    /// Processes that cannot be saved, and why.
    pub(super) refused: HashMap<ProcessKey, String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(job: &'a SaveJob<'a>, libraries: LibrarySet) -> Self {
        Self {
            job,
            libraries,
            scripts: Vec::new(),
            starts: HashMap::default(),
            newcomers: Vec::new(),
            functions: Vec::new(),
            refused: HashMap::default(),
        }
    }

    fn add_function(&mut self, function: &'a FunctionRef) -> u32 {
        self.functions.push(Some(function));
        self.functions.len() as u32 - 1
    }

    fn add_start(&mut self, start: Option<&'a Start>) -> Option<u32> {
        start.and_then(|start| start.function.as_ref()).map(|function| self.add_function(function))
    }

    /// What an admitted process without a thread starts with, and the script of its function, if it has one.
    pub(super) fn add_function_of(&mut self, process: ProcessKey, start: Option<&'a Start>) {
        let function = self.add_start(start);
        self.starts.insert(process, (start, function));
        if function.is_some() {
            self.add_script_of(process);
        }
    }

    /// The same for a process that was not admitted.
    pub(super) fn add_newcomer(&mut self, newcomer: &'a SavedNewcomer<'a>) {
        let function = self.add_start(newcomer.start);
        self.newcomers.push((newcomer, function));
        if function.is_some() {
            self.add_script(&newcomer.script);
        }
    }

    /// The scripts of the others of them.
    pub(super) fn add_scripts_of_newcomers(&mut self) {
        let newcomers: Vec<&SavedNewcomer<'_>> = self.newcomers.iter().map(|newcomer| newcomer.0).collect();
        newcomers.into_iter().for_each(|newcomer| self.add_script(&newcomer.script));
    }

    pub(super) fn request(&mut self, request: &'a KernelRequest) -> SavedRequest {
        SavedRequest::new(request, |function| self.add_function(function))
    }

    /// The script that a process runs belongs to the VM.
    pub(super) fn add_script_of(&mut self, process: ProcessKey) {
        let job = self.job;
        match job.scripts.get(&process) {
            Some(script) => self.add_script(script),
            None => drop(self.refused.insert(process, "it is not known what it runs".to_owned())),
        }
    }

    fn add_script(&mut self, script: &(u32, Script)) {
        if !self.scripts.iter().any(|known| known.0 == script.0) {
            self.scripts.push(script.clone());
        }
    }

    fn number(&self, script: u32) -> u32 {
        self.scripts.iter().position(|known| known.0 == script).unwrap_or_default() as u32
    }

    /// The number of the script of a process in the VM.
    pub(super) fn script_of(&self, process: ProcessKey) -> u32 {
        self.job.scripts.get(&process).map_or(0, |script| self.number(script.0))
    }

    /// The functions that can be saved.
    pub(super) fn functions_left(&self) -> Vec<&'a FunctionRef> {
        self.functions.iter().copied().flatten().collect()
    }

    /// One of them cannot.
    pub(super) fn refuse_function(&mut self, left: usize) {
        if let Some(function) = self.functions.iter_mut().filter(|function| function.is_some()).nth(left) {
            *function = None;
        }
    }

    /// The number that a function has among those that are saved. They are known only now.
    pub(super) fn saved_function(&self, function: u32) -> u32 {
        match self.functions.get(function as usize) {
            Some(Some(_)) => {
                self.functions[..function as usize].iter().filter(|function| function.is_some()).count()
                    as u32
            }
            _ => NO_FUNCTION,
        }
    }

    /// What an admitted process starts with.
    pub(super) fn start(&self, process: ProcessKey, waits: &HashMap<u64, u32>) -> SavedStart {
        let (start, function) = self.starts.get(&process).copied().unwrap_or_default();
        self.saved(self.script_of(process), start, function, false, waits)
    }

    /// What the others start with.
    pub(super) fn newcomers(&self, waits: &HashMap<u64, u32>) -> Vec<SavedStart> {
        let newcomers = self.newcomers.iter().map(|&(newcomer, function)| {
            let script = self.number(newcomer.script.0);
            self.saved(script, newcomer.start, function, newcomer.is_suspended, waits)
        });
        newcomers.collect()
    }

    fn saved(
        &self,
        script: u32,
        start: Option<&Start>,
        function: Option<u32>,
        is_suspended: bool,
        waits: &HashMap<u64, u32>,
    ) -> SavedStart {
        let parent = start.and_then(|start| start.parent);
        SavedStart {
            script,
            name: start.and_then(|start| start.name.as_deref()).map(Into::into),
            arguments: start.map_or_else(SavedValues::default, |start| start.arguments.iter().collect()),
            function: function.map(|function| self.saved_function(function)),
            signals: start.filter(|it| it.signals.is_used()).map(|start| SavedSignals::from(&start.signals)),
            parent: parent.and_then(|parent| waits.get(&parent.wait.number)).copied(),
            is_suspended,
        }
    }
}
