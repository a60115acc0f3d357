//! The container of a save.
//!
//! ```text
//! magic | version | how it is sealed | seal | content
//! 8     | 2       | 1                | 32   |
//! ```
//!
//! The seal is the BLAKE3 hash of the content, or with a key, its keyed one. Both also cover the version.

use super::error::LoadError;
use super::key::SaveKey;

const MAGIC: &[u8; 8] = b"LUAU-OS\n";

/// Of the content. A new one for each change of what is written; old ones are to be read for ever.
const VERSION: u16 = 1;

const HASHED: u8 = 0;
const KEYED: u8 = 1;

const SEAL_AT: usize = MAGIC.len() + 2 + 1;
const CONTENT_AT: usize = SEAL_AT + blake3::OUT_LEN;

/// A container of some content, sealed with a key, if there is one.
pub(crate) fn seal(content: &[u8], key: Option<&SaveKey>) -> Vec<u8> {
    let version = VERSION.to_le_bytes();
    let how = if key.is_some() { KEYED } else { HASHED };
    let seal = seal_of(content, version, key);
    [MAGIC.as_slice(), &version, &[how], seal.as_bytes(), content].concat()
}

fn seal_of(content: &[u8], version: [u8; 2], key: Option<&SaveKey>) -> blake3::Hash {
    let mut hasher = key.map_or_else(blake3::Hasher::new, |key| blake3::Hasher::new_keyed(&key.0));
    hasher.update(&version).update(content);
    hasher.finalize()
}

/// Where the content of a container begins, which goes on to its end. With a key, it must be sealed with that; nothing
/// of the content is looked at before.
pub(crate) fn open(container: &[u8], key: Option<&SaveKey>) -> Result<usize, LoadError> {
    let Some((header, content)) = container.split_at_checked(CONTENT_AT) else {
        return Err(LoadError::new(container.len(), "it ends within its header"));
    };
    if !header.starts_with(MAGIC) {
        return Err(LoadError::new(0, "it is no save of bevy_luau_os"));
    }
    let version = [header[MAGIC.len()], header[MAGIC.len() + 1]];
    if u16::from_le_bytes(version) != VERSION {
        let reason = format!("its version is {}; this is {VERSION}", u16::from_le_bytes(version));
        return Err(LoadError::new(MAGIC.len(), reason));
    }
    let how = header[SEAL_AT - 1];
    match (how, key) {
        (HASHED, None) | (KEYED, Some(_)) => {}
        (HASHED, Some(_)) => return Err(LoadError::new(SEAL_AT - 1, "it is not sealed with a key")),
        (KEYED, None) => return Err(LoadError::new(SEAL_AT - 1, "it is sealed with a key")),
        _ => return Err(LoadError::new(SEAL_AT - 1, format!("it is sealed in an unknown way, {how}"))),
    }
    // Hashes are compared in a time that tells nothing of where they differ.
    if seal_of(content, version, key) != *header.last_chunk().unwrap_or(&[0; blake3::OUT_LEN]) {
        let reason =
            if key.is_some() { "it is sealed with another key, or damaged" } else { "it is damaged" };
        return Err(LoadError::new(SEAL_AT, reason));
    }
    Ok(CONTENT_AT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_can_be_opened_and_nothing_else() {
        let (key, other) = (SaveKey::new([7; 32]), SaveKey::new([8; 32]));
        let (hashed, keyed) = (seal(b"content", None), seal(b"content", Some(&key)));
        assert_eq!(open(&hashed, None).map(|at| &hashed[at..]), Ok(&b"content"[..]));
        assert_eq!(open(&keyed, Some(&key)).map(|at| &keyed[at..]), Ok(&b"content"[..]));
        for (container, key) in
            [(&hashed, Some(&key)), (&keyed, None), (&keyed, Some(&other)), (&b"short".to_vec(), None)]
        {
            assert!(open(container, key).is_err());
        }
        for at in 0..hashed.len() {
            let mut damaged = hashed.clone();
            damaged[at] ^= 1;
            assert!(open(&damaged, None).is_err(), "{at}");
            assert!(open(&hashed[..at], None).is_err(), "{at}");
        }
    }

    #[test]
    fn a_save_of_another_version_is_refused_by_its_number() {
        let mut newer = seal(b"content", None);
        newer[MAGIC.len()] += 1;
        let error = open(&newer, None).expect_err("it is newer").to_string();
        assert_eq!(error, "at byte 8: its version is 2; this is 1");
    }
}
