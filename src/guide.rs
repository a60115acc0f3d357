//! Guides: one for those who write scripts, one for those who let them into their game.

/// For script authors.
#[doc = include_str!("guide/scripts.md")]
pub mod scripts {}

/// For Bevy developers.
#[doc = include_str!("guide/game.md")]
pub mod game {}
