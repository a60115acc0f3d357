//! Whose turn it is among the tasks of a process.
//!
//! Tasks of a script are not preempted by each other: one that is broken at the end of a slice goes on in the next.
//! Only handlers do not wait for it. So a process has at most one broken task that is no handler, and any number of
//! others.

use std::collections::VecDeque;

use super::task_id::TaskId;
use crate::luau::thread::Anchored;

/// Tasks that are ready, in the order in which they have become so.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// How many have become ready so far.
    count: u64,
    ordinary: VecDeque<(u64, TaskId)>,
    handlers: VecDeque<(u64, TaskId)>,
}

impl Ready {
    pub(super) fn push(&mut self, task: TaskId, is_handler: bool) {
        self.count += 1;
        let queue = if is_handler { &mut self.handlers } else { &mut self.ordinary };
        queue.push_back((self.count, task));
    }

    pub(super) fn remove(&mut self, task: TaskId) {
        for queue in [&mut self.ordinary, &mut self.handlers] {
            queue.retain(|&(_, other)| other != task);
        }
    }

    /// The first.
    fn pop(&mut self) -> Option<TaskId> {
        let first = |queue: &VecDeque<(u64, TaskId)>| queue.front().map_or(u64::MAX, |&(number, _)| number);
        let is_handler = first(&self.handlers) < first(&self.ordinary);
        if is_handler { self.pop_handler() } else { self.ordinary.pop_front().map(|(_, task)| task) }
    }

    /// The first handler.
    fn pop_handler(&mut self) -> Option<TaskId> {
        self.handlers.pop_front().map(|(_, task)| task)
    }

    pub(super) fn len(&self) -> usize {
        self.ordinary.len() + self.handlers.len()
    }
}

/// A task that is broken, with its break chain, innermost last.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) task: TaskId,
    pub(super) thread: Anchored,
    pub(super) chain: Vec<Anchored>,
    pub(super) is_handler: bool,
}

/// What has the next turn.
#[derive(Debug)]
pub(super) enum Turn {
    Ready(TaskId),
    Broken(Broken),
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Turns {
    pub(super) ready: Ready,
    /// What is broken and does not have its turn: a task that is no handler, ...
    broken_task: Option<Broken>,
    /// ... and handlers, the one first that has waited longest.
    broken_handlers: VecDeque<Broken>,
    /// A slice begins.
    is_beginning: bool,
    /// Of the slices for which there is a choice, every other one is for handlers.
    is_for_handlers: bool,
    /// Of those, the last one was for a handler that was ready, not broken.
    was_for_ready: bool,
}

impl Turns {
    /// Whether others can have their turn although a task is broken.
    pub(super) fn has_others(&self, is_handler: bool) -> bool {
        let has_handlers = !self.broken_handlers.is_empty() || !self.ready.handlers.is_empty();
        has_handlers || is_handler && (self.broken_task.is_some() || self.ready.len() > 0)
    }

    /// A slice begins. The task that was broken when the last one ended may have to let others have their turn.
    pub(super) fn begin_slice(&mut self, broken: Broken) {
        if broken.is_handler {
            self.broken_handlers.push_back(broken);
        } else {
            self.broken_task = Some(broken);
        }
        self.is_beginning = true;
    }

    /// Takes who has the next turn, of those that can.
    pub(super) fn next(&mut self) -> Option<Turn> {
        if std::mem::take(&mut self.is_beginning) {
            self.is_for_handlers = !self.is_for_handlers;
            let next = if self.is_for_handlers { self.next_handler() } else { self.next_task() };
            if next.is_some() {
                return next;
            }
        }
        let ready = if self.broken_task.is_some() { self.ready.pop_handler() } else { self.ready.pop() };
        let ready = ready.map(Turn::Ready);
        ready.or_else(|| self.next_task()).or_else(|| self.broken_handlers.pop_front().map(Turn::Broken))
    }

    fn next_task(&mut self) -> Option<Turn> {
        let broken = self.broken_task.take().map(Turn::Broken);
        broken.or_else(|| self.ready.ordinary.pop_front().map(|(_, task)| Turn::Ready(task)))
    }

    /// Neither those that come nor those that are there keep the others from going on.
    fn next_handler(&mut self) -> Option<Turn> {
        let ready = if self.was_for_ready && !self.broken_handlers.is_empty() {
            None
        } else {
            self.ready.pop_handler().map(Turn::Ready)
        };
        self.was_for_ready = ready.is_some();
        ready.or_else(|| self.broken_handlers.pop_front().map(Turn::Broken))
    }

