//! Why scripts do not compile.

use thiserror::Error;

/// Why a script has no code.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileError {
    /// The source is not Luau.
    #[error("{script}:{line}: {message}")]
    Syntax {
        /// The script's name.
        script: String,
        /// Where Luau's parser stopped, counted from 1.
        line: u32,
        /// What Luau's parser says.
        message: String,
    },
    /// The source starts like compiled bytecode, which Luau would run unchecked.
    #[error(
        "{script}: this is compiled bytecode (it starts with byte {first_byte:#04x}); only source text is run"
    )]
    Bytecode {
        /// The script's name.
        script: String,
        /// The byte that gave it away.
        first_byte: u8,
    },
    /// A process could not be preempted for too long.
    #[error(
        "{script}:{line}: the function that begins here has an expression with too many comparisons or calculations; split it"
    )]
    NoSafepoint {
        /// The script's name.
        script: String,
        /// Where the function begins; 1 for the script itself.
        line: u32,
    },
    /// It compiled to far more than its length explains.
    #[error("{script}: its bytecode has {bytes} bytes, of {limit}; make it shorter")]
    TooLong {
        /// The script's name.
        script: String,
        /// Bytes of its bytecode.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// This build of Luau writes another bytecode than this crate knows, so it cannot be made safe to preempt.
    #[error(
        "{script}: Luau's compiler wrote an unknown version of bytecode ({version:?}); \
         use the version of luau0-src that bevy_luau_os names in its Cargo.toml"
    )]
    UnknownVersion {
        /// The script's name.
        script: String,
        /// The first bytes of what it wrote.
        version: [u8; 2],
    },
    /// The operating system gave no thread to compile on. Unlike other errors, this one is not remembered: the next
    /// process of the script tries again.
    #[error("{script}: there is no thread to compile it on: {message}")]
    NoThread {
        /// The script's name.
        script: String,
        /// What the operating system says.
        message: String,
    },
    /// The script is an asset that could not be loaded.
    #[error("{message}")]
    Asset {
        /// The script's name.
        script: String,
        /// Why.
        message: String,
    },
}

impl CompileError {
    /// The script and the line that it is about.
    pub fn place(&self) -> Option<(&str, u32)> {
        match self {
            Self::Syntax { script, line, .. } | Self::NoSafepoint { script, line } => Some((script, *line)),
            _ => None,
        }
    }
}
