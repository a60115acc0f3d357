//! Mailboxes: the messages that processes have been sent and have not received.

#[cfg(feature = "save")]
pub(crate) mod saved;

use std::collections::VecDeque;

use crate::value::Value;

/// A message's value and its sender, as the receiver names it.
pub(crate) type Message = (Value, Value);

const FULL: &str = "mailbox is full";

/// Messages of one process, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    messages: VecDeque<Message>,
    /// For the first of them, the tasks that had them before.
    put_back: VecDeque<u32>,
    bytes: usize,
    /// Room for the ends of processes that are monitored.
    reserved: usize,
}

impl Mailbox {
    /// Adds a message unless there is no room for it.
    pub(crate) fn push(
        &mut self,
        message: Message,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<(), &'static str> {
        let bytes = message.0.size();
        if !self.has_room(max_messages) || self.bytes.saturating_add(bytes) > max_bytes {
            return Err(FULL);
        }
        self.add(message);
        Ok(())
    }

    fn has_room(&self, max_messages: usize) -> bool {
        self.messages.len() + self.reserved < max_messages
    }

    fn add(&mut self, message: Message) {
        self.bytes += message.0.size();
        self.messages.push_back(message);
    }

    /// Keeps room for one message, to be [filled](Mailbox::push_reserved) later.
    pub(crate) fn reserve(&mut self, max_messages: usize) -> Result<(), &'static str> {
        if !self.has_room(max_messages) {
            return Err(FULL);
        }
        self.reserved += 1;
        Ok(())
    }

    /// Gives the room back.
    pub(crate) fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// Adds a message for which there is room: `message` if that many bytes fit, otherwise `short`.
    pub(crate) fn push_reserved(
        &mut self,
        message: Message,
        short: impl FnOnce() -> Message,
        max_bytes: usize,
    ) {
        self.release();
        let fits = self.bytes.saturating_add(message.0.size()) <= max_bytes;
        self.add(if fits { message } else { short() });
    }

    /// A message that was handed to a task, which did not receive it, comes before the others again, whatever the
    /// limits. Tasks with lower numbers have got older messages.
    pub(crate) fn put_back(&mut self, task: u32, message: Message) {
        self.bytes += message.0.size();
        let at = self.put_back.partition_point(|&other| other < task);
        self.put_back.insert(at, task);
        self.messages.insert(at, message);
    }

    pub(crate) fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.put_back.pop_front();
        self.bytes -= message.0.size();
        Some(message)
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_bounded_in_messages_and_bytes() {
        let mut mailbox = Mailbox::default();
        let message = |text: &str| (Value::String(text.as_bytes().into()), Value::Number(1.0));
        let size = message("1234").0.size();
        assert_eq!(mailbox.push(message("1234"), 2, 3 * size), Ok(()));
        assert_eq!(mailbox.push(message("1234"), 2, 2 * size - 1), Err("mailbox is full"));
        assert_eq!(mailbox.push(message("1234"), 2, 2 * size), Ok(()));
        assert_eq!(mailbox.push(message(""), 2, 3 * size), Err("mailbox is full"));
        assert_eq!(mailbox.pop(), Some(message("1234")));
        assert_eq!((mailbox.len(), mailbox.bytes), (1, size));
    }

    #[test]
    fn messages_that_were_put_back_come_first_in_their_old_order() {
        let mut mailbox = Mailbox::default();
        let message = |number: f64| (Value::Number(number), Value::Nil);
        assert_eq!(mailbox.push(message(4.0), 9, 500), Ok(()));
        for (task, number) in [(7, 2.0), (8, 3.0), (5, 1.0)] {
            mailbox.put_back(task, message(number));
        }
        assert_eq!(mailbox.pop(), Some(message(1.0)));
        mailbox.put_back(5, message(1.0));
        assert_eq!([(); 4].map(|()| mailbox.pop()), [1.0, 2.0, 3.0, 4.0].map(|number| Some(message(number))));
        assert_eq!((mailbox.pop(), mailbox.bytes), (None, 0));
    }

    #[test]
    fn room_that_is_reserved_is_there_and_nobody_elses() {
        let mut mailbox = Mailbox::default();
        let message = |number: f64| (Value::Number(number), Value::Nil);
        let long = (Value::String([0; 1000].into()), Value::Nil);
        assert_eq!(mailbox.reserve(2), Ok(()));
        assert_eq!(mailbox.push(message(1.0), 2, 500), Ok(()));
        assert_eq!(mailbox.push(message(2.0), 2, 500), Err("mailbox is full"));
        assert_eq!(mailbox.reserve(2), Err("mailbox is full"));
        mailbox.push_reserved(long, || message(3.0), 500);
        assert_eq!([mailbox.pop(), mailbox.pop()], [Some(message(1.0)), Some(message(3.0))]);
        assert_eq!(mailbox.push(message(4.0), 1, 500), Ok(()));
    }
}
