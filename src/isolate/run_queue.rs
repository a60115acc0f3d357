//! The runnable processes of one isolate, in passes: nobody gets a second turn before everybody had one.

/// A round-robin queue that knows how much of the current pass is left.
///
/// ```text
/// kept for the next pass | left the queue | not had their turn | added since the pass began
/// 0                      kept                      next                 end
/// ```
///
/// One array: most processes stay, so a turn reads and writes one entry, and the entries of the next turns follow it.
#[derive(Debug)]
pub(crate) struct RunQueue<T> {
    entries: Vec<T>,
    kept: usize,
    next: usize,
    end: usize,
}

impl<T> Default for RunQueue<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), kept: 0, next: 0, end: 0 }
    }
}

impl<T: Copy> RunQueue<T> {
    /// Adds an entry behind all others. It gets its turn in the next pass.
    pub(crate) fn push(&mut self, entry: T) {
        self.entries.push(entry);
    }

    /// Starts a pass over everything that is queued now.
    pub(crate) fn begin_pass(&mut self) {
        self.entries.drain(self.kept..self.next);
        (self.kept, self.next, self.end) = (0, 0, self.entries.len());
    }

    /// Whose turn it is in this pass. [Keep](RunQueue::keep) it if it is to run in the next pass, too.
    #[inline]
    pub(crate) fn next_in_pass(&mut self) -> Option<T> {
        if self.pass_is_over() {
            return None;
        }
        let entry = self.entries[self.next];
        self.next += 1;
        Some(entry)
    }

    /// Whoever had its turn last will have one in the next pass.
    #[inline]
    pub(crate) fn keep(&mut self, entry: T) {
        debug_assert!(self.kept < self.next, "kept once for each turn");
        self.kept += 1;
        // Where nobody has left, the entry is there already. A cache line that is not written need not be written back.
        if self.kept < self.next {
            self.entries[self.kept - 1] = entry;
        }
    }

    /// Entries that have not had their turn in this pass.
    pub(crate) fn upcoming(&self) -> &[T] {
        &self.entries[self.next..self.end]
    }

    /// Where the next entry will be added, or next to it.
    pub(crate) fn end(&self) -> &[T] {
        &self.entries[self.entries.len().saturating_sub(1)..]
    }

    /// Whether everybody had a turn in this pass.
    pub(crate) fn pass_is_over(&self) -> bool {
        self.next == self.end
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.kept + self.entries.len() - self.next
    }

    /// Takes an entry out, wherever it is.
    #[cfg(feature = "save")]
    pub(crate) fn remove(&mut self, entry: T)
    where
        T: PartialEq,
    {
        let position = |entries: &[T]| entries.iter().position(|&other| other == entry);
        if let Some(at) = position(&self.entries[self.next..]) {
            self.entries.remove(self.next + at);
            self.end -= usize::from(self.next + at < self.end);
        } else if let Some(at) = position(&self.entries[..self.kept]) {
            self.entries.remove(at);
            (self.kept, self.next, self.end) = (self.kept - 1, self.next - 1, self.end - 1);
        }
    }

