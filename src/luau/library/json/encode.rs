//! Writing JSON.

use std::fmt;
use std::ops::Range;

use bevy::platform::collections::HashMap;

use crate::luau::stack::{Kind, Stack};

/// Bytes of a text, which is read or written in one go: a few milliseconds.
pub(super) const MAX_TEXT: usize = 256 * 1024;

/// Bytes that are read or written in the time of a safepoint.
pub(super) const BYTES_PROCESSED: usize = 8;

/// Tables in tables, as many as `serde_json` reads.
const MAX_DEPTH: usize = 127;

/// Where `json.null` is on the stack.
const NULL_AT: i32 = 2;

/// Bytes that a member takes at least: two quotes, a colon, and what it is.
const MIN_MEMBER: usize = 4;

/// Why a value cannot be written, and where in it that is.
#[derive(Debug)]
pub(super) struct Refusal {
    why: String,
    /// Keys, the innermost first.
    path: Vec<String>,
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Self {
        Self { why: why.to_owned(), path: Vec::new() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        if self.path.is_empty() {
            return Ok(());
        }
        f.write_str(" (at ")?;
        self.path.iter().rev().take(8).try_for_each(|key| f.write_str(key))?;
        f.write_str(")")
    }
}

/// What a table becomes.
enum Shape {
    Array(i32),
    /// With its keys.
    Object(Vec<Box<[u8]>>),
}

/// Writes a value.
pub(super) struct Encoder {
    text: Vec<u8>,
    is_pretty: bool,
    /// The tables that the value under way is in.
    path: Vec<usize>,
    /// Where tables were written, by address and depth: going through one can take long, even if there is little in it.
    written: HashMap<(usize, usize), Range<usize>>,
    entries: usize,
}

impl Encoder {
    pub(super) fn new(is_pretty: bool) -> Self {
        Self { text: Vec::new(), is_pretty, path: Vec::new(), written: HashMap::default(), entries: 0 }
    }

    /// What was written, and what it took in safepoints.
    pub(super) fn finish(self) -> (Vec<u8>, u64) {
        let cost = self.text.len() / BYTES_PROCESSED + self.entries;
        (self.text, cost as u64)
    }

    /// Writes the value at an index, which is counted from 1.
    pub(super) fn write(&mut self, stack: &mut Stack<'_>, index: i32) -> Result<(), Refusal> {
        self.entries += 1;
        match stack.kind(index) {
            Kind::NONE | Kind::NIL => self.text.extend_from_slice(b"null"),
            Kind::BOOLEAN if stack.boolean(index) => self.text.extend_from_slice(b"true"),
            Kind::BOOLEAN => self.text.extend_from_slice(b"false"),
            Kind::NUMBER => self.number(stack.number(index).unwrap_or_default())?,
            Kind::STRING => self.string(stack.bytes(index).unwrap_or_default())?,
            Kind::TABLE => self.table(stack, index)?,
            _ if stack.raw_equal(index, NULL_AT) => self.text.extend_from_slice(b"null"),
            kind => return Err(Refusal::from(&*format!("a {} has no form in JSON", stack.kind_name(kind)))),
        }
        self.check_length()
    }

    fn check_length(&self) -> Result<(), Refusal> {
        if self.text.len() > MAX_TEXT {
            return Err(Refusal::from(&*format!("the text becomes longer than {MAX_TEXT} bytes")));
        }
        Ok(())
    }

    fn number(&mut self, number: f64) -> Result<(), Refusal> {
        if !number.is_finite() {
            return Err(Refusal::from(&*format!("the number {number} has no form in JSON")));
        }
        let is_integer = number.fract() == 0.0 && number.abs() < 1e15;
        let number = if is_integer { (number as i64).to_string() } else { format!("{number:?}") };
        self.text.extend_from_slice(number.as_bytes());
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if bytes.len() > MAX_TEXT {
            self.text.extend_from_slice(&bytes[..MAX_TEXT + 1]);
            return self.check_length();
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "a string is not UTF-8")?;
        serde_json::to_writer(&mut self.text, text).map_err(|error| Refusal::from(&*error.to_string()))
    }

