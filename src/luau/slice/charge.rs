//! Work between safepoints: library calls with large arguments, large blocks of memory.

use mlua::ffi::lua_State;

use super::limits::{is_overdrawn, may_go_on, overdraw};
use super::{SLICE, Slice};

/// What is charged at once at most: far more than any work costs whose operands fit the memory that a
/// VM has.
const MAX_CHARGE: u64 = 1 << 20;

/// Less is left for the next safepoint to notice.
const NOTICEABLE: u64 = 64;

/// Bytes that are written in the time of a safepoint.
const BYTES_WRITTEN: usize = 64;

/// Takes `units` of fuel from the slice that runs on this operating-system thread, if one does: a call
/// that does work without safepoints costs its slice as many as that work is worth, 10 to 20
/// nanoseconds each. The slice ends at the next safepoint if no fuel is left.
///
/// Code may call such functions without passing a safepoint, as metamethods. When it has done so for
/// the overrun limit this throws, and the process is killed.
///
/// # Safety
///
/// `state` must be the running thread, in a C function. The frames between this and Luau must hold
/// nothing that needs dropping.
pub(in super::super) unsafe fn charge(state: *mut lua_State, units: u64) {
    if units > 0 {
        SLICE.with(|slice| {
            if take(slice, units) {
                // SAFETY: by the contract.
                unsafe { overdraw(slice, state) }
            }
        });
    }
}

/// As [`charge`], but never throws: the next safepoint notices.
pub(in super::super) fn charge_later(units: u64) {
    SLICE.with(|slice| {
        if slice.is_running() {
            slice.fuel.set(slice.fuel.get().saturating_sub_unsigned(units.min(MAX_CHARGE)));
        }
    });
}

/// Charges the slice that runs on this operating-system thread, if one does, for a large block that
/// Luau is about to fill. `false` if it cannot have it because it is to be killed.
pub(in super::super) fn charge_block(bytes: usize) -> bool {
    SLICE.with(|slice| !take(slice, (bytes / BYTES_WRITTEN) as u64) || !is_overdrawn(slice))
}

/// Takes fuel. `true` if that was noticeable and there is none left.
fn take(slice: &Slice, units: u64) -> bool {
    if !slice.is_running() {
        return false;
    }
    let fuel = slice.fuel.get().saturating_sub_unsigned(units.min(MAX_CHARGE));
    slice.fuel.set(fuel);
    fuel <= 0 && units >= NOTICEABLE && !may_go_on(slice)
}
