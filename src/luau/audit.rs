//! Audits: finding out what the threads of a memory category can [reach](super::reach).

use super::objects::Object;
use super::reach::Audit;
use super::state::LuauState;

impl LuauState {
    /// It is to be found out what the threads of a memory category can reach.
    pub(crate) fn begin_audit(&mut self, category: u8) {
        self.audit = None;
        self.audit(category, 0);
    }

    /// Goes on with that, for about so many objects. Bytes, when it is known; from the beginning, if there was a
    /// collection. Where objects look different from what is thought, it is what is charged to the category.
    pub(crate) fn audit(&mut self, category: u8, count: usize) -> Option<usize> {
        let Some(objects) = self.objects else { return Some(self.category_bytes(category)) };
        let mut audit = match self.audit.take() {
            Some(audit) if audit.category == category => audit,
            _ => {
                // SAFETY: the layout is known. The state is ours alone until this returns, and the audit is dropped
                // before the collector runs.
                let registry = unsafe { Object::new(self.main().registry_object()) };
                Box::new(Audit::new((category, self.category_bytes(category)), objects, registry))
            }
        };
        if audit.step(count) {
            return Some(audit.bytes);
        }
        self.audit = Some(audit);
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::luau::stack::Stack;
    use crate::luau::{HostFunctions, LuauState};

    const OWN: u8 = 7;
    const OTHER: u8 = 8;

    /// What is charged to a category, and what it can reach, found out in at least so many steps.
    fn charged_and_reached(state: &mut LuauState, category: u8, least_steps: u32) -> (usize, usize) {
        state.collect();
        let mut steps = 0;
        let reached = loop {
            steps += 1;
            if let Some(bytes) = state.audit(category, 30) {
                break bytes;
            }
        };
        assert!(steps >= least_steps, "{steps} steps");
        (state.category_bytes(category), reached)
    }

    /// `make` leaves values on the stack of a thread of a category.
    fn thread(state: &mut LuauState, category: u8, make: impl Fn(&mut Stack<'_>)) {
        state
            .protect(|stack| {
                stack.set_memory_category(category);
                let thread = stack.push_thread();
                stack.set_memory_category(0);
                make(&mut thread.stack());
                stack.refer_to(-1);
                stack.pop(1);
            })
            .expect("memory");
    }

    fn texts(stack: &mut Stack<'_>, count: u32) {
        stack.push_table(0, 0);
        for number in 1..=count {
            stack.push_bytes(format!("a text that two have: {number}").as_bytes());
            stack.raw_set_element(-2, number.cast_signed());
        }
    }

    #[test]
    fn objects_are_known() {
        let state = LuauState::open(HostFunctions::default(), None).expect("memory");
        assert!(
            state.objects.is_some() || !cfg!(target_pointer_width = "64"),
            "Luau has changed: see `objects`"
        );
    }

    #[test]
    fn who_has_nothing_of_others_reaches_what_it_is_charged_for() {
        let mut state = LuauState::open(HostFunctions::default(), None).expect("memory");
        thread(&mut state, OWN, |stack| {
            texts(stack, 2000);
            for size in [0, 3, 16, 17, 5000] {
                stack.push_zeros(size);
                stack.push_table(size, size);
                stack.push_number(1.0);
                stack.raw_set_element(-2, 1);
                stack.push_thread();
            }
            stack.push_value(1);
        });
        let (charged, reached) = charged_and_reached(&mut state, OWN, 4);
        assert_eq!(charged, reached);
    }

    #[test]
    fn what_others_keep_is_theirs() {
        let mut state = LuauState::open(HostFunctions::default(), None).expect("memory");
        thread(&mut state, OWN, |stack| {
            texts(stack, 1000);
            stack.resize(0);
            texts(stack, 10);
        });
        thread(&mut state, OTHER, |stack| texts(stack, 1000));
        let own = charged_and_reached(&mut state, OWN, 1);
        let other = charged_and_reached(&mut state, OTHER, 2);
        assert!(own.0 > own.1 + 40_000 && other.1 > other.0 + 40_000, "{own:?} {other:?}");
        assert!(own.1 < 3000, "{own:?}");
    }
}