    fn table(&mut self, stack: &mut Stack<'_>, index: i32) -> Result<(), Refusal> {
        let address = stack.address(index);
        if self.path.contains(&address) {
            return Err("a table is inside itself".into());
        }
        let depth = self.path.len();
        if depth == MAX_DEPTH {
            return Err(Refusal::from(&*format!("more than {MAX_DEPTH} tables are inside each other")));
        }
        if let Some(range) = self.written.get(&(address, depth)) {
            self.text.extend_from_within(range.clone());
            return Ok(());
        }
        let begin = self.text.len();
        let shape = self.shape(stack, index)?;
        self.path.push(address);
        match shape {
            Shape::Array(length) => self.elements(stack, index, length)?,
            Shape::Object(keys) => self.members(stack, index, &keys)?,
        }
        self.path.pop();
        self.written.insert((address, depth), begin..self.text.len());
        Ok(())
    }

    /// Goes through a table once to see what its keys are.
    fn shape(&mut self, stack: &mut Stack<'_>, table: i32) -> Result<Shape, Refusal> {
        let (mut keys, mut elements, mut last, mut from) = (Vec::new(), 0, 0.0_f64, 0);
        let top = stack.top();
        while let Some(next) = stack.next(table, from) {
            from = next;
            match (stack.kind(top + 1), stack.number(top + 1)) {
                (Kind::STRING, _) => keys.push(stack.bytes(top + 1).unwrap_or_default().into()),
                (Kind::NUMBER, Some(key)) if key >= 1.0 && key.fract() == 0.0 => {
                    elements += 1;
                    last = last.max(key);
                }
                (kind, _) => {
                    let kind = stack.kind_name(kind);
                    return Err(Refusal::from(&*format!("a key is a {kind} that has no form in JSON")));
                }
            }
            stack.resize(top);
            if (keys.len() * MIN_MEMBER).max(elements as usize) > MAX_TEXT {
                return Err(Refusal::from(&*format!("the text becomes longer than {MAX_TEXT} bytes")));
            }
        }
        self.entries += keys.len() + elements as usize;
        if elements > 0 && !keys.is_empty() {
            return Err("a table has both elements and named members".into());
        }
        if last > f64::from(elements) {
            return Err("an array has holes: json.null can fill them".into());
        }
        if keys.is_empty() {
            return Ok(Shape::Array(elements));
        }
        keys.sort_unstable();
        Ok(Shape::Object(keys))
    }

    fn elements(&mut self, stack: &mut Stack<'_>, table: i32, length: i32) -> Result<(), Refusal> {
        self.text.push(b'[');
        let top = stack.top();
        for element in 1..=length {
            self.separate(element > 1);
            stack.raw_get_element(table, element);
            self.write(stack, top + 1).map_err(|refusal| refusal.at(|| format!("[{element}]")))?;
            stack.resize(top);
        }
        self.end(length > 0, b']');
        Ok(())
    }

    fn members(&mut self, stack: &mut Stack<'_>, table: i32, keys: &[Box<[u8]>]) -> Result<(), Refusal> {
        self.text.push(b'{');
        let top = stack.top();
        for (i, key) in keys.iter().enumerate() {
            self.separate(i > 0);
            self.string(key)?;
            self.text.extend_from_slice(if self.is_pretty { b": " } else { b":" });
            stack.push_bytes(key);
            stack.raw_get(table);
            let named = || {
                let key = String::from_utf8_lossy(&key[..key.len().min(40)]);
                format!(".{key}")
            };
            self.write(stack, top + 1).map_err(|refusal| refusal.at(named))?;
            stack.resize(top);
        }
        self.end(!keys.is_empty(), b'}');
        Ok(())
    }

    fn separate(&mut self, has_more: bool) {
        if has_more {
            self.text.push(b',');
        }
        self.new_line(self.path.len());
    }

    fn end(&mut self, has_any: bool, bracket: u8) {
        if has_any {
            self.new_line(self.path.len() - 1);
        }
        self.text.push(bracket);
    }

    fn new_line(&mut self, depth: usize) {
        if self.is_pretty {
            let line = format!("\n{:width$}", "", width = 2 * depth);
            self.text.extend_from_slice(line.as_bytes());
        }
    }
}

impl Refusal {
    /// The same, inside something with a key.
    fn at(mut self, key: impl FnOnce() -> String) -> Self {
        self.path.push(key());
        self
    }
}
