//! The scripts of `tests/hostile`, for tests and the stress.

/// Writes out what a script says is to be repeated: `{{1000 text}}` stands for a thousand times `text`.
pub fn expand(source: &str) -> String {
    let mut parts = source.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (count, rest) = part.split_once(' ').expect("a number and a space");
        // Where braces are repeated the last two are ours.
        let end = rest.find("}}").expect("an end");
        let end = end + rest[end + 2..].bytes().take_while(|&byte| byte == b'}').count();
        text += &rest[..end].repeat(count.parse().expect("a number"));
        text += &rest[end + 2..];
    }
    text
}
