//! Keys: how servers know that a save is one of theirs.

use std::fmt;

/// A secret with which saves are sealed, so that those who have it know that nobody else has made or changed them.
///
/// It does not hide what is in a save.
#[derive(Clone, PartialEq, Eq)]
pub struct SaveKey(pub(super) [u8; 32]);

impl SaveKey {
    /// A key of 32 bytes that nobody can guess: random ones, from a secret of the server.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// Shows nothing of it.
impl fmt::Debug for SaveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SaveKey(..)")
    }
}
