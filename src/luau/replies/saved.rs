//! Replies as they are saved.

use serde::{Deserialize, Serialize};

use super::{Replies, Reply};
use crate::luau::threads::TaskId;
use crate::save::SavedValues;
use crate::types::ProcessIndex;

/// What a task gets.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedReply {
    task: TaskId,
    reply: Result<SavedValues, Box<str>>,
}

impl Replies {
    /// The replies to the tasks of a process.
    pub(crate) fn saved(&self, process: ProcessIndex) -> Vec<SavedReply> {
        let replies = self.0.get(&process).into_iter().flatten();
        let saved = replies.map(|(task, reply)| SavedReply {
            task: *task,
            reply: reply.as_ref().map(|values| values.iter().collect()).map_err(|error| (**error).into()),
        });
        saved.collect()
    }

    /// Keeps them for a process that was loaded.
    pub(crate) fn load(&mut self, process: ProcessIndex, saved: Vec<SavedReply>) -> Result<(), &'static str> {
        for SavedReply { task, reply } in saved {
            let reply: Reply = match reply {
                Ok(values) => Ok(values.values()?),
                Err(error) => Err(error.into()),
            };
            self.insert(process, task, reply);
        }
        Ok(())
    }
}
