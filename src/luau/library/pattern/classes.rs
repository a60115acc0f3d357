//! Classes of bytes in patterns: `%a` and its like, and sets, `[...]`.

/// What gives the byte after it another meaning.
pub(super) const ESCAPE: u8 = b'%';

/// Whether a byte is in the class with a letter. Any other letter stands for itself.
#[inline]
pub(super) fn is_in_class(byte: u8, letter: u8) -> bool {
    let is_in = match letter.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | b'\t'..=b'\r'),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return letter == byte,
    };
    is_in == letter.is_ascii_lowercase()
}

/// Whether a byte is in a set, which is what stands between the brackets.
pub(super) fn is_in_set(byte: u8, set: &[u8]) -> bool {
    let (is_negated, set) = match set {
        [b'^', set @ ..] => (true, set),
        set => (false, set),
    };
    let mut rest = set;
    let is_in = loop {
        rest = match *rest {
            [] => break false,
            [ESCAPE, letter, ref rest @ ..] => match is_in_class(byte, letter) {
                true => break true,
                false => rest,
            },
            [first, b'-', last, ref rest @ ..] => match (first..=last).contains(&byte) {
                true => break true,
                false => rest,
            },
            [literal, ref rest @ ..] => match literal == byte {
                true => break true,
                false => rest,
            },
        };
    };
    is_in != is_negated
}
