//! Safepoints in code that has none: long stretches without a call or a loop.
//!
//! One instruction can take a millisecond (`s + 1` reads a number from a string of a million digits, `a < b` compares
//! strings of megabytes) or 30 microseconds (`t[k]` in a table of keys that share a hash), and Luau looks at the interrupt at calls, returns and loops only. A script with
//! thousands of such instructions in a row would hold up a tick for as long as it likes.
//!
//! Luau's compiler can put an instruction that counts coverage before every statement and expression. It
//! has the size of a jump, so where a stretch gets long, we make it one: a `JUMPBACK` to the
//! next instruction, which is a safepoint and nothing else. The others become `NOP`.
//!
//! The instructions are those of Bytecode.h.

/// What is between two safepoints that we place: conversions, and all in all.
const SPACING: Stretch = Stretch { conversions: 2, comparisons: 2, lookups: 8, cost: 24 };

/// What an instruction costs that looks something up: in a chain of 99 `__index`, among colliding keys, in a library
/// function that `__eq` names. One that does neither this nor a conversion costs 1.
const LOOKUP: u32 = 4;

/// What an instruction costs that may convert a string to a number, or compare strings.
const CONVERSION: u32 = 10;

const NOP: u32 = 0;
const LOADN: u32 = 4;
const LOADK: u32 = 5;
const JUMPBACK: u32 = 24;
const JUMPX: u8 = 67;

/// A way through code without a safepoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Instructions that may convert strings to numbers.
    pub(super) conversions: u32,
    /// Those that may compare strings.
    pub(super) comparisons: u32,
    /// Those that look a key up in a table.
    pub(super) lookups: u32,
    /// All instructions, by their [cost](LOOKUP).
    pub(super) cost: u32,
}

impl Stretch {
    /// Whether it is longer than `other` in some way.
    pub(super) fn exceeds(self, other: Self) -> bool {
        self.conversions > other.conversions
            || self.comparisons > other.comparisons
            || self.lookups > other.lookups
            || self.cost > other.cost
    }

    pub(super) fn longest(self, other: Self) -> Self {
        Self {
            conversions: self.conversions.max(other.conversions),
            comparisons: self.comparisons.max(other.comparisons),
            lookups: self.lookups.max(other.lookups),
            cost: self.cost.max(other.cost),
        }
    }

    /// Whether it is time for a safepoint that we place.
    fn is_due(self) -> bool {
        self.conversions >= SPACING.conversions
            || self.comparisons >= SPACING.comparisons
            || self.lookups >= SPACING.lookups
            || self.cost >= SPACING.cost
    }
}

/// Places safepoints where the code of a function counts coverage. Returns its longest way without one; `None` if that is
/// no code of Luau's compiler.
///
/// All ways between safepoints lead forward: loops lead back by instructions that are safepoints, and a
/// jump that is too long for its instruction by way of a `JUMPX` before it, which is one, too.
pub(super) fn place(code: &mut [u8]) -> Option<Stretch> {
    let (words, _) = code.as_chunks_mut::<4>();
    // The longest way to each instruction.
    let mut ways = vec![Stretch::default(); words.len() + 2];
    let (mut at, mut longest) = (0, Stretch::default());
    let mut is_target = vec![false; words.len() + 2];
    // Where the instruction before has put a constant, which is short.
    let mut constant = None;
    while at < words.len() {
        let word = u32::from_le_bytes(words[at]);
        let kind = match Kind::of(word) {
            Kind::Comparison if !is_target[at] && constant.is_some_and(|it| compares(words, at, it)) => {
                Kind::Quick
            }
            kind => kind,
        };
        constant = matches!(word & 0xff, LOADN | LOADK).then(|| words[at][1]);
        let way = ways[at];
        let after = match kind {
            Kind::Coverage if way.is_due() => {
                words[at] = JUMPBACK.to_le_bytes();
                Stretch::default()
            }
            Kind::Coverage => {
                words[at] = NOP.to_le_bytes();
                way
            }
            Kind::Safepoint => Stretch::default(),
            Kind::Conversion => {
                Stretch { conversions: way.conversions + 1, cost: way.cost + CONVERSION, ..way }
            }
            Kind::Comparison => {
                Stretch { comparisons: way.comparisons + 1, cost: way.cost + CONVERSION, ..way }
            }
            Kind::Lookup => Stretch { lookups: way.lookups + 1, cost: way.cost + LOOKUP, ..way },
            Kind::Other => Stretch { cost: way.cost + LOOKUP, ..way },
            Kind::Quick => Stretch { cost: way.cost + 1, ..way },
        };
        longest = longest.longest(way).longest(after);
        let next = at + length(word);
        if let Some(target) = target(word, at) {
            if target > at {
                *is_target.get_mut(target)? = true;
                let way = ways.get_mut(target)?;
                *way = way.longest(after);
            } else if kind != Kind::Safepoint && words.get(target)?[0] != JUMPX {
                return None; // a loop without one: not Luau's compiler
            }
        }
        if !always_jumps(word) {
            let way = ways.get_mut(next)?;
            *way = way.longest(after);
        }
        at = next;
    }
    Some(longest)
}

