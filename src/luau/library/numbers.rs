//! Functions that take numbers and nothing else. Each takes strings with numbers in them, too, and reading those takes
//! longer than all else that it does: ours reads them for it, and takes no long strings.

use std::ffi::CStr;

use super::call::{Call, Entry, Returned};

/// A function that only takes numbers, or what cannot be taken for one.
fn of_numbers(mut call: Call<'_>) -> Returned<'_> {
    call.read_numbers(1)?;
    Ok(call.original_results())
}

/// What stands before a function with this name.
pub(super) const fn entry(name: &'static CStr) -> Entry {
    Entry::new(name, of_numbers)
}

/// What they are called, by their libraries.
pub(super) const NAMES: &[(&CStr, &[&CStr])] = &[
    (
        c"math",
        &[
            c"abs",
            c"acos",
            c"asin",
            c"atan",
            c"atan2",
            c"ceil",
            c"clamp",
            c"cos",
            c"cosh",
            c"deg",
            c"exp",
            c"floor",
            c"fmod",
            c"frexp",
            c"isfinite",
            c"isinf",
            c"isnan",
            c"ldexp",
            c"lerp",
            c"log",
            c"log10",
            c"map",
            c"max",
            c"min",
            c"modf",
            c"noise",
            c"pow",
            c"rad",
            c"round",
            c"sign",
            c"sin",
            c"sinh",
            c"sqrt",
            c"tan",
            c"tanh",
        ],
    ),
    (
        c"bit32",
        &[
            c"arshift",
            c"band",
            c"bnot",
            c"bor",
            c"btest",
            c"bxor",
            c"byteswap",
            c"countlz",
            c"countrz",
            c"extract",
            c"lrotate",
            c"lshift",
            c"replace",
            c"rrotate",
            c"rshift",
        ],
    ),
    (
        c"integer",
        &[c"arshift", c"create", c"extract", c"lrotate", c"lshift", c"replace", c"rrotate", c"rshift"],
    ),
    (c"vector", &[c"create", c"lerp"]),
    (
        c"buffer",
        &[
            c"readbits",
            c"readf32",
            c"readf64",
            c"readi16",
            c"readi32",
            c"readi8",
            c"readinteger",
            c"readu16",
            c"readu32",
            c"readu8",
            c"writebits",
            c"writef32",
            c"writef64",
            c"writei16",
            c"writei32",
            c"writei8",
            c"writeinteger",
            c"writeu16",
            c"writeu32",
            c"writeu8",
        ],
    ),
];
