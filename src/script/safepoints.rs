//! Safepoints in code that has none: long stretches without a call or a loop.
//!
//! One instruction can take a millisecond (`s + 1` reads a number from a string of a million digits,
//! `a < b` compares two such strings), and Luau looks at the interrupt at calls, returns and loops only.
//! A script with thousands of such instructions in a row would hold up a tick for as long as it likes.
//!
//! Luau's compiler can put an instruction that counts coverage before every statement and expression. It
//! has the size of a jump, so where a stretch gets long, we make it one: a `JUMPBACK` to the
//! next instruction, which is a safepoint and nothing else. The others become `NOP`.
//!
//! The format is that of lvmload.cpp, the instructions those of Bytecode.h.

use super::reader::Reader;

/// The bytecode version that Luau's compiler writes, and the version of its types.
const VERSION: [u8; 2] = [9, 3];

/// Slow instructions between two safepoints that we place.
const SPACING: u32 = 2;

const NOP: u32 = 0;
const JUMPBACK: u32 = 24;
const JUMPX: u8 = 67;

/// The longest way through a script without a safepoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Instructions on the way that can take long.
    pub(super) slow: u32,
    /// Where the function begins that it is in.
    pub(super) line: u32,
}

/// Replaces what counts coverage, and finds the longest stretch that is left. `None` if the bytecode is
/// of another version.
pub(super) fn place(bytecode: &mut [u8]) -> Option<Stretch> {
    let mut reader = Reader::new(bytecode);
    if [reader.byte()?, reader.byte()?] != VERSION {
        return None;
    }
    for _ in 0..reader.number()? {
        let length = reader.number()?;
        reader.skip(length)?;
    }
    while reader.byte()? != 0 {
        reader.number()?; // a userdata type
    }
    let mut longest = Stretch::default();
    for _ in 0..reader.number()? {
        reader.skip(5)?; // registers, parameters, upvalues, varargs, flags
        let types = reader.number()?;
        reader.skip(types)?;
        let instructions = reader.number()?;
        let slow = place_in_function(reader.take(4 * instructions)?)?;
        skip_constants(&mut reader)?;
        for _ in 0..reader.number()? {
            reader.number()?; // a function inside
        }
        let line = reader.number()? as u32;
        skip_debug_information(&mut reader, instructions)?;
        if slow > longest.slow {
            longest = Stretch { slow, line };
        }
    }
    Some(longest)
}

fn skip_constants(reader: &mut Reader) -> Option<()> {
    for _ in 0..reader.number()? {
        match reader.byte()? {
            0 => {}                          // nil
            1 => reader.skip(1)?,            // boolean
            2 => reader.skip(8)?,            // number
            3 | 6 => drop(reader.number()?), // string, closure
            4 => reader.skip(4)?,            // import
            5 => {
                for _ in 0..reader.number()? {
                    reader.number()?; // a key of a table
                }
            }
            7 => reader.skip(16)?, // vector
            8 => {
                for _ in 0..reader.number()? {
                    reader.number()?; // a key of a table, and its value
                    reader.skip(4)?;
                }
            }
            9 => {
                reader.skip(1)?; // the sign of an integer
                reader.number()?;
            }
            _ => return None,
        }
    }
    Some(())
}

fn skip_debug_information(reader: &mut Reader, instructions: usize) -> Option<()> {
    reader.number()?; // the function's name
    if reader.byte()? != 0 {
        let gap = reader.byte()?;
        let intervals = (instructions.checked_sub(1)? >> gap) + 1;
        reader.skip(instructions + 4 * intervals)?;
    }
    if reader.byte()? != 0 {
        for _ in 0..reader.number()? {
            for _ in 0..3 {
                reader.number()?; // name and range of a local variable
            }
            reader.skip(1)?;
        }
        for _ in 0..reader.number()? {
            reader.number()?; // the name of an upvalue
        }
    }
    Some(())
}

