//! Whatever bytes are given as a script: it compiles or it fails, and nothing crashes.
//!
//! The same under a fuzzer that looks for new paths:
//! `LUAU_CXXFLAGS=-DLUAU_ENABLE_ASSERT cargo +nightly fuzz run loader`.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::FileFailurePersistence;

use crate::loader;

/// Stack of the main thread on Windows, the smallest of those on which a game compiles. Bevy's task
/// threads have 2 MiB.
const SMALL_STACK: usize = 1 << 20;

/// What nests: what comes before the core, and what after it.
const NESTING: &[(&str, &str, &str, &str)] = &[
    ("return ", "(", "1", ")"),
    ("return ", "{", "1", "}"),
    ("return ", "{a=", "1", "}"),
    ("return ", "f(", "1", ")"),
    ("return ", "f{", "1", "}"),
    ("return ", "t[", "1", "]"),
    ("return ", "function() return ", "1", " end"),
    ("return ", "if a then b else ", "1", ""),
    ("return ", "if ", "a", " then b else c"),
    ("return ", "not ", "a", ""),
    ("return ", "- ", "a", ""),
    ("return ", "`{", "1", "}`"),
    ("return ", "a .. ", "b", ""),
    ("return ", "a ^ ", "b", ""),
    ("return ", "a + ", "b", ""),
    ("return ", "a and (b or ", "c", ")"),
    ("return a", "", "", "()"),
    ("return a", "", "", ".b"),
    ("return a", "", "", "[1]"),
    ("return a", "", "", ":b()"),
    ("return a", "", "", " :: any"),
    ("", "do ", "f()", " end"),
    ("", "if a then ", "f()", " end"),
    ("if a then ", "elseif b then ", "end", ""),
    ("", "while a do ", "f()", " end"),
    ("", "repeat ", "f()", " until a"),
    ("", "for i = 1, 2 do ", "f()", " end"),
    ("", "for _ in a do ", "f()", " end"),
    ("", "function f() ", "g()", " end"),
    ("", "local function f() ", "g()", " end"),
    ("local a = 1 ", "local function f() return a, ", "1", " end"),
    ("local a: ", "{", "any", "}"),
    ("local a: ", "(", "any", ")"),
    ("local a: ", "{ a: ", "any", " }"),
    ("local a: ", "(a) -> ", "any", ""),
    ("local a: ", "b<", "any", ">"),
    ("local a: ", "typeof(", "any", ")"),
    ("local a: any", "", "", " | any"),
    ("local a: any", "", "", " & any"),
    ("local a: any", "", "", "?"),
    ("type a = ", "b<", "any", ">"),
    ("return ", "(function(...) return ", "...", " end)(...)"),
    ("", "@native ", "function f() end", ""),
    ("return ", "[[", "", "]]"),
    ("", "--[[", "", "]]"),
];

fn nested(&(before, open, core, close): &(&str, &str, &str, &str), depth: usize) -> Vec<u8> {
    [before, &open.repeat(depth), core, &close.repeat(depth)].concat().into_bytes()
}

