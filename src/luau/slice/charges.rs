//! Work between safepoints: library calls with large arguments, large blocks of memory.

use super::Slice;
use super::limits::KILLED;
use super::running::Running;

/// Less is left for the next safepoint to notice.
const NOTICEABLE: u64 = 64;

/// Bytes that are written in the time of a safepoint.
const BYTES_WRITTEN: usize = 64;

impl Running<'_> {
    /// Takes `units` of fuel from the slice that runs, if one does: a call that does work without safepoints costs its
    /// slice as many as that work is worth, 10 to 20 nanoseconds each. The slice ends at the next safepoint if no fuel
    /// is left.
    ///
    /// It throws if the process is to be killed: code may call such functions without passing a safepoint, as
    /// metamethods.
    pub(in super::super) fn charge(self, units: u64) {
        if units > 0 && take(self.slice(), units) {
            self.throw(KILLED);
        }
    }
}

impl Slice {
    /// As [`Running::charge`], but never throws: the next safepoint notices.
    pub(in super::super) fn charge_later(&self, units: u64) {
        if self.is_running() {
            self.fuel.charge(units);
        }
    }

    /// Whether what is allocated now is charged to the state.
    pub(in super::super) fn charges_state(&self) -> bool {
        self.charges_state.get()
    }

    /// Calls `f`, which makes something that all VMs share: what it allocates is charged to the state.
    pub(in super::super) fn charge_state<R>(&self, f: impl FnOnce() -> R) -> R {
        /// Also where `f` throws.
        struct Reset<'a>(&'a Slice);

        impl Drop for Reset<'_> {
            fn drop(&mut self) {
                self.0.charges_state.set(false);
            }
        }

        self.charges_state.set(true);
        let _reset = Reset(self);
        f()
    }

    /// Charges the slice, if it runs, for a large block that Luau is about to fill. `false` if it cannot have it because
    /// it is to be killed.
    pub(in super::super) fn charge_block(&self, bytes: usize) -> bool {
        !take(self, (bytes / BYTES_WRITTEN) as u64)
    }
}

/// Takes fuel. `true` if the process is to be killed, and the work is worth stopping it.
fn take(slice: &Slice, units: u64) -> bool {
    slice.is_running() && slice.fuel.charge(units) && units >= NOTICEABLE && slice.is_marked_for_kill()
}
