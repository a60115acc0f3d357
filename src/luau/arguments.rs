//! The arguments of a host function, read where the script has left them.

use std::cell::Cell;

use bevy::ecs::entity::Entity;

use super::stack::{Kind, Stack};
use super::thread::OwnThread;
use super::transfer::{self, Copies};
use crate::types::HostCaller;
#[cfg(feature = "ecs")]
use crate::value::Column;
use crate::value::Value;

/// What may be in an array, in safepoints: about a megabyte.
#[cfg(feature = "ecs")]
const MAX_COLUMN_COST: u64 = 1 << 16;

/// The arguments of the running host function.
pub struct CallArguments<'a> {
    thread: OwnThread<'a>,
    /// What it took to copy those that were asked for, in safepoints.
    cost: Cell<u64>,
    /// Finds out who calls.
    find_caller: FindCaller,
}

/// Tells whose a thread is that runs a host function. It must be such a thread.
pub(super) type FindCaller = fn(OwnThread<'_>) -> Option<HostCaller>;

impl<'a> CallArguments<'a> {
    /// Those of the C function that a thread runs. `find_caller` must be right for it.
    #[inline]
    pub(super) fn new(thread: OwnThread<'a>, find_caller: FindCaller) -> Self {
        Self { thread, cost: Cell::new(0), find_caller }
    }

    #[inline]
    fn stack(&self) -> Stack<'_> {
        self.thread.stack()
    }

    /// See [`CallArguments::cost`].
    #[inline]
    pub(super) fn cost(&self) -> u64 {
        self.cost.get()
    }

    /// Who calls.
    pub(crate) fn caller(&self) -> Option<HostCaller> {
        (self.find_caller)(self.thread)
    }

    pub(crate) fn count(&self) -> u32 {
        self.stack().top().unsigned_abs()
    }

    /// An argument that is a number.
    #[inline]
    pub(crate) fn number(&self, position: u32) -> Option<f64> {
        let (stack, index) = (self.stack(), position.cast_signed());
        if stack.kind(index) == Kind::NUMBER { stack.number(index) } else { None }
    }

    /// Calls `f` with the bytes of an argument that is a string.
    #[cfg(feature = "ecs")]
    pub(crate) fn with_bytes<R>(&self, position: u32, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        Some(f(self.stack().bytes(position.cast_signed())?))
    }

    /// An argument that is an entity.
    #[cfg(feature = "ecs")]
    pub(crate) fn entity(&self, position: u32) -> Option<Entity> {
        self.stack().entity(position.cast_signed()).and_then(Entity::try_from_bits)
    }

    /// Whether an argument is a table.
    #[cfg(feature = "ecs")]
    pub(crate) fn is_table(&self, position: u32) -> bool {
        self.stack().kind(position.cast_signed()) == Kind::TABLE
    }

    /// The elements of an argument that is an array of up to `max`. There is as much in each as may be in one value.
    #[cfg(feature = "ecs")]
    pub(crate) fn column(&self, position: u32, max: usize) -> Result<Column, String> {
        let (mut stack, index) = (self.stack(), position.cast_signed());
        if stack.kind(index) != Kind::TABLE {
            return Err(format!("expected array, got {}", stack.kind_name(stack.kind(index))));
        }
        let count = stack.length(index) as usize;
        if count > max {
            return Err(format!("an array of {count} values: at most {max} are passed at a time"));
        }
        let (mut column, before) = (Column::default(), self.cost.get());
        for element in 1..=count as i32 {
            stack.raw_get_element(index, element);
            let top = stack.top();
            let value = match simple(&stack, top) {
                Some(value) => Copies { values: Ok(value), cost: 1 },
                None => transfer::argument(&mut stack, top),
            };
            stack.pop(1);
            self.charge(value.cost);
            column.push(value.values.map_err(|why| format!("[{element}]: {why}"))?);
            if self.cost.get() - before > MAX_COLUMN_COST {
                return Err("there is too much in it".to_owned());
            }
        }
        Ok(column)
    }

    /// A copy of an argument, nil if it was not passed. If there is too much in it, why it cannot be copied.
    pub(crate) fn get(&self, position: u32) -> Result<Value, String> {
        let (mut stack, index) = (self.stack(), position.cast_signed());
        if let Some(simple) = simple(&stack, index) {
            return Ok(simple);
        }
        let Copies { values, cost } = transfer::argument(&mut stack, index);
        self.charge(cost);
        values
    }

    /// So many safepoints are part of [`CallArguments::cost`], whatever the call leads to.
    pub(crate) fn charge(&self, safepoints: u64) {
        self.cost.set(self.cost.get().saturating_add(safepoints));
    }
}

/// What most values are needs no copier.
#[inline]
fn simple(stack: &Stack<'_>, index: i32) -> Option<Value> {
    match stack.kind(index) {
        Kind::NUMBER => stack.number(index).map(Value::Number),
        Kind::VECTOR => stack.vector(index).map(Value::Vector),
        Kind::LIGHT_USERDATA => stack.entity(index).and_then(Entity::try_from_bits).map(Value::Entity),
        _ => None,
    }
}