/// What an instruction means for the time between safepoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Safepoint,
    Coverage,
    /// Reads numbers from strings, or calls a metamethod that may be a library function.
    Conversion,
    /// Compares strings, or calls such a metamethod.
    Comparison,
    /// Looks a key up in a table, in one metatable after another.
    Lookup,
    /// Looks for a metamethod, or calls a library function that does not take long.
    Other,
    /// Takes little time, or as much as the memory that it allocates, which is charged elsewhere.
    Quick,
}

impl Kind {
    fn of(word: u32) -> Self {
        match word & 0xff {
            // CALL, RETURN, JUMPBACK, FORNLOOP, FORGLOOP, JUMPX
            21 | 22 | JUMPBACK | 57 | 58 | 67 => Self::Safepoint,
            69 => Self::Coverage,
            // JUMPIFLE, JUMPIFLT, JUMPIFNOTLE, JUMPIFNOTLT
            28 | 29 | 31 | 32 => Self::Comparison,
            // Arithmetic; MINUS, LENGTH; FORNPREP; SUBRK, DIVRK; IDIV, IDIVK
            33..=44 | 51 | 52 | 56 | 71 | 72 | 81 | 82 => Self::Conversion,
            // GETGLOBAL, SETGLOBAL; GETTABLE, SETTABLE and their kin; NAMECALL
            7 | 8 | 13..=18 | 20 => Self::Lookup,
            // JUMPIFEQ, JUMPIFNOTEQ; CONCAT; SETLIST; FASTCALL and its kin
            27 | 30 | 49 | 55 | 60 | 68 | 73..=75 => Self::Other,
            _ => Self::Quick,
        }
    }
}

/// Whether a comparison is with what is in a register.
fn compares(words: &[[u8; 4]], at: usize, register: u8) -> bool {
    words[at][1] == register || words.get(at + 1).is_some_and(|other| other[0] == register)
}

/// Words that an instruction has (`getOpLength` in BytecodeUtils.h).
fn length(word: u32) -> usize {
    match word & 0xff {
        7 | 8 | 12 | 15 | 16 | 20 | 27..=32 | 53 | 55 | 58 | 60 | 66 | 74 | 75 | 77..=80 | 83..=88 | 90 => 2,
        _ => 1,
    }
}

/// Where an instruction may lead besides the next one.
fn target(word: u32, at: usize) -> Option<usize> {
    let offset = match word & 0xff {
        // LOADB skips as many instructions as it says.
        3 => (word >> 24).cast_signed(),
        // FASTCALL and its kin skip to behind the call that they stand for.
        60 | 68 | 73..=75 => (word >> 24).cast_signed() + 1,
        // Jumps, and the starts and ends of loops
        23..=32 | 56..=59 | 61 | 76..=80 => word.cast_signed() >> 16,
        67 => word.cast_signed() >> 8,
        _ => return None,
    };
    (at + 1).checked_add_signed(offset as isize)
}

/// Whether an instruction never leads to the next one: JUMP, and the starts of generic loops.
fn always_jumps(word: u32) -> bool {
    matches!(word & 0xff, 23 | 59 | 61 | 76)
}

