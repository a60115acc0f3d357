//! Whether all processes get the same number of slices.

use bevy::prelude::*;
use bevy_luau_os::Metrics;
use bevy_luau_os::prelude::*;
use serde::Serialize;

/// Slices of the processes that lived from the first pass over all of them to the end.
#[derive(Serialize, Debug, Default)]
pub struct Fairness {
    pub processes: u64,
    pub passes: u64,
    pub least_slices: u32,
    pub most_slices: u32,
}

/// The count of an entity that is no process.
const ABSENT: u32 = u32::MAX;

/// Counts slices from the end of a pass on.
pub struct SliceCounter {
    query: QueryState<(Entity, &'static Process)>,
    at_first: Vec<u32>,
    first_pass: Option<u64>,
    /// The last pass at whose end not all processes had started.
    last_pass: Option<u64>,
}

impl SliceCounter {
    pub fn new(app: &mut App) -> Self {
        Self { query: app.world_mut().query(), at_first: Vec::new(), first_pass: None, last_pass: None }
    }

    /// After each frame: begins to count when the first pass over all processes is complete.
    pub fn update(&mut self, app: &App) {
        let metrics = app.world().resource::<Metrics>();
        let runtime = app.world().resource::<LuauRuntime>();
        let all_run = runtime.runnable() as u64 >= metrics.processes();
        if self.first_pass.is_some() || !all_run {
            return;
        }
        // Everybody has had about the same number of slices then.
        match self.last_pass {
            Some(last) if metrics.passes > last => {
                self.first_pass = Some(metrics.passes);
                self.at_first = self.count(app);
            }
            _ => self.last_pass = Some(metrics.passes),
        }
    }

    /// At the end of the run.
    pub fn finish(mut self, app: &App) -> Fairness {
        let Some(first_pass) = self.first_pass else { return Fairness::default() };
        let slices: Vec<u32> = std::iter::zip(self.count(app), &self.at_first)
            .filter(|&(now, &then)| now != ABSENT && then != ABSENT)
            .map(|(now, then)| now - then)
            .collect();
        Fairness {
            processes: slices.len() as u64,
            passes: app.world().resource::<Metrics>().passes - first_pass,
            least_slices: slices.iter().copied().min().unwrap_or_default(),
            most_slices: slices.iter().copied().max().unwrap_or_default(),
        }
    }

    /// The slices that each process has had, by the index of its entity.
    fn count(&mut self, app: &App) -> Vec<u32> {
        let world = app.world();
        let runtime = world.resource::<LuauRuntime>();
        let mut counts = Vec::new();
        for (entity, process) in self.query.iter(world) {
            let Some(info) = runtime.process_info(process) else { continue };
            let index = entity.index_u32() as usize;
            if index >= counts.len() {
                counts.resize(index + 1, ABSENT);
            }
            counts[index] = info.cpu.slices as u32;
        }
        counts
    }
}
