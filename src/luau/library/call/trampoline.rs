//! From Luau's calls of C functions to safe functions and back.

use std::ffi::{CStr, c_int, c_void};
use std::mem;
use std::ptr;

use mlua::ffi::{self, lua_CFunction, lua_Continuation, lua_State};

use super::answer::Cause;
use super::{Answer, Answered, Call, Failure, Results, Returned, upvalue};
use crate::luau::host_functions::HostEntry;
use crate::luau::slice;
use crate::luau::stack::Stack;
use crate::luau::transfer;

/// The tag of the address of a function that another one stands in for. Scripts cannot make light userdata, and its tag
/// tells what the address is.
const ORIGINAL: c_int = 1;

/// The tag of the address of a [`HostEntry`].
const HOST_ENTRY: c_int = 2;

/// A function of ours, as Luau calls it.
#[derive(Clone, Copy)]
pub(in crate::luau) struct Entry {
    /// How scripts find it, with dots in it, and what its errors begin with.
    pub(in crate::luau) name: &'static CStr,
    function: lua_CFunction,
    continuation: Option<lua_Continuation>,
}

/// Of functions that have no fields, all values are the same.
const fn has_no_fields<F>() {
    assert!(size_of::<F>() == 0, "a function item or a closure that captures nothing");
}

/// The value of a type that has no fields.
///
/// # Safety
///
/// There must have been a value of it.
#[inline]
unsafe fn conjure<F: Copy>() -> F {
    const { has_no_fields::<F>() };
    // SAFETY: there is nothing to read, and by the contract and `Copy` there may be another.
    unsafe { ptr::NonNull::<F>::dangling().read() }
}

impl Entry {
    /// A function that has its results at once.
    pub(in crate::luau) const fn new<F>(name: &'static CStr, _: F) -> Self
    where
        F: for<'a> Fn(Call<'a>) -> Returned<'a> + Copy,
    {
        Self { name, function: call_function::<F>, continuation: None }
    }

    /// A function that may wait or call code of the script, and what is called when that is over.
    pub(in crate::luau) const fn waiting<F, C>(name: &'static CStr, _: F, _: C) -> Self
    where
        F: for<'a> Fn(Call<'a>) -> Answered<'a> + Copy,
        C: for<'a> Fn(Call<'a>) -> Answered<'a> + Copy,
    {
        Self { name, function: call_waiting::<F>, continuation: Some(go_on::<C>) }
    }
}

/// Calls a function of an [`Entry`].
unsafe extern "C-unwind" fn call_function<F>(thread: *mut lua_State) -> c_int
where
    F: for<'a> Fn(Call<'a>) -> Returned<'a> + Copy,
{
    // SAFETY: `Entry::new` was given one.
    let function = unsafe { conjure::<F>() };
    // SAFETY: Luau calls this with the running thread, whose stack is ours until we return, and catches what is thrown.
    let call = Call { stack: unsafe { Stack::new(thread) } };
    match function(call) {
        Ok(Results { count, .. }) => count,
        // SAFETY: as above; everything else has been dropped.
        Err(failure) => unsafe { throw(thread, failure) },
    }
}

/// The same of one that may wait.
unsafe extern "C-unwind" fn call_waiting<F>(thread: *mut lua_State) -> c_int
where
    F: for<'a> Fn(Call<'a>) -> Answered<'a> + Copy,
{
    // SAFETY: `Entry::waiting` was given one.
    let function = unsafe { conjure::<F>() };
    // SAFETY: as for `call_function`; an entry with this has a continuation.
    unsafe { follow(thread, function) }
}

/// Its continuation. A C function's own errors never get here, so the status is always 0.
unsafe extern "C-unwind" fn go_on<C>(thread: *mut lua_State, _: c_int) -> c_int
where
    C: for<'a> Fn(Call<'a>) -> Answered<'a> + Copy,
{
    // SAFETY: `Entry::waiting` was given one.
    let continuation = unsafe { conjure::<C>() };
    // SAFETY: as for `call_waiting`.
    unsafe { follow(thread, continuation) }
}

