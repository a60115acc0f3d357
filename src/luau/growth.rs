//! What a state shares among its VMs grows between slices, where that can be foreseen.

use super::state::LuauState;

impl LuauState {
    /// Grows the table of strings if it is nearly full.
    pub(crate) fn grow_string_table(&mut self) {
        let Some(table) = self.memory.string_table().filter(|table| table.is_crowded()) else { return };
        let (used, size) = (table.used(), table.size());
        // It grows with the next string that is new. If there is no memory for that, it stays as it is.
        table.set_used(size);
        let text = format!("bevy_luau_os: more than {size} strings");
        _ = self.protect(|stack| {
            stack.push_bytes(text.as_bytes());
            stack.pop(1);
        });
        table.set_used(table.used() - size + used);
    }
}

#[cfg(test)]
mod tests {
    use crate::luau::string_table::MIN_SIZE;
    use crate::luau::{HostFunctions, LuauState};

    #[test]
    fn it_grows_before_it_is_full_and_counts_what_is_there() {
        let mut state = LuauState::open(HostFunctions::default(), None).expect("memory");
        let table = state.memory.string_table().expect("Luau has changed: look up the layout");
        let add = |state: &mut LuauState, count: u32| {
            let before = table.used();
            for number in before..before + count {
                let text = format!("a string of its own: {number}");
                state.protect(|stack| stack.push_bytes(text.as_bytes())).expect("memory");
            }
            assert_eq!(table.used() - before, count);
        };
        while table.size() < MIN_SIZE {
            add(&mut state, 1);
        }
        let size = table.size();
        for _ in 0..size / 2 {
            state.grow_string_table();
            add(&mut state, 1);
        }
        assert_eq!(table.size(), 2 * size, "its three quarters were full");
        state.collect();
        let collected = table.used();
        assert!(collected < size / 2, "{collected}");
    }
}
