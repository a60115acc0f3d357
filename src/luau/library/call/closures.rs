//! Functions of ours on the stack, and what they know from when they were made: their upvalue.

use std::ffi::{CStr, c_int, c_void};
use std::{mem, ptr};

use mlua::ffi::{self, lua_CFunction};

use super::{Call, Entry, Results};
use crate::luau::host_functions::HostEntry;
use crate::luau::stack::{Stack, Tag};

/// The first upvalue of the running function.
const UPVALUE: u8 = 1;

impl Stack<'_> {
    /// Pushes a function of ours.
    pub(in crate::luau) fn push_function(&mut self, entry: &Entry) {
        self.push_named(entry, entry.name, 0);
    }

    /// Pushes a function of ours with the topmost values as its upvalues.
    pub(in crate::luau) fn push_closure(&mut self, entry: &Entry, upvalues: u8) {
        self.push_named(entry, entry.name, upvalues.into());
    }

    fn push_named(&mut self, entry: &Entry, name: &CStr, upvalues: c_int) {
        let upvalues = upvalues.min(self.top());
        let Entry { function, continuation, .. } = *entry;
        // Luau leaves out a name that is not there; an empty one would show in error messages.
        let name = if name.is_empty() { ptr::null() } else { name.as_ptr() };
        // SAFETY: there are so many values. The function and the continuation are those of an `Entry`, which Luau may
        // call. It copies the name.
        unsafe { ffi::lua_pushcclosurek(self.thread(), function, name, upvalues, continuation) }
    }

    /// Puts a function of ours in the place of one of Luau's at an index, which it can [call](Call::original).
    ///
    /// # Safety
    ///
    /// There must be a C function that uses no upvalue and never yields.
    pub(in crate::luau) unsafe fn stand_in(&mut self, index: i32, entry: &Entry) {
        // SAFETY: by the contract something is there.
        let original = unsafe { ffi::lua_tocfunction(self.thread(), index) }.expect("a function of Luau's");
        self.push_address(original as *const c_void, Tag::Original);
        self.push_closure(entry, 1);
        self.replace(if index < 0 { index - 1 } else { index });
    }

    /// Pushes what scripts call instead of a host function, which has its path as its name.
    ///
    /// # Safety
    ///
    /// `host` must live as long as the state.
    pub(in crate::luau) unsafe fn push_host_function(&mut self, host: &HostEntry, entry: &Entry) {
        self.push_address(ptr::from_ref(host), Tag::Host);
        self.push_named(entry, &host.0, 1);
    }
}

/// Functions of Luau that are asked for an upvalue, counted from 1.
macro_rules! of_an_upvalue {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty = $function:ident;)*) => {
        impl Call<'_> {$(
            #[inline]
            fn $name(&self, number: u8 $(, $argument: $type)*) -> $result {
                // SAFETY: a C function runs. Any of its upvalues may be asked for, and what is pushed has room.
                unsafe { ffi::$function(self.thread(), ffi::lua_upvalueindex(number.into()) $(, $argument)*) }
            }
        )*}
    };
}

of_an_upvalue! {
    upvalue_type() -> c_int = lua_type;
    address_upvalue(tag: c_int) -> *mut c_void = lua_tolightuserdatatagged;
    number_upvalue(is_number: &mut c_int) -> f64 = lua_tonumberx;
    push_value_of() -> () = lua_pushvalue;
}

impl<'a> Call<'a> {
    /// The address in the upvalue, null if there is none with that tag.
    #[inline]
    fn address_in_upvalue(&self, tag: Tag) -> *mut c_void {
        self.address_upvalue(UPVALUE, tag as c_int)
    }

    /// Calls the function that the running one stands in for, with the same arguments. Its results are on top, so many.
    #[inline]
    pub(in crate::luau) fn call_original(&mut self) -> c_int {
        let address = self.address_in_upvalue(Tag::Original);
        if address.is_null() {
            return 0;
        }
        // SAFETY: only `stand_in` makes such upvalues, of the address of such a function.
        let original = unsafe { mem::transmute::<*mut c_void, lua_CFunction>(address) };
        // SAFETY: it runs in our place, on our stack. By the contract of `stand_in` it uses nothing else of ours.
        unsafe { original(self.thread()) }
    }

    /// Calls the function that the running one stands in for, and forgets what it returns.
    pub(in crate::luau) fn original_in_between(&mut self) {
        let top = self.top();
        self.call_original();
        self.resize(top);
    }

    /// What the function returns that the running one stands in for.
    #[inline]
    pub(in crate::luau) fn original_results(mut self) -> Results<'a> {
        Results::new(self.call_original())
    }

    /// The same of a function that resets a thread. Luau cannot go on with one that was reset by half, so it gets the
    /// memory that this takes.
    pub(in crate::luau) fn original_results_with_all_memory(self) -> Results<'a> {
        let _guard = self.running().slice().grant_all_memory();
        self.original_results()
    }

    /// The same, where the results, so many on top, tell what to charge for them.
    #[inline]
    pub(in crate::luau) fn original(mut self, cost: impl FnOnce(&Stack<'a>, u32) -> u64) -> Results<'a> {
        let count = self.call_original();
        let units = cost(&self, count.unsigned_abs());
        self.charge(units);
        Results::new(count)
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
        let entry = self.address_in_upvalue(Tag::Host).cast::<HostEntry>();
        // SAFETY: only `push_host_function` makes such upvalues, of entries that live as long as the state.
        unsafe { entry.as_ref() }
    }

    /// Pushes an upvalue of the running function, counted from 1. Nil if it has none there.
    pub(in crate::luau) fn push_upvalue(&mut self, number: u8) {
        self.push_value_of(number);
    }

    /// Moves the value on top to an upvalue of the running function, if it has that.
    pub(in crate::luau) fn replace_upvalue(&mut self, number: u8) {
        if self.upvalue_type(number) != ffi::LUA_TNONE && self.top() > 0 {
            // SAFETY: there is such an upvalue, and a value on top.
            unsafe { ffi::lua_replace(self.thread(), ffi::lua_upvalueindex(number.into())) }
        }
    }

    /// The number that a closure has as its upvalue.
    pub(in crate::luau) fn number_in_upvalue(&self) -> Option<f64> {
        let mut is_number = 0;
        let number = self.number_upvalue(UPVALUE, &mut is_number);
        (is_number != 0).then_some(number)
    }
}