    /// All entries, in the order in which they have their next turn.
    #[cfg(feature = "save")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
        let (waiting, kept) = (&self.entries[self.next..self.end], &self.entries[..self.kept]);
        waiting.iter().chain(kept).chain(&self.entries[self.end..]).copied()
    }

    /// All entries. Those that have not had their turn are first.
    pub(crate) fn into_entries(mut self) -> impl Iterator<Item = T> {
        let newcomers = self.entries.split_off(self.end);
        let waiting = self.entries.split_off(self.next);
        self.entries.truncate(self.kept);
        waiting.into_iter().chain(self.entries).chain(newcomers)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

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
            if entry != 2 {
                queue.keep(entry);
            }
            queue.push(entry + 10);
        }
        assert_eq!(turns, [1, 2, 3]);
        assert_eq!(queue.len(), 5);
        queue.begin_pass();
        assert_eq!(std::iter::from_fn(|| queue.next_in_pass()).collect::<Vec<_>>(), [1, 3, 11, 12, 13]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn an_interrupted_pass_goes_on_where_it_stopped() {
        let mut queue = RunQueue::default();
        queue.push('a');
        queue.push('b');
        queue.begin_pass();
        assert_eq!(queue.next_in_pass(), Some('a'));
        queue.keep('a');
        queue.push('c');
        assert_eq!((queue.pass_is_over(), queue.len()), (false, 3));
        assert_eq!((queue.upcoming(), queue.end()), (&['b'][..], &['c'][..]));
        assert_eq!(queue.next_in_pass(), Some('b'));
        assert_eq!((queue.pass_is_over(), queue.len()), (true, 2));
        assert_eq!(queue.next_in_pass(), None);
    }

    #[test]
    fn taken_apart_in_the_middle_of_a_pass_it_loses_nobody() {
        let mut queue = RunQueue::default();
        "abcd".chars().for_each(|entry| queue.push(entry));
        queue.begin_pass();
        assert_eq!((queue.next_in_pass(), queue.next_in_pass()), (Some('a'), Some('b')));
        queue.keep('b');
        queue.push('e');
        assert_eq!(queue.into_entries().collect::<String>(), "cdbe");
    }

    #[test]
    fn what_is_kept_may_differ_from_what_had_its_turn() {
        let mut queue = RunQueue::default();
        "abc".chars().for_each(|entry| queue.push(entry));
        queue.begin_pass();
        assert_eq!((queue.next_in_pass(), queue.next_in_pass()), (Some('a'), Some('b')));
        queue.keep('B'); // over the place of the one that left
        assert_eq!(queue.next_in_pass(), Some('c'));
        queue.keep('c');
        queue.begin_pass();
        assert_eq!(std::iter::from_fn(|| queue.next_in_pass()).collect::<String>(), "Bc");
    }

    #[test]
    fn an_empty_queue_has_nobody_to_run() {
        let mut queue = RunQueue::<u32>::default();
        queue.begin_pass();
        assert_eq!((queue.next_in_pass(), queue.len(), queue.pass_is_over()), (None, 0, true));
        assert!(queue.upcoming().is_empty() && queue.end().is_empty());
        assert_eq!(queue.into_entries().count(), 0);
    }

    /// What a run queue stands for, as three lists.
    #[derive(Clone, Debug, Default)]
    struct Model {
        kept: Vec<u32>,
        waiting: VecDeque<u32>,
        newcomers: Vec<u32>,
    }

    impl Model {
        fn begin_pass(&mut self) {
            let rest = std::mem::take(&mut self.waiting);
            self.waiting = self.kept.drain(..).chain(rest).chain(self.newcomers.drain(..)).collect();
        }

        fn len(&self) -> usize {
            self.kept.len() + self.waiting.len() + self.newcomers.len()
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push,
        BeginPass,
        /// A turn, after which the entry stays or not.
        Turn(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Push),
            1 => Just(Step::BeginPass),
            5 => any::<bool>().prop_map(Step::Turn),
        ]
    }

    proptest! {
        #[test]
        fn a_run_queue_is_three_lists_in_one_array(steps in prop::collection::vec(step(), 0..300)) {
            let (mut queue, mut model) = (RunQueue::default(), Model::default());
            for (number, step) in (0..).zip(steps) {
                match step {
                    Step::Push => {
                        queue.push(number);
                        model.newcomers.push(number);
                    }
                    Step::BeginPass => {
                        queue.begin_pass();
                        model.begin_pass();
                    }
                    Step::Turn(stays) => {
                        let entry = queue.next_in_pass();
                        prop_assert_eq!(entry, model.waiting.pop_front());
                        if let Some(entry) = entry.filter(|_| stays) {
                            queue.keep(entry);
                            model.kept.push(entry);
                        }
                    }
                }
                prop_assert_eq!(queue.upcoming(), model.waiting.make_contiguous());
                prop_assert_eq!(queue.pass_is_over(), model.waiting.is_empty());
                prop_assert_eq!(queue.len(), model.len());
            }
            let expected: Vec<u32> =
                model.waiting.into_iter().chain(model.kept).chain(model.newcomers).collect();
            prop_assert_eq!(queue.into_entries().collect::<Vec<_>>(), expected);
        }
    }
}
