//! How numbers and values stand in an image, and reading what somebody else may have written.

use std::borrow::Cow;

use thiserror::Error;

/// Why an image cannot be loaded.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("at byte {offset}: {reason}")]
pub(crate) struct LoadError {
    /// Where in the image.
    pub(crate) offset: usize,
    pub(crate) reason: Cow<'static, str>,
}

impl LoadError {
    pub(super) fn new(offset: usize, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { offset, reason: reason.into() }
    }
}

/// An image that is written.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Seven bits a byte, the lowest first.
    pub(super) fn number(&mut self, number: usize) {
        let mut rest = number as u64;
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    /// The same with a sign.
    pub(super) fn signed(&mut self, number: i32) {
        self.number(((number << 1) ^ (number >> 31)).cast_unsigned() as usize);
    }

    /// 0 for nothing.
    pub(super) fn option(&mut self, number: Option<usize>) {
        self.number(number.map_or(0, |number| number + 1));
    }

    pub(super) fn word(&mut self, word: u64) {
        self.0.extend_from_slice(&word.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend_from_slice(bytes);
    }
}

/// An image that is read.
#[derive(Clone)]
pub(super) struct Reader<'i> {
    image: &'i [u8],
    pub(super) at: usize,
}

pub(super) type Read<T> = Result<T, LoadError>;

impl<'i> Reader<'i> {
    pub(super) fn new(image: &'i [u8]) -> Self {
        Self { image, at: 0 }
    }

    pub(super) fn refuse<T>(&self, reason: impl Into<Cow<'static, str>>) -> Read<T> {
        Err(LoadError::new(self.at, reason))
    }

    fn rest(&self) -> usize {
        self.image.len() - self.at
    }

    fn take(&mut self, count: usize) -> Read<&'i [u8]> {
        if count > self.rest() {
            return self.refuse("the image ends too early");
        }
        let taken = &self.image[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?[0])
    }

    /// One that fits into 32 bits.
    pub(super) fn number(&mut self) -> Read<usize> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return match u32::try_from(number) {
                    Ok(number) => Ok(number as usize),
                    Err(_) => self.refuse("a number is too large"),
                };
            }
        }
        self.refuse("a number is too long")
    }

    /// How many things there are, each of at least one byte.
    pub(super) fn count(&mut self) -> Read<usize> {
        let count = self.number()?;
        if count > self.rest() {
            self.refuse(format!("{count} are more than there is room for"))
        } else {
            Ok(count)
        }
    }

    /// A number that is less than another.
    pub(super) fn below(&mut self, end: usize, what: &'static str) -> Read<usize> {
        let number = self.number()?;
        if number < end { Ok(number) } else { self.refuse(format!("{what} {number} of {end}")) }
    }

    pub(super) fn signed(&mut self) -> Read<i32> {
        let number = self.number()? as u32;
        Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    pub(super) fn option(&mut self) -> Read<Option<usize>> {
        Ok(self.number()?.checked_sub(1))
    }

    pub(super) fn word(&mut self) -> Read<u64> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)))
    }

    pub(super) fn float(&mut self) -> Read<f32> {
        let bytes = self.take(4)?;
        Ok(f32::from_bits(bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))))
    }

    pub(super) fn bytes(&mut self) -> Read<&'i [u8]> {
        let count = self.count()?;
        self.take(count)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest() == 0
    }
}

/// Of which type a value is, as a byte. Those of numbers that are small integers and of objects are followed by a number.
pub(super) mod tags {
    pub(in super::super) const NIL: u8 = 0;
    pub(in super::super) const FALSE: u8 = 1;
    pub(in super::super) const TRUE: u8 = 2;
    pub(in super::super) const NUMBER: u8 = 3;
    pub(in super::super) const SMALL: u8 = 4;
    pub(in super::super) const INTEGER: u8 = 5;
    pub(in super::super) const VECTOR: u8 = 6;
    pub(in super::super) const ITERATOR: u8 = 7;
    pub(in super::super) const DEAD_KEY: u8 = 8;
    pub(in super::super) const OBJECT: u8 = 9;
    /// Of the game. Its bits follow.
    pub(in super::super) const ENTITY: u8 = 10;
}

