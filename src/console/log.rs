//! Printed lines in the log, at a bounded rate.

use std::time::{Duration, Instant};

use bevy::prelude::*;

/// Writes printed lines to the log, with the target `luau_print`.
#[derive(Resource, Debug)]
pub(crate) struct PrintLog {
    lines_per_second: u32,
    /// Lines that may still be written in the second that began at `since`.
    left: u32,
    since: Instant,
    left_out: u64,
}

impl PrintLog {
    pub(crate) fn new(lines_per_second: u32) -> Self {
        Self { lines_per_second, left: lines_per_second, since: Instant::now(), left_out: 0 }
    }

    /// Logs what a VM has printed.
    pub(crate) fn log(&mut self, vm: Entity, text: &str) {
        self.refill(Instant::now());
        for line in text.lines() {
            if self.take() {
                info!(target: "luau_print", %vm, "{line}");
            }
        }
    }

    fn take(&mut self) -> bool {
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        self.left_out += u64::from(!is_left);
        is_left
    }

    fn refill(&mut self, now: Instant) {
        if now.duration_since(self.since) < Duration::from_secs(1) {
            return;
        }
        if self.left_out > 0 {
            info!(target: "luau_print", "{} lines were left out", self.left_out);
        }
        (self.left, self.since, self.left_out) = (self.lines_per_second, now, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_rate_are_left_out_and_counted() {
        let mut log = PrintLog::new(2);
        assert_eq!([log.take(), log.take(), log.take(), log.take()], [true, true, false, false]);
        assert_eq!(log.left_out, 2);
        log.refill(log.since + Duration::from_millis(999));
        assert!(!log.take());
        log.refill(log.since + Duration::from_millis(1001));
        assert!(log.take() && log.left_out == 0);
    }
}
