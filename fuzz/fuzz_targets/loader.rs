//! Whatever bytes are given as a script: it compiles or it fails, and nothing crashes.
//!
//! Needs nightly and cargo-fuzz: `LUAU_CXXFLAGS=-DLUAU_ENABLE_ASSERT cargo +nightly fuzz run loader`.
//! `tests/properties/arbitrary_bytes.rs` checks the same, with sources of its own making, on stable.
#![no_main]

#[path = "../../tests/common/loader.rs"]
mod loader;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;

thread_local! {
    static APP: RefCell<bevy::app::App> = RefCell::new(loader::app());
}

fuzz_target!(|source: &[u8]| {
    APP.with_borrow_mut(|app| loader::load(app, source));
});
