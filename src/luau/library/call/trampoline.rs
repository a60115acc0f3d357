//! From Luau's calls of C functions to safe functions and back.

use std::ffi::{CStr, c_int};
use std::ptr;

use mlua::ffi::{self, lua_CFunction, lua_Continuation, lua_State};

use super::answer::Cause;
use super::{Answer, Answered, Call, Failure, Results, Returned};
use crate::luau::stack::{Kind, Stack};
use crate::luau::transfer;

/// What is raised until a process that ends is where it can be ended.
const ENDED: &str = "process was ended in code that cannot be preempted";

/// A function of ours, as Luau calls it.
#[derive(Clone, Copy)]
pub(in crate::luau) struct Entry {
    /// How scripts find it, with dots in it, and what its errors begin with.
    pub(in crate::luau) name: &'static CStr,
    pub(in crate::luau) function: lua_CFunction,
    pub(in crate::luau) continuation: Option<lua_Continuation>,
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

/// A function that has no fields: an item, or a closure that captures nothing.
///
/// # Safety
///
/// There must have been a value of that type.
#[inline]
unsafe fn conjure<F: Copy>() -> F {
    const { assert!(size_of::<F>() == 0, "a function item or a closure that captures nothing") };
    // SAFETY: there is nothing to read, and by the contract and `Copy` there may be another value.
    unsafe { ptr::NonNull::<F>::dangling().read() }
}

/// The function that is called, its call, and the same call for when the function has used that up.
///
/// # Safety
///
/// See [`conjure`]. `thread` must be running a C function, of which the stack is, and which uses it only through these
/// until it returns, and through the second only when the first is gone.
#[inline]
unsafe fn enter<'a, F: Copy>(thread: *mut lua_State) -> (F, Call<'a>, Call<'a>) {
    // SAFETY: by the contract.
    let [call, again] = [(); 2].map(|()| Call { stack: unsafe { Stack::new(thread) } });
    // SAFETY: by the contract.
    (unsafe { conjure::<F>() }, call, again)
}

/// Calls a function of an [`Entry`].
unsafe extern "C-unwind" fn call_function<F>(thread: *mut lua_State) -> c_int
where
    F: for<'a> Fn(Call<'a>) -> Returned<'a> + Copy,
{
    // SAFETY: `Entry::new` was given a function. Luau calls this with the running thread, whose stack is ours until we
    // return, and catches what is thrown.
    let (function, call, again) = unsafe { enter::<F>(thread) };
    match function(call) {
        Ok(Results { count, .. }) => count,
        Err(failure) => again.throw(failure),
    }
}

/// The same of one that may wait.
unsafe extern "C-unwind" fn call_waiting<F>(thread: *mut lua_State) -> c_int
where
    F: for<'a> Fn(Call<'a>) -> Answered<'a> + Copy,
{
    // SAFETY: as for `call_function`. `Entry::waiting` was given one.
    let (function, call, again) = unsafe { enter::<F>(thread) };
    // SAFETY: functions of an entry with this have a continuation.
    unsafe { again.follow(function(call)) }
}

/// Its continuation. Errors of what was called do not get here, so the status is always 0.
unsafe extern "C-unwind" fn go_on<C>(thread: *mut lua_State, _: c_int) -> c_int
where
    C: for<'a> Fn(Call<'a>) -> Answered<'a> + Copy,
{
    // SAFETY: Luau calls this with the running thread, whose stack is ours until we return.
    let call = Call { stack: unsafe { Stack::new(thread) } };
    if call.slice().take_wake_by_script() {
        return (call.top() - 1).max(0); // what it was resumed with, above what `begin_wait` has left
    }
    // SAFETY: `Entry::waiting` was given one, with which this does the same as with the function.
    unsafe { call_waiting::<C>(thread) }
}

impl<'a> Call<'a> {
    /// Does what a function says. Returns what the C function has to return.
    ///
    /// # Safety
    ///
    /// The running function must have a continuation, and hold nothing else.
    #[inline]
    unsafe fn follow(mut self, answer: Answered<'a>) -> c_int {
        // SAFETY: by the contract. What each of its functions gives is returned.
        let leavable = unsafe { self.running().leavable() };
        match answer {
            Ok(Answer::Results(Results { count, .. })) => count,
            Ok(Answer::Call { arguments, results }) => {
                if self.top() == 0 {
                    self.push_nil(); // which cannot be called
                }
                let results = results.map_or(ffi::LUA_MULTRET, c_int::from);
                let arguments = c_int::from(arguments).min(self.top() - 1);
                // SAFETY: by the contract. There is a value below so many; Luau throws if it cannot be called.
                unsafe { ffi::lua_callyieldable(self.thread(), arguments, results) }
            }
            Ok(Answer::Wait(request)) => {
                if let Err(failure) = self.begin_wait(request, false) {
                    self.throw(failure);
                }
                leavable.wait()
            }
            Ok(Answer::WaitWithFirst(request)) => {
                if let Err(failure) = self.begin_wait(request, true) {
                    self.throw(failure);
                }
                leavable.wait()
            }
            Ok(Answer::Break) => leavable.break_with_child(),
            Ok(Answer::Exit(results)) => {
                self.exit(results);
                let stopped = leavable.stop();
                stopped.unwrap_or_else(|| self.throw(Failure::text(ENDED)))
            }
            Err(failure) => self.throw(failure),
        }
    }

    /// Raises an error where the running function was called. It must hold nothing that needs dropping.
    #[cold]
    #[inline(never)]
    fn throw(mut self, failure: Failure) -> ! {
        match *failure.0 {
            Cause::Named(why) => {
                let message = format!("{}: {why}", self.own_name());
                self.push_error(1, &message);
            }
            Cause::Text(level, message) => self.push_error(level, &message),
            Cause::Argument(index, why) => {
                let message = format!("invalid argument #{index} to '{}' ({why})", self.own_name());
                self.push_error(1, &message);
            }
            Cause::Type(index, expected) => {
                let (name, kind) = (self.own_name(), self.kind(index));
                let message = match kind {
                    Kind::NONE => format!("missing argument #{index} to '{name}' ({expected} expected)"),
                    _ => format!(
                        "invalid argument #{index} to '{name}' ({expected} expected, got {})",
                        self.kind_name(kind)
                    ),
                };
                self.push_error(1, &message);
            }
            Cause::Value => {}
        }
        self.throw_top()
    }

    /// What the running function is called.
    fn own_name(&self) -> String {
        self.frame(0, |frame| frame.name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Pushes an error message with the position of a caller.
    fn push_error(&mut self, level: u16, message: &str) {
        self.push_position(level);
        self.push_bytes(transfer::bounded(message, transfer::MAX_MESSAGE).as_bytes());
        self.concat(2);
    }
}
