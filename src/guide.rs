//! Guides: for those who write scripts, also if they come from elsewhere, and for those who let them into their game.

/// For script authors.
#[doc = include_str!("guide/scripts.md")]
pub mod scripts {}

/// For script authors who know another system.
#[doc = include_str!("guide/coming_from.md")]
pub mod coming_from {}

/// For Bevy developers.
#[doc = include_str!("guide/game.md")]
pub mod game {}

/// For Bevy developers: saving VMs and loading them.
#[cfg(feature = "save")]
#[doc = include_str!("guide/saves.md")]
pub mod saves {}

/// For Bevy developers: components and resources in scripts.
#[cfg(feature = "ecs")]
#[doc = include_str!("guide/world.md")]
pub mod world {}
