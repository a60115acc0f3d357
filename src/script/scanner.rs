//! Tokens of a source, read without Luau's parser.
//!
//! Strings and comments end where they do for Luau (Lexer.cpp), so that nothing is taken for code that is none, or the
//! other way round. What is no Luau is read in some way.

use std::ops::Range;

/// A part of a source, as far as those who read it need to tell parts apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A name, a keyword or a number.
    Name(&'a [u8]),
    /// A string literal. `None` if it has escapes, is not UTF-8 or is interpolated.
    Text(Option<String>),
    Symbol(u8),
}

/// Reads the tokens of a source one after another.
pub(crate) struct Scanner<'a> {
    source: &'a [u8],
    at: usize,
    /// Where the last token began.
    start: usize,
    line: u32,
    /// For each interpolated string that the position is in, the braces open in its expression.
    braces: Vec<usize>,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(source: &'a [u8]) -> Self {
        Self { source, at: 0, start: 0, line: 1, braces: Vec::new() }
    }

    /// The line that the scanner has reached, counted from 1.
    pub(crate) fn line(&self) -> u32 {
        self.line
    }

    /// The bytes of the last token.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.at
    }

    /// The next token; comments are none. `None` at the end.
    pub(crate) fn next_token(&mut self) -> Option<Token<'a>> {
        loop {
            self.start = self.at;
            let rest = &self.source[self.at..];
            let token = match *rest.first()? {
                b'-' if rest.starts_with(b"--") => {
                    self.at += 2;
                    if self.long_bracket().is_none() {
                        self.take_while(|byte| !matches!(byte, b'\r' | b'\n'));
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
                byte if is_space(byte) => {
                    self.take_while(is_space);
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
            self.take_while(|byte| byte != quote && !matches!(byte, b'\\' | b'\r' | b'\n'));
            match self.source.get(self.at) {
                Some(b'\\') => {
                    has_escapes = true;
                    self.escape();
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

    /// Skips a backslash and what belongs to it (`Lexer::readBackslashInString`).
    fn escape(&mut self) {
        self.take(1);
        match self.source.get(self.at) {
            Some(b'z') => {
                self.take(1);
                self.take_while(is_space);
            }
            Some(b'\r') if self.source.get(self.at + 1) == Some(&b'\n') => _ = self.take(2),
            Some(_) => _ = self.take(1),
            None => {}
        }
    }

    /// Skips the text of an interpolated string up to its end or its next expression.
    fn interpolated(&mut self) -> Token<'a> {
        loop {
            self.take_while(|byte| !matches!(byte, b'`' | b'{' | b'\\'));
            match self.source.get(self.at) {
                // Or the brace would look like the start of an expression.
                Some(b'\\') if self.source[self.at..].starts_with(b"\\u{") => _ = self.take(3),
                Some(b'\\') => self.escape(),
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

/// As Luau has it, with the vertical tab.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

fn utf8(text: &[u8]) -> Option<String> {
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> Vec<String> {
        let mut scanner = Scanner::new(source.as_bytes());
        let tokens = std::iter::from_fn(|| scanner.next_token());
        let names = tokens.filter_map(|token| match token {
            Token::Name(name) => Some(String::from_utf8_lossy(name).into_owned()),
            _ => None,
        });
        names.collect()
    }

    #[test]
    fn strings_and_comments_end_where_luau_ends_them() {
        for source in [
            "'\\z \n in' out",
            "'\\\r\n in' out",
            "'\\\n in' out",
            "`in \\u{41} in` out",
            "`in \\{ in` out",
            "-- in\r out",
            "--[=[ in ]] in ]=] out",
            "[==[ in ]=] in ]==] out",
            "--[ in\n out",
            "\"in\\\" in\" out",
        ] {
            assert_eq!(names(source), ["out"], "{source:?}");
        }
        assert_eq!(names("a\u{b}b `{c .. `{d}`}` @e"), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn a_token_tells_where_it_is() {
        let mut scanner = Scanner::new(b"-- x\n  name 'text'");
        assert_eq!(scanner.next_token(), Some(Token::Name(b"name")));
        assert_eq!((scanner.range(), scanner.line()), (7..11, 2));
        assert_eq!(scanner.next_token(), Some(Token::Text(Some("text".to_owned()))));
        assert_eq!(scanner.range(), 12..18);
        assert_eq!(scanner.next_token(), None);
    }
}
