//! A process on its own, with a scheduler that knows time and nothing else.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::time::Duration;

use bevy::ecs::entity::Entity;

use crate::console::ConsoleBuffer;
use crate::luau::image::bytes::LoadError;
use crate::luau::image::{ImageLimits, ImagePlace, ImageProgram, SaveError};
use crate::luau::request::Request;
use crate::luau::slice::{Batch, Slice, SliceEnd, SliceLimits, SliceReport, Turn};
use crate::luau::slices::{Allowance, Slices};
use crate::luau::world::WorldRef;
use crate::luau::{Caller, HostFunctions, LibrarySet, LoadedProgram, LuauState, TaskId};
use crate::script::Script;
use crate::types::{Pid, ProcessIndex, VmIndex};

pub(super) const PROCESS: ProcessIndex = ProcessIndex(0);
const CATEGORY: u8 = 1;
const PID: Pid = Pid(NonZeroU32::MIN);
pub(super) const LIMITS: ImageLimits = ImageLimits { bytes: 1 << 26, coroutines: 10_000 };

/// One slice of the process.
struct OneSlice<'s> {
    slices: Slices<'s>,
    quantum: u32,
    report: Option<SliceReport>,
}

impl Batch for OneSlice<'_> {
    fn slice(&self) -> &Slice {
        self.slices.slice()
    }

    fn next_turn(&mut self) -> Option<Turn> {
        let memory = (usize::MAX, CATEGORY);
        self.report.is_none().then(|| self.slices.ready(PROCESS, self.quantum, memory))
    }

    fn after_slice(&mut self, report: SliceReport) -> ControlFlow<()> {
        self.report = Some(report);
        ControlFlow::Break(())
    }
}

pub(super) struct Computer {
    pub(super) state: LuauState,
    pub(super) script: Script,
    pub(super) loaded: LoadedProgram,
    pub(super) output: String,
    pub(super) now: f64,
    /// In nanoseconds, when tasks go on.
    pub(super) timers: BTreeMap<(u128, u64), TaskId>,
    waits: u64,
}

/// The output of a script that is never moved.
pub(super) fn uninterrupted(name: &str, source: &str) -> String {
    let mut computer = Computer::start(name, source);
    while computer.slice(1 << 20) {}
    computer.output
}

impl Computer {
    fn open(host: HostFunctions, script: &Script) -> (LuauState, LoadedProgram) {
        let mut state = LuauState::open(host, None).expect("memory");
        let loaded = state.load_program(script, LibrarySet::default()).expect("it compiles");
        (state, loaded)
    }

    pub(super) fn start(name: &str, source: &str) -> Self {
        Self::start_with(HostFunctions::default(), name, source)
    }

    pub(super) fn start_with(host: HostFunctions, name: &str, source: &str) -> Self {
        Self::start_script(host, Script::new(name, source))
    }

    pub(super) fn start_script(host: HostFunctions, script: Script) -> Self {
        let (mut state, loaded) = Self::open(host, &script);
        state
            .start(PROCESS, loaded, CATEGORY, Caller::new(Entity::PLACEHOLDER, PID, VmIndex(0), 7))
            .expect("memory");
        Self { state, script, loaded, output: String::new(), now: 0.0, timers: BTreeMap::new(), waits: 0 }
    }

    /// One whose process was loaded.
    pub(super) fn of(state: LuauState, script: &Script, loaded: LoadedProgram) -> Self {
        let (script, output, timers) = (script.clone(), String::new(), BTreeMap::new());
        Self { state, script, loaded, output, now: 0.0, timers, waits: 0 }
    }

    /// Runs a slice. Whether there is another.
    pub(super) fn slice(&mut self, quantum: u32) -> bool {
        self.state.context().time = Duration::from_secs_f64(self.now);
        let slices = self.state.slices(SliceLimits { time: None }, WorldRef::default());
        let mut slice = OneSlice { slices, quantum, report: None };
        slice.slices.allow(&Allowance::unlimited(1 << 20));
        Slices::run_batch(&mut slice);
        let outcome = slice.report.expect("it ran").outcome;
        drop(slice);
        let context = self.state.context();
        self.output += &context.console.text();
        context.console = ConsoleBuffer::default();
        context.task_errors.clear();
        for (task, request) in std::mem::take(&mut context.requests) {
            self.timers.retain(|_, other| *other != task);
            let time = match request {
                Request::Sleep(time) => time,
                Request::Join { timeout: Some(time) } => time,
                _ => continue,
            };
            self.waits += 1;
            let nanoseconds = (self.now * 1e9) as u128 + time.as_nanos().max(1);
            self.timers.insert((nanoseconds, self.waits), task);
        }
        match outcome {
            None | Some(SliceEnd::Preempted | SliceEnd::Yielded) => true,
            Some(SliceEnd::Waiting) => self.wake(),
            Some(SliceEnd::Failed) => {
                self.output += &format!("failed: {:?}\n", self.state.error(PROCESS));
                false
            }
            Some(SliceEnd::Returned) => {
                self.output += &format!("returned {:?}\n", self.state.results(PROCESS));
                false
            }
            Some(end) => {
                self.output += &format!("{end:?}\n");
                false
            }
        }
    }

    fn wake(&mut self) -> bool {
        let Some(((nanoseconds, _), task)) = self.timers.pop_first() else {
            self.output += "waits for ever\n";
            return false;
        };
        self.now = nanoseconds as f64 / 1e9;
        self.state.wake(PROCESS, task, None);
        true
    }

    /// `None` if it is parked.
    pub(super) fn save(&mut self) -> Option<Vec<u8>> {
        let is_parked = self.state.save_obstacle(PROCESS).is_some();
        (!is_parked).then(|| self.try_save().expect("it can be saved"))
    }

    pub(super) fn try_save(&mut self) -> Result<Vec<u8>, SaveError> {
        let script = self.script.clone();
        let program = ImageProgram { script: &script, loaded: self.loaded };
        self.state.save_processes(&[PROCESS], &[program], &[])
    }

    /// The same process in a fresh state, which is as Luau wants it before and after a collection.
    pub(super) fn moved(self, image: &[u8]) -> Self {
        let Self { script, output, now, timers, waits, state, .. } = self;
        drop(state);
        let (mut state, loaded) = Self::open(HostFunctions::default(), &script);
        assert_eq!(load(&mut state, &script, loaded, image), Ok(true));
        validate(&state);
        state.collect();
        validate(&state);
        assert!(state.category_bytes(CATEGORY) > 1000, "it is charged to its category");
        Self { state, script, loaded, output, now, timers, waits }
    }
}

/// Whether the process goes on.
pub(super) fn load(
    state: &mut LuauState,
    script: &Script,
    loaded: LoadedProgram,
    image: &[u8],
) -> Result<bool, LoadError> {
    let place = place(PROCESS);
    let program = ImageProgram { script, loaded };
    let loaded = state.load_processes(image, &[place], &[Some(program)], &LIMITS)?;
    Ok(loaded.failed.is_empty())
}

pub(super) fn place(process: ProcessIndex) -> ImagePlace {
    ImagePlace { process, category: CATEGORY, entity: Entity::PLACEHOLDER, pid: PID, vm: VmIndex(0) }
}

pub(super) fn validate(state: &LuauState) {
    // SAFETY: nothing runs in it.
    unsafe { crate::luau::image::heap::Heap::new(state.main) }.validate();
}
