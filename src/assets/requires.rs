//! Finds the modules that a script requires, so that they can be loaded with it.

/// A call of `require` with a string literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequireCall {
    /// The string.
    pub(super) specifier: String,
    /// Where it is, counted from 1.
    pub(super) line: u32,
}

/// The calls of `require` with a string literal, in the order of the source. It need not be valid
/// Luau. A `require` that is not Luau's, a local variable of that name, is taken for one, too: a
/// linter would complain about it.
pub(super) fn require_calls(source: &[u8]) -> Vec<RequireCall> {
    let mut scanner = Scanner { source, at: 0, line: 1, braces: Vec::new() };
    let mut calls = Vec::new();
    let mut state = State::Other;
    while let Some(token) = scanner.next_token() {
        let line = scanner.line;
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

enum Token<'a> {
    Name(&'a [u8]),
    /// A string literal. `None` if it has escapes, is not UTF-8 or is interpolated.
    Text(Option<String>),
    Symbol(u8),
}

struct Scanner<'a> {
    source: &'a [u8],
    at: usize,
    line: u32,
    /// For each interpolated string that the position is in, the braces open in its expression.
    braces: Vec<usize>,
}

impl<'a> Scanner<'a> {
    fn next_token(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = &self.source[self.at..];
            let token = match *rest.first()? {
                b'-' if rest.starts_with(b"--") => {
                    self.at += 2;
                    if self.long_bracket().is_none() {
                        self.take_while(|byte| byte != b'\n');
                    }
                    continue;
                }
                b'[' => match self.long_bracket() {
                    Some(text) => Token::Text(utf8(text)),
                    None => self.symbol(),
                },
                quote @ (b'"' | b'\'') => self.quoted(quote),
                b'`' => {
                    self.at += 1;
                    self.interpolated()
                }
                b'{' => {
                    self.braces.last_mut().into_iter().for_each(|open| *open += 1);
                    self.symbol()
                }
                b'}' if self.braces.last() == Some(&0) => {
                    self.at += 1;
                    self.braces.pop();
                    self.interpolated()
                }
                b'}' => {
                    self.braces.last_mut().into_iter().for_each(|open| *open -= 1);
                    self.symbol()
                }
                byte if is_name(byte) => Token::Name(self.take_while(is_name)),
                byte if byte.is_ascii_whitespace() => {
                    self.take_while(|byte| byte.is_ascii_whitespace());
                    continue;
                }
                _ => self.symbol(),
            };
            return Some(token);
        }
    }

    /// One character, or a run of dots or colons, which is another symbol than one of them.
    fn symbol(&mut self) -> Token<'a> {
        let first = self.source[self.at];
        self.at += 1;
        let run = if matches!(first, b'.' | b':') { self.take_while(|byte| byte == first).len() } else { 0 };
        Token::Symbol(if run == 0 { first } else { b' ' })
    }

    /// Takes bytes from the position on and counts their lines.
    fn take_while(&mut self, is_wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.source[self.at..];
        let length = rest.iter().position(|&byte| !is_wanted(byte)).unwrap_or(rest.len());
        self.take(length)
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let taken = &self.source[self.at..][..length];
        self.at += length;
        self.line += taken.iter().filter(|&&byte| byte == b'\n').count() as u32;
        taken
    }

    /// The text of `[[...]]` or `[==[...]==]`, if there is one at the position.
    fn long_bracket(&mut self) -> Option<&'a [u8]> {
        let rest = self.source[self.at..].strip_prefix(b"[")?;
        let level = rest.iter().take_while(|&&byte| byte == b'=').count();
        rest[level..].strip_prefix(b"[")?;
        let closing = [b"]", vec![b'='; level].as_slice(), b"]"].concat();
        self.take(level + 2);
        let rest = &self.source[self.at..];
        let end = rest.windows(closing.len()).position(|window| window == closing);
        let text = self.take(end.unwrap_or(rest.len()));
        self.take(end.map_or(0, |_| closing.len()));
        Some(text)
    }

    fn quoted(&mut self, quote: u8) -> Token<'a> {
        self.at += 1;
        let begin = self.at;
        let mut has_escapes = false;
        loop {
            self.take_while(|byte| byte != quote && byte != b'\\' && byte != b'\n');
            match self.source.get(self.at) {
                Some(b'\\') => {
                    has_escapes = true;
                    self.take(2.min(self.source.len() - self.at));
                }
                end => {
                    let text = &self.source[begin..self.at];
                    let is_closed = end == Some(&quote);
                    self.at += usize::from(is_closed);
                    return Token::Text(utf8(text).filter(|_| is_closed && !has_escapes));
                }
            }
        }
    }

    /// Skips the text of an interpolated string up to its end or its next expression.
    fn interpolated(&mut self) -> Token<'a> {
        loop {
            self.take_while(|byte| !matches!(byte, b'`' | b'{' | b'\\'));
            match self.source.get(self.at) {
                Some(b'\\') => {
                    self.take(2.min(self.source.len() - self.at));
                }
                Some(b'{') => {
                    self.at += 1;
                    self.braces.push(0);
                    return Token::Symbol(b'{');
                }
                end => {
                    self.at += usize::from(end.is_some());
                    return Token::Text(None);
                }
            }
        }
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn utf8(text: &[u8]) -> Option<String> {
    String::from_utf8(text.to_vec()).ok()
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
