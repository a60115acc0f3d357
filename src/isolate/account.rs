//! What a VM may use: whether its processes may have their next slices, and how much each slice gets.

use std::sync::Arc;
use std::time::Duration;

use crate::luau::{Allowance, LimitViolation};
use crate::types::{KillReason, Limits, ProcessIndex};

/// What a safepoint stands for in a library call that counts as many: see `docs/library.md`.
const NS_PER_SAFEPOINT: u64 = 15;

/// No process.
const NOBODY: ProcessIndex = ProcessIndex(u32::MAX);

/// What a process may do when it is its turn.
#[derive(Debug)]
pub(super) enum Verdict {
    Run,
    /// Its VM has so much garbage that it cannot be told what it really needs.
    Wait,
    /// What it can reach is to be found out first.
    Audit,
    Kill(KillReason),
}

/// What a VM holds, garbage included.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Holdings {
    /// 0 where VMs are not told apart.
    pub(super) bytes: usize,
    pub(super) coroutines: u32,
    /// Bytes of the pages that its slices have taken.
    pub(super) pages: usize,
}

/// How often an isolate has been collected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Collections {
    pub(super) finished: u32,
    /// One is under way: it may miss what has become garbage since it began.
    pub(super) one_is_underway: bool,
}

/// What decides whether a VM's processes may run, and how much they may use.
#[derive(Debug)]
pub(super) struct VmAccount {
    pub(super) limits: Arc<Limits>,
    last_tick: u32,
    /// Who had the VM's last slice, or [`NOBODY`]: who is killed when the VM is over a limit.
    last_runner: ProcessIndex,
    /// Nanoseconds used in this tick, or beyond what past ticks allowed.
    used_time: u32,
    /// What the VM can reach beyond what its memory category has, in units of [`UNIT`]. Below zero if others keep more of
    /// what it made than it keeps of theirs.
    beyond_category: i32,
    /// How many collections were over when it was last found out what it can reach, or [`UNKNOWN`].
    audited_after: u32,
    /// The collection after which it will be clear what the VM needs, 0 while it is within its limits, or [`UNKNOWN`].
    collected_by: u32,
}

/// Bytes. Accounts are small: each slice reads one.
const UNIT: usize = 64;

/// So many bytes, rounded down.
fn units(bytes: usize) -> i32 {
    i32::try_from(bytes / UNIT).unwrap_or(i32::MAX)
}

/// What others must keep of a VM's memory category to be asked what they can reach.
const MIN_KEPT_BY_OTHERS: usize = 64 << 10;

/// A VM may be over one of its limits, or not.
const UNKNOWN: u32 = u32::MAX;