/// Calls a function and does what it says. Returns what the C function has to return.
///
/// # Safety
///
/// `thread` must be running a C function that has a continuation and holds nothing else. May throw.
#[inline]
unsafe fn follow(thread: *mut lua_State, function: impl for<'a> Fn(Call<'a>) -> Answered<'a>) -> c_int {
    // SAFETY: by the contract.
    let call = Call { stack: unsafe { Stack::new(thread) } };
    let failure = match function(call) {
        Ok(Answer::Results(Results { count, .. })) => return count,
        // SAFETY: by the contract.
        Ok(Answer::Call { arguments, results }) => return unsafe { call_script(thread, arguments, results) },
        // SAFETY: by the contract. Where the thread cannot break, this throws.
        Ok(Answer::Break) => return unsafe { slice::break_with_child(thread) },
        Ok(Answer::Wait(request)) => {
            // SAFETY: by the contract.
            if unsafe { slice::can_suspend(thread) } {
                // SAFETY: by the contract.
                let mut call = Call { stack: unsafe { Stack::new(thread) } };
                call.request_for_running_task(request);
                // SAFETY: by the contract, and it can be suspended.
                return unsafe { slice::suspend(thread) };
            }
            Failure::cannot_wait()
        }
        Ok(Answer::Exit(results)) => {
            // SAFETY: by the contract.
            let mut call = Call { stack: unsafe { Stack::new(thread) } };
            call.exit(results);
            // SAFETY: by the contract.
            return unsafe { slice::stop(thread) };
        }
        Err(failure) => failure,
    };
    // SAFETY: by the contract.
    unsafe { throw(thread, failure) }
}

/// Calls the function below `arguments` values on top of the stack, and then the continuation of the running one.
///
/// # Safety
///
/// As for [`follow`].
unsafe fn call_script(thread: *mut lua_State, arguments: u32, results: Option<u32>) -> c_int {
    // SAFETY: by the contract.
    let top = unsafe { Stack::new(thread) }.top();
    let arguments = arguments.cast_signed().clamp(0, top - 1);
    let results = results.map_or(ffi::LUA_MULTRET, |results| results.cast_signed().max(0));
    // SAFETY: by the contract; there is a value below so many. Luau throws if it cannot be called.
    unsafe { ffi::lua_callyieldable(thread, arguments, results) }
}

/// Raises an error where the running function was called.
///
/// # Safety
///
/// `thread` must be running a C function that holds nothing that needs dropping but `failure`.
#[cold]
#[inline(never)]
unsafe fn throw(thread: *mut lua_State, failure: Failure) -> ! {
    // SAFETY: by the contract.
    let mut stack = unsafe { Stack::new(thread) };
    let cause = *failure.0;
    match cause {
        Cause::Named(why) => {
            let name = stack.frame(0, |frame| frame.name.to_string_lossy().into_owned());
            push_error(&mut stack, &format!("{}: {why}", name.unwrap_or_default()));
        }
        Cause::Text(message) => push_error(&mut stack, &message),
        Cause::Value => {}
        // SAFETY: any index can be asked for its type, and names are literals.
        Cause::Argument(index, why) => unsafe { ffi::luaL_argerror(thread, index, why.as_ptr()) },
        // SAFETY: as above.
        Cause::Type(index, expected) => unsafe { ffi::luaL_typeerror(thread, index, expected.as_ptr()) },
    }
    // SAFETY: there is a value on top, or there is none below the function's own, and then this is nil.
    unsafe { ffi::lua_error(thread) }
}

/// Pushes an error message with the position of the call.
fn push_error(stack: &mut Stack<'_>, message: &str) {
    stack.push_position(1);
    stack.push_bytes(transfer::bounded(message, transfer::MAX_MESSAGE).as_bytes());
    stack.concat(2);
}

impl Stack<'_> {
    /// Pushes a function of ours.
    pub(in crate::luau) fn push_function(&mut self, entry: &Entry) {
        self.push_closure(entry, 0);
    }

    /// Pushes a function of ours with the topmost values as its upvalues.
    pub(in crate::luau) fn push_closure(&mut self, entry: &Entry, upvalues: u8) {
        let upvalues = c_int::from(upvalues).min(self.top());
        let Entry { name, function, continuation } = *entry;
        // SAFETY: there are so many values. The function and the continuation are those of an `Entry`, which Luau may
        // call; the name lives as long as the program.
        unsafe { ffi::lua_pushcclosurek(self.thread(), function, name.as_ptr(), upvalues, continuation) }
    }

    /// Puts a function of ours in the place of one of Luau's at an index, which it can [call](Call::original).
    ///
    /// # Safety
    ///
    /// What is there must be a C function that uses no upvalue and never yields.
    pub(in crate::luau) unsafe fn stand_in(&mut self, index: i32, entry: &Entry) {
        // SAFETY: by the contract something is there.
        let original = unsafe { ffi::lua_tocfunction(self.thread(), index) }.expect("a function of Luau's");
        // SAFETY: Luau makes room. The address of a function fits a pointer.
        unsafe { ffi::lua_pushlightuserdatatagged(self.thread(), original as *mut c_void, ORIGINAL) };
        self.push_closure(entry, 1);
        self.replace(if index < 0 { index - 1 } else { index });
    }
}

