//! What a VM's processes print.

pub(crate) mod log;

use std::borrow::Cow;
use std::collections::VecDeque;

use bevy::prelude::*;

use crate::types::ScriptError;

/// A bounded buffer of printed bytes: when it is full, the oldest are dropped and counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConsoleBuffer {
    bytes: VecDeque<u8>,
    capacity: usize,
    dropped: u64,
}

impl ConsoleBuffer {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    pub(crate) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Whether nothing that is pushed will be kept.
    pub(crate) fn is_silent(&self) -> bool {
        self.capacity == 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.dropped == 0
    }

    pub(crate) fn push(&mut self, text: &[u8]) -> usize {
        let kept = &text[text.len().saturating_sub(self.capacity)..];
        let excess = (self.bytes.len() + kept.len()).saturating_sub(self.capacity);
        self.bytes.drain(..excess);
        self.bytes.extend(kept);
        self.dropped += (excess + text.len() - kept.len()) as u64;
        kept.len()
    }

    /// Adds an error, and where it was raised.
    pub(crate) fn push_error(&mut self, error: &ScriptError) {
        self.push(error.message.as_bytes());
        self.push(b"\n");
        for line in error.traceback.lines() {
            self.push(b"    ");
            self.push(line.as_bytes());
            self.push(b"\n");
        }
    }

    /// What is there, invalid UTF-8 replaced.
    pub(crate) fn text(&mut self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes.make_contiguous())
    }

    /// What is there.
    #[cfg(feature = "save")]
    pub(crate) fn bytes(&self) -> impl Iterator<Item = u8> {
        self.bytes.iter().copied()
    }

    /// How many bytes were dropped.
    #[cfg(feature = "save")]
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes that are there although so many others were dropped.
    #[cfg(feature = "save")]
    pub(crate) fn restored(bytes: &[u8], dropped: u64, capacity: usize) -> Self {
        let mut buffer = Self { dropped: dropped.min(u64::MAX / 2), ..Self::new(capacity) };
        buffer.push(bytes);
        buffer
    }

    /// Moves everything from `other` to the end of this buffer.
    pub(crate) fn append(&mut self, other: &mut Self) {
        let (front, back) = other.bytes.as_slices();
        self.push(front);
        self.push(back);
        self.dropped += std::mem::take(&mut other.dropped);
        other.bytes.clear();
    }
}

/// Everything that the processes of a [`Vm`](crate::Vm) printed and that nobody has taken yet.
///
/// It keeps the newest [`Limits::console_bytes`](crate::Limits::console_bytes) bytes.
/// It is added to a VM when one of its processes prints for the first time. Lines arrive at the end
/// of the tick in which they were printed, in the order in which they were printed.
#[derive(Component, Clone, Debug, Default, Reflect)]
#[reflect(Component, Clone, Debug, Default)]
pub struct VmConsole {
    text: String,
    dropped_bytes: u64,
}

impl VmConsole {
    /// Adds what was printed to the end.
    pub(crate) fn append(&mut self, mut printed: ConsoleBuffer) {
        self.dropped_bytes += printed.dropped;
        self.text.push_str(&printed.text());
        let excess = self.text.len().saturating_sub(printed.capacity);
        let dropped = self.text.ceil_char_boundary(excess);
        self.text.drain(..dropped);
        self.dropped_bytes += dropped as u64;
    }

    /// One that has a text, and has dropped some.
    #[cfg(feature = "save")]
    pub(crate) fn restored(text: &str, dropped_bytes: u64) -> Self {
        Self { text: text.to_owned(), dropped_bytes: dropped_bytes.min(u64::MAX / 2) }
    }

    /// What is there, invalid UTF-8 replaced. Each `print` ends with a newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Takes what is there, invalid UTF-8 replaced.
    pub fn take_text(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// How many bytes were dropped so far because nobody took them in time.
    pub fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_buffer_drops_the_oldest_bytes_and_counts_them() {
        let mut buffer = ConsoleBuffer::new(4);
        buffer.push(b"abc");
        buffer.push(b"def");
        assert_eq!((buffer.bytes.make_contiguous() as &[u8], buffer.dropped), (&b"cdef"[..], 2));
        buffer.push(b"0123456789");
        assert_eq!((buffer.bytes.make_contiguous() as &[u8], buffer.dropped), (&b"6789"[..], 12));
    }

    #[test]
    fn appending_moves_bytes_and_losses() {
        let (mut buffer, mut printed) = (ConsoleBuffer::new(4), ConsoleBuffer::new(2));
        printed.push(b"abc");
        buffer.append(&mut printed);
        buffer.append(&mut printed);
        assert_eq!((buffer.bytes.make_contiguous() as &[u8], buffer.dropped), (&b"bc"[..], 1));
        assert!(printed.is_empty());
    }

    fn printed(text: &[u8], capacity: usize) -> ConsoleBuffer {
        let mut buffer = ConsoleBuffer::new(capacity);
        buffer.push(text);
        buffer
    }

    #[test]
    fn a_console_keeps_the_newest_text_and_counts_what_was_lost() {
        let mut console = VmConsole::default();
        console.append(printed(b"abc", 2));
        assert_eq!((console.text(), console.dropped_bytes()), ("bc", 1));
        console.append(printed(b"def", 4));
        assert_eq!((console.text(), console.dropped_bytes()), ("cdef", 2), "with the limit of today");
        assert_eq!((console.take_text().as_str(), console.text()), ("cdef", ""));
    }

    #[test]
    fn a_console_is_cut_between_characters() {
        let mut console = VmConsole::default();
        console.append(printed("aäö".as_bytes(), 5));
        console.append(printed(b"x", 4));
        assert_eq!((console.text(), console.dropped_bytes()), ("öx", 3));
        console.append(printed(b"\xff", 5));
        assert_eq!(console.text(), "x\u{fffd}", "what is no UTF-8 is replaced");
    }

    #[test]
    fn a_silent_buffer_keeps_nothing() {
        let mut buffer = ConsoleBuffer::default();
        buffer.push(b"abc");
        assert!(buffer.is_silent() && buffer.bytes.is_empty());
    }
}
