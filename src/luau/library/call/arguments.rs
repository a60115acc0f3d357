//! Arguments with the types that functions want, and errors in Luau's words and ours where they have others.

use std::time::Duration;

use super::{Call, Failure};
use crate::luau::stack::Kind;
use crate::luau::transfer::{self, Copies};
use crate::value::{Arguments, Value};

/// Bytes of a number in a string that are read in the time of a safepoint.
const BYTES_CONVERTED: u32 = 4;

/// The longest wait: it is endless for a game, and no clock overflows.
const MAX_SECONDS: f64 = 1e9;

impl Call<'_> {
    /// An integer, in the range that Luau's functions take.
    #[inline]
    pub(in crate::luau) fn integer_argument(&self, index: i32) -> Result<i32, Failure> {
        self.integer(index).ok_or_else(|| Failure::expected(index, "number"))
    }

    /// The same, or something else where it is not given.
    #[inline]
    pub(in crate::luau) fn optional_integer(&self, index: i32, default: i32) -> Result<i32, Failure> {
        if self.is_none_or_nil(index) { Ok(default) } else { self.integer_argument(index) }
    }

    /// Makes numbers of the arguments from one on that are strings with numbers in them, as the function would.
    pub(in crate::luau) fn read_numbers(&mut self, first: i32) -> Result<(), Failure> {
        (first..=self.top()).try_for_each(|index| self.read_number(index))
    }

    /// The same of one argument. What is no number stays as it is, but for long strings, which are refused.
    #[inline]
    pub(in crate::luau) fn read_number(&mut self, index: i32) -> Result<(), Failure> {
        if self.kind(index) == Kind::STRING { self.read_text(index) } else { Ok(()) }
    }

    #[cold]
    fn read_text(&mut self, index: i32) -> Result<(), Failure> {
        if self.is_long_string(index) {
            return Err(Failure::expected(index, "number"));
        }
        let safepoints = u64::from(self.length(index) / BYTES_CONVERTED + 4);
        if let Some(number) = self.number(index) {
            self.push_number(number);
            self.replace(index);
        }
        self.pass_safepoints_or_owe(safepoints);
        Ok(())
    }

    pub(in crate::luau) fn number_argument(&self, index: i32) -> Result<f64, Failure> {
        self.number(index).ok_or_else(|| Failure::expected(index, "number"))
    }

    /// Checks that an argument is a string, or makes one of a number, as everywhere in Luau.
    #[inline]
    pub(in crate::luau) fn string_argument(&mut self, index: i32) -> Result<(), Failure> {
        if self.make_string(index) { Ok(()) } else { Err(Failure::expected(index, "string")) }
    }

    /// The bytes of an argument that was found to be a string.
    #[inline]
    pub(in crate::luau) fn text(&self, index: i32) -> &[u8] {
        self.bytes(index).unwrap_or_default()
    }

    pub(in crate::luau) fn table_argument(&self, index: i32) -> Result<(), Failure> {
        if self.kind(index) == Kind::TABLE { Ok(()) } else { Err(Failure::expected(index, "table")) }
    }

    pub(in crate::luau) fn function_argument(&self, index: i32) -> Result<(), Failure> {
        if self.kind(index) == Kind::FUNCTION { Ok(()) } else { Err(Failure::expected(index, "function")) }
    }

    /// Checks that an argument is given, if only as nil.
    pub(in crate::luau) fn any_argument(&self, index: i32) -> Result<(), Failure> {
        if self.kind(index) == Kind::NONE {
            return Err(Failure::text(format!("missing argument #{index}")));
        }
        Ok(())
    }

    /// An argument is not what our functions want. A caller may count it otherwise than the stack does.
    #[cold]
    pub(in crate::luau) fn wrong(&self, index: i32, position: i32, expected: &str) -> Failure {
        let got = self.kind_name(self.kind(index));
        Failure::new(format!("argument {position}: expected {expected}, got {got}"))
    }

    /// An optional argument that is a time. What no clock can tell (negative, not a number, infinite, beyond 2^64) is
    /// none, as in Lune.
    pub(in crate::luau) fn seconds(&self, index: i32) -> Result<Duration, Failure> {
        let seconds = self.number_of_seconds(index)?;
        let seconds = Duration::try_from_secs_f64(seconds).map_or(0.0, |_| seconds.min(MAX_SECONDS));
        Ok(Duration::from_secs_f64(seconds))
    }

    /// How long to wait at most, if that is given. However long it is, it is a time.
    pub(in crate::luau) fn timeout(&self, index: i32) -> Result<Option<Duration>, Failure> {
        if self.is_none_or_nil(index) {
            return Ok(None);
        }
        let seconds = self.number_of_seconds(index)?;
        let seconds = if seconds.is_nan() { 0.0 } else { seconds.clamp(0.0, MAX_SECONDS) };
        Ok(Some(Duration::from_secs_f64(seconds)))
    }

    fn number_of_seconds(&self, index: i32) -> Result<f64, Failure> {
        match self.number(index) {
            Some(seconds) => Ok(seconds),
            None if self.is_none_or_nil(index) => Ok(0.0),
            None => Err(self.wrong(index, index, "number of seconds")),
        }
    }

    /// The number of a process.
    pub(in crate::luau) fn pid(&self, index: i32) -> Result<u32, Failure> {
        const EXPECTED: &str = "the number of a process";
        if self.kind(index) != Kind::NUMBER {
            return Err(self.wrong(index, index, EXPECTED));
        }
        let number = self.number(index).unwrap_or_default();
        if f64::from(number as u32) != number {
            return Err(Failure::new(format!("argument {index}: expected {EXPECTED}, got {number}")));
        }
        Ok(number as u32)
    }

    /// Copies of all arguments, charged to the slice.
    pub(in crate::luau) fn values<V: FromIterator<Value>>(&mut self) -> V {
        let Copies { values, cost } = transfer::values(self);
        self.charge_later(cost);
        values
    }

    /// The same, for the game. There must not be too much in them.
    pub(in crate::luau) fn arguments(&mut self) -> Result<Arguments, Failure> {
        let Copies { values, cost } = transfer::arguments(self);
        self.charge_later(cost);
        values.map_err(|(position, why)| Failure::new(format!("argument {position}: {why}")))
    }

    /// Copies of the arguments from one on, charged to the slice. All of them must be of a kind that can leave the
    /// process.
    pub(in crate::luau) fn messages<V: FromIterator<Value>>(&mut self, first: i32) -> Result<V, Failure> {
        let last = self.top();
        let Copies { values, cost } = transfer::messages(self, first..=last);
        self.charge_later(cost);
        values.map_err(|(index, why)| Failure::new(format!("argument {index}: {why}")))
    }

    /// Pushes copies of values that come from elsewhere, charged to the slice.
    pub(in crate::luau) fn push_copies<'v>(&mut self, values: impl IntoIterator<Item = &'v Value>) -> u32 {
        let mut count = 0;
        for value in values {
            self.charge_later(transfer::cost(value));
            transfer::push(self, value);
            count += 1;
        }
        count
    }
}
