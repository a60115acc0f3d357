//! Saving VMs and loading them.

mod clocks;
mod common;
mod forks;
mod kinds;
#[path = "../common/migrate.rs"]
mod migrate;
mod strangers;

use common as app;