impl VmAccount {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self {
            limits,
            last_tick: 0,
            last_runner: NOBODY,
            used_time: 0,
            beyond_category: 0,
            audited_after: UNKNOWN,
            collected_by: UNKNOWN,
        }
    }

    /// A process has ended, or starts again: nothing is held against it.
    pub(super) fn forget_runner(&mut self, process: ProcessIndex) {
        if self.last_runner == process {
            self.last_runner = NOBODY;
        }
    }

    /// The VM gets a memory category in which others have left so many bytes.
    pub(super) fn set_foreign_bytes(&mut self, bytes: usize) {
        self.beyond_category = -units(bytes);
    }

    /// A collection has left so many bytes in the VM's category.
    pub(super) fn collected(&mut self, bytes: usize) {
        self.beyond_category = self.beyond_category.max(-units(bytes));
    }

    /// So many collections were over when it was found out what the VM can reach. `charged` is what its category had.
    /// Whether others were found to keep much more of that than before.
    pub(super) fn audited(&mut self, charged: usize, reached: usize, collections: u32) -> bool {
        self.audited_after = collections;
        let before = self.beyond_category;
        self.beyond_category = units(reached) - units(charged);
        self.suspect();
        before.saturating_sub(self.beyond_category) > units(MIN_KEPT_BY_OTHERS)
    }

    /// What the VM has, if its category has so many bytes.
    #[inline]
    pub(super) fn own_bytes(&self, bytes: usize) -> usize {
        bytes.saturating_add_signed(self.beyond_category as isize * UNIT as isize)
    }

    /// Changes what the VM may use.
    pub(super) fn set_limits(&mut self, limits: Arc<Limits>) {
        self.limits = limits;
        self.suspect();
    }

    /// The VM may be over a limit other than that of its memory, which is compared before each slice.
    pub(super) fn suspect(&mut self) {
        if self.collected_by == 0 {
            self.collected_by = UNKNOWN;
        }
    }

    /// Whether a [verdict](Self::verdict) is needed even if the VM's memory is within its limit.
    pub(super) fn is_suspect(&self) -> bool {
        self.collected_by != 0
    }

    /// A process of the VM has its slice. If the VM is over a limit afterwards, this is the process to kill.
    #[inline]
    pub(super) fn set_last_runner(&mut self, process: ProcessIndex) {
        self.last_runner = process;
    }

    /// What a process of the VM may do now.
    pub(super) fn verdict(
        &mut self,
        process: ProcessIndex,
        holdings: Holdings,
        collections: Collections,
    ) -> Verdict {
        let limits = &*self.limits;
        if holdings.bytes <= limits.memory_bytes
            && holdings.coroutines <= limits.coroutines
            && holdings.pages <= limits.page_bytes()
        {
            self.collected_by = 0;
            return Verdict::Run;
        }
        let is_known = !matches!(self.collected_by, 0 | UNKNOWN);
        let is_certain = is_known && collections.finished >= self.collected_by;
        let is_last_runner = self.last_runner == process || self.last_runner == NOBODY;
        let is_due = is_certain && is_last_runner;
        let is_about_memory = holdings.bytes > limits.memory_bytes;
        if is_due && is_about_memory && self.audited_after != collections.finished {
            return Verdict::Audit;
        }
        if !is_known || is_due {
            self.collected_by = collections.finished + 1 + u32::from(collections.one_is_underway);
        }
        if is_due { Verdict::Kill(exceeded(limits, holdings)) } else { Verdict::Wait }
    }

    /// Why a process is killed whose slice went over a limit. Its VM held so many bytes when the slice began; `None`
    /// where that is not known.
    pub(super) fn kill_reason(&self, violation: LimitViolation, held_bytes: Option<usize>) -> KillReason {
        let Limits { memory_bytes, slice_bytes, .. } = *self.limits;
        match violation {
            LimitViolation::Memory(added) => match held_bytes {
                Some(held) if memory_bytes.saturating_sub(held) <= slice_bytes => {
                    KillReason::Memory { limit: memory_bytes, used: held.saturating_add(added) }
                }
                _ => KillReason::SliceMemory { limit: slice_bytes, used: added },
            },
            LimitViolation::Parked { limit, used } => KillReason::Parked { limit, used },
            LimitViolation::CallDepth(used) => KillReason::CallDepth { limit: self.limits.call_depth, used },
        }
    }

    /// What each slice of the VM's processes may use.
    pub(super) fn allowance(&self) -> Allowance {
        Allowance {
            memory_slack: self.limits.memory_slack(),
            pages: self.limits.page_bytes(),
            coroutines: self.limits.coroutines,
            call_depth: self.limits.call_depth,
            parked: self.limits.parked,
            tasks: self.limits.tasks,
            console_bytes: self.limits.console_bytes,
        }
    }

    /// The VM has a turn in `tick`. It may use so many nanoseconds in each. `true` if it is the first.
    #[inline]
    pub(super) fn begin_tick(&mut self, tick: u32, allowed: u32) -> bool {
        // No branch: every other turn may be its VM's first, or every third.
        let ticks = tick.wrapping_sub(self.last_tick);
        self.last_tick = tick;
        self.used_time = self.used_time.saturating_sub(allowed.saturating_mul(ticks));
        ticks > 0
    }

    /// Whether the VM has used less than so many nanoseconds.
    #[inline]
    pub(super) fn has_time(&self, allowed: u32) -> bool {
        self.used_time == 0 || self.used_time < allowed
    }

    /// What later ticks have to pay for.
    pub(super) fn debt(&self) -> Duration {
        Duration::from_nanos(self.used_time.into()).saturating_sub(self.limits.time_per_tick)
    }

    /// A library call of the VM took so many safepoints more than its slice had.
    pub(super) fn charge_work(&mut self, safepoints: u64) {
        self.charge_time(safepoints.saturating_mul(NS_PER_SAFEPOINT).try_into().unwrap_or(u32::MAX));
    }

    /// What it has used of the tick in which it ran last, and how many ticks before this one that was.
    #[cfg(feature = "save")]
    pub(super) fn used_in(&self, tick: u32) -> (u32, u32) {
        (self.used_time, tick.wrapping_sub(self.last_tick))
    }

    /// The opposite: it had used so much so many ticks ago.
    #[cfg(feature = "save")]
    pub(super) fn set_used(&mut self, (used_time, ticks_ago): (u32, u32), tick: u32) {
        (self.used_time, self.last_tick) = (used_time, tick.wrapping_sub(ticks_ago));
    }

    /// What it has used is not counted for a while: until it is [charged](Self::charge_time) again.
    #[cfg(feature = "save")]
    pub(super) fn take_used_time(&mut self) -> u32 {
        std::mem::take(&mut self.used_time)
    }

    /// The VM used so many nanoseconds.
    #[inline]
    pub(super) fn charge_time(&mut self, time: u32) {
        self.used_time = self.used_time.saturating_add(time);
    }
}

/// The limit that is named where several are exceeded: memory first.
fn exceeded(limits: &Limits, Holdings { bytes: used, coroutines, pages }: Holdings) -> KillReason {
    if used > limits.memory_bytes {
        KillReason::Memory { limit: limits.memory_bytes, used }
    } else if pages > limits.page_bytes() {
        KillReason::Fragmentation { limit: limits.page_bytes(), used: pages }
    } else {
        KillReason::Coroutines { limit: limits.coroutines, used: coroutines }
    }
}