impl<'a> Call<'a> {
    /// Calls the function that the running one stands in for, with the same arguments. Its results are on top, so many.
    #[inline]
    fn call_original(&mut self) -> c_int {
        // SAFETY: a C function runs. Any upvalue may be asked for.
        let address = unsafe { ffi::lua_tolightuserdatatagged(self.thread(), upvalue(1), ORIGINAL) };
        if address.is_null() {
            return 0;
        }
        // SAFETY: only `stand_in` makes such upvalues, of the address of such a function.
        let original = unsafe { mem::transmute::<*mut c_void, lua_CFunction>(address) };
        // SAFETY: it runs in our place, on our stack. By the contract of `stand_in` it uses nothing else of ours.
        unsafe { original(self.thread()) }
    }

    /// What the function returns that the running one stands in for. `cost` tells from the results, so many on top, what
    /// to charge for them.
    #[inline]
    pub(in crate::luau) fn original(mut self, cost: impl FnOnce(&Stack<'a>, u32) -> u64) -> Results<'a> {
        let count = self.call_original();
        let units = cost(&self, count.unsigned_abs());
        self.charge(units);
        Results::new(count)
    }

    /// The same, where what the results take is known before.
    #[inline]
    pub(in crate::luau) fn original_results(mut self) -> Results<'a> {
        Results::new(self.call_original())
    }

    /// The same, where the first result is an iterator, in whose place one of ours stands.
    ///
    /// # Safety
    ///
    /// See [`Stack::stand_in`].
    pub(in crate::luau) unsafe fn original_iterator(mut self, entry: &Entry) -> Results<'a> {
        let count = self.call_original();
        // SAFETY: by the contract.
        unsafe { self.stand_in(-count, entry) };
        Results::new(count)
    }

    /// The host function that was called, if the running one stands for one.
    #[inline]
    pub(in crate::luau) fn host_entry(&self) -> Option<&'a HostEntry> {
        // SAFETY: a C function runs. Any upvalue may be asked for.
        let entry = unsafe { ffi::lua_tolightuserdatatagged(self.thread(), upvalue(1), HOST_ENTRY) };
        // SAFETY: only `push_host_function` makes such upvalues, of entries that live as long as the state.
        unsafe { entry.cast::<HostEntry>().as_ref() }
    }

    /// The upvalue of a closure that has one number.
    pub(in crate::luau) fn upvalue_number(&self) -> Option<f64> {
        let mut is_number = 0;
        // SAFETY: a C function runs. Any upvalue may be asked for.
        let number = unsafe { ffi::lua_tonumberx(self.thread(), upvalue(1), &raw mut is_number) };
        (is_number != 0).then_some(number)
    }

    /// Forgets that number.
    pub(in crate::luau) fn clear_upvalue(&mut self) {
        if self.upvalue_number().is_some() {
            self.push_nil();
            // SAFETY: a C function with an upvalue runs, and a value is on top.
            unsafe { ffi::lua_replace(self.thread(), upvalue(1)) };
        }
    }
}

/// Pushes what scripts call instead of a host function. `entry` is for those that have their results at once.
///
/// # Safety
///
/// `host` must live as long as the state.
pub(in crate::luau) unsafe fn push_host_function(stack: &mut Stack<'_>, host: &HostEntry, entry: &Entry) {
    let address = ptr::from_ref(host).cast_mut().cast::<c_void>();
    // SAFETY: Luau makes room.
    unsafe { ffi::lua_pushlightuserdatatagged(stack.thread(), address, HOST_ENTRY) };
    let Entry { function, continuation, .. } = *entry;
    // SAFETY: there is a value. As for `push_closure`; the path lives as long as the state.
    unsafe { ffi::lua_pushcclosurek(stack.thread(), function, host.0.as_ptr(), 1, continuation) }
}
