//! Reading JSON: first into a list of what is in it, then from that into tables. Luau may throw while tables are made,
//! which must not happen in the middle of the parser, nor on its stack.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::luau::stack::Stack;

/// What is in a text, in its order.
#[derive(Debug, Default)]
pub(super) struct Tape {
    parts: Vec<Part>,
    /// What strings with escapes stand for.
    unescaped: String,
}

#[derive(Debug)]
enum Part {
    Null,
    Boolean(bool),
    Number(f64),
    /// A part of the text.
    Plain(Range<usize>),
    /// A part of [`Tape::unescaped`].
    Unescaped(Range<usize>),
    /// So many elements follow, and the end.
    Array(usize),
    /// Keys and values follow by turns, and the end.
    Object,
    End,
}

/// A table that is being filled.
enum Open {
    /// With the number of its last element.
    Array(i32),
    Object {
        has_key: bool,
    },
}

impl Tape {
    /// Reads all of a text.
    pub(super) fn read(text: &[u8]) -> Result<Self, serde_json::Error> {
        let mut tape = Self::default();
        let mut reader = serde_json::Deserializer::from_slice(text);
        Reader { text, tape: &mut tape }.deserialize(&mut reader)?;
        reader.end()?;
        Ok(tape)
    }

    /// Pushes what was read. The text is at an index.
    pub(super) fn push(&self, stack: &mut Stack<'_>, text: i32) {
        let mut open: Vec<Open> = Vec::new();
        for part in &self.parts {
            match part {
                Part::Array(elements) => {
                    stack.push_table(*elements, 0);
                    open.push(Open::Array(0));
                    continue;
                }
                Part::Object => {
                    stack.push_table(0, 0);
                    open.push(Open::Object { has_key: false });
                    continue;
                }
                Part::End => drop(open.pop()),
                Part::Null => stack.push_nil(),
                Part::Boolean(boolean) => stack.push_boolean(*boolean),
                Part::Number(number) => stack.push_number(*number),
                Part::Plain(range) => stack.push_part(text, range.clone()),
                Part::Unescaped(range) => {
                    let unescaped = self.unescaped.get(range.clone()).unwrap_or_default();
                    stack.push_bytes(unescaped.as_bytes());
                }
            }
            // On top is a whole value: all of it, an element, a key, or what belongs to one.
            match open.last_mut() {
                Some(Open::Array(last)) => {
                    *last += 1;
                    stack.raw_set_element(-2, *last);
                }
                Some(Open::Object { has_key }) => {
                    if *has_key {
                        stack.raw_set(-3);
                    }
                    *has_key = !*has_key;
                }
                None => {}
            }
        }
    }
}

/// Reads one value.
struct Reader<'r, 'de> {
    text: &'de [u8],
    tape: &'r mut Tape,
}

impl Reader<'_, '_> {
    fn add<E>(self, part: Part) -> Result<(), E> {
        self.tape.parts.push(part);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.add(Part::Null)
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<(), E> {
        self.add(Part::Boolean(boolean))
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.add(Part::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.add(Part::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.add(Part::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        let from = text.as_ptr().addr() - self.text.as_ptr().addr();
        self.add(Part::Plain(from..from + text.len()))
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        let from = self.tape.unescaped.len();
        self.tape.unescaped += text;
        let to = self.tape.unescaped.len();
        self.add(Part::Unescaped(from..to))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self { text, tape } = self;
        let (begin, mut count) = (tape.parts.len(), 0);
        tape.parts.push(Part::Array(0));
        while elements.next_element_seed(Reader { text, tape: &mut *tape })?.is_some() {
            count += 1;
        }
        tape.parts[begin] = Part::Array(count);
        tape.parts.push(Part::End);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { text, tape } = self;
        tape.parts.push(Part::Object);
        while members.next_key_seed(Reader { text, tape: &mut *tape })?.is_some() {
            members.next_value_seed(Reader { text, tape: &mut *tape })?;
        }
        tape.parts.push(Part::End);
        Ok(())
    }
}
