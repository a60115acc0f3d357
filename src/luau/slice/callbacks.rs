//! What Luau calls while a process runs: at safepoints, when threads break, and when coroutines are made or resumed.

use mlua::ffi::{self, lua_State};

use super::Slice;
use super::park::out_of_fuel;
use super::running::Running;
use crate::luau::prefetch;
use crate::luau::thread::OwnThread;

/// Installs the callbacks that slices need in a state.
///
/// # Safety
///
/// `finds_callbacks` must say [the truth](prefetch::finds_callbacks).
pub(in super::super) unsafe fn install(main: OwnThread<'_>, finds_callbacks: bool) {
    main.with_callbacks(|callbacks| {
        callbacks.interrupt = Some(if finds_callbacks { interrupt::<true> } else { interrupt::<false> });
        callbacks.debuginterrupt = Some(parent_broke);
        callbacks.userthread = Some(thread_created_or_freed);
    });
}

/// Luau's interrupt: called at every safepoint, and by the garbage collector with `gc >= 0`. It is the most frequent call
/// of all, so it does not ask Luau where the slice is if it knows.
unsafe extern "C-unwind" fn interrupt<const KNOWS: bool>(thread: *mut lua_State, gc: i32) {
    if gc >= 0 {
        return; // nothing may be thrown out of the collector
    }
    // SAFETY: Luau hands us the running thread, of a state that `install` was called on.
    let running = unsafe { Running::new(thread) };
    let slice = if KNOWS {
        // SAFETY: as above. `install` was told that callbacks are found.
        let slice = unsafe { prefetch::userdata(thread) }.cast::<Slice>();
        // SAFETY: a `Shared` is there, which begins with its slice.
        unsafe { &*slice }
    } else {
        running.slice()
    };
    if slice.fuel.burn() {
        out_of_fuel(slice, running);
    }
}

/// `debuginterrupt`: `parent` is about to break because the coroutine that it resumed has broken.
unsafe extern "C-unwind" fn parent_broke(parent: *mut lua_State, _: *mut ffi::lua_Debug) {
    // SAFETY: as for `interrupt`.
    unsafe { OwnThread::new(parent) }.slice().parent_breaks(parent);
}

/// `userthread`: counts the coroutines that scripts make, and follows resumes in a state from the moment
/// the first is made. Most scripts never do, and every slice would pay for it.
unsafe extern "C-unwind" fn thread_created_or_freed(parent: *mut lua_State, thread: *mut lua_State) {
    // SAFETY: `thread` is live, and of a state that `open` made.
    let own = unsafe { OwnThread::new(thread) };
    let slice = own.slice();
    if parent.is_null() {
        slice.forget_coroutine(own.notes().owner());
        return;
    }
    if !slice.is_running() {
        return;
    }
    // SAFETY: whoever makes a thread uses nothing of the context meanwhile.
    let vm = unsafe { own.shared().running_vm() };
    slice.count_coroutine(vm);
    own.notes().set_owner(vm + 1);
    follow_resumes(own);
}

/// Has Luau tell us of each resume in a state from now on.
pub(in super::super) fn follow_resumes(own: OwnThread<'_>) {
    own.with_callbacks(|callbacks| {
        callbacks.preresume = Some(before_resume);
        callbacks.postresume = Some(after_resume);
    });
}

/// The arguments are on its stack already, above what was there.
unsafe extern "C-unwind" fn before_resume(thread: *mut lua_State) {
    // SAFETY: as for `interrupt`.
    let own = unsafe { OwnThread::new(thread) };
    let slice = own.slice();
    if slice.is_running() && thread != slice.bottom.get() {
        slice.running.push(thread);
        slice.took_slow_path.set(true);
        if !own.notes().is_unmarked() {
            own.resumed_by_script();
        }
    }
}

unsafe extern "C-unwind" fn after_resume(thread: *mut lua_State) {
    // SAFETY: as for `interrupt`.
    let own = unsafe { OwnThread::new(thread) };
    let slice = own.slice();
    if thread != slice.bottom.get() {
        slice.running.pop();
    }
    if own.notes().is_awaited() {
        own.awaited_stopped();
    }
}
