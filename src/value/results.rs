//! What a function of the game returns.

use serde::Serialize;

use super::{Value, ValueError};

/// The results of a call of the game.
#[derive(Clone, Debug, PartialEq)]
pub enum Results {
    /// What most have.
    One(Value),
    /// The elements of a tuple.
    Several(Vec<Value>),
}

impl Results {
    /// A tuple is several results, as in Rust; anything else is one.
    #[inline]
    pub(crate) fn of<T: Serialize>(results: &T) -> Result<Self, ValueError> {
        if is_tuple::<T>() {
            Value::of_each(results).map(Self::Several)
        } else {
            Value::of(results).map(Self::One)
        }
    }
}

impl IntoIterator for Results {
    type Item = Value;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Value>, std::vec::IntoIter<Value>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, several) = match self {
            Self::One(value) => (Some(value), Vec::new()),
            Self::Several(values) => (None, values),
        };
        one.into_iter().chain(several)
    }
}

/// To serde, an array and a tuple are the same. Their names tell them apart; those of other types are paths.
fn is_tuple<T>() -> bool {
    let name = std::any::type_name::<T>();
    name.starts_with('(') && name != "()"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_several_results_and_an_array_is_one() {
        let numbers = |count: i32| (1..=count).map(Value::from).collect::<Vec<_>>();
        assert_eq!(Results::of(&(1, 2)), Ok(Results::Several(numbers(2))));
        assert_eq!(Results::of(&(1.0_f32, 2.0_f32, 3.0_f32)), Ok(Results::Several(numbers(3))));
        assert_eq!(Results::of(&(1,)), Ok(Results::Several(numbers(1))));
        assert_eq!(Results::of(&[1.0_f32, 2.0, 3.0]), Ok(Results::One([1.0, 2.0, 3.0].into())));
        assert_eq!(Results::of(&()), Ok(Results::One(Value::Nil)));
        assert!(matches!(Results::of(&[1, 2]), Ok(Results::One(Value::Table(_)))));
        assert_eq!(Results::of(&7), Ok(Results::One(7.into())));
    }
}
