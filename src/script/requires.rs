//! Finds the modules that a script requires, so that they can be loaded with it.

use super::scanner::{Scanner, Token};

/// A call of `require` with a string literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequireCall {
    /// The string.
    pub(crate) specifier: String,
    /// Where it is, counted from 1.
    pub(crate) line: u32,
}

/// The calls of `require` with a string literal, in the order of the source. It need not be valid
/// Luau. A `require` that is not Luau's, a local variable of that name, is taken for one, too: a
/// linter would complain about it.
pub(crate) fn require_calls(source: &[u8]) -> Vec<RequireCall> {
    let mut scanner = Scanner::new(source);
    let mut calls = Vec::new();
    let mut state = State::Other;
    while let Some(token) = scanner.next_token() {
        let line = scanner.line();
        state = match (state, token) {
            (State::Field, Token::Name(_)) => State::Other,
            (_, Token::Name(b"require")) => State::Require { line },
            (_, Token::Symbol(b'.' | b':')) => State::Field,
            // `require(...)`, `pcall(require, ...)`
            (State::Require { line }, Token::Symbol(b'(' | b',')) => State::Argument { line },
            (State::Require { line }, Token::Text(Some(specifier))) => {
                calls.push(RequireCall { specifier, line });
                State::Other
            }
            (State::Argument { line }, Token::Text(Some(specifier))) => {
                State::Closing(RequireCall { specifier, line })
            }
            (State::Closing(call), Token::Symbol(b')')) => {
                calls.push(call);
                State::Other
            }
            _ => State::Other,
        };
    }
    calls
}

/// What the last tokens were.
enum State {
    Other,
    /// `.` or `:`: a name that follows is a field, not the global.
    Field,
    Require {
        line: u32,
    },
    /// `require(`
    Argument {
        line: u32,
    },
    /// `require("..."`
    Closing(RequireCall),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<String> {
        require_calls(source.as_bytes()).into_iter().map(|call| call.specifier).collect()
    }

    #[test]
    fn all_forms_of_the_call_are_found() {
        assert_eq!(found(r#"local a = require("./a")"#), ["./a"]);
        assert_eq!(found("require './b' require [[./c]] require([==[./d]==])"), ["./b", "./c", "./d"]);
        assert_eq!(found("require --[[ why ]] ( -- not\n './e' )"), ["./e"]);
        assert_eq!(found("f(require('./f'), { g = require('./g') })"), ["./f", "./g"]);
        assert_eq!(found("return (require('./h') :: any).x, 'i' .. require('./i')"), ["./h", "./i"]);
        assert_eq!(found("local a = ...\nrequire('./j')"), ["./j"]);
    }

    #[test]
    fn protected_calls_are_found() {
        assert_eq!(found("pcall(require, './a') xpcall(require, handler, './b')"), ["./a"]);
    }

    #[test]
    fn what_is_no_call_of_the_global_is_not() {
        assert_eq!(found("t.require('./a') t:require('./b') requires('./c') xrequire './d'"), [""; 0]);
        assert_eq!(found("-- require('./a')\n--[[ require('./b') ]] --[=[ ]] require('./c') ]=]"), [""; 0]);
        assert_eq!(found(r#"local s = "require('./a')" .. 'require("./b")' .. [[require('./c')]]"#), [""; 0]);
        assert_eq!(found("require(name) require('./a' .. name)"), [""; 0], "they fail when they run");
        assert_eq!(found(r#"require("\46/a") require(`./{name}`)"#), [""; 0]);
        assert_eq!(found("local unfinished = 'require(\"./a\")\nrequire('./b')"), ["./b"]);
    }

    #[test]
    fn expressions_inside_interpolated_strings_are_code() {
        assert_eq!(found("`require('./a') {require('./b')} \\{ require('./c')`"), ["./b"]);
        assert_eq!(found("`{ { x = `{require('./a')}` } } require('./b')` require('./c')"), ["./a", "./c"]);
    }

    #[test]
    fn lines_are_counted_everywhere() {
        let source = "--[[\n]] local s = [[\n\n]] .. 'a\\\nb' .. `\n{1}\n`\nrequire(\n'./a')";
        let line = 1 + source[..source.find("require").unwrap()].matches('\n').count() as u32;
        assert_eq!(require_calls(source.as_bytes()), [RequireCall { specifier: "./a".into(), line }]);
    }

    #[test]
    fn truncated_sources_end_the_scan() {
        for source in ["\"", "'\\", "`", "`{", "`\\", "[[", "--[==[", "require(", "}", "[=", "-"] {
            assert_eq!(found(source), [""; 0], "{source}");
        }
    }
}
