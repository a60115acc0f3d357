//! Records to bytes and back: postcard, with errors that say where.

use std::cell::Cell;
use std::rc::Rc;

use postcard::de_flavors::Flavor;
use postcard::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use super::error::LoadError;

/// A record as bytes.
pub(crate) fn encode(record: &impl Serialize) -> Vec<u8> {
    // It fails for want of memory, which aborts, and for sequences of unknown length, of which records have none.
    postcard::to_allocvec(record).unwrap_or_default()
}

/// The record that some bytes are, which begin at `offset` in a save.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], offset: usize) -> Result<T, LoadError> {
    let at = Rc::new(Cell::new(0));
    let mut deserializer = Deserializer::from_flavor(Reader { bytes, at: at.clone() });
    let record = T::deserialize(&mut deserializer);
    let record = record.map_err(|error| LoadError::new(offset + at.get(), describe(&error)))?;
    if at.get() < bytes.len() {
        return Err(LoadError::new(offset + at.get(), "there is more than belongs there"));
    }
    Ok(record)
}

fn describe(error: &Error) -> &'static str {
    match error {
        Error::DeserializeUnexpectedEnd => "it ends too early",
        Error::DeserializeBadVarint => "a number is too large",
        Error::DeserializeBadBool => "neither true nor false",
        Error::DeserializeBadUtf8 | Error::DeserializeBadChar => "a text is no UTF-8",
        Error::DeserializeBadOption => "neither something nor nothing",
        Error::DeserializeBadEnum => "an unknown kind",
        _ => "it cannot be what belongs there",
    }
}

/// Reads bytes, and tells others where it is.
struct Reader<'a> {
    bytes: &'a [u8],
    at: Rc<Cell<usize>>,
}

impl<'a> Flavor<'a> for Reader<'a> {
    type Remainder = ();
    type Source = ();

    fn pop(&mut self) -> Result<u8, Error> {
        let byte = self.bytes.get(self.at.get()).ok_or(Error::DeserializeUnexpectedEnd)?;
        self.at.set(self.at.get() + 1);
        Ok(*byte)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes.len() - self.at.get())
    }

    fn try_take_n(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let rest = &self.bytes[self.at.get()..];
        let taken = rest.get(..count).ok_or(Error::DeserializeUnexpectedEnd)?;
        self.at.set(self.at.get() + count);
        Ok(taken)
    }

    fn finalize(self) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Record<'a> = (u32, Vec<(bool, u64)>, &'a [u8], Option<i32>);

    #[test]
    fn records_come_back_and_errors_say_where() {
        let record: Record = (7, vec![(true, 1 << 40), (false, 0)], b"bytes", Some(-1));
        let bytes = encode(&record);
        assert_eq!(decode::<Record>(&bytes, 0), Ok(record));
        for length in 0..bytes.len() {
            let error = decode::<Record>(&bytes[..length], 100).expect_err("it is cut");
            assert!((100..=100 + length).contains(&error.offset), "{error}");
        }
        let error = decode::<Record>(&[bytes, vec![0]].concat(), 100).expect_err("something follows");
        assert_eq!(&*error.reason, "there is more than belongs there");
        // A length without the bytes for it.
        assert!(decode::<Vec<u64>>(&[0xff, 0xff, 0xff, 0xff, 0x0f], 0).is_err());
    }
}
