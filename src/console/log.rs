//! Printed lines and errors in the log, at a bounded rate.

use std::time::{Duration, Instant};

use bevy::prelude::*;

use crate::types::{KillReason, ScriptError};

/// How much may be written in a second.
#[derive(Debug)]
struct Rate {
    per_second: u32,
    /// How much may still be written in the second that began at `since`.
    left: u32,
    since: Instant,
    left_out: u64,
}

impl Rate {
    fn new(per_second: u32) -> Self {
        Self { per_second, left: per_second, since: Instant::now(), left_out: 0 }
    }

    fn take(&mut self) -> bool {
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        self.left_out += u64::from(!is_left);
        is_left
    }

    /// Returns how much was left out, when a second is over.
    fn refill(&mut self, now: Instant) -> u64 {
        if now.duration_since(self.since) < Duration::from_secs(1) {
            return 0;
        }
        (self.left, self.since) = (self.per_second, now);
        std::mem::take(&mut self.left_out)
    }
}

/// Writes printed lines to the log, with the target `luau_print`.
#[derive(Resource, Debug)]
pub(crate) struct PrintLog(Rate);

impl PrintLog {
    pub(crate) fn new(lines_per_second: u32) -> Self {
        Self(Rate::new(lines_per_second))
    }

    /// Logs what a VM has printed.
    pub(crate) fn log(&mut self, vm: Entity, text: &str) {
        let left_out = self.0.refill(Instant::now());
        if left_out > 0 {
            info!(target: "luau_print", "{left_out} lines were left out");
        }
        for line in text.lines() {
            if self.0.take() {
                info!(target: "luau_print", %vm, "{line}");
            }
        }
    }
}

/// Writes how processes and tasks fail to the log, with the target `luau_error`.
#[derive(Resource, Debug)]
pub(crate) struct ErrorLog(Rate);

impl ErrorLog {
    pub(crate) fn new(errors_per_second: u32) -> Self {
        Self(Rate::new(errors_per_second))
    }

    /// A process, or one of its tasks, has failed.
    pub(crate) fn failed(&mut self, process: Entity, name: &str, what: &str, error: &ScriptError) {
        if self.takes() {
            warn!(target: "luau_error", "{what} {name} ({process}) failed: {}", text(error));
        }
    }

    /// A process was stopped, and not because somebody asked for that.
    pub(crate) fn killed(&mut self, process: Entity, name: &str, reason: &KillReason) {
        let is_wanted = matches!(reason, KillReason::Requested | KillReason::Game { .. });
        if !is_wanted && self.takes() {
            warn!(target: "luau_error", "process {name} ({process}) was stopped: {reason}");
        }
    }

    fn takes(&mut self) -> bool {
        let left_out = self.0.refill(Instant::now());
        if left_out > 0 {
            warn!(target: "luau_error", "{left_out} errors of scripts were left out");
        }
        self.0.take()
    }
}

/// The message, and a line for each function that was running.
fn text(error: &ScriptError) -> String {
    let mut text = error.message.to_string();
    for line in error.traceback.lines() {
        text.push_str("\n    ");
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_with_its_traceback() {
        let mut error = ScriptError::new("a:2: no");
        assert_eq!(text(&error), "a:2: no");
        error.traceback = "a:2 function f\na:5\n".into();
        assert_eq!(text(&error), "a:2: no\n    a:2 function f\n    a:5");
    }

    #[test]
    fn lines_beyond_the_rate_are_left_out_and_counted() {
        let mut log = Rate::new(2);
        assert_eq!([log.take(), log.take(), log.take(), log.take()], [true, true, false, false]);
        assert_eq!(log.left_out, 2);
        assert_eq!(log.refill(log.since + Duration::from_millis(999)), 0);
        assert!(!log.take());
        assert_eq!(log.refill(log.since + Duration::from_millis(1001)), 3);
        assert!(log.take() && log.left_out == 0);
    }
}
