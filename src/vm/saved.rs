//! VMs as data: what the ECS knows of them, beside what their isolates write down.

mod archive;
mod image;
mod loading;
mod saving;
mod snapshot;

pub use image::{VmImage, VmLoadFailed, VmLoaded};
pub use snapshot::{VmSnapshot, VmSnapshots};

pub(crate) use loading::{Loading, begin_loading, finish_loading};
pub(crate) use saving::{Saving, SavingVm, settle_in};
