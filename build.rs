//! Compiles the part of `save` that reads and writes Luau's own structures, against the headers of the Luau that mlua
//! builds. Without that feature there is nothing to do.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "save")]
    save::compile();
}

#[cfg(feature = "save")]
mod save {
    use std::panic;
    use std::path::{Path, PathBuf};
    use std::sync::mpsc;

    const SOURCE: &str = "src/luau/image/heap.cpp";
    /// Where Luau's sources are, if they cannot be found.
    const SOURCES: &str = "BEVY_LUAU_OS_LUAU";
    /// What luau0-src gives to the compiler, too.
    const FLAGS: &str = "LUAU_CXXFLAGS";

    pub(super) fn compile() {
        for variable in [SOURCES, FLAGS] {
            println!("cargo:rerun-if-env-changed={variable}");
        }
        println!("cargo:rerun-if-changed={SOURCE}");
        let luau = luau_sources();
        let mut compiler = cc::Build::new();
        compiler.cpp(true).std("c++17").warnings(false).file(SOURCE);
        for folder in ["Common/include", "VM/include", "VM/src"] {
            compiler.include(luau.join(folder));
        }
        // As luau0-src compiles Luau: the structures must be the same.
        compiler.define("LUAI_MAXCSTACK", "1000000").define("LUA_VECTOR_SIZE", "3");
        compiler.define("LUA_API", "extern \"C\"");
        if cfg!(debug_assertions) {
            compiler.define("LUAU_ENABLE_ASSERT", None);
        }
        if let Ok(flags) = std::env::var(FLAGS) {
            flags.split_whitespace().for_each(|flag| _ = compiler.flag(flag));
        }
        compiler.compile("bevy_luau_os_image");
    }

    fn luau_sources() -> PathBuf {
        let luau = match std::env::var_os(SOURCES) {
            Some(folder) => PathBuf::from(folder),
            None => source_of_luau0_src().with_file_name("../luau"),
        };
        let header = luau.join("VM/src/lstate.h");
        assert!(
            header.is_file(),
            "{} is not there: set {SOURCES} to the folder `luau` of luau0-src",
            header.display()
        );
        luau
    }

    /// A source file of the crate luau0-src, which has Luau's beside it and does not say where. But a panic does.
    fn source_of_luau0_src() -> PathBuf {
        let (sender, receiver) = mpsc::channel();
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let file = panic.location().map(|location| location.file().to_owned());
            _ = sender.send(file.unwrap_or_default());
        }));
        let refused = panic::catch_unwind(|| _ = luau0_src::Build::new().set_vector_size(0));
        panic::set_hook(hook);
        assert!(refused.is_err(), "luau0-src has changed: it takes vectors without lanes. Set {SOURCES}");
        Path::new(&receiver.recv().unwrap_or_default()).to_owned()
    }
}
