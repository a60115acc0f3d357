//! What a source says to the compiler, taken out of it.
//!
//! Comments such as `--!optimize 2` at the top and the attribute `@native` turn inlining and unrolling on: five functions
//! of 900 bytes in all then take 600 ms to compile. What a script costs to compile is not for its author to say, so the
//! compiler does not see either. Every byte keeps its place, so errors name the right lines.

use std::borrow::Cow;
use std::ops::Range;

use super::scanner::{Scanner, Token};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The source as the compiler is to see it: without byte order mark, shebang line and directives.
pub(super) fn without_directives(source: &[u8]) -> Cow<'_, [u8]> {
    let mut source = Cow::Borrowed(source.strip_prefix(BYTE_ORDER_MARK).unwrap_or(source));
    if source.starts_with(b"#!") {
        source.to_mut()[..2].copy_from_slice(b"--");
    }
    for at in hot_comments(&source) {
        source.to_mut()[at] = b' ';
    }
    for range in native_attributes(&source) {
        source.to_mut()[range].fill(b' ');
    }
    source
}

/// Where the exclamation marks are of `--!` comments before all code: only those reach the compiler.
fn hot_comments(source: &[u8]) -> Vec<usize> {
    let mut scanner = Scanner::new(source);
    scanner.next_token();
    let header = &source[..scanner.range().start];
    // One inside another comment is taken for one, too. That changes nothing.
    memchr::memmem::find_iter(header, b"--!").map(|at| at + 2).collect()
}

/// The attributes that make the compiler compile for native code.
fn native_attributes(source: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    // Few sources have any, and to look for the word takes no time.
    if memchr::memchr(b'@', source).is_none() || memchr::memmem::find(source, b"native").is_none() {
        return found;
    }
    let mut scanner = Scanner::new(source);
    while let Some(token) = scanner.next_token() {
        let at = scanner.range();
        if token != Token::Symbol(b'@') {
            continue;
        }
        match scanner.next_token() {
            Some(Token::Name(b"native")) if scanner.range().start == at.end => {
                found.push(at.start..scanner.range().end);
            }
            Some(Token::Symbol(b'[')) if scanner.range().start == at.end => {
                native_in_list(&mut scanner, at.start, &mut found);
            }
            _ => {}
        }
    }
    found
}

/// What to take out of a list of attributes, `@[a, native, b]`, that began at `start`: the whole if it has no other.
fn native_in_list(scanner: &mut Scanner, start: usize, found: &mut Vec<Range<usize>>) {
    let (first, mut others, mut depth) = (found.len(), 0, 0_u32);
    // The comma that goes with the word: the one after it, or before it if there is none.
    let (mut comma_before, mut wants_comma) = (None, false);
    while let Some(token) = scanner.next_token() {
        let range = scanner.range();
        match token {
            Token::Symbol(b']') if depth == 0 => break,
            Token::Symbol(b'(' | b'{' | b'[') => depth += 1,
            Token::Symbol(b')' | b'}' | b']') => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            Token::Name(b"native") => {
                found.push(range);
                wants_comma = true;
            }
            Token::Symbol(b',') if std::mem::take(&mut wants_comma) => found.push(range),
            Token::Symbol(b',') => comma_before = Some(range),
            _ => others += 1,
        }
    }
    if others == 0 && found.len() > first {
        found.truncate(first);
        found.push(start..scanner.range().end);
    } else {
        found.extend(comma_before.filter(|_| wants_comma));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(source: &str) -> String {
        String::from_utf8(without_directives(source.as_bytes()).into_owned()).expect("UTF-8")
    }

    #[test]
    fn comments_for_the_compiler_are_comments_like_others() {
        assert_eq!(cleaned("--!optimize 2\n--!native\nlocal x"), "-- optimize 2\n-- native\nlocal x");
        assert_eq!(
            cleaned("--[[ a ]] -- b\n\t--!optimize 2\rreturn"),
            "--[[ a ]] -- b\n\t-- optimize 2\rreturn"
        );
        assert_eq!(cleaned("return '--!optimize 2' --!optimize 2"), "return '--!optimize 2' --!optimize 2");
        assert_eq!(cleaned("--!strict"), "-- strict");
    }

    #[test]
    fn the_native_attribute_is_taken_out_and_nothing_else() {
        assert_eq!(cleaned("@native function f() end"), "        function f() end");
        assert_eq!(cleaned("@[native] function f() end"), "          function f() end");
        assert_eq!(cleaned("@[native, deprecated] local"), "@[        deprecated] local");
        assert_eq!(
            cleaned("@[deprecated { use = 'native' }, native] local"),
            "@[deprecated { use = 'native' }        ] local"
        );
        for source in
            ["'@native'", "-- @native", "@ native", "a.native", "@nativex", "`@native`", "@[x(native)]"]
        {
            assert_eq!(cleaned(source), source);
        }
        assert_eq!(cleaned("'\\z\n' @native '@native'"), "'\\z\n'         '@native'");
    }

    #[test]
    fn byte_order_marks_and_shebang_lines_are_skipped() {
        assert_eq!(cleaned("\u{feff}return 1"), "return 1");
        assert_eq!(cleaned("\u{feff}#!/usr/bin/env luau\nreturn 1"), "--/usr/bin/env luau\nreturn 1");
        assert_eq!(cleaned("#!/bin/sh\n--!optimize 2\nreturn"), "--/bin/sh\n-- optimize 2\nreturn");
        assert_eq!(cleaned("return #'!'"), "return #'!'");
    }
}
