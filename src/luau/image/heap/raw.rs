//! Values and nodes of tables as Luau has them (`TValue` and `LuaNode` in lobject.h).

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;

use super::objects::{Object, ObjectKind, Value};
use crate::luau::stack::Tag;

/// Types of values, as Luau counts them, which have no object.
const NIL: u32 = 0;
const BOOLEAN: u32 = 1;
const ADDRESS: u32 = 2;
const NUMBER: u32 = 3;
const INTEGER: u32 = 4;
const VECTOR: u32 = 5;
/// What is in the place of a key whose object has been collected.
const DEAD_KEY: u32 = 14;

/// The tag of an address that says where a loop is: `LU_TAG_ITERATOR`.
const ITERATOR_TAG: u32 = 128;

/// The tag of an entity.
const ENTITY_TAG: u32 = Tag::Entity as u32;

/// A value. Of what its type does not need, nothing may ever have been written.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in super::super) struct RawValue {
    bits: MaybeUninit<u64>,
    extra: MaybeUninit<u32>,
    kind: u32,
}

impl RawValue {
    /// What Luau has as a value. A key is one, too.
    #[inline]
    pub(in super::super) fn get(&self) -> Value {
        // SAFETY: all values but nil, truth values and dead keys have written all of it.
        let bits = || unsafe { self.bits.assume_init() };
        // SAFETY: vectors and addresses have written that.
        let extra = || unsafe { self.extra.assume_init() };
        let half = |number: u64| f32::from_bits(number as u32);
        match self.kind {
            NIL => Value::Nil,
            // SAFETY: truth values have written the first four bytes.
            BOOLEAN => Value::Boolean(unsafe { (&raw const self.bits).cast::<i32>().read() } != 0),
            NUMBER => Value::Number(f64::from_bits(bits())),
            INTEGER => Value::Integer(bits().cast_signed()),
            VECTOR => Value::Vector([half(bits()), half(bits() >> 32), f32::from_bits(extra())]),
            ADDRESS if extra() == ITERATOR_TAG => Value::Iterator(bits() as u32),
            ADDRESS if extra() == ENTITY_TAG => Value::Entity(bits()),
            ADDRESS => Value::Address(ptr::without_provenance_mut::<c_void>(bits() as usize), extra()),
            DEAD_KEY => Value::DeadKey,
            kind => {
                let object = ptr::with_exposed_provenance::<c_void>(bits() as usize);
                let object = Object::from_pointer(object).expect("a value of an object has its address");
                Value::Object(object, ObjectKind(kind as u8))
            }
        }
    }

    /// The opposite.
    #[inline]
    pub(in super::super) fn new(value: Value) -> Self {
        let (kind, bits, extra) = match value {
            Value::Nil => (NIL, 0, 0),
            Value::Boolean(boolean) => (BOOLEAN, u64::from(boolean).to_le(), 0),
            Value::Number(number) => (NUMBER, number.to_bits(), 0),
            Value::Integer(number) => (INTEGER, number.cast_unsigned(), 0),
            Value::Vector([x, y, z]) => {
                (VECTOR, u64::from(x.to_bits()) | u64::from(y.to_bits()) << 32, z.to_bits())
            }
            Value::Iterator(at) => (ADDRESS, at.into(), ITERATOR_TAG),
            Value::Entity(bits) => (ADDRESS, bits, ENTITY_TAG),
            Value::Address(address, tag) => (ADDRESS, address.addr() as u64, tag),
            Value::Object(object, kind) => (kind.0.into(), object.address() as u64, 0),
            Value::DeadKey => (DEAD_KEY, 0, 0),
        };
        Self { bits: MaybeUninit::new(bits), extra: MaybeUninit::new(extra), kind }
    }
}

/// An entry of a table's hash part.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in super::super) struct RawNode {
    value: RawValue,
    key_bits: MaybeUninit<u64>,
    key_extra: MaybeUninit<u32>,
    /// Four bits of the type of the key, and how many nodes further the next one is in its chain.
    kind_and_next: u32,
}

/// The same, to be looked at.
#[derive(Clone, Copy)]
pub(in super::super) struct Node {
    pub(in super::super) key: Value,
    pub(in super::super) value: Value,
    pub(in super::super) next: i32,
}

impl RawNode {
    #[inline]
    pub(in super::super) fn get(&self) -> Node {
        let key = RawValue { bits: self.key_bits, extra: self.key_extra, kind: self.kind_and_next & 15 };
        Node { key: key.get(), value: self.value.get(), next: self.kind_and_next.cast_signed() >> 4 }
    }

    pub(in super::super) fn new(node: Node) -> Self {
        let key = RawValue::new(node.key);
        let kind_and_next = key.kind | (node.next << 4).cast_unsigned();
        Self { value: RawValue::new(node.value), key_bits: key.bits, key_extra: key.extra, kind_and_next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let values = [
            Value::Nil,
            Value::Boolean(true),
            Value::Boolean(false),
            Value::Number(-0.5),
            Value::Integer(-3),
            Value::Vector([1.0, -2.0, 3.5]),
            Value::Iterator(77),
            Value::DeadKey,
            Value::Entity(0x1234_5678_9abc_def0),
        ];
        for value in values {
            assert_eq!(RawValue::new(value).get(), value);
            for next in [0, -1, 5, (1 << 26) - 1, -(1 << 26)] {
                let node = RawNode::new(Node { key: value, value: Value::Number(1.0), next }).get();
                assert_eq!((node.key, node.next, node.value), (value, next, Value::Number(1.0)));
            }
        }
    }
}
