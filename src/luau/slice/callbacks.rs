//! What Luau calls while a process runs: at safepoints, when threads break, and when coroutines are made or resumed.

use std::ptr;

use mlua::ffi::{self, lua_State};

use super::limits::{end_soon, out_of_fuel};
use super::{Context, SLICE, current, flag_outcome, with_context};

/// Installs the callbacks that slices need in a state.
///
/// # Safety
///
/// `main` must be the main thread of a live state, and `context` outlive that.
pub(in super::super) unsafe fn install(main: *mut lua_State, context: *mut Context) {
    // SAFETY: `main` is live by the contract; the callbacks live as long as its state.
    let callbacks = unsafe { &mut *ffi::lua_callbacks(main) };
    callbacks.interrupt = Some(interrupt);
    callbacks.debuginterrupt = Some(parent_broke);
    callbacks.userthread = Some(thread_created_or_freed);
    callbacks.userdata = context.cast();
}

/// Luau's interrupt: called at every safepoint, and by the garbage collector with `gc >= 0`.
unsafe extern "C-unwind" fn interrupt(thread: *mut lua_State, gc: i32) {
    if gc >= 0 {
        return; // nothing may be thrown out of the collector
    }
    let slice = current();
    let fuel = slice.fuel.get() - 1;
    slice.fuel.set(fuel);
    if fuel <= 0 {
        // SAFETY: Luau hands us the running thread.
        unsafe { out_of_fuel(thread) }
    }
}

/// `debuginterrupt`: `parent` is about to break because the coroutine that it resumed has broken.
unsafe extern "C-unwind" fn parent_broke(parent: *mut lua_State, _: *mut ffi::lua_Debug) {
    SLICE.with(|slice| slice.parent_breaks(parent));
}

/// `userthread`: counts the coroutines that scripts make, and follows resumes in a state from the moment
/// the first is made. Most scripts never do, and every slice would pay for it.
unsafe extern "C-unwind" fn thread_created_or_freed(parent: *mut lua_State, thread: *mut lua_State) {
    // SAFETY: `thread` is live, and so are its state's callbacks.
    let callbacks = unsafe { &mut *ffi::lua_callbacks(thread) };
    if parent.is_null() {
        // SAFETY: as above.
        let owner = unsafe { ffi::lua_getthreaddata(thread) }.addr();
        // SAFETY: `install` put it there. This is called by the collector, which does not run during
        // slices, so nothing else uses it.
        let context = unsafe { &mut *callbacks.userdata.cast::<Context>() };
        if let Some(count) = owner.checked_sub(1).and_then(|vm| context.coroutines.get_mut(vm)) {
            *count -= 1;
        }
        return;
    }
    let counted = with_context(|context| {
        let vm = context.caller().vm.at();
        if vm >= context.coroutines.len() {
            context.coroutines.resize(vm + 1, 0);
        }
        context.coroutines[vm] += 1;
        if context.coroutines[vm] > context.coroutine_limit {
            end_soon();
            flag_outcome();
        }
        vm + 1
    });
    if let Some(owner) = counted {
        // SAFETY: as above; it is only a number.
        unsafe { ffi::lua_setthreaddata(thread, ptr::without_provenance_mut(owner)) };
        callbacks.preresume = Some(before_resume);
        callbacks.postresume = Some(after_resume);
    }
}

unsafe extern "C-unwind" fn before_resume(thread: *mut lua_State) {
    SLICE.with(|slice| {
        if slice.is_running() && thread != slice.bottom.get() {
            slice.running.push(thread);
            slice.took_slow_path.set(true);
        }
    });
}

unsafe extern "C-unwind" fn after_resume(thread: *mut lua_State) {
    SLICE.with(|slice| {
        if thread != slice.bottom.get() {
            slice.running.pop();
        }
    });
}
