//! Colours, sizes, and the pieces that all panels are made of.

use bevy::prelude::*;

pub const GROUND: Color = Color::srgb(0.055, 0.071, 0.098);
pub const BORDER: Color = Color::srgb(0.17, 0.21, 0.28);
pub const PANEL: Color = Color::srgb(0.085, 0.106, 0.145);
pub const BUTTON: Color = Color::srgb(0.135, 0.165, 0.225);
pub const BUTTON_HOVERED: Color = Color::srgb(0.19, 0.235, 0.32);
pub const TEXT: Color = Color::srgb(0.86, 0.89, 0.93);
pub const DIM: Color = Color::srgb(0.53, 0.59, 0.68);
pub const ACCENT: Color = Color::srgb(0.42, 0.82, 0.98);
pub const GOOD: Color = Color::srgb(0.53, 0.87, 0.55);
pub const WARNING: Color = Color::srgb(0.98, 0.72, 0.33);
pub const BAD: Color = Color::srgb(1.0, 0.39, 0.39);

/// The interface is laid out for a window of this height, and scaled with it.
pub const HEIGHT: f32 = 720.0;
pub const TOP_BAR: f32 = 76.0;
pub const BOTTOM_BAR: f32 = 66.0;
pub const SIDE_PANEL: f32 = 420.0;
pub const SMALL: f32 = 12.0;

/// A line of text.
pub fn text(text: impl Into<String>, size: f32, color: Color) -> impl Bundle {
    (Text::new(text), TextFont::from_font_size(size), TextColor(color), TextLayout::no_wrap())
}

/// A box with a border.
pub fn panel(node: Node) -> impl Bundle {
    (
        Node { border: UiRect::all(px(1)), padding: UiRect::all(px(8)), ..node },
        BackgroundColor(PANEL),
        BorderColor::all(BORDER),
    )
}

/// Changes a text only if it is another: its layout is made anew then.
pub fn set(text: &mut Mut<Text>, new: String) {
    if text.0 != new {
        text.0 = new;
    }
}
