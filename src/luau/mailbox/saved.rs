//! Mailboxes as they are saved.

use serde::{Deserialize, Serialize};

use super::Mailbox;
use crate::save::SavedValues;

/// See the [module](self).
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedMailbox {
    /// Values and senders, by turns.
    messages: SavedValues,
    put_back: Vec<u32>,
    reserved: u32,
}

impl From<&Mailbox> for SavedMailbox {
    fn from(mailbox: &Mailbox) -> Self {
        Self {
            messages: mailbox.messages.iter().flat_map(|(value, sender)| [value, sender]).collect(),
            put_back: mailbox.put_back.iter().copied().collect(),
            reserved: mailbox.reserved as u32,
        }
    }
}

impl SavedMailbox {
    pub(crate) fn mailbox(self) -> Result<Mailbox, &'static str> {
        let mut mailbox = Mailbox { reserved: self.reserved as usize, ..Mailbox::default() };
        let mut values = self.messages.values::<Vec<_>>()?.into_iter();
        while let Some(value) = values.next() {
            mailbox.add((value, values.next().ok_or("a message has no sender")?));
        }
        if self.put_back.len() > mailbox.messages.len() || !self.put_back.is_sorted() {
            return Err("messages that were put back are not in order");
        }
        mailbox.put_back = self.put_back.into();
        Ok(mailbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::save::{decode, encode};
    use crate::value::Value;

    #[test]
    fn a_mailbox_comes_back_as_it_was() {
        let mut mailbox = Mailbox::default();
        let message = |number: f64| (Value::Number(number), "from".into());
        assert_eq!(mailbox.push(message(3.0), 9, 500), Ok(()));
        assert_eq!(mailbox.reserve(3), Ok(()));
        mailbox.put_back(8, message(2.0));
        let saved = encode(&SavedMailbox::from(&mailbox));
        let loaded: SavedMailbox = decode(&saved, 0).expect("it was saved");
        let mut loaded = loaded.mailbox().expect("it is right");
        assert_eq!((loaded.bytes, loaded.reserved), (mailbox.bytes, 1));
        loaded.put_back(7, message(1.0));
        assert_eq!(
            [(); 4].map(|()| loaded.pop()),
            [1.0, 2.0, 3.0].map(|it| Some(message(it))).into_iter().chain([None]).collect::<Vec<_>>()[..]
        );
    }

    #[test]
    fn what_cannot_be_a_mailbox_is_refused() {
        let mailbox = |messages: &[Value], put_back: Vec<u32>| {
            SavedMailbox { messages: messages.iter().collect(), put_back, reserved: 0 }.mailbox().is_err()
        };
        assert!(mailbox(&[Value::Nil], vec![]) && mailbox(&[], vec![1]));
        assert!(mailbox(&[const { Value::Nil }; 4], vec![2, 1]));
    }
}
