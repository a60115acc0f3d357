//! Where the functions are in Luau's bytecode.
//!
//! The format is that of lvmload.cpp.

use std::ops::Range;

use super::reader::Reader;

/// The bytecode version that Luau's compiler writes, and the version of its types.
pub(super) const VERSION: [u8; 2] = [9, 3];

/// The parts of a compiled script: what comes before its functions, those in their order, and the rest.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) header: Range<usize>,
    pub(super) functions: Vec<FunctionLayout>,
}

/// Where a function is.
#[derive(Debug)]
pub(super) struct FunctionLayout {
    /// All of it.
    pub(super) bytes: Range<usize>,
    /// Its instructions, of four bytes each.
    pub(super) code: Range<usize>,
    /// Where it begins in the source; 1 for the script itself.
    pub(super) line: u32,
}

/// Finds the parts. `None` if the bytecode is of another version, or damaged.
pub(super) fn layout(bytecode: &mut [u8]) -> Option<Layout> {
    let total = bytecode.len();
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
    let count = reader.number()?;
    let header = 0..total - reader.left();
    let mut functions = Vec::new();
    for _ in 0..count {
        let begin = total - reader.left();
        reader.skip(5)?; // registers, parameters, upvalues, varargs, flags
        let types = reader.number()?;
        reader.skip(types)?;
        let instructions = reader.number()?;
        let code_begin = total - reader.left();
        reader.skip(instructions.checked_mul(4)?)?;
        let code = code_begin..total - reader.left();
        skip_constants(&mut reader)?;
        for _ in 0..reader.number()? {
            reader.number()?; // a function inside
        }
        let line = reader.number()? as u32;
        skip_debug_information(&mut reader, instructions)?;
        functions.push(FunctionLayout { bytes: begin..total - reader.left(), code, line });
    }
    Some(Layout { header, functions })
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

#[cfg(test)]
mod tests {
    use mlua::chunk::Compiler;

    use super::*;

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
                let functions = layout(&mut code).expect("the version is known").functions;
                assert_eq!(functions.iter().map(|function| function.line).collect::<Vec<_>>(), [2, 5, 1]);
                assert!(layout(&mut code[..20]).is_none());
            }
        }
        assert!(layout(&mut [1, 2, 3]).is_none());
    }
}