#[cfg(test)]
mod tests {
    use mlua::chunk::Compiler;

    use super::super::bytecode::layout;
    use super::*;

    /// The longest of all functions.
    fn stretch(source: &str, coverage: u8) -> Stretch {
        let mut code = Compiler::new().set_coverage_level(coverage).compile(source).expect("compiles");
        let functions = layout(&mut code).expect("the version is known").functions;
        let stretches =
            functions.into_iter().map(|function| place(&mut code[function.code]).expect("Luau's code"));
        stretches.fold(Stretch::default(), Stretch::longest)
    }

    #[test]
    fn ways_without_a_safepoint_are_measured() {
        let add = "x = a + 1 ";
        for (source, conversions) in [
            (String::new(), 0),
            (add.repeat(100), 100),
            (format!("{} f() {}", add.repeat(30), add.repeat(20)), 30),
            (format!("if c then {} else {} end {}", add.repeat(30), add.repeat(20), add.repeat(5)), 35),
            (format!("while c do {} end", add.repeat(7)), 7),
            (format!("for i = 1, 9 do {} if i then break end {} end", add.repeat(7), add.repeat(9)), 17),
            (format!("x = {{ {} }}", ["k = 1, 's', f"; 500].join(",")), 0),
            ("local a = ... x = math.max(a, 1) ".to_owned() + &"x = math.floor(a) * 2 ".repeat(40), 40),
        ] {
            assert_eq!(stretch(&source, 0).conversions, conversions, "{source}");
        }
        for (source, comparisons) in [
            (format!("x = c and {} or 2", ["(a < b)"; 50].join(" and ")), 50),
            ("if a < b then x = 1 end ".repeat(30), 30),
            (format!("local c = ... if {} then x = 1 end", ["c >= 48 and c <= 57"; 30].join(" or ")), 0),
            (format!("local c = ... if {} then x = 1 end", ["c >= '0' and c <= 'z'"; 30].join(" or ")), 0),
            // What is compared may be `c`.
            (format!("local a, c = ... if {} then x = 1 end", ["a < (c or 57)"; 30].join(" or ")), 30),
        ] {
            assert_eq!(stretch(&source, 0).comparisons, comparisons, "{source}");
        }
        let lookups = "local t, k = ... ".to_owned() + &"local _ = t[k] ".repeat(150);
        assert!((150 * LOOKUP..200 * LOOKUP).contains(&stretch(&lookups, 0).cost));
        let quick = "local a, b = ... ".to_owned() + &"a = b ".repeat(500);
        assert!((500..520).contains(&stretch(&quick, 0).cost));
    }

    #[test]
    fn no_way_is_long_once_they_are_placed() {
        let add = "x = a + 1 ";
        for source in [
            add.repeat(5000),
            "if a < b then x = 1 end ".repeat(500),
            "if a < b then x = a * b else x = a < b end ".repeat(500),
            format!("x = {}1", "a + ".repeat(150)),
            format!("x = {{ {} }}", "-a, ".repeat(500)),
            "local x = math.floor(1) x = math.max(x, -a, 2) ".repeat(150),
            format!("while a do if b then {} end a = nil end", "x = a * a - b / b ".repeat(14_000)),
            "local t, k = ... ".to_owned() + &"t[k] = t[k] ".repeat(9_000),
            "local t = ... ".to_owned() + &"t.a.b.c = t == t ".repeat(3_000),
            "local a, b = ... ".to_owned() + &"a = b ".repeat(9_000),
        ] {
            let placed = stretch(&source, 2);
            assert!(placed.conversions <= 2 * SPACING.conversions, "{placed:?} in {source}");
            assert!(placed.comparisons <= 2 * SPACING.comparisons, "{placed:?} in {source}");
            assert!(placed.lookups <= 2 * SPACING.lookups, "{placed:?} in {source}");
            assert!(placed.cost <= 4 * SPACING.cost, "{placed:?} in {source}");
            assert!(stretch(&source, 0).cost >= 150, "{source}");
        }
    }
}
