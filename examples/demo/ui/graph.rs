//! Bar graphs of the last measurements, drawn into pictures.

use std::collections::VecDeque;

use bevy::asset::RenderAssetUsages;
use bevy::prelude::*;
use bevy::render::render_resource::{Extent3d, TextureDimension, TextureFormat};

use crate::theme;

pub const WIDTH: usize = 150;
pub const HEIGHT: usize = 34;

/// A graph; put it on an entity with an [`ImageNode`].
#[derive(Component)]
pub struct Graph {
    values: VecDeque<f32>,
    /// The value at the upper edge, at least.
    pub at_least: f32,
    color: Color,
}

impl Graph {
    pub fn new(at_least: f32, color: Color) -> Self {
        Self { values: VecDeque::from(vec![0.0; WIDTH / 2]), at_least, color }
    }

    pub fn push(&mut self, value: f32) {
        self.values.pop_front();
        self.values.push_back(value);
    }

    /// Draws the graph: bars two pixels wide, one of them dark, and a line at the mark `at_least`.
    pub fn draw(&self, image: &mut Image) {
        let largest = self.values.iter().copied().fold(self.at_least, f32::max) * 1.1;
        let row = |value: f32| HEIGHT as f32 * (1.0 - value / largest);
        let mark = row(self.at_least) as usize;
        let colors = [theme::GROUND, self.color, theme::BORDER].map(|color| color.to_srgba().to_u8_array());
        let Some(data) = &mut image.data else { return };
        for (i, pixel) in data.chunks_exact_mut(4).enumerate() {
            let (x, y) = (i % WIDTH, i / WIDTH);
            let is_bar = x % 2 == 0 && y as f32 + 0.5 >= row(self.values[x / 2]);
            pixel.copy_from_slice(
                &colors[if is_bar {
                    1
                } else if y == mark {
                    2
                } else {
                    0
                }],
            );
        }
    }
}

/// A picture to draw a graph into.
pub fn picture() -> Image {
    let extent = Extent3d { width: WIDTH as u32, height: HEIGHT as u32, depth_or_array_layers: 1 };
    let format = TextureFormat::Rgba8UnormSrgb;
    Image::new_fill(extent, TextureDimension::D2, &[0; 4], format, RenderAssetUsages::all())
}