    /// Those that are ready, in their order, those that are broken, and whose turn it is among them.
    #[cfg(feature = "save")]
    pub(super) fn save(&self) -> (Vec<TaskId>, impl Iterator<Item = &Broken>, [bool; 3]) {
        let mut ready: Vec<(u64, TaskId)> =
            self.ready.ordinary.iter().chain(&self.ready.handlers).copied().collect();
        ready.sort_unstable();
        let ready = ready.into_iter().map(|(_, task)| task).collect();
        let broken = self.broken_task.iter().chain(&self.broken_handlers);
        (ready, broken, [self.is_beginning, self.is_for_handlers, self.was_for_ready])
    }

    /// The opposite, for tasks that are ready with whether they are handlers.
    #[cfg(feature = "save")]
    pub(super) fn restore(ready: &[(TaskId, bool)], broken: Vec<Broken>, choices: [bool; 3]) -> Self {
        let [is_beginning, is_for_handlers, was_for_ready] = choices;
        let mut turns = Self { is_beginning, is_for_handlers, was_for_ready, ..Self::default() };
        ready.iter().for_each(|&(task, is_handler)| turns.ready.push(task, is_handler));
        for broken in broken {
            if broken.is_handler || turns.broken_task.is_some() {
                turns.broken_handlers.push_back(broken);
            } else {
                turns.broken_task = Some(broken);
            }
        }
        turns
    }

    /// How many are broken and do not have their turn.
    pub(super) fn broken(&self) -> usize {
        self.broken_handlers.len() + usize::from(self.broken_task.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::ptr::NonNull;

    use super::*;

    fn broken(task: TaskId, is_handler: bool) -> Broken {
        // SAFETY: it is only kept, and no thread.
        let thread = unsafe { Anchored::new(NonNull::dangling().as_ptr()) };
        Broken { task, thread, chain: Vec::new(), is_handler }
    }

    fn next(turns: &mut Turns) -> Option<TaskId> {
        turns.next().map(|turn| match turn {
            Turn::Ready(task) | Turn::Broken(Broken { task, .. }) => task,
        })
    }

    #[test]
    fn tasks_have_their_turns_in_the_order_in_which_they_become_ready() {
        let mut turns = Turns::default();
        for (task, is_handler) in [(1, false), (2, true), (3, true), (4, false), (5, true)] {
            turns.ready.push(task, is_handler);
        }
        turns.ready.remove(3);
        assert_eq!([(); 5].map(|()| next(&mut turns)), [Some(1), Some(2), Some(4), Some(5), None]);
    }

    #[test]
    fn only_handlers_do_not_wait_for_a_task_that_is_broken() {
        let mut turns = Turns::default();
        turns.ready.push(2, false);
        assert!(!turns.has_others(false) && turns.has_others(true));
        turns.ready.push(3, true);
        assert!(turns.has_others(false));
        turns.begin_slice(broken(1, false));
        assert_eq!([(); 4].map(|()| next(&mut turns)), [Some(3), Some(1), Some(2), None]);
    }

    #[test]
    fn every_other_slice_is_for_handlers() {
        let mut turns = Turns::default();
        let mut began = Vec::new();
        let mut task = broken(0, false);
        for id in 1..=6 {
            turns.ready.push(id, true);
            turns.begin_slice(task);
            task = match turns.next() {
                Some(Turn::Broken(broken)) => {
                    began.push(broken.task);
                    broken
                }
                // It is broken, too.
                Some(Turn::Ready(id)) => {
                    began.push(id);
                    broken(id, true)
                }
                None => panic!("there is always one"),
            };
        }
        assert_eq!(began, [1, 0, 1, 0, 2, 0]);
        assert_eq!(turns.broken(), 2);
    }

    #[test]
    fn tasks_and_handlers_do_not_wait_for_a_broken_handler() {
        let mut turns = Turns::default();
        turns.ready.push(5, false);
        assert!(turns.has_others(true));
        turns.begin_slice(broken(4, true));
        assert_eq!(next(&mut turns), Some(4));
        turns.begin_slice(broken(4, true));
        assert_eq!([(); 3].map(|()| next(&mut turns)), [Some(5), Some(4), None]);
    }
}
