//! Who may write to the processes of a VM.

use bevy::prelude::*;

/// On a [`Vm`](crate::Vm): whose processes may send messages to those of the VM. Without it, only its own: it is
/// closed to strangers. A process of another VM is told so, `false, "it takes no messages of this VM"`.
///
/// [`Limits::mailbox_messages`](crate::Limits::mailbox_messages) of 0 closes mailboxes to all.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// fn open_shop(mut commands: Commands) {
///     let shop = commands.spawn((Vm::persistent(), MailPolicy::All)).id();
///     commands.spawn((Vm::new(), MailPolicy::Listed(vec![shop])));
/// }
/// ```
#[derive(Component, Clone, Debug, Default, PartialEq, Eq, Reflect)]
#[reflect(Component, Clone, Debug, Default, PartialEq)]
pub enum MailPolicy {
    /// Its own.
    #[default]
    OwnVm,
    /// Its own, and those of these VMs.
    Listed(#[entities] Vec<Entity>),
    /// All.
    All,
}

impl MailPolicy {
    /// Whether processes of another VM may write.
    pub(crate) fn admits(&self, vm: Entity) -> bool {
        match self {
            Self::OwnVm => false,
            Self::Listed(vms) => vms.contains(&vm),
            Self::All => true,
        }
    }
}
