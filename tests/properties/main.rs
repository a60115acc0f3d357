//! What must hold whatever is drawn: random programs beside others that come and go, monkeys, and arbitrary bytes as scripts.
//!
//! `PROPTEST_CASES=1000 cargo test --test properties` looks for longer. What fails is made smaller and printed, and
//! tried first from then on: commit the file `*.regressions` beside the test.

#[path = "../common/app.rs"]
mod app;
mod arbitrary_bytes;
#[path = "../common/loader.rs"]
mod loader;
mod monkey;
#[path = "../common/one_thread.rs"]
mod one_thread;
mod random_programs;
