//! How computers are written down: the container of a save, and the parts of it that are plain data.
//!
//! A save is input: it may be damaged, or made by somebody who means harm. So it is checked before it is believed:
//! first the header and the hash, or with a [key](SaveKey) who made it, then each part as it is read. Nothing is
//! allocated that the save does not have the bytes for.

mod bytes;
mod container;
mod decode;
mod error;
mod key;
mod outcome;
mod value;

pub use error::{LoadError, SaveError};
pub use key::SaveKey;

pub(crate) use bytes::Bytes;
pub(crate) use container::{open, seal};
pub(crate) use decode::{decode, encode};
pub(crate) use outcome::{SavedError, SavedOutcome};
pub(crate) use value::SavedValues;
