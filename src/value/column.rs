//! Many values of one kind.
#![cfg_attr(
    not(any(feature = "ecs", test)),
    expect(dead_code, reason = "only functions of the feature have columns")
)]

use bevy::ecs::entity::Entity;

use super::Value;

/// The elements of an array, without a [`Value`] for each where they are of one simple kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Column {
    Numbers(Vec<f64>),
    Vectors(Vec<[f32; 3]>),
    Entities(Vec<Entity>),
    Values(Vec<Value>),
}

impl Default for Column {
    fn default() -> Self {
        Self::Values(Vec::new())
    }
}

impl Column {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Vectors(vectors) => vectors.len(),
            Self::Entities(entities) => entities.len(),
            Self::Values(values) => values.len(),
        }
    }

    pub(crate) fn push(&mut self, value: Value) {
        let is_first = self.len() == 0;
        match (&mut *self, value) {
            (Self::Numbers(numbers), Value::Number(number)) => numbers.push(number),
            (Self::Vectors(vectors), Value::Vector(vector)) => vectors.push(vector),
            (Self::Entities(entities), Value::Entity(entity)) => entities.push(entity),
            (Self::Values(values), value) if !is_first => values.push(value),
            (_, value) if is_first => {
                *self = match value {
                    Value::Number(number) => Self::Numbers(vec![number]),
                    Value::Vector(vector) => Self::Vectors(vec![vector]),
                    Value::Entity(entity) => Self::Entities(vec![entity]),
                    value => Self::Values(vec![value]),
                }
            }
            (_, value) => {
                let mut values: Vec<Value> = std::mem::take(self).into_iter().collect();
                values.push(value);
                *self = Self::Values(values);
            }
        }
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = Value> {
        let (numbers, vectors, entities, values) = match self {
            Self::Numbers(numbers) => (numbers, vec![], vec![], vec![]),
            Self::Vectors(vectors) => (vec![], vectors, vec![], vec![]),
            Self::Entities(entities) => (vec![], vec![], entities, vec![]),
            Self::Values(values) => (vec![], vec![], vec![], values),
        };
        let numbers = numbers.into_iter().map(Value::Number);
        let vectors = vectors.into_iter().map(Value::Vector);
        let entities = entities.into_iter().map(Value::Entity);
        numbers.chain(vectors).chain(entities).chain(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_keeps_what_is_pushed_whatever_its_kind() {
        let number = Value::Number(1.0);
        let others = [Value::Vector([1.0; 3]), Value::Entity(Entity::from_bits(1)), Value::Nil, "x".into()];
        for other in others {
            for values in [[number.clone(), other.clone()], [other.clone(), number.clone()]] {
                let mut column = Column::default();
                values.iter().for_each(|value| column.push(value.clone()));
                assert_eq!(column.len(), 2);
                assert_eq!(column.into_iter().collect::<Vec<_>>(), values);
            }
        }
        let mut numbers = Column::default();
        numbers.push(number.clone());
        numbers.push(number);
        assert_eq!(numbers, Column::Numbers(vec![1.0, 1.0]));
    }
}
