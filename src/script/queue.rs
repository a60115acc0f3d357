//! Compiling in the background, one script after another, so that nobody waits for what somebody else has compiled.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bevy::prelude::Entity;
use bevy::tasks::AsyncComputeTaskPool;

use super::Script;

/// Scripts that wait to be compiled. Those who ask for them take turns: one of each, then the next of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct CompileQueue(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// By who asks, whose turn it is first.
    owners: VecDeque<(Entity, VecDeque<Script>)>,
    /// Tasks of the pool that compile.
    running: usize,
}

impl Waiting {
    fn push(&mut self, owner: Entity, script: Script) {
        match self.owners.iter_mut().find(|(it, _)| *it == owner) {
            Some((_, scripts)) => scripts.push_back(script),
            None => self.owners.push_back((owner, VecDeque::from([script]))),
        }
    }

    fn pop(&mut self) -> Option<Script> {
        let (owner, mut scripts) = self.owners.pop_front()?;
        let script = scripts.pop_front()?;
        if !scripts.is_empty() {
            self.owners.push_back((owner, scripts));
        }
        Some(script)
    }
}

impl CompileQueue {
    /// Whether a script and its modules have been compiled; if not, sees to it that they will be, in their owner's turn.
    pub(crate) fn prepare(&self, owner: Entity, script: &Script) -> bool {
        // All of them are queued, whichever is not ready.
        let modules = script.reachable_modules();
        modules.iter().fold(self.prepare_one(owner, script), |is_ready, module| {
            self.prepare_one(owner, module) & is_ready
        })
    }

    fn prepare_one(&self, owner: Entity, script: &Script) -> bool {
        if script.is_compiled() {
            return true;
        }
        let Some(pool) = AsyncComputeTaskPool::try_get() else {
            script.compile_queued();
            return true;
        };
        if script.is_queued_now() {
            let mut waiting = self.lock();
            waiting.push(owner, script.clone());
            if waiting.running < pool.thread_num() {
                waiting.running += 1;
                self.clone().compile_next(pool);
            }
        }
        false
    }

    /// Compiles one script in a task of its own, which starts the next: other tasks of the pool get their turns between.
    fn compile_next(self, pool: &'static AsyncComputeTaskPool) {
        pool.spawn(async move {
            let next = self.lock().pop();
            if let Some(script) = next {
                script.compile_queued();
            }
            let mut waiting = self.lock();
            if waiting.owners.is_empty() {
                waiting.running -= 1;
                return;
            }
            drop(waiting);
            self.compile_next(pool);
        })
        .detach();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use bevy::tasks::TaskPool;

    use super::*;

    #[test]
    fn those_who_ask_take_turns() {
        let [a, b] = [1, 2].map(Entity::from_bits);
        let mut waiting = Waiting::default();
        for (owner, name) in [(a, "a1"), (a, "a2"), (a, "a3"), (b, "b1"), (b, "b2")] {
            waiting.push(owner, Script::new(name, ""));
        }
        let order: Vec<_> =
            std::iter::from_fn(|| waiting.pop()).map(|script| script.name().to_owned()).collect();
        assert_eq!(order, ["a1", "b1", "a2", "b2", "a3"]);
    }

    #[test]
    fn all_that_is_queued_is_compiled() {
        AsyncComputeTaskPool::get_or_init(TaskPool::new);
        let queue = CompileQueue::default();
        let scripts: Vec<_> = (0..100).map(|i| Script::new(i.to_string(), "return 1")).collect();
        for (i, script) in (1..).zip(&scripts) {
            assert!(!queue.prepare(Entity::from_bits(1 + i % 3), script));
        }
        let began = Instant::now();
        while !scripts.iter().all(Script::is_compiled) || queue.lock().running > 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "they are not compiled");
            std::thread::yield_now();
        }
        assert!(queue.prepare(Entity::from_bits(1), &scripts[0]));
    }
}
