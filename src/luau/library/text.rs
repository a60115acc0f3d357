//! Text that grows, in a buffer of Luau's: so it is charged to the process, and goes with it.

use std::ops::Range;

use super::BYTES_COPIED;
use super::call::Call;

/// The buffer at an index of the stack.
#[derive(Clone, Copy)]
pub(super) struct Text {
    buffer: i32,
    /// Bytes of the buffer that are used.
    length: usize,
}

impl Text {
    /// Pushes a buffer whose first bytes are used for something else.
    pub(super) fn push(call: &mut Call<'_>, reserved: usize) -> Self {
        call.push_zeros(reserved);
        Self { buffer: call.top(), length: reserved }
    }

    /// The text in a buffer of which so many bytes are used.
    pub(super) fn new(buffer: i32, length: usize) -> Self {
        Self { buffer, length }
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Adds a part of the string at an index.
    pub(super) fn add_part(&mut self, call: &mut Call<'_>, source: i32, part: Range<usize>) {
        let bytes = part.len();
        if bytes == 0 {
            return;
        }
        self.reserve(call, bytes);
        call.copy_to_buffer(source, part, self.buffer, self.length);
        self.length += bytes;
        call.pass_safepoints_or_owe(bytes as u64 / BYTES_COPIED);
    }

    /// Adds the string at an index.
    pub(super) fn add(&mut self, call: &mut Call<'_>, source: i32) {
        let length = call.length(source) as usize;
        self.add_part(call, source, 0..length);
    }

    /// Makes room for so many bytes more, in another buffer if need be.
    fn reserve(&self, call: &mut Call<'_>, bytes: usize) {
        let (capacity, needed) = (call.length(self.buffer) as usize, self.length.saturating_add(bytes));
        if needed > capacity {
            call.push_zeros(needed.max(2 * capacity));
            call.copy_to_buffer(self.buffer, 0..self.length, -1, 0);
            call.replace(self.buffer);
        }
    }

    /// Pushes the string, without what is reserved.
    pub(super) fn push_string(&self, call: &mut Call<'_>, reserved: usize) {
        call.charge_later(self.length as u64 / BYTES_COPIED);
        call.push_part(self.buffer, reserved..self.length);
    }
}
