//! Nothing that a script does hurts the others: each attack in `tests/hostile` runs beside well-behaved processes on
//! the same isolate.
//!
//! The first line of an attack says what must happen to it: `-- expect: ` and what [`Expected`] can be, with ` | `
//! between alternatives. `{{1000 text}}` stands for a text repeated so often.

use std::path::Path;
use std::str::FromStr;

use bevy_luau_os::prelude::*;

use crate::attack::expand;
use crate::range::Range;

/// See the [module](self).
pub fn check(path: &Path) -> Result<(), String> {
    let source = expand(&crate::source(path)?);
    let expected = Expectation::of(&source)?;
    Range::new().attack(Script::new(crate::name(path), source), &expected)
}

/// What may happen to an attack.
#[derive(Debug)]
pub struct Expectation(Vec<Expected>);

#[derive(Debug)]
enum Expected {
    /// `runs for ever`.
    RunsForEver,
    /// `finished`.
    Finished,
    /// `failed: ` and a part of the message.
    Failed(String),
    /// `killed: ` and a variant of [`KillReason`](bevy_luau_os::KillReason).
    Killed(String),
}

/// The variants of [`KillReason`](bevy_luau_os::KillReason).
const REASONS: [&str; 10] = [
    "Memory",
    "SliceMemory",
    "Fragmentation",
    "Coroutines",
    "CallDepth",
    "Parked",
    "Requested",
    "HostPanic",
    "Processes",
    "SourceSize",
];

impl Expectation {
    /// What the first line of a script says.
    pub fn of(source: &str) -> Result<Self, String> {
        let line = source.lines().next().unwrap_or_default();
        let alternatives =
            line.strip_prefix("-- expect: ").ok_or("the first line does not begin with `-- expect: `")?;
        alternatives.split(" | ").map(str::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an attack may end so, or go on.
    pub fn includes(&self, outcome: Option<&Outcome>) -> bool {
        self.0.iter().any(|expected| match (outcome, expected) {
            (None, Expected::RunsForEver) | (Some(Outcome::Finished(_)), Expected::Finished) => true,
            (Some(Outcome::Failed(error)), Expected::Failed(text)) => error.message.contains(text),
            (Some(Outcome::Killed(reason)), Expected::Killed(name)) => {
                format!("{reason:?}").starts_with(name)
            }
            _ => false,
        })
    }
}

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(": ") {
            None if text == "runs for ever" => Ok(Self::RunsForEver),
            None if text == "finished" => Ok(Self::Finished),
            Some(("failed", text)) => Ok(Self::Failed(text.to_owned())),
            Some(("killed", name)) if REASONS.contains(&name) => Ok(Self::Killed(name.to_owned())),
            _ => Err(format!("the first line expects `{text}`, which cannot happen")),
        }
    }
}
