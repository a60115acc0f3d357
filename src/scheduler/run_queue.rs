//! The runnable processes of one heap, in passes: nobody gets a second turn before everybody had one.

use std::collections::VecDeque;

/// A round-robin queue that knows how much of the current pass is left.
#[derive(Debug)]
pub(crate) struct RunQueue<T> {
    entries: VecDeque<T>,
    left_in_pass: usize,
}

impl<T> Default for RunQueue<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), left_in_pass: 0 }
    }
}

impl<T> RunQueue<T> {
    /// Adds an entry behind all others. It gets its turn in the next pass.
    pub(crate) fn push(&mut self, entry: T) {
        self.entries.push_back(entry);
    }

    /// Starts a pass over everything that is queued now.
    pub(crate) fn begin_pass(&mut self) {
        self.left_in_pass = self.entries.len();
    }

    /// Whose turn it is in this pass. Push it again if it is to run in the next pass, too.
    pub(crate) fn next_in_pass(&mut self) -> Option<T> {
        self.left_in_pass = self.left_in_pass.checked_sub(1)?;
        self.entries.pop_front()
    }

    /// Who comes `ahead` places after the next.
    pub(crate) fn peek(&self, ahead: usize) -> Option<&T> {
        self.entries.get(ahead)
    }

    /// Whether everybody had a turn in this pass.
    pub(crate) fn pass_is_over(&self) -> bool {
        self.left_in_pass == 0
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// All entries, those whose turn comes first before the others.
impl<T> IntoIterator for RunQueue<T> {
    type Item = T;
    type IntoIter = std::collections::vec_deque::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_gives_everybody_one_turn_and_newcomers_wait_for_the_next() {
        let mut queue = RunQueue::default();
        for entry in 1..=3 {
            queue.push(entry);
        }
        assert!(queue.pass_is_over(), "nothing runs before a pass has begun");
        queue.begin_pass();
        let mut turns = Vec::new();
        while let Some(entry) = queue.next_in_pass() {
            turns.push(entry);
            queue.push(entry);
            queue.push(entry + 10);
        }
        assert_eq!(turns, [1, 2, 3]);
        queue.begin_pass();
        assert_eq!(std::iter::from_fn(|| queue.next_in_pass()).collect::<Vec<_>>(), [1, 11, 2, 12, 3, 13]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn an_interrupted_pass_goes_on_where_it_stopped() {
        let mut queue = RunQueue::default();
        queue.push('a');
        queue.push('b');
        queue.begin_pass();
        assert_eq!(queue.next_in_pass(), Some('a'));
        queue.push('a');
        assert!(!queue.pass_is_over());
        assert_eq!(queue.next_in_pass(), Some('b'));
        assert!(queue.pass_is_over());
        assert_eq!(queue.next_in_pass(), None);
    }
}
