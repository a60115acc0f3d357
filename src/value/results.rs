//! What a function of the game returns.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Value, ValueError, arguments};

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

    /// The same for arguments: `()` is none.
    pub(crate) fn of_arguments<T: Serialize>(arguments: &T) -> Result<Self, ValueError> {
        if is_unit::<T>() { Ok(Self::Several(Vec::new())) } else { Self::of(arguments) }
    }

    /// What a function of a script has returned: several results as a tuple, or else the first. `()` is what nobody wants
    /// to know.
    pub(crate) fn to<T: DeserializeOwned>(results: Vec<Value>) -> Result<T, ValueError> {
        if is_tuple::<T>() || is_unit::<T>() {
            return arguments::to_as(results.into(), "result");
        }
        results.into_iter().next().unwrap_or(Value::Nil).to()
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
    name.starts_with('(') && !is_unit::<T>()
}

fn is_unit<T>() -> bool {
    std::any::type_name::<T>() == "()"
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
        assert_eq!(Results::of_arguments(&()), Ok(Results::Several(Vec::new())));
    }

    #[test]
    fn results_of_scripts_are_a_tuple_or_the_first() {
        let results = || vec![Value::from([1.0, 2.0, 3.0]), Value::from(4)];
        assert_eq!(Results::to::<[f32; 3]>(results()), Ok([1.0, 2.0, 3.0]));
        assert_eq!(Results::to::<([f32; 3], i8)>(results()), Ok(([1.0, 2.0, 3.0], 4)));
        assert_eq!(Results::to::<([f32; 3], i8, Option<i8>)>(results()), Ok(([1.0, 2.0, 3.0], 4, None)));
        assert_eq!(Results::to::<()>(results()), Ok(()));
        assert_eq!(Results::to::<Option<i8>>(Vec::new()), Ok(None));
        let error = Results::to::<(i8, i8)>(results()).map_err(|error| error.to_string());
        assert!(error.as_ref().is_err_and(|error| error.starts_with("result 1: ")), "{error:?}");
    }
}
