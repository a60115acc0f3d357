//! What Luau calls while a process runs: at safepoints, when threads break, and when coroutines are made or resumed.

use std::ptr;

use mlua::ffi::{self, lua_State};

use super::park::out_of_fuel;
use super::running::Running;
use super::{Slice, of};
use crate::luau::{prefetch, shared};

/// Installs the callbacks that slices need in a state.
///
/// # Safety
///
/// `main` must be the main thread of a live state, whose `userdata` is a [`Shared`](shared::Shared) that outlives it, and
/// `finds_callbacks` say [the truth](prefetch::finds_callbacks).
pub(in super::super) unsafe fn install(main: *mut lua_State, finds_callbacks: bool) {
    // SAFETY: `main` is live by the contract.
    let callbacks = unsafe { ffi::lua_callbacks(main) };
    // SAFETY: they live as long as the state, and nobody has a reference to them.
    let callbacks = unsafe { &mut *callbacks };
    callbacks.interrupt = Some(if finds_callbacks { interrupt::<true> } else { interrupt::<false> });
    callbacks.debuginterrupt = Some(parent_broke);
    callbacks.userthread = Some(thread_created_or_freed);
}

/// Luau's interrupt: called at every safepoint, and by the garbage collector with `gc >= 0`. It is the most frequent call
/// of all, so it does not ask Luau where the slice is if it knows.
unsafe extern "C-unwind" fn interrupt<const KNOWS: bool>(thread: *mut lua_State, gc: i32) {
    if gc >= 0 {
        return; // nothing may be thrown out of the collector
    }
    let slice = if KNOWS {
        // SAFETY: Luau hands us the running thread, of a state that `install` was called on. See `of` for the rest.
        let slice = unsafe { prefetch::userdata(thread) }.cast::<Slice>();
        // SAFETY: as above.
        unsafe { &*slice }
    } else {
        // SAFETY: as above.
        unsafe { of(thread) }
    };
    if slice.fuel.burn() {
        // SAFETY: it runs.
        out_of_fuel(slice, unsafe { Running::new(thread) });
    }
}

/// `debuginterrupt`: `parent` is about to break because the coroutine that it resumed has broken.
unsafe extern "C-unwind" fn parent_broke(parent: *mut lua_State, _: *mut ffi::lua_Debug) {
    // SAFETY: as for `interrupt`.
    unsafe { of(parent) }.parent_breaks(parent);
}

/// `userthread`: counts the coroutines that scripts make, and follows resumes in a state from the moment
/// the first is made. Most scripts never do, and every slice would pay for it.
unsafe extern "C-unwind" fn thread_created_or_freed(parent: *mut lua_State, thread: *mut lua_State) {
    // SAFETY: `thread` is live, and of a state that `open` made.
    let shared = unsafe { shared::of(thread) };
    if parent.is_null() {
        // SAFETY: as above.
        let owner = unsafe { ffi::lua_getthreaddata(thread) }.addr();
        // SAFETY: this is called by the collector, which does not run during slices, so nothing else uses the context.
        let context = unsafe { &mut *shared.context.get() };
        if let Some(count) = owner.checked_sub(1).and_then(|vm| context.coroutines.get_mut(vm)) {
            *count -= 1;
        }
        return;
    }
    if !shared.slice.is_running() {
        return;
    }
    // SAFETY: whoever makes a thread uses nothing of the context meanwhile.
    let context = unsafe { &mut *shared.context.get() };
    let vm = context.caller().vm.at();
    if vm >= context.coroutines.len() {
        context.coroutines.resize(vm + 1, 0);
    }
    context.coroutines[vm] += 1;
    if context.coroutines[vm] > context.coroutine_limit {
        shared.slice.end_soon();
        shared.slice.flag_outcome();
    }
    // SAFETY: as above; it is only a number.
    unsafe { ffi::lua_setthreaddata(thread, ptr::without_provenance_mut(vm + 1)) };
    // SAFETY: as above.
    let callbacks = unsafe { ffi::lua_callbacks(thread) };
    // SAFETY: they live as long as the state, and nobody has a reference to them.
    let callbacks = unsafe { &mut *callbacks };
    callbacks.preresume = Some(before_resume);
    callbacks.postresume = Some(after_resume);
}

unsafe extern "C-unwind" fn before_resume(thread: *mut lua_State) {
    // SAFETY: as for `interrupt`.
    let slice = unsafe { of(thread) };
    if slice.is_running() && thread != slice.bottom.get() {
        slice.running.push(thread);
        slice.took_slow_path.set(true);
    }
}

unsafe extern "C-unwind" fn after_resume(thread: *mut lua_State) {
    // SAFETY: as for `interrupt`.
    let slice = unsafe { of(thread) };
    if thread != slice.bottom.get() {
        slice.running.pop();
    }
}
