//! Which arguments the formats of `string.format` and `string.pack` want to be numbers.

/// Tells the index of each argument that a format of `string.format` makes a number of. The first after it has 2.
pub(super) fn numbers_of_format(format: &[u8], found: &mut dyn FnMut(i32)) {
    let (mut index, mut rest) = (1, format.iter());
    while rest.find(|&&byte| byte == b'%').is_some() {
        let kind = rest.find(|byte| !matches!(byte, b'-' | b'+' | b' ' | b'#' | b'.' | b'0'..=b'9'));
        if kind == Some(&b'%') {
            continue;
        }
        index += 1;
        if !matches!(kind, Some(b's' | b'q' | b'*') | None) {
            found(index);
        }
    }
}

/// The same for `string.pack`.
pub(super) fn numbers_of_pack(format: &[u8], found: &mut dyn FnMut(i32)) {
    let (mut index, mut rest) = (1, format.iter());
    while let Some(option) = rest.next() {
        match option {
            b'<' | b'>' | b'=' | b'!' | b' ' | b'x' | b'0'..=b'9' => {}
            // Aligns to the option after it, which is not packed.
            b'X' => _ = rest.next(),
            b's' | b'z' | b'c' => index += 1,
            _ => {
                index += 1;
                found(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(of: fn(&[u8], &mut dyn FnMut(i32)), format: &str) -> Vec<i32> {
        let mut found = Vec::new();
        of(format.as_bytes(), &mut |index| found.push(index));
        found
    }

    #[test]
    fn numbers_are_told_from_text() {
        assert_eq!(numbers(numbers_of_format, "%d %s%%%05.2f|%-10q %x%*"), [2, 4, 6]);
        assert_eq!(numbers(numbers_of_format, "% d%"), [2]);
        assert_eq!(numbers(numbers_of_pack, "<i4 s2!8 Xd d z c10 B x j"), [2, 4, 7, 8]);
    }
}