/// As [`VmAccount`] counts them.
pub(super) fn nanoseconds(time: Duration) -> u32 {
    time.as_nanos().try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use bevy::prelude::*;

    use super::*;

    fn account(limits: Limits) -> VmAccount {
        VmAccount::new(limits.into())
    }

    fn collections(finished: u32, one_is_underway: bool) -> Collections {
        Collections { finished, one_is_underway }
    }

    #[test]
    fn a_vm_over_its_memory_is_killed_only_after_a_collection_that_began_later() {
        let mut account = account(Limits { memory_bytes: 1000, ..default() });
        let holdings = |bytes| Holdings { bytes, ..Holdings::default() };
        assert!(account.is_suspect());
        assert!(matches!(
            account.verdict(ProcessIndex(5), holdings(400), collections(7, false)),
            Verdict::Run
        ));
        assert!(!account.is_suspect());
        account.set_last_runner(ProcessIndex(5));
        assert!(matches!(
            account.verdict(ProcessIndex(5), holdings(1001), collections(7, true)),
            Verdict::Wait
        ));
        assert!(matches!(
            account.verdict(ProcessIndex(5), holdings(1001), collections(8, false)),
            Verdict::Wait
        ));
        assert!(
            matches!(account.verdict(ProcessIndex(6), holdings(1001), collections(9, false)), Verdict::Wait),
            "it did not have the last slice"
        );
        assert!(matches!(
            account.verdict(ProcessIndex(5), holdings(1001), collections(9, false)),
            Verdict::Audit
        ));
        assert!(!account.audited(1001, 1001, 9));
        let killed = account.verdict(ProcessIndex(5), holdings(1001), collections(9, false));
        assert!(
            matches!(killed, Verdict::Kill(KillReason::Memory { limit: 1000, used: 1001 })),
            "{killed:?}"
        );
        // The VM's next process is not killed before what this one held has been collected.
        assert!(matches!(
            account.verdict(ProcessIndex(6), holdings(1001), collections(9, false)),
            Verdict::Wait
        ));
        assert!(account.is_suspect());
        assert!(matches!(
            account.verdict(ProcessIndex(6), holdings(1000), collections(10, false)),
            Verdict::Run
        ));
    }

    #[test]
    fn a_vm_has_what_it_can_reach() {
        let mut account = account(default());
        account.set_foreign_bytes(6400);
        assert_eq!(account.own_bytes(10_000), 3600);
        account.collected(3200);
        assert_eq!(account.own_bytes(10_000), 6800);
        assert!(account.audited(320_000, 64_000, 1), "others keep 256 KB");
        assert_eq!((account.own_bytes(320_000), account.own_bytes(330_000)), (64_000, 74_000));
        assert!(!account.audited(330_000, 64_000, 2), "they did before");
        assert!(!account.audited(64_000, 128_000, 3));
        assert_eq!((account.own_bytes(64_000), account.own_bytes(0)), (128_000, 64_000));
        account.collected(0);
        assert_eq!(account.own_bytes(0), 64_000, "it may still be there");
    }

    #[test]
    fn a_vm_is_suspect_until_it_is_looked_at_and_what_was_found_stays() {
        let mut account = account(Limits { coroutines: 10, ..default() });
        let holdings = |coroutines| Holdings { coroutines, ..Holdings::default() };
        assert!(matches!(
            account.verdict(ProcessIndex(5), holdings(10), collections(0, false)),
            Verdict::Run
        ));
        assert!(!account.is_suspect());
        account.set_limits(Limits { coroutines: 9, ..default() }.into());
        assert!(account.is_suspect());
        assert!(matches!(
            account.verdict(ProcessIndex(5), holdings(10), collections(0, false)),
            Verdict::Wait
        ));
        account.suspect();
        assert!(matches!(
            account.verdict(ProcessIndex(5), holdings(10), collections(1, false)),
            Verdict::Kill(_)
        ));
    }

    /// Whether it has time in each of these ticks, with 100 microseconds in each.
    fn had_time<const N: usize>(account: &mut VmAccount, ticks: [u32; N]) -> [bool; N] {
        ticks.map(|tick| {
            account.begin_tick(tick, 100_000);
            account.has_time(100_000)
        })
    }

    #[test]
    fn time_beyond_the_allowance_is_paid_off_by_later_ticks() {
        let mut account = account(default());
        assert!(account.begin_tick(5, 100_000) && account.has_time(100_000));
        account.charge_time(350_000);
        assert!(!account.begin_tick(5, 100_000), "it has begun");
        assert_eq!(had_time(&mut account, [5, 6, 7, 8]), [false, false, false, true]);
        assert!(account.begin_tick(20, 100_000) && account.used_time == 0);
        account.charge_time(u32::MAX);
        assert_eq!(had_time(&mut account, [21]), [false]);
        assert!(account.begin_tick(22, 0) && !account.has_time(0), "there is no time at all");
    }

    #[test]
    fn work_beyond_a_slice_is_a_debt_that_does_not_depend_on_a_clock() {
        let mut account = account(default());
        account.begin_tick(5, 100_000);
        account.charge_work(15_000); // 225 us
        assert_eq!(had_time(&mut account, [6, 7, 8]), [false, true, true]);
        account.charge_work(u64::MAX);
        assert_eq!(had_time(&mut account, [9]), [false]);
    }
}
