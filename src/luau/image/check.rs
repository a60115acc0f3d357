//! Whether an image is what Luau could have left: its interpreter trusts its stacks and its code.
//!
//! What a program could do by itself is not checked. A wrong value in a variable is its own affair.

use std::collections::HashSet;

use super::bytes::{Read, table_bits};
use super::facts::{Loop, LoopKind, Safepoint};
use super::heap::{Code, Frame, Heap, ObjectKind, flags};
use super::model::{Item, Model, Saved, SavedTable, SavedThread};
use super::names::{Names, Role};
use super::programs::KnownCode;

/// Status of a thread: `lua_Status` in lua.h.
pub(super) mod status {
    pub(in super::super) const OK: u8 = 0;
    pub(in super::super) const YIELD: u8 = 1;
    /// The last of those of errors, which are between.
    pub(in super::super) const LAST_ERROR: u8 = 5;
    pub(in super::super) const BREAK: u8 = 6;
}

/// Values for which a function that is no script's has room.
const ROOM: usize = 20;
/// Values beyond the top of a stack that operations use, and that a loop uses to call its iterator.
const EXTRA: usize = 8;
/// Results that one of our functions can want from what it calls.
const MAX_WANTED: i32 = 1;

/// What a function on a stack is.
#[derive(Clone, Copy)]
pub(super) enum Callee {
    Script(Code),
    /// With whether it has a continuation.
    Native(Role, bool),
    /// What it was is not there any more.
    Gone,
}

/// What things in an image are in the state where it is loaded.
pub(super) trait Meaning {
    /// Of which type an object is. `None` if it is not there.
    fn kind(&self, number: u32) -> Option<ObjectKind>;
    /// What a function is.
    fn callee(&self, number: u32) -> Option<Callee>;
}

/// What a thread gets.
pub(super) struct ThreadPlan {
    /// The frames, but for the first.
    pub(super) frames: Vec<Frame>,
    /// Values for which its stack must have room.
    pub(super) room: usize,
    /// Loops over tables that it is in: their first registers as places on the stack.
    pub(super) loops: Vec<usize>,
    /// Whether it runs a function that is not there any more.
    pub(super) is_broken: bool,
}

/// See the [module](self).
pub(super) struct Checker<'c, M> {
    pub(super) model: &'c Model,
    pub(super) meaning: &'c M,
    pub(super) heap: &'c Heap,
    pub(super) known: &'c mut KnownCode,
}

