//! Mailboxes: the messages that processes have been sent and have not received.

use std::collections::VecDeque;

use crate::value::Value;

/// A message's value and its sender, as the receiver names it.
pub(crate) type Message = (Value, Value);

/// Messages of one process, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    messages: VecDeque<Message>,
    bytes: usize,
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
        if self.messages.len() >= max_messages || self.bytes.saturating_add(bytes) > max_bytes {
            return Err("mailbox is full");
        }
        self.bytes += bytes;
        self.messages.push_back(message);
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
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
}
