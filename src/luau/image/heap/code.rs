//! The code of functions of scripts.

use std::ffi::c_void;
use std::sync::LazyLock;

use super::objects::{Code, Object};
use super::{Heap, parts};

/// What is known of a piece of code.
#[derive(Clone, Copy)]
pub(in super::super) struct CodeView<'h> {
    pub(in super::super) words: &'h [u32],
    children: &'h [Code],
    /// The name of its script.
    pub(in super::super) source: Option<Object>,
    constants: i32,
    /// Its number in its script.
    pub(in super::super) id: i32,
    pub(in super::super) upvalues: u8,
    pub(in super::super) parameters: u8,
    pub(in super::super) is_variadic: bool,
    pub(in super::super) registers: u8,
    code: Code,
}

impl CodeView<'_> {
    /// The code of the functions that it makes, by their numbers in `NEWCLOSURE`.
    pub(in super::super) fn child(&self, number: i32) -> Option<Code> {
        self.children.get(usize::try_from(number).ok()?).copied()
    }

    /// The same, by their numbers in `DUPCLOSURE`.
    pub(in super::super) fn constant(&self, number: i32) -> Option<Code> {
        // SAFETY: it is code, and `heap.cpp` looks whether there is such a constant.
        Code::from_pointer(unsafe { luau_os_image_constant_code(self.code.pointer(), number) })
    }

    /// All of both.
    pub(in super::super) fn inner(&self) -> impl Iterator<Item = Code> {
        self.children.iter().copied().chain((0..self.constants).filter_map(|number| self.constant(number)))
    }
}

impl Heap {
    pub(in super::super) fn code(&self, code: Code) -> CodeView<'_> {
        let mut raw = RawCode::default();
        // SAFETY: by the contract of `new` it is code that has not been collected.
        unsafe { luau_os_image_code(code.pointer(), &raw mut raw) };
        CodeView {
            // SAFETY: code has so many words there, which only running it changes.
            words: unsafe { parts(raw.words, raw.word_count as usize) },
            // SAFETY: code has so many addresses there, all of code.
            children: unsafe { parts(raw.children.cast::<Code>(), raw.child_count as usize) },
            source: Object::from_pointer(raw.source),
            constants: raw.constant_count,
            id: raw.id,
            upvalues: raw.upvalues,
            parameters: raw.parameters,
            is_variadic: raw.is_variadic != 0,
            registers: raw.registers,
            code,
        }
    }

    /// Whether two are compiled from the same text.
    pub(in super::super) fn is_same_code(&self, a: Code, b: Code) -> bool {
        // SAFETY: as for `code`.
        unsafe { luau_os_image_same_code(a.pointer(), b.pointer()) != 0 }
    }
}

/// What an instruction is, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Word {
    Other,
    Call,
    Return,
    NumericLoop,
    GenericLoop,
    JumpBack,
    SetUpvalue,
    NewClosure,
    CopyClosure,
    Capture,
    Variadic,
    /// It puts a new table into a register.
    NewTable,
    /// It fills the table there.
    SetList,
    /// It is in no code that our compiler makes.
    Unknown,
}

/// In the order of the numbers in `heap.cpp`.
const WORDS: [Word; 14] = [
    Word::Other,
    Word::Call,
    Word::Return,
    Word::NumericLoop,
    Word::GenericLoop,
    Word::JumpBack,
    Word::SetUpvalue,
    Word::NewClosure,
    Word::CopyClosure,
    Word::Capture,
    Word::Variadic,
    Word::NewTable,
    Word::SetList,
    Word::Unknown,
];

/// Of each operation of Luau what it is, and how many words it has.
pub(in super::super) struct Words([(Word, usize); 256]);

impl Words {
    pub(in super::super) fn get() -> &'static Self {
        static ALL: LazyLock<Words> = LazyLock::new(|| {
            Words(std::array::from_fn(|op| {
                let (mut what, mut words) = (0, 0);
                // SAFETY: it takes any number.
                unsafe { luau_os_image_word(op as u8, &raw mut what, &raw mut words) };
                (WORDS[usize::from(what)], usize::from(words))
            }))
        });
        &ALL
    }

    /// What an instruction is, and how many words it has.
    pub(in super::super) fn of(&self, word: u32) -> (Word, usize) {
        self.0[(word & 0xff) as usize]
    }
}

#[repr(C)]
struct RawCode {
    words: *const u32,
    children: *const *mut c_void,
    source: *mut c_void,
    word_count: i32,
    child_count: i32,
    constant_count: i32,
    id: i32,
    upvalues: u8,
    parameters: u8,
    is_variadic: u8,
    registers: u8,
}

impl Default for RawCode {
    fn default() -> Self {
        use std::ptr::{null, null_mut};
        Self {
            words: null(),
            children: null(),
            source: null_mut(),
            word_count: 0,
            child_count: 0,
            constant_count: 0,
            id: 0,
            upvalues: 0,
            parameters: 0,
            is_variadic: 0,
            registers: 0,
        }
    }
}

unsafe extern "C-unwind" {
    fn luau_os_image_code(code: *const c_void, out: *mut RawCode);
    fn luau_os_image_constant_code(code: *const c_void, constant: i32) -> *mut c_void;
    fn luau_os_image_same_code(a: *const c_void, b: *const c_void) -> i32;
    fn luau_os_image_word(op: u8, what: *mut u8, words: *mut u8);
}
