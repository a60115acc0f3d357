//! Safepoints in code that has none: long stretches without a call or a loop.
//!
//! One instruction can take a millisecond (`s + 1` reads a number from a string of a million digits,
//! `a < b` compares two such strings) or 30 microseconds (`t[k]` in a table of keys that share a hash), and Luau looks at
//! the interrupt at calls, returns and loops only. A script with thousands of such instructions in a row would hold up a
//! tick for as long as it likes.
//!
//! Luau's compiler can put an instruction that counts coverage before every statement and expression. It
//! has the size of a jump, so where a stretch gets long, we make it one: a `JUMPBACK` to the
//! next instruction, which is a safepoint and nothing else. The others become `NOP`.
//!
//! The instructions are those of Bytecode.h.

/// What is between two safepoints that we place: conversions, and all in all.
const SPACING: Stretch = Stretch { conversions: 2, cost: 24 };

/// What an instruction costs that looks something up: in a chain of 99 `__index`, among colliding keys, in a library
/// function that `__eq` names. One that does neither this nor a conversion costs 1.
const LOOKUP: u32 = 4;

/// What an instruction costs that may convert a string to a number.
const CONVERSION: u32 = 10;

const NOP: u32 = 0;
const JUMPBACK: u32 = 24;
const JUMPX: u8 = 67;

/// A way through code without a safepoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Instructions that may convert strings to numbers, or compare them.
    pub(super) conversions: u32,
    /// All instructions, by their [cost](LOOKUP).
    pub(super) cost: u32,
}

impl Stretch {
    /// Whether it is longer than `other` in some way.
    pub(super) fn exceeds(self, other: Self) -> bool {
        self.conversions > other.conversions || self.cost > other.cost
    }

    pub(super) fn longest(self, other: Self) -> Self {
        Self { conversions: self.conversions.max(other.conversions), cost: self.cost.max(other.cost) }
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
    while at < words.len() {
        let word = u32::from_le_bytes(words[at]);
        let kind = Kind::of(word);
        let way = ways[at];
        let after = match kind {
            Kind::Coverage if way.conversions >= SPACING.conversions || way.cost >= SPACING.cost => {
                words[at] = JUMPBACK.to_le_bytes();
                Stretch::default()
            }
            Kind::Coverage => {
                words[at] = NOP.to_le_bytes();
                way
            }
            Kind::Safepoint => Stretch::default(),
            Kind::Conversion => Stretch { conversions: way.conversions + 1, cost: way.cost + CONVERSION },
            Kind::Lookup => Stretch { cost: way.cost + LOOKUP, ..way },
            Kind::Quick => Stretch { cost: way.cost + 1, ..way },
        };
        longest = longest.longest(way).longest(after);
        let next = at + length(word);
        if let Some(target) = target(word, at) {
            if target > at {
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
    /// Reads numbers from strings, compares strings, or calls a metamethod that may be a library function.
    Conversion,
    /// Looks something up in tables, or in one metatable after another.
    Lookup,
    /// Takes little time, or as much as the memory that it allocates, which is charged elsewhere.
    Quick,
}

impl Kind {
    fn of(word: u32) -> Self {
        match word & 0xff {
            // CALL, RETURN, JUMPBACK, FORNLOOP, FORGLOOP, JUMPX
            21 | 22 | JUMPBACK | 57 | 58 | 67 => Self::Safepoint,
            69 => Self::Coverage,
            // JUMPIFLE, JUMPIFLT, JUMPIFNOTLE, JUMPIFNOTLT; arithmetic; MINUS, LENGTH; FORNPREP; SUBRK, DIVRK;
            // IDIV, IDIVK
            28 | 29 | 31 | 32 | 33..=44 | 51 | 52 | 56 | 71 | 72 | 81 | 82 => Self::Conversion,
            // GETGLOBAL, SETGLOBAL; GETTABLE, SETTABLE and their kin; NAMECALL; JUMPIFEQ, JUMPIFNOTEQ; CONCAT; SETLIST;
            // FASTCALL and its kin
            7 | 8 | 13..=18 | 20 | 27 | 30 | 49 | 55 | 60 | 68 | 73..=75 => Self::Lookup,
            _ => Self::Quick,
        }
    }
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
            (format!("x = c and {} or 2", ["(a < b)"; 50].join(" and ")), 50),
            (format!("x = {{ {} }}", ["k = 1, 's', f"; 500].join(",")), 0),
            ("local a = ... x = math.max(a, 1) ".to_owned() + &"x = math.floor(a) * 2 ".repeat(40), 40),
        ] {
            assert_eq!(stretch(&source, 0).conversions, conversions, "{source}");
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
            assert!(placed.cost <= 4 * SPACING.cost, "{placed:?} in {source}");
            assert!(stretch(&source, 0).cost >= 150, "{source}");
        }
    }
}
