//! What scripts look for and do not find: an error says what to use instead.
//!
//! All of it is nil, so that `if loadstring then` does what it should. To read one of these names leaves a note of where
//! that was. `nil` has a metatable for the errors of calling and indexing it, which looks whether there is a note from
//! the same line.

use super::call::{Call, Failure, Returned};
use crate::luau::context::Missed;

/// Names, and what to use instead, in alphabetical order. Those of members have their library in front.
const MISSING: &[(&str, &str)] = &[
    ("Instance", "it is Roblox's; the game's own functions are what it has added"),
    ("collectgarbage", "the game collects garbage; process.info().memory is what is in use"),
    ("debug.getinfo", "use debug.info"),
    ("debug.getmetatable", "use getmetatable"),
    ("delay", "use task.delay"),
    ("dofile", "use require"),
    ("elapsedTime", "use os.clock"),
    ("game", "it is Roblox's; the game's own functions are what it has added"),
    ("gcinfo", "use process.info().memory"),
    ("getfenv", "the globals of a process are in _G"),
    ("io", "scripts have no files: use print, and what the game has added"),
    ("load", "use process.spawn"),
    ("loadfile", "use require"),
    ("loadstring", "use process.spawn"),
    ("module", "return a table, and use require"),
    ("os.execute", "use process.spawn"),
    ("os.exit", "use process.exit"),
    ("os.getenv", "use process.args"),
    ("os.remove", "scripts have no files"),
    ("os.rename", "scripts have no files"),
    ("os.tmpname", "scripts have no files"),
    ("package", "use require"),
    ("script", "it is Roblox's; require takes a path, as in require(\"./module\")"),
    ("setfenv", "the globals of a process are in _G"),
    ("shared", "use _G, or messages"),
    ("spawn", "use task.spawn"),
    ("tick", "use os.clock"),
    ("time", "use os.clock"),
    ("wait", "use task.wait"),
    ("workspace", "it is Roblox's; the game's own functions are what it has added"),
];

/// The entry of a name, if it is one of those.
fn find(name: &[u8]) -> Option<&'static (&'static str, &'static str)> {
    let at = MISSING.binary_search_by(|(missing, _)| missing.as_bytes().cmp(name)).ok()?;
    MISSING.get(at)
}

/// A global is read that nobody has defined.
pub(super) fn note_global(call: &mut Call<'_>) {
    let entry = call.bytes(2).and_then(find);
    note(call, entry);
}

/// `__index` of `os`.
pub(super) fn os_member(mut call: Call<'_>) -> Returned<'_> {
    note_member(&mut call, "os.");
    Ok(call.nil())
}

/// `__index` of `debug`.
pub(super) fn debug_member(mut call: Call<'_>) -> Returned<'_> {
    note_member(&mut call, "debug.");
    Ok(call.nil())
}

fn note_member(call: &mut Call<'_>, library: &str) {
    let is_missing = |(name, _): &&(&str, &str)| {
        name.strip_prefix(library).is_some_and(|member| call.bytes(2) == Some(member.as_bytes()))
    };
    let entry = MISSING.iter().find(is_missing);
    note(call, entry);
}

fn note(call: &mut Call<'_>, entry: Option<&'static (&'static str, &'static str)>) {
    if let Some(&(name, instead)) = entry
        && let Some(at) = position(call)
        && let Some(context) = call.context()
    {
        context.missed = Some(Missed { name, instead, at });
    }
}

/// `__call` of nil.
pub(super) fn call_nil(mut call: Call<'_>) -> Returned<'_> {
    Err(match take_note(&mut call) {
        Some((name, instead)) => Failure::text(format!("{name} is not there: {instead}")),
        None => Failure::text("attempt to call a nil value"),
    })
}

/// `__index` of nil. Its message is Luau's (`luaG_indexerror`).
pub(super) fn index_nil(mut call: Call<'_>) -> Returned<'_> {
    let mut message = match call.bytes(2) {
        Some(key) if key.len() <= 64 => {
            let end = key.iter().position(|&byte| byte == 0).unwrap_or(key.len());
            format!("attempt to index nil with '{}'", String::from_utf8_lossy(&key[..end]))
        }
        _ => format!("attempt to index nil with {}", call.kind_name(call.kind(2))),
    };
    if let Some((name, instead)) = take_note(&mut call) {
        message += &format!(" ({name} is not there: {instead})");
    }
    Err(Failure::text(message))
}

/// What was looked for in the line that runs, if that was the last thing that was not there.
fn take_note(call: &mut Call<'_>) -> Option<(&'static str, &'static str)> {
    let at = position(call)?;
    let missed = call.context()?.missed.take()?;
    (missed.at == at).then_some((missed.name, missed.instead))
}

/// The script that runs, and its line.
fn position(call: &Call<'_>) -> Option<(usize, i32)> {
    // The first frame is our own function's; then there may be that of `pcall` or the like.
    for level in 1..4 {
        let at = call
            .frame(level, |frame| (frame.what != c"C").then(|| (frame.source.as_ptr().addr(), frame.line)))?;
        if at.is_some() {
            return at;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        assert!(MISSING.is_sorted_by_key(|(name, _)| name.as_bytes()));
        assert_eq!(find(b"loadstring"), Some(&("loadstring", "use process.spawn")));
        assert_eq!(find(b"print"), None);
    }
}