/// What an object is, as a byte.
pub(super) mod items {
    pub(in super::super) const STRING: u8 = 0;
    pub(in super::super) const BUFFER: u8 = 1;
    pub(in super::super) const TABLE: u8 = 2;
    pub(in super::super) const FUNCTION: u8 = 3;
    pub(in super::super) const NATIVE: u8 = 4;
    pub(in super::super) const UPVALUE: u8 = 5;
    pub(in super::super) const THREAD: u8 = 6;
    pub(in super::super) const USERDATA: u8 = 7;
    /// Something that each state has.
    pub(in super::super) const NAMED: u8 = 8;
    /// The main function of a part of a program.
    pub(in super::super) const MAIN: u8 = 9;
    /// The links of a program.
    pub(in super::super) const LINKS: u8 = 10;
    /// No more objects.
    pub(in super::super) const END: u8 = 11;
}

/// Bits of a table.
pub(super) mod table_bits {
    pub(in super::super) const READ_ONLY: u8 = 1;
    pub(in super::super) const SAFE: u8 = 2;
    pub(in super::super) const NODES: u8 = 4;
    /// Its nodes are where they are because of addresses.
    pub(in super::super) const BY_ADDRESS: u8 = 8;
}

/// Bits of a thread.
pub(super) mod thread_bits {
    /// A script has made it.
    pub(in super::super) const COUNTED: u8 = 1;
    pub(in super::super) const WAITS: u8 = 2;
    pub(in super::super) const KNOWN: u8 = 4;
    pub(in super::super) const HANDLER: u8 = 8;
    pub(in super::super) const REPORTED: u8 = 16;
    pub(in super::super) const ALL: u8 = COUNTED | WAITS | KNOWN | HANDLER | REPORTED;
}

/// Bits of a process: what follows of it.
pub(super) mod process_bits {
    pub(in super::super) const RECORD: u8 = 1;
    pub(in super::super) const EXTRAS: u8 = 2;
    pub(in super::super) const TASKS: u8 = 4;
    pub(in super::super) const HANDED_OVER: u8 = 8;
}

/// Whether a number stands as a small integer.
pub(super) fn small(number: f64) -> Option<i32> {
    let integer = number as i32;
    (f64::from(integer).to_bits() == number.to_bits()).then_some(integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let mut writer = Writer::default();
        let signed = [0, 1, -1, 63, -64, 64, i32::MAX, i32::MIN];
        let numbers = [0, 127, 128, 300, u32::MAX as usize];
        signed.iter().for_each(|&number| writer.signed(number));
        numbers.iter().for_each(|&number| writer.number(number));
        writer.word(0x0123_4567_89ab_cdef);
        let mut reader = Reader::new(&writer.0);
        signed.iter().for_each(|&number| assert_eq!(reader.signed(), Ok(number)));
        numbers.iter().for_each(|&number| assert_eq!(reader.number(), Ok(number)));
        assert_eq!(reader.word(), Ok(0x0123_4567_89ab_cdef));
        assert!(reader.is_at_end() && reader.byte().is_err());
    }

    #[test]
    fn counts_are_bounded_by_what_is_there() {
        let mut reader = Reader::new(&[0x83, 0x01, 0, 0]);
        assert_eq!(reader.count().unwrap_err().offset, 2);
        assert!(Reader::new(&[0xff; 12]).number().is_err());
    }

    #[test]
    fn zero_has_a_sign() {
        assert_eq!(
            (small(0.0), small(-0.0), small(0.5), small(-7.0), small(f64::NAN)),
            (Some(0), None, None, Some(-7), None)
        );
    }
}
