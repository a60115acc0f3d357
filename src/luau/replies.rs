//! Replies on their way to the tasks that wait for them. From the answer until the task goes on, a reply is here.

#[cfg(feature = "save")]
pub(crate) mod saved;

use bevy::platform::collections::HashMap;
use smallvec::SmallVec;

use super::threads::TaskId;
use crate::types::ProcessIndex;
use crate::value::Values;

/// What a task gets that has waited: values, or an error to raise.
pub(crate) type Reply = Result<Values, String>;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Replies(HashMap<ProcessIndex, SmallVec<[(TaskId, Reply); 1]>>);

impl Replies {
    pub(super) fn insert(&mut self, process: ProcessIndex, task: TaskId, reply: Reply) {
        self.0.entry(process).or_default().push((task, reply));
    }

    /// What a task gets, if it waited for something.
    pub(crate) fn take(&mut self, process: ProcessIndex, task: TaskId) -> Option<Reply> {
        let replies = self.0.get_mut(&process)?;
        let position = replies.iter().position(|&(id, _)| id == task)?;
        let (_, reply) = replies.swap_remove(position);
        if replies.is_empty() {
            self.0.remove(&process);
        }
        Some(reply)
    }

    /// The process has ended, or starts again.
    pub(crate) fn forget(&mut self, process: ProcessIndex) {
        if !self.0.is_empty() {
            self.0.remove(&process);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    #[test]
    fn a_reply_reaches_its_task_once() {
        let mut replies = Replies::default();
        let reply = |number: f64| Ok(smallvec![number.into()]);
        let [a, b] = [ProcessIndex(1), ProcessIndex(2)];
        replies.insert(a, 0, reply(1.0));
        replies.insert(a, 7, reply(2.0));
        replies.insert(b, 0, Err("no".to_owned()));
        assert_eq!(replies.take(a, 7), Some(reply(2.0)));
        assert_eq!((replies.take(a, 7), replies.take(a, 1)), (None, None));
        assert_eq!(replies.take(b, 0), Some(Err("no".to_owned())));
        assert_eq!(replies.take(a, 0), Some(reply(1.0)));
        assert!(replies.is_empty());
    }

    #[test]
    fn replies_end_with_their_process() {
        let mut replies = Replies::default();
        replies.insert(ProcessIndex(3), 0, Ok(smallvec![]));
        replies.insert(ProcessIndex(3), 1, Ok(smallvec![]));
        replies.forget(ProcessIndex(3));
        assert!(replies.is_empty() && replies.take(ProcessIndex(3), 0).is_none());
    }
}
