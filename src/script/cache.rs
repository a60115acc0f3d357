//! Scripts that are compiled once, however often they come.

use bevy::platform::collections::HashSet;

use super::Script;

/// Scripts by content, so that the same text given twice is compiled once.
#[derive(Debug, Default)]
pub(crate) struct CompileCache {
    scripts: HashSet<Script>,
    /// What they took when they were last counted, and the sources of those that have come since.
    bytes: usize,
    since_count: usize,
}

/// Beyond this many, the cache starts anew: scripts that are still needed are compiled again.
const CACHED_SCRIPTS: usize = 4096;

/// The same for their sources and bytecode: scripts start processes from source that they make up.
const CACHED_BYTES: usize = 32 << 20;

/// Scripts are compiled after they have come, so what they take is counted again whenever so many more are there.
const SCRIPTS_PER_COUNT: usize = 64;

impl CompileCache {
    /// The script with this content that came first.
    pub(crate) fn intern(&mut self, script: &Script) -> Script {
        if let Some(known) = self.scripts.get(script) {
            return known.clone();
        }
        if self.scripts.len() == CACHED_SCRIPTS || self.bytes > CACHED_BYTES {
            self.scripts.clear();
            self.bytes = 0;
        }
        self.bytes += script.bytes();
        self.since_count += 1;
        if self.since_count == SCRIPTS_PER_COUNT {
            self.since_count = 0;
            self.bytes = self.scripts.iter().map(Script::bytes).sum();
        }
        self.scripts.insert(script.clone());
        script.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_is_interned_once() {
        let mut cache = CompileCache::default();
        let (a, b) = (Script::new("a", "return 1"), Script::new("a", "return 1"));
        assert_eq!(cache.intern(&a).address(), cache.intern(&b).address());
        assert_ne!(cache.intern(&Script::new("b", "return 1")).address(), a.address());
        assert_ne!(cache.intern(&Script::new("a", "return 2")).address(), a.address());
    }

    #[test]
    fn the_cache_is_bounded_in_scripts_and_bytes() {
        let mut cache = CompileCache::default();
        for i in 0..3 * CACHED_SCRIPTS {
            cache.intern(&Script::new(i.to_string(), ""));
        }
        assert!(cache.scripts.len() <= CACHED_SCRIPTS);
        let (mut cache, text) = (CompileCache::default(), "x = 1 ".repeat(10_000));
        for i in 0..200 {
            let script = cache.intern(&Script::new(i.to_string(), text.clone()));
            assert_eq!(script.compile(), Ok(()));
            let bytes: usize = cache.scripts.iter().map(Script::bytes).sum();
            assert!(bytes <= 3 * CACHED_BYTES, "{bytes}");
        }
    }
}