/// Does one function. Returns how many slow instructions its longest way without a safepoint has.
///
/// All ways between safepoints lead forward: loops lead back by instructions that are safepoints, and a
/// jump that is too long for its instruction by way of a `JUMPX` before it, which is one, too.
fn place_in_function(code: &mut [u8]) -> Option<u32> {
    let (words, _) = code.as_chunks_mut::<4>();
    // The longest way to each instruction.
    let mut ways = vec![0; words.len() + 2];
    let (mut at, mut longest) = (0, 0);
    while at < words.len() {
        let word = u32::from_le_bytes(words[at]);
        let kind = Kind::of(word);
        let way = ways[at];
        let after = match kind {
            Kind::Coverage if way >= SPACING => {
                words[at] = JUMPBACK.to_le_bytes();
                0
            }
            Kind::Coverage => {
                words[at] = NOP.to_le_bytes();
                way
            }
            Kind::Safepoint => 0,
            Kind::Slow => way + 1,
            Kind::Quick => way,
        };
        longest = longest.max(way).max(after);
        let next = at + length(word);
        if let Some(target) = target(word, at) {
            if target > at {
                let way = ways.get_mut(target)?;
                *way = after.max(*way);
            } else if kind != Kind::Safepoint && words.get(target)?[0] != JUMPX {
                return None; // a loop without one: not Luau's compiler
            }
        }
        if !always_jumps(word) {
            let way = ways.get_mut(next)?;
            *way = after.max(*way);
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
    Slow,
    /// Takes little time, or as much as the memory that it allocates, which is charged elsewhere.
    Quick,
}

impl Kind {
    fn of(word: u32) -> Self {
        match word & 0xff {
            // CALL, RETURN, JUMPBACK, FORNLOOP, FORGLOOP, JUMPX
            21 | 22 | JUMPBACK | 57 | 58 | 67 => Self::Safepoint,
            69 => Self::Coverage,
            // JUMPIFLE, JUMPIFLT, JUMPIFNOTLE, JUMPIFNOTLT; arithmetic; MINUS, LENGTH; SUBRK, DIVRK;
            // IDIV, IDIVK
            28 | 29 | 31 | 32 | 33..=44 | 51 | 52 | 71 | 72 | 81 | 82 => Self::Slow,
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

    use super::*;

    fn stretch(source: &str, coverage: u8) -> Stretch {
        let mut code = Compiler::new().set_coverage_level(coverage).compile(source).expect("compiles");
        place(&mut code).expect("the version is known")
    }

    #[test]
    fn ways_without_a_safepoint_are_measured() {
        let add = "x = a + 1 ";
        for (source, slow) in [
            (String::new(), 0),
            (add.repeat(100), 100),
            (format!("{} f() {}", add.repeat(30), add.repeat(20)), 30),
            (format!("if c then {} else {} end {}", add.repeat(30), add.repeat(20), add.repeat(5)), 35),
            (format!("while c do {} end", add.repeat(7)), 7),
            (format!("for i = 1, 9 do {} if i then break end {} end", add.repeat(7), add.repeat(9)), 16),
            (format!("x = c and {} or 2", ["(a < b)"; 50].join(" and ")), 50),
            (format!("x = {{ {} }}", ["k = 1, 's', f"; 500].join(",")), 0),
            ("local a = ... x = math.max(a, 1) ".to_owned() + &"x = math.floor(a) * 2 ".repeat(40), 40),
        ] {
            assert_eq!(stretch(&source, 0).slow, slow, "{source}");
        }
        let inside = format!("\n\nlocal function f()\n{} end", add.repeat(9));
        assert_eq!(stretch(&inside, 0), Stretch { slow: 9, line: 3 });
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
        ] {
            let slow = stretch(&source, 2).slow;
            assert!(slow <= 2 * SPACING, "{slow} in {source}");
            assert!(stretch(&source, 0).slow >= 150, "{source}");
        }
    }

    #[test]
    fn all_kinds_of_constants_and_functions_are_passed_over() {
        let source = "
            local function f(a: number, b: string?, ...) local t = { 1, 2, x = 1, y = 'z', v = nil } return t, ... end
            local v, big, long = vector.create(1, 2, 3), 123456789012, string.rep
            for k, v in pairs({ f }) do for i, v in ipairs(v) do for x in v do continue end end end
            return function(x) v = x return big, long, f, nil, true, 1.5, `{x} {v}` end";
        for level in 0..3 {
            for debug in 0..3 {
                let compiler = Compiler::new().set_debug_level(debug).set_coverage_level(level);
                let mut code = compiler.set_optimization_level(2).compile(source).expect("compiles");
                assert_eq!(place(&mut code).map(|stretch| stretch.slow), Some(0));
                assert_eq!(place(&mut code[..20]), None);
            }
        }
        assert_eq!(place(&mut [1, 2, 3]), None);
    }
}
