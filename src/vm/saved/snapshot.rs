//! Saves of one VM, and of many.

use std::fmt;
use std::sync::Arc;

use bevy::prelude::*;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::archive::Archive;
use super::image::VmImage;
use crate::save::{LoadError, SaveKey, open, seal};

/// A VM as bytes, with all that its scripts could tell: in the middle of whatever they did.
///
/// Put it into your save as it is: it serializes, also through reflection. To load it, spawn its [`VmImage`]. **Load only
/// what you made, or what is [sealed](Self::from_sealed) with your key**: a save is code, and what one can do that somebody
/// has made on purpose is not bounded yet.
#[derive(Clone, PartialEq, Eq, Reflect)]
#[reflect(opaque)]
#[reflect(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VmSnapshot(pub(super) Arc<[u8]>);

/// Many VMs as bytes, of one moment. What they share, such as their scripts, is there once.
#[derive(Clone, PartialEq, Eq, Reflect)]
#[reflect(opaque)]
#[reflect(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VmSnapshots(pub(super) Arc<[u8]>);

macro_rules! snapshot {
    ($Snapshot:ident) => {
        impl $Snapshot {
            /// The bytes, to be kept anywhere.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// What [`Self::as_bytes`] gave.
            ///
            /// # Errors
            ///
            /// When it is something else, of another version, or damaged.
            pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Result<Self, LoadError> {
                let bytes = bytes.into();
                open(&bytes, None)?;
                Ok(Self(bytes))
            }

            /// The bytes, sealed with a key.
            pub fn to_sealed(&self, key: &SaveKey) -> Vec<u8> {
                // What is in a snapshot was opened once.
                open(&self.0, None).map_or_else(|_| Vec::new(), |at| seal(&self.0[at..], Some(key)))
            }

            /// What [`Self::to_sealed`] gave with the same key. That is checked before anything else is read.
            ///
            /// # Errors
            ///
            /// When it is not, or was changed.
            pub fn from_sealed(bytes: &[u8], key: &SaveKey) -> Result<Self, LoadError> {
                let at = open(bytes, Some(key))?;
                Ok(Self(seal(&bytes[at..], None).into()))
            }
        }

        impl fmt::Debug for $Snapshot {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($Snapshot), "({} bytes)"), self.0.len())
            }
        }

        impl Serialize for $Snapshot {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $Snapshot {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = deserializer.deserialize_byte_buf(BytesVisitor)?;
                Self::from_bytes(bytes).map_err(D::Error::custom)
            }
        }
    };
}

snapshot!(VmSnapshot);
snapshot!(VmSnapshots);

impl VmSnapshot {
    /// The VM, to be spawned.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn image(&self) -> Result<VmImage, LoadError> {
        let mut images = images(&self.0)?;
        match (images.pop(), images.is_empty()) {
            (Some(image), true) => Ok(image),
            _ => Err(LoadError::new(0, "it is no save of one VM")),
        }
    }
}

impl VmSnapshots {
    /// The VMs, to be spawned, in the order of the entities that they had.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub fn images(&self) -> Result<Vec<VmImage>, LoadError> {
        images(&self.0)
    }
}

fn images(bytes: &Arc<[u8]>) -> Result<Vec<VmImage>, LoadError> {
    let archive = Arc::new(Archive::read(bytes)?);
    Ok((0..archive.vms.len()).map(|vm| VmImage::new(archive.clone(), vm)).collect())
}

/// Bytes, also where they are a sequence of numbers, as in JSON.
struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a save")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut numbers: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = numbers.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}
