//! The call of one of our functions by a script, as safe code sees it.
//!
//! A function takes a [`Call`] and returns what is to happen: results, an error, a wait. It never throws by itself:
//! [`trampoline`] does that for it, when the function has returned and all that it held is dropped.

mod answer;
mod arguments;
mod closures;
mod process;
mod tasks;
mod trampoline;

use std::ops::{Deref, DerefMut};

use crate::luau::stack::Stack;

pub(in crate::luau) use answer::{Answer, Answered, Failure, Results, Returned};
pub(in crate::luau) use tasks::Spawned;
pub(in crate::luau) use trampoline::Entry;

/// A running function, its arguments, and the process that it runs for.
pub(in crate::luau) struct Call<'a> {
    stack: Stack<'a>,
}

impl<'a> Deref for Call<'a> {
    type Target = Stack<'a>;

    #[inline]
    fn deref(&self) -> &Stack<'a> {
        &self.stack
    }
}

impl<'a> DerefMut for Call<'a> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Stack<'a> {
        &mut self.stack
    }
}

impl<'a> Call<'a> {
    /// No results.
    #[inline]
    pub(in crate::luau) fn nothing(self) -> Results<'a> {
        Results::new(0)
    }

    /// The result nil.
    #[inline]
    pub(in crate::luau) fn nil(mut self) -> Results<'a> {
        self.push_nil();
        Results::new(1)
    }

    /// A number as the result.
    #[inline]
    pub(in crate::luau) fn number_result(mut self, number: f64) -> Results<'a> {
        self.push_number(number);
        Results::new(1)
    }

    /// A truth value as the result.
    pub(in crate::luau) fn boolean_result(mut self, boolean: bool) -> Results<'a> {
        self.push_boolean(boolean);
        Results::new(1)
    }

    /// The topmost values as the results.
    #[inline]
    pub(in crate::luau) fn top_results(self, values: u32) -> Results<'a> {
        Results::new(values.cast_signed().clamp(0, self.top()))
    }
}