impl<M: Meaning> Checker<'_, M> {
    /// Whether a value refers to something that values can refer to.
    pub(super) fn value(&self, item: usize, value: Saved) -> Read<()> {
        match value {
            Saved::Object(number) => match self.meaning.kind(number) {
                None | Some(ObjectKind::UPVALUE) => self.model.refuse(item, format!("{number} is no value")),
                Some(_) => Ok(()),
            },
            Saved::DeadKey => self.model.refuse(item, "a value is a dead key"),
            _ => Ok(()),
        }
    }

    fn plain_value(&self, item: usize, value: Saved) -> Read<()> {
        match value {
            Saved::Iterator(_) => self.model.refuse(item, "the place of a loop is outside of a stack"),
            value => self.value(item, value),
        }
    }

    pub(super) fn object(&self, item: usize, number: u32, kind: ObjectKind) -> Read<()> {
        if self.meaning.kind(number) == Some(kind) {
            return Ok(());
        }
        self.model.refuse(item, format!("object {number} has another type than it should have"))
    }

    /// Checks an item, but for the frames of threads.
    pub(super) fn item(&mut self, number: usize) -> Read<()> {
        let model = self.model;
        match &model.items[number] {
            Item::Table(table) => self.table(number, table),
            Item::Function { environment, .. } => self.object(number, *environment, ObjectKind::TABLE),
            Item::Native { number: native, upvalues } => {
                for &value in &model.values[upvalues.clone()] {
                    self.plain_value(number, value)?;
                    if Names::wraps(*native) {
                        let Saved::Object(thread) = value else {
                            return model.refuse(number, "it wraps no thread");
                        };
                        self.object(number, thread, ObjectKind::THREAD)?;
                    }
                }
                Ok(())
            }
            Item::Upvalue(value) => self.plain_value(number, *value),
            Item::Userdata { metatable } => {
                metatable.map_or(Ok(()), |metatable| self.object(number, metatable, ObjectKind::TABLE))
            }
            Item::Thread(thread) => self.thread(number, thread),
            _ => Ok(()),
        }
    }

    /// Checks the upvalues of a function against its code.
    pub(super) fn upvalues(&mut self, number: usize, code: Code) -> Read<()> {
        let model = self.model;
        let Item::Function { upvalues, .. } = &model.items[number] else { return Ok(()) };
        let values = &model.values[upvalues.clone()];
        if values.len() != usize::from(self.heap.code(code).upvalues) {
            return model.refuse(number, "it has another number of upvalues than its code");
        }
        let known = self.known.look(self.heap, code);
        for (&value, &is_shared) in values.iter().zip(&known.shared) {
            let is_variable = match value {
                Saved::Object(object) => self.meaning.kind(object) == Some(ObjectKind::UPVALUE),
                _ => false,
            };
            if is_shared && !is_variable {
                return model.refuse(number, "an upvalue that its code assigns is no variable");
            }
        }
        values
            .iter()
            .filter(|value| !self.is_upvalue(**value))
            .try_for_each(|&value| self.plain_value(number, value))
    }

    fn is_upvalue(&self, value: Saved) -> bool {
        matches!(value, Saved::Object(number) if self.meaning.kind(number) == Some(ObjectKind::UPVALUE))
    }

    fn table(&self, number: usize, table: &SavedTable) -> Read<()> {
        let model = self.model;
        table.metatable.map_or(Ok(()), |metatable| self.object(number, metatable, ObjectKind::TABLE))?;
        for &value in &model.values[table.elements.clone()] {
            self.plain_value(number, value)?;
        }
        let nodes = &model.nodes[table.nodes.clone()];
        for node in nodes {
            self.plain_value(number, node.value)?;
            let is_dead = matches!(node.key, Saved::DeadKey | Saved::Nil);
            if is_dead && node.value != Saved::Nil {
                return model.refuse(number, "there is a value without a key");
            }
            if node.key != Saved::DeadKey {
                self.plain_value(number, node.key)?;
            }
            let is_nan = match node.key {
                Saved::Number(number) => number.is_nan(),
                Saved::Vector(lanes) => lanes.iter().any(|lane| lane.is_nan()),
                _ => false,
            };
            if is_nan {
                return model.refuse(number, "a key is not a number");
            }
            let is_by_address = self.is_by_address(node.key);
            if is_by_address && !table.is(table_bits::BY_ADDRESS) {
                return model.refuse(number, "a key is an object, for which it has no place");
            }
        }
        let elements = table.elements.len() as i64;
        let free = i64::from(table.free);
        let range = if table.log_nodes.is_some() { 0..=nodes.len() as i64 } else { -elements..=0 };
        if !range.contains(&free) {
            return model.refuse(number, "what it knows of free places is wrong");
        }
        if table.is(table_bits::BY_ADDRESS) { Ok(()) } else { self.chains(number, table) }
    }

    fn is_by_address(&self, key: Saved) -> bool {
        matches!(key, Saved::Object(object) if self.meaning.kind(object) != Some(ObjectKind::STRING))
    }

    /// Chains of nodes must lead to nodes, and end.
    fn chains(&self, number: usize, table: &SavedTable) -> Read<()> {
        let nodes = &self.model.nodes[table.nodes.clone()];
        let mut has_previous = vec![false; nodes.len()];
        let next =
            |at: usize| at.checked_add_signed(nodes[at].next as isize).filter(|&next| next < nodes.len());
        for (at, node) in nodes.iter().enumerate().filter(|(_, node)| node.next != 0) {
            let Some(next) = next(at) else {
                return self.model.refuse(number, "a chain of nodes leads out of it");
            };
            if std::mem::replace(&mut has_previous[next], true) || node.key == Saved::Nil {
                return self.model.refuse(number, "chains of nodes meet");
            }
        }
        let mut seen = 0;
        for first in (0..nodes.len()).filter(|&at| !has_previous[at]) {
            let mut at = first;
            seen += 1;
            while nodes[at].next != 0 {
                at = next(at).unwrap_or(at);
                seen += 1;
            }
        }
        if seen == nodes.len() { Ok(()) } else { self.model.refuse(number, "a chain of nodes has no end") }
    }

    /// Checks all of a thread but its frames.
    fn thread(&self, number: usize, thread: &SavedThread) -> Read<()> {
        let model = self.model;
        self.object(number, thread.globals, ObjectKind::TABLE)?;
        let values = &model.values[thread.values.clone()];
        values.iter().try_for_each(|&value| self.value(number, value))?;
        if values.is_empty() || values[0] != Saved::Nil {
            return model.refuse(number, "a stack has no beginning");
        }
        let top = thread.top();
        if !(1..=top).contains(&thread.base) {
            return model.refuse(number, "the frame of a thread is not on its stack");
        }
        let mut above = top;
        let mut seen = HashSet::new();
        for &(place, upvalue) in &thread.open {
            if place >= above || place == 0 || !seen.insert(upvalue) {
                return model.refuse(number, "open upvalues are in disorder");
            }
            self.object(number, upvalue, ObjectKind::UPVALUE)?;
            above = place;
        }
        let is_right = match thread.status {
            status::OK => thread.frames.is_empty() && thread.base == 1,
            status::YIELD | status::BREAK => !thread.frames.is_empty(),
            2..=status::LAST_ERROR => top > thread.base,
            _ => false,
        };
        if is_right { Ok(()) } else { model.refuse(number, "a thread is in no state that there is") }
    }

    /// What the frames of a thread are. Its other parts must have been checked.
    pub(super) fn plan(&mut self, number: usize, thread: &SavedThread) -> Read<ThreadPlan> {
        let top = thread.top();
        let mut plan =
            ThreadPlan { frames: Vec::new(), room: top + ROOM, loops: Vec::new(), is_broken: false };
        let is_live = matches!(thread.status, status::YIELD | status::BREAK);
        let mut below: Option<Callee> = None;
        for index in 0..thread.frames.len() {
            let callee = self.callee(number, thread, index)?;
            if matches!(callee, Callee::Gone) {
                plan.is_broken = true;
                return Ok(plan);
            }
            let mut frame = self.frame(number, thread, index, callee)?;
            if is_live {
                self.called_from(number, thread, index, below, &mut frame)?;
                match callee {
                    Callee::Script(code) => {
                        self.script_frame(number, thread, index, code, &mut frame, &mut plan)?
                    }
                    Callee::Native(role, has_continuation) => {
                        self.native_frame(number, thread, index, (role, has_continuation), &mut frame)?;
                    }
                    Callee::Gone => {}
                }
            }
            plan.room = plan.room.max(frame.top as usize + EXTRA);
            plan.frames.push(frame);
            below = Some(callee);
        }
        Ok(plan)
    }

    fn callee(&self, number: usize, thread: &SavedThread, index: usize) -> Read<Callee> {
        let place = thread.frames[index].function;
        let value = (place >= 1).then(|| self.model.values[thread.values.clone()].get(place)).flatten();
        let callee = match value {
            Some(&Saved::Object(object)) => self.meaning.callee(object),
            _ => None,
        };
        callee.map_or_else(|| self.model.refuse(number, "a frame has no function"), Ok)
    }

    /// A frame, and where it lies. A dead thread is only looked at.
    fn frame(&self, number: usize, thread: &SavedThread, index: usize, callee: Callee) -> Read<Frame> {
        let saved = thread.frames[index];
        let refuse = |why: &'static str| self.model.refuse(number, why);
        let previous = index.checked_sub(1).map_or(1, |previous| thread.frames[previous].base);
        if saved.function < previous && index > 0 || saved.base > thread.top() {
            return refuse("a frame is not where it can be");
        }
        let mut frame = Frame {
            function: saved.function as i32,
            base: saved.base as i32,
            top: (saved.base + ROOM).max(thread.top()) as i32,
            next: 0,
            results: saved.results,
            flags: 0,
            is_script: 0,
        };
        let is_live = matches!(thread.status, status::YIELD | status::BREAK);
        let arguments = saved.base - saved.function;
        if let Callee::Script(code) = callee {
            let view = self.heap.code(code);
            let parameters = usize::from(view.parameters);
            let is_right = if view.is_variadic { arguments > parameters } else { arguments == 1 };
            if is_live && !is_right || saved.next > view.words.len() {
                return refuse("a frame does not fit to its function");
            }
            frame.is_script = 1;
            frame.next = saved.next as i32;
            frame.top = (saved.base + usize::from(view.registers)) as i32;
        } else if arguments != 1 || saved.next != 0 {
            return refuse("a frame does not fit to its function");
        }
        Ok(frame)
    }

    /// How the function below has called this one.
    fn called_from(
        &mut self,
        number: usize,
        thread: &SavedThread,
        index: usize,
        below: Option<Callee>,
        frame: &mut Frame,
    ) -> Read<()> {
        let refuse = |why: &'static str| self.model.refuse(number, why);
        let results = frame.results;
        frame.flags = flags::RETURN;
        let Some((previous, below)) = index.checked_sub(1).zip(below) else {
            return if results == -1 { Ok(()) } else { refuse("the first call wants all results") };
        };
        match below {
            Callee::Script(code) => {
                let caller = thread.frames[previous];
                let view = self.heap.code(code);
                let site = self.known.look(self.heap, code).facts.call_site(&view, caller.next as i32);
                let Some(site) = site else { return refuse("a function called nothing where it did") };
                if frame.function != caller.base as i32 + site.register || results != site.results {
                    return refuse("a function was called in another way than its caller does");
                }
                if !site.by_loop {
                    frame.flags = 0;
                }
                Ok(())
            }
            Callee::Native(Role::Waits, _) if results <= MAX_WANTED => Ok(()),
            _ if results == -1 => Ok(()),
            _ => refuse("a function was called for another number of results"),
        }
    }

    fn script_frame(
        &mut self,
        number: usize,
        thread: &SavedThread,
        index: usize,
        code: Code,
        frame: &mut Frame,
        plan: &mut ThreadPlan,
    ) -> Read<()> {
        let saved = thread.frames[index];
        let model = self.model;
        let view = self.heap.code(code);
        let facts = &self.known.look(self.heap, code).facts;
        let is_top = index + 1 == thread.frames.len();
        if facts.is_unknown || view.is_variadic != facts.moves_arguments() {
            return model.refuse(number, "code is of a kind that is not known");
        }
        let next = saved.next as i32;
        let at = if is_top {
            let end = saved.base + usize::from(view.registers);
            let is_right = match facts.safepoint(&view, next) {
                None => return model.refuse(number, "no thread stops at that instruction"),
                // Luau makes room for the arguments beyond the registers, whose number nobody knows any more.
                Some(Safepoint::Registers) => {
                    frame.top = thread.top() as i32;
                    thread.top() >= end
                }
                Some(Safepoint::UpToTop(register)) => thread.top() >= saved.base + usize::from(register),
            };
            if !is_right || thread.base != saved.base || thread.status != status::BREAK {
                return model.refuse(number, "a stack ends where it cannot");
            }
            next
        } else {
            if let Some(site) = facts.call_site(&view, next).filter(|site| site.by_loop) {
                frame.flags |= flags::LOOP;
                // What the iterator returns takes the third place. With a table, that would be the place of a loop.
                let first = (saved.base as i32 + site.register - 3) as usize;
                if model.values[thread.values.clone()].get(first).is_none_or(|&it| it == Saved::Nil) {
                    return model.refuse(number, "a loop calls nothing");
                }
            }
            next - 1
        };
        let values = &model.values[thread.values.clone()];
        for list in facts.lists_at(at) {
            let is_table = |value: &Saved| matches!(*value, Saved::Object(table) if self.meaning.kind(table) == Some(ObjectKind::TABLE));
            if !values.get(saved.base + usize::from(list.register)).is_some_and(is_table) {
                return model.refuse(number, "a table that is filled is none");
            }
        }
        let loops: Vec<Loop> = facts.loops_at(at).copied().collect();
        for it in loops {
            self.loop_registers(number, thread, saved.base + usize::from(it.register), it.kind)?;
            if it.kind == LoopKind::Generic {
                plan.loops.push(saved.base + usize::from(it.register));
            }
        }
        Ok(())
    }

    fn loop_registers(&self, number: usize, thread: &SavedThread, first: usize, kind: LoopKind) -> Read<()> {
        let values = &self.model.values[thread.values.clone()];
        let Some(&[a, b, c]) = values.get(first..first + 3) else {
            return self.model.refuse(number, "a loop is not on the stack");
        };
        let is_right = if kind == LoopKind::Numeric {
            [a, b, c].iter().all(|value| matches!(value, Saved::Number(_)))
        } else {
            let is_table =
                matches!(b, Saved::Object(table) if self.meaning.kind(table) == Some(ObjectKind::TABLE));
            a != Saved::Nil || !is_table || matches!(c, Saved::Iterator(_))
        };
        if is_right { Ok(()) } else { self.model.refuse(number, "a loop has lost its place") }
    }

    fn native_frame(
        &self,
        number: usize,
        thread: &SavedThread,
        index: usize,
        (role, has_continuation): (Role, bool),
        frame: &mut Frame,
    ) -> Read<()> {
        let refuse = |why: &'static str| self.model.refuse(number, why);
        let base = thread.frames[index].base;
        let Some(above) = thread.frames.get(index + 1) else {
            let is_right = match thread.status {
                status::YIELD => match role {
                    Role::Yield => true,
                    // What it is resumed with comes above what it has left.
                    Role::Waits => thread.base > base,
                    _ => false,
                },
                _ => matches!(role, Role::Resumes { .. }) && thread.base == base,
            };
            let is_below = thread.base >= base;
            return if is_right && is_below { Ok(()) } else { refuse("a function stops where it cannot") };
        };
        match role {
            Role::Protected { has_handler } => {
                frame.flags |= flags::HANDLE;
                frame.next = i32::from(has_handler);
                if above.function != base + usize::from(has_handler) {
                    return refuse("a protected call is not where it can be");
                }
            }
            Role::Waits if has_continuation => {}
            _ => return refuse("a function called another one that cannot"),
        }
        frame.top = above.function as i32 + above.results.max(0);
        Ok(())
    }
}

/// The thread that another one waits for, which has broken.
pub(super) fn resumed_thread<M: Meaning>(checker: &Checker<'_, M>, thread: &SavedThread) -> Option<u32> {
    let last = thread.frames.last()?;
    let values = &checker.model.values[thread.values.clone()];
    let Some(&Saved::Object(function)) = values.get(last.function) else { return None };
    let value = match checker.meaning.callee(function)? {
        Callee::Native(Role::Resumes { in_upvalue: false }, _) => *values.get(last.base)?,
        Callee::Native(Role::Resumes { in_upvalue: true }, _) => {
            match checker.model.items.get(function as usize)? {
                Item::Native { upvalues, .. } => *checker.model.values[upvalues.clone()].first()?,
                _ => return None,
            }
        }
        _ => return None,
    };
    match value {
        Saved::Object(thread) => Some(thread),
        _ => None,
    }
}
