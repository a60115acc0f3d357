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
pub const PATROL: Color = Color::srgb(0.72, 0.56, 0.98);

/// The interface is laid out for a window of this height, and scaled with it.
pub const HEIGHT: f32 = 720.0;
pub const TOP_BAR: f32 = 76.0;
pub const BOTTOM_BAR: f32 = 66.0;
pub const SIDE_PANEL: f32 = 420.0;
pub const SMALL: f32 = 12.0;

/// Bevy's built-in font, in which all characters are equally wide.
pub fn font(size: f32) -> TextFont {
    TextFont::from_font_size(size)
}

/// A line of text.
pub fn text(text: impl Into<String>, size: f32, color: Color) -> impl Bundle {
    (Text::new(text), font(size), TextColor(color), TextLayout::no_wrap())
}

/// A node that puts its children one below the other.
pub fn column(gap: f32) -> Node {
    Node { flex_direction: FlexDirection::Column, row_gap: px(gap), ..default() }
}

/// Changes a text only if it differs, because each change makes Bevy lay it out again.
pub fn set(text: &mut Mut<Text>, new: String) {
    if text.0 != new {
        text.0 = new;
    }
}

/// Shows a node, or takes it out of the layout.
pub fn show(node: &mut Mut<Node>, is_shown: bool) {
    let display = if is_shown { Display::Flex } else { Display::None };
    if node.display != display {
        node.display = display;
    }
}
