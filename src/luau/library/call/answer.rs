//! What a function returns.

use std::borrow::Cow;
use std::ffi::c_int;
use std::marker::PhantomData;

use crate::luau::request::Request;
use crate::value::Value;

/// So many values on top of the stack of a call. Only something that consumes the [`Call`](super::Call) makes this, so
/// they are there.
pub(in crate::luau) struct Results<'a> {
    pub(super) count: c_int,
    call: PhantomData<*mut &'a ()>,
}

impl Results<'_> {
    #[inline]
    pub(super) fn new(count: c_int) -> Self {
        Self { count, call: PhantomData }
    }
}

/// What a function returns that always has its results at once.
pub(in crate::luau) type Returned<'a> = Result<Results<'a>, Failure>;

/// What is to happen after a function that has a continuation, which is called when that is over.
pub(in crate::luau) enum Answer<'a> {
    /// Nothing: it has returned.
    Results(Results<'a>),
    /// The thread waits for something. When that began is all that its continuation finds on the stack.
    Wait(Request),
    /// The same, but that the first value on the stack stays there instead.
    WaitWithFirst(Request),
    /// A function of the script is called: the one below the topmost values, with them. How many results it is to leave
    /// on the stack, if not all.
    Call { arguments: u16, results: Option<u16> },
    /// It goes on when a thread does that it has resumed, and that was preempted.
    Break,
    /// The process ends, with results.
    Exit(Vec<Value>),
}

/// What a function returns that has a continuation.
pub(in crate::luau) type Answered<'a> = Result<Answer<'a>, Failure>;

impl<'a> From<Results<'a>> for Answer<'a> {
    fn from(results: Results<'a>) -> Self {
        Self::Results(results)
    }
}

/// An error to be raised where the function was called. In a box, so that results stay small.
#[derive(Debug)]
pub(in crate::luau) struct Failure(pub(super) Box<Cause>);

#[derive(Debug)]
pub(super) enum Cause {
    /// Said after the function's name.
    Named(Cow<'static, str>),
    /// Said as it is, with the position of a caller: 1 is the direct one.
    Text(u16, Cow<'static, str>),
    /// What is wrong with an argument, said as Luau's own functions say it.
    Argument(c_int, &'static str),
    /// An argument has to be something else.
    Type(c_int, &'static str),
    /// The value on top of the stack.
    Value,
}

impl Failure {
    /// The function says why it failed: `name: why`.
    #[cold]
    pub(in crate::luau) fn new(why: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Cause::Named(why.into())))
    }

    /// The task that runs cannot be suspended.
    #[cold]
    pub(super) fn cannot_wait() -> Self {
        Self::new("cannot wait inside a metamethod or a callback of a library function")
    }

    /// A whole message, with the function's name in it.
    #[cold]
    pub(in crate::luau) fn text(message: impl Into<Cow<'static, str>>) -> Self {
        Self::text_at(1, message)
    }

    /// The same, where so many functions called each other on the way from the script.
    #[cold]
    pub(in crate::luau) fn text_at(level: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Cause::Text(level, message.into())))
    }

    /// An argument is not as it should be.
    #[cold]
    pub(in crate::luau) fn argument(index: i32, why: &'static str) -> Self {
        Self(Box::new(Cause::Argument(index, why)))
    }

    /// An argument has another type than it should have.
    #[cold]
    pub(in crate::luau) fn expected(index: i32, kind: &'static str) -> Self {
        Self(Box::new(Cause::Type(index, kind)))
    }

    /// The value on top of the stack is the error.
    #[cold]
    pub(in crate::luau) fn value() -> Self {
        Self(Box::new(Cause::Value))
    }
}