/// Loads scripts on a thread with a [`SMALL_STACK`]. Which of them compile.
fn load_on_a_small_stack(sources: Vec<Vec<u8>>) -> Vec<bool> {
    let small = std::thread::Builder::new().stack_size(SMALL_STACK);
    let load = move || {
        let mut app = loader::app();
        sources.iter().map(|source| loader::load(&mut app, source)).collect()
    };
    small.spawn(load).expect("thread").join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[test]
fn nesting_as_deep_as_the_parser_allows_and_deeper_fits_the_stack() {
    for nesting in NESTING {
        // Luau counts up to 1,000 levels, some constructs several times.
        let depths = [1, 10, 150, 300, 450, 480, 900, 980, 1000, 1100, 20_000];
        let compiles = load_on_a_small_stack(depths.map(|depth| nested(nesting, depth)).to_vec());
        assert!(compiles[0], "{}", String::from_utf8_lossy(&nested(nesting, 1)));
    }
}

#[test]
fn what_is_not_a_script_is_refused_and_a_script_is_not() {
    let mut app = loader::app();
    let compiles = |source: &[u8]| loader::load(&mut app, source);
    let sources: [&[u8]; 8] = [
        b"",
        b"return '\xff\xfe\x80'",
        b"return '\0'",
        b"-- \0\xff",
        b"\xef\xbb\xbfreturn 1",
        b"#!/usr/bin/env luau\nreturn 1",
        b"return 0x",
        b"\x05\x03\x01\x00",
    ];
    let expected = [true, true, false, true, true, true, false, false];
    assert_eq!(sources.map(compiles), expected);
}

/// Bytes, shown as text.
#[derive(Clone)]
struct Source(Vec<u8>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// A place in a text, and what to do there.
#[derive(Clone, Debug)]
enum Edit {
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Move(Index, usize, Index),
}

impl Edit {
    fn apply(&self, text: &mut Vec<u8>) {
        let at = |index: &Index, text: &Vec<u8>| index.index(text.len() + 1);
        let until = |at: usize, count: usize, text: &Vec<u8>| (at + count).min(text.len());
        match self {
            Self::Insert(index, bytes) => {
                let at = at(index, text);
                text.splice(at..at, bytes.iter().copied());
            }
            Self::Remove(index, count) => {
                let at = at(index, text);
                text.drain(at..until(at, *count, text));
            }
            Self::Repeat(index, count, times) => {
                let at = at(index, text);
                let part = text[at..until(at, *count, text)].repeat(*times);
                text.splice(at..at, part);
            }
            Self::Move(from, count, to) => {
                let from = at(from, text);
                let part: Vec<u8> = text.drain(from..until(from, *count, text)).collect();
                let to = at(to, text);
                text.splice(to..to, part);
            }
        }
    }
}

fn edits() -> impl Strategy<Value = Edit> {
    let index = any::<Index>;
    let token = select(vec![
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        "end ",
        "function ",
        "local ",
        "=",
        "..",
        "...",
        "::",
        "->",
        "`",
        "\"",
        "'",
        "[==[",
        "--[[",
        "\\",
        "\\u{",
        "\\x",
        "0x",
        "1e",
        "1e999",
        "0b",
        "_",
        "\0",
        "\u{feff}",
        "\u{202e}",
        "if ",
        "then ",
        "else ",
        "return ",
        "break ",
        "continue ",
        "type ",
        "export ",
        "@",
        "<",
        ">",
        "?",
        "|",
        "&",
        "%",
        "^",
        "#",
        ";",
        ",",
        ":",
        ".",
        "//=",
        "not ",
        "and ",
        "or ",
        "nil ",
        "repeat ",
        "until ",
    ]);
    prop_oneof![
        4 => (index(), vec(token, 1..4)).prop_map(|(at, tokens)| Edit::Insert(at, tokens.concat().into_bytes())),
        2 => (index(), vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        2 => (index(), 1usize..60).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => (index(), 1usize..30, 2usize..600).prop_map(|(at, count, times)| Edit::Repeat(at, count, times)),
        2 => (index(), 1usize..60, index()).prop_map(|(from, count, to)| Edit::Move(from, count, to)),
    ]
}

fn sources() -> impl Strategy<Value = Source> {
    let valid = select(vec![
        include_str!("../scripts/pass/coroutine_library.luau"),
        include_str!("../scripts/pass/deep_generators.luau"),
        include_str!("../scripts/pass/metamethods.luau"),
        include_str!("../scripts/pass/protected_calls.luau"),
        include_str!("../scripts/library/strings.luau"),
        include_str!("../scripts/library/sort.luau"),
        "export type A<T> = { [string]: T, x: (T, ...number) -> (T?, ...A<T>) } | 'a' & typeof(1) local x: A<any> = \
         (nil :: any)",
    ]);
    let edited = (valid, vec(edits(), 1..8)).prop_map(|(text, edits)| {
        let mut text = text.as_bytes().to_vec();
        edits.iter().for_each(|edit| edit.apply(&mut text));
        text
    });
    let deep = (vec((select(NESTING), 1usize..1200), 1..3)).prop_map(|parts| {
        parts.iter().map(|(nesting, depth)| nested(nesting, *depth)).collect::<Vec<_>>().join(&b'\n')
    });
    let blob = (0u8..16, vec(any::<u8>(), 0..300)).prop_map(|(first, rest)| [vec![first], rest].concat());
    prop_oneof![4 => edited, 1 => deep, 1 => vec(any::<u8>(), 0..2000), 1 => blob].prop_map(Source)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(200),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_compile_or_fail(sources in vec(sources(), 1..8)) {
        load_on_a_small_stack(sources.into_iter().map(|source| source.0).collect());
    }
}
