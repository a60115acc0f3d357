//! An isolate to test with, without an app.

use std::num::NonZeroU32;
use std::time::Duration;

use bevy::prelude::*;

use super::{Exit, Isolate, IsolateConfig, ProcessKey, TickTime, VmKey};
use crate::luau::HostFunctions;
use crate::luau::world::WorldRef;
use crate::script::Script;
use crate::types::{Deadline, Outcome, Pid, ProcessState, Share};

pub(super) const ENDLESS: &str = "while true do end";

/// An isolate with one VM, whose ticks take a second of virtual time.
pub(super) struct Bench {
    pub(super) isolate: Isolate,
    pub(super) vm: VmKey,
    pub(super) ticks: u32,
    pids: u32,
    pub(super) passes: u32,
}

impl Bench {
    pub(super) fn new() -> Self {
        let config = IsolateConfig {
            quantum: 10,
            share: Share::PerProcess,
            syscall_timeout: Duration::from_secs(10),
            seed: 0,
            epoch: Duration::ZERO,
            repeatable: true,
            exact_memory: true,
            limits: true,
            ends_on_task_error: false,
        };
        let mut isolate = Isolate::new(config, HostFunctions::default());
        let vm = isolate.add_vm(Entity::PLACEHOLDER, default(), Duration::ZERO);
        Self { isolate, vm, ticks: 0, pids: 0, passes: 1 }
    }

    pub(super) fn spawn(&mut self, source: &str) -> ProcessKey {
        self.pids += 1;
        let pid = Pid(NonZeroU32::new(self.pids).expect("not 0"));
        let script = Script::new("test", source);
        self.isolate.admit(self.vm, Entity::PLACEHOLDER, pid, script, None, self.now())
    }

    pub(super) fn now(&self) -> Duration {
        Duration::from_secs(self.ticks.into())
    }

    /// Starts, wakes and runs processes.
    pub(super) fn tick(&mut self, deadline: Deadline) {
        self.ticks += 1;
        let time = TickTime {
            number: self.ticks,
            now: self.now(),
            deadline,
            passes: self.passes,
            world: WorldRef::default(),
        };
        let start = TickTime { deadline: Deadline::NEVER, passes: 1, ..time };
        self.isolate.start_admitted(start, &mut Vec::new());
        self.isolate.wake(time.now, Deadline::NEVER);
        self.isolate.begin_pass();
        self.isolate.enqueue_started();
        self.isolate.run(time, None);
    }

    pub(super) fn slices(&self, process: ProcessKey) -> u64 {
        self.isolate.process_info(process).expect("it lives").1.slices
    }

    pub(super) fn state(&self, process: ProcessKey) -> ProcessState {
        self.isolate.process_info(process).expect("it lives").0
    }

    pub(super) fn outcomes(&mut self) -> Vec<Outcome> {
        std::iter::from_fn(|| self.isolate.take_exit()).map(|exit: Exit| exit.outcome).collect()
    }
}

/// The time of the first tick, whose work is not cut.
pub(super) fn first_tick() -> TickTime<'static> {
    let (deadline, world) = (Deadline::NEVER, WorldRef::default());
    TickTime { number: 1, now: Duration::ZERO, deadline, passes: 1, world }
}
