//! What Luau takes for granted where it runs a piece of code: what a save must have right.

use super::heap::{CodeView, Word, Words};

/// A loop: while an instruction of it is next, Luau trusts its registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loop {
    /// Its first instruction, and the one that goes back there.
    pub(super) first: i32,
    pub(super) last: i32,
    /// The first of three registers.
    pub(super) register: u8,
    pub(super) kind: LoopKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoopKind {
    /// Three numbers.
    Numeric,
    /// If nil and a table, then how far it is.
    Generic,
    /// The same, which ends at the first element that is not there.
    Sequence,
}

/// A table that is filled after it was made: meanwhile Luau trusts that it is in its register.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    /// The instruction that makes it, and the one that fills it.
    first: i32,
    last: i32,
    pub(super) register: u8,
}

/// What is next when a thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Safepoint {
    /// It uses all values from a register on up to the top of the stack.
    UpToTop(u8),
    /// It uses what is in registers.
    Registers,
}

/// How a function has called another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallSite {
    /// Where the other function is.
    pub(super) register: i32,
    pub(super) results: i32,
    /// Whether a loop has called its iterator.
    pub(super) by_loop: bool,
}

/// What a function that is made gets as an upvalue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capture {
    /// The code of the new function, as the instruction names it.
    pub(super) child: i32,
    pub(super) is_constant: bool,
    /// Its upvalue, and that of the function that makes it.
    pub(super) upvalue: u8,
    pub(super) from: u8,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Facts {
    /// Of each word what it is. `None` if it belongs to the instruction before.
    words: Vec<Option<Word>>,
    pub(super) loops: Vec<Loop>,
    lists: Vec<List>,
    /// Upvalues that are assigned: they must be variables that others share.
    pub(super) assigned: Vec<bool>,
    /// Upvalues that are handed on.
    pub(super) captures: Vec<Capture>,
    /// Whether there is an instruction that our compiler never makes.
    pub(super) is_unknown: bool,
}

/// `A`, `B`, `C` and `D` of an instruction: see Bytecode.h.
fn a(word: u32) -> u8 {
    (word >> 8) as u8
}

fn b(word: u32) -> u8 {
    (word >> 16) as u8
}

fn c(word: u32) -> u8 {
    (word >> 24) as u8
}

fn d(word: u32) -> i32 {
    word.cast_signed() >> 16
}

/// What `CAPTURE` takes: an upvalue of the function itself.
const OF_UPVALUE: u8 = 2;

impl Facts {
    pub(super) fn of(code: &CodeView<'_>) -> Self {
        let mut facts = Self {
            words: vec![None; code.words.len()],
            loops: Vec::new(),
            lists: Vec::new(),
            assigned: vec![false; code.upvalues.into()],
            captures: Vec::new(),
            is_unknown: false,
        };
        let operations = Words::get();
        let (mut at, mut child) = (0, None);
        while let Some(&word) = code.words.get(at) {
            let (what, words) = operations.of(word);
            facts.words[at] = Some(what);
            facts.note(code, at, what, &mut child);
            at += words;
        }
        facts
    }

    fn note(&mut self, code: &CodeView<'_>, at: usize, what: Word, child: &mut Option<(i32, bool, u8)>) {
        let word = code.words[at];
        let here = at as i32;
        let target = here + 1 + d(word);
        if what != Word::Capture {
            *child = None;
        }
        match what {
            Word::NumericLoop => {
                let kind = LoopKind::Numeric;
                self.loops.push(Loop { first: target, last: here, register: a(word), kind });
            }
            Word::GenericLoop => {
                let is_sequence = code.words.get(at + 1).is_some_and(|&aux| aux.cast_signed() < 0);
                let kind = if is_sequence { LoopKind::Sequence } else { LoopKind::Generic };
                self.loops.push(Loop { first: target, last: here, register: a(word), kind });
            }
            Word::SetList => {
                // Wherever that is, it has been made before. What is not found here was made before everything.
                let makes_it = |&first: &usize| {
                    self.words[first] == Some(Word::NewTable) && a(code.words[first]) == a(word)
                };
                let first = (0..at).rev().find(makes_it).unwrap_or(0) as i32;
                self.lists.push(List { first, last: here, register: a(word) });
            }
            Word::SetUpvalue => {
                if let Some(is_assigned) = self.assigned.get_mut(usize::from(b(word))) {
                    *is_assigned = true;
                }
            }
            Word::NewClosure => *child = Some((d(word), false, 0)),
            Word::CopyClosure => *child = Some((d(word), true, 0)),
            Word::Capture => {
                if let Some((child, is_constant, upvalue)) = child {
                    if a(word) == OF_UPVALUE {
                        let (child, is_constant, upvalue) = (*child, *is_constant, *upvalue);
                        self.captures.push(Capture { child, is_constant, upvalue, from: b(word) });
                    }
                    *upvalue = upvalue.saturating_add(1);
                }
            }
            Word::Unknown => self.is_unknown = true,
            _ => {}
        }
    }

    fn word(&self, at: i32) -> Option<Word> {
        *self.words.get(usize::try_from(at).ok()?)?
    }

    /// What is there, if a thread can have stopped before that instruction.
    pub(super) fn safepoint(&self, code: &CodeView<'_>, at: i32) -> Option<Safepoint> {
        let what = self.word(at)?;
        let word = code.words[at as usize];
        match what {
            // Without a number of arguments, those are up to the top.
            Word::Call if b(word) == 0 => Some(Safepoint::UpToTop(a(word).saturating_add(1))),
            Word::Return if b(word) == 0 => Some(Safepoint::UpToTop(a(word))),
            Word::Call | Word::Return | Word::NumericLoop | Word::GenericLoop | Word::JumpBack => {
                Some(Safepoint::Registers)
            }
            _ => None,
        }
    }

    /// How the function has called another one, if `next` is where that returns to.
    pub(super) fn call_site(&self, code: &CodeView<'_>, next: i32) -> Option<CallSite> {
        let at = next.checked_sub(1)?;
        let what = self.word(at)?;
        let word = code.words[at as usize];
        match what {
            Word::Call => {
                Some(CallSite { register: a(word).into(), results: i32::from(c(word)) - 1, by_loop: false })
            }
            Word::GenericLoop => {
                let variables = code.words.get(next as usize)? & 0xff;
                Some(CallSite { register: i32::from(a(word)) + 3, results: variables as i32, by_loop: true })
            }
            _ => None,
        }
    }

    /// The loops that an instruction is in.
    pub(super) fn loops_at(&self, next: i32) -> impl Iterator<Item = &Loop> {
        self.loops.iter().filter(move |it| (it.first..=it.last).contains(&next))
    }

    /// The tables that are being filled when an instruction is next.
    pub(super) fn lists_at(&self, next: i32) -> impl Iterator<Item = &List> {
        self.lists.iter().filter(move |list| list.first < next && next <= list.last)
    }

    /// Whether its first instruction moves its arguments out of the way.
    pub(super) fn moves_arguments(&self) -> bool {
        self.word(0) == Some(Word::Variadic)
    }
}
