//! Values as bytes, without loss.
//!
//! A byte says what a value is, and what follows is little-endian. Lengths are 32 bits. The first byte of all is the
//! version of this format.

use bevy::ecs::entity::Entity;

use super::{Value, ValueError};

const VERSION: u8 = 1;

/// Tables inside tables that are read. Scripts can hand over eight.
const MAX_DEPTH: usize = 64;

/// What an opaque value may be, by its type's name.
const OPAQUE: &[&str] = &["function", "thread", "userdata", "table", "string", "buffer", "integer", "value"];

impl Value {
    /// The value as bytes, for [`Value::from_bytes`]. Nothing is lost, as in formats of serde that have no vectors and
    /// buffers, or only strings as keys. An entity is its bits: whoever reads them must know that they mean the same
    /// there.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        write(self, &mut bytes);
        bytes
    }

    /// What [`Value::to_bytes`] has written.
    ///
    /// # Errors
    ///
    /// When the bytes are something else. They need not be trusted: what is read takes no more memory than they say.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ValueError> {
        let mut reader = Reader { bytes };
        match reader.byte()? {
            VERSION => {}
            version => return Err(ValueError::new(format_args!("version {version} of values is not known"))),
        }
        let value = reader.value(MAX_DEPTH)?;
        if reader.bytes.is_empty() {
            Ok(value)
        } else {
            Err(ValueError::new("there are bytes after the value"))
        }
    }
}

fn write(value: &Value, to: &mut Vec<u8>) {
    match value {
        Value::Nil => to.push(0),
        Value::Boolean(boolean) => to.push(1 + u8::from(*boolean)),
        Value::Number(number) => {
            to.push(3);
            to.extend(number.to_le_bytes());
        }
        Value::Vector(lanes) => {
            to.push(4);
            lanes.iter().for_each(|lane| to.extend(lane.to_le_bytes()));
        }
        Value::String(bytes) => write_bytes(5, bytes, to),
        Value::Buffer(bytes) => write_bytes(6, bytes, to),
        Value::Table(entries) => {
            to.push(7);
            to.extend((entries.len() as u32).to_le_bytes());
            for (key, value) in entries {
                write(key, to);
                write(value, to);
            }
        }
        Value::Entity(entity) => {
            to.push(8);
            to.extend(entity.to_bits().to_le_bytes());
        }
        Value::Opaque(name) => {
            let kind = OPAQUE.iter().position(|other| other == name).unwrap_or(OPAQUE.len() - 1);
            to.extend([9, kind as u8]);
        }
    }
}

fn write_bytes(tag: u8, bytes: &[u8], to: &mut Vec<u8>) {
    to.push(tag);
    to.extend((bytes.len() as u32).to_le_bytes());
    to.extend(bytes);
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ValueError> {
        let (taken, left) = self.bytes.split_at_checked(count).ok_or_else(too_short)?;
        self.bytes = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        let (taken, left) = self.bytes.split_first_chunk().ok_or_else(too_short)?;
        self.bytes = left;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, ValueError> {
        self.array().map(|[byte]| byte)
    }

    fn length(&mut self) -> Result<usize, ValueError> {
        self.array().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    fn value(&mut self, depth: usize) -> Result<Value, ValueError> {
        Ok(match self.byte()? {
            0 => Value::Nil,
            1 => Value::Boolean(false),
            2 => Value::Boolean(true),
            3 => Value::Number(f64::from_le_bytes(self.array()?)),
            4 => {
                let mut lane = || self.array().map(f32::from_le_bytes);
                Value::Vector([lane()?, lane()?, lane()?])
            }
            5 => {
                let length = self.length()?;
                Value::String(self.take(length)?.into())
            }
            6 => {
                let length = self.length()?;
                Value::Buffer(self.take(length)?.into())
            }
            7 if depth == 0 => return Err(ValueError::new("tables are nested too deep")),
            7 => {
                let mut entries = Vec::new(); // the length may be anything
                for _ in 0..self.length()? {
                    entries.push((self.value(depth - 1)?, self.value(depth - 1)?));
                }
                Value::Table(entries)
            }
            8 => {
                let bits = u64::from_le_bytes(self.array()?);
                Value::Entity(
                    Entity::try_from_bits(bits).ok_or_else(|| ValueError::new("this is no entity"))?,
                )
            }
            9 => {
                let kind = usize::from(self.byte()?);
                Value::Opaque(OPAQUE.get(kind).copied().unwrap_or("value"))
            }
            tag => return Err(ValueError::new(format_args!("{tag} is no kind of value"))),
        })
    }
}

fn too_short() -> ValueError {
    ValueError::new("the bytes end in the middle of a value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Value {
        let entity = Entity::from_raw_u32(77).expect("small");
        Value::Table(vec![
            (5.0.into(), Value::Nil),
            (Value::Number(-0.0), true.into()),
            (f64::INFINITY.into(), false.into()),
            ([1.0, 2.5, -3.0].into(), Value::String(b"a\xff\0".as_slice().into())),
            ("buffer".into(), Value::Buffer([0, 1].into())),
            (entity.into(), Value::Opaque("function")),
            (Value::Table(vec![]), Value::Table(vec![(1.into(), 2.into())])),
        ])
    }

    #[test]
    fn values_come_back_as_they_were() {
        let bytes = everything().to_bytes();
        let read = Value::from_bytes(&bytes).expect("they are right");
        assert_eq!(read, everything());
        assert_eq!(format!("{read:?}"), format!("{:?}", everything()), "also the sign of zero");
        let nan = Value::from_bytes(&Value::Number(f64::NAN).to_bytes());
        assert!(nan.is_ok_and(|nan| nan.as_f64().is_some_and(f64::is_nan)));
    }

    #[test]
    fn other_bytes_are_errors() {
        let bytes = everything().to_bytes();
        for length in 0..bytes.len() {
            assert!(Value::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        let many = [&[VERSION, 7], u32::MAX.to_le_bytes().as_slice()].concat();
        let long = [&[VERSION, 5], u32::MAX.to_le_bytes().as_slice()].concat();
        let deep = [vec![VERSION], [7, 1, 0, 0, 0, 0].repeat(1_000)].concat();
        for wrong in [&[2, 0][..], &[VERSION, 0, 0], &[VERSION, 77], &many, &long, &deep] {
            assert!(Value::from_bytes(wrong).is_err(), "{:?}", &wrong[..2]);
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm() {
        let mut seed = 1_u32;
        for length in (0..64).cycle().take(20_000) {
            let byte = |_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8 % 11
            };
            let bytes: Vec<u8> = std::iter::once(VERSION).chain((0..length).map(byte)).collect();
            if let Ok(value) = Value::from_bytes(&bytes) {
                assert!(value.to_bytes().len() <= bytes.len());
            }
        }
    }
}
