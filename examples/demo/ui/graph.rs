//! Graphs of the last seconds: frame time, tick time, garbage collection, late ticks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bevy::asset::RenderAssetUsages;
use bevy::diagnostic::{DiagnosticPath, DiagnosticsStore, FrameTimeDiagnosticsPlugin};
use bevy::prelude::*;
use bevy::render::render_resource::{Extent3d, TextureDimension, TextureFormat};
use bevy::time::common_conditions::on_real_timer;
use bevy_luau_os::LuauOsDiagnosticsPlugin as Luau;

use crate::theme::{self, SMALL};

/// Pixels; a bar takes two.
const WIDTH: usize = 140;
const HEIGHT: usize = 38;

pub fn plugin(app: &mut App) {
    app.add_systems(Update, update.run_if(on_real_timer(Duration::from_millis(100))));
}

/// What a graph shows.
#[derive(Component, Clone)]
pub struct Graph {
    title: &'static str,
    unit: &'static str,
    path: DiagnosticPath,
    /// Whether the diagnostic only grows. Then a bar shows its increase, and otherwise the highest value since the
    /// last bar.
    is_sum: bool,
    color: Color,
    /// The value at the mark.
    mark: f32,
    last: f64,
    measured_at: Instant,
    values: VecDeque<f32>,
}

impl Graph {
    pub fn all() -> [Self; 4] {
        let graph = |title, unit, path, is_sum, color, mark| Self {
            title,
            unit,
            path,
            is_sum,
            color,
            mark,
            last: 0.0,
            measured_at: Instant::now(),
            values: VecDeque::from(vec![0.0; WIDTH / 2]),
        };
        let frame_time = FrameTimeDiagnosticsPlugin::FRAME_TIME;
        [
            graph("frame time", "ms", frame_time, false, theme::TEXT, 1e3 / 60.0),
            graph("tick time", "ms", Luau::TICK_TIME, false, theme::ACCENT, 4.0),
            graph("GC time", "ms", Luau::GC_TIME, false, theme::GOOD, 1.0),
            graph("late ticks", "", Luau::LATE_TICKS, true, theme::WARNING, 6.0),
        ]
    }

    fn measure(&mut self, diagnostics: &DiagnosticsStore) {
        let measurements =
            diagnostics.get(&self.path).into_iter().flat_map(|diagnostic| diagnostic.measurements());
        let new = measurements.filter(|measurement| measurement.time > self.measured_at);
        let value = new
            .map(|measurement| measurement.value)
            .fold(if self.is_sum { self.last } else { 0.0 }, f64::max);
        self.measured_at = Instant::now();
        let shown = if self.is_sum { value - self.last } else { value };
        self.last = value;
        self.values.pop_front();
        self.values.push_back(shown as f32);
    }

    fn draw(&self, image: &mut Image) {
        let largest = self.values.iter().copied().fold(self.mark, f32::max) * 1.1;
        let row = |value: f32| HEIGHT as f32 * (1.0 - value / largest);
        let mark = row(self.mark) as usize;
        let [ground, bar, line] =
            [theme::GROUND, self.color, theme::BORDER].map(|color| color.to_srgba().to_u8_array());
        let Some(data) = &mut image.data else { return };
        for (i, pixel) in data.chunks_exact_mut(4).enumerate() {
            let (x, y) = (i % WIDTH, i / WIDTH);
            let is_bar = x % 2 == 0 && y as f32 + 0.5 >= row(self.values[x / 2]);
            let color = if is_bar {
                bar
            } else if y == mark {
                line
            } else {
                ground
            };
            pixel.copy_from_slice(&color);
        }
    }
}

/// Adds the graphs to `parent`, side by side.
pub fn build(parent: &mut ChildSpawnerCommands, images: &mut Assets<Image>) {
    for graph in Graph::all() {
        parent.spawn(theme::column(3.0)).with_children(|column| {
            column.spawn((graph.clone(), theme::text(graph.title, SMALL, theme::DIM)));
            let size = Node { width: px(WIDTH as f32), height: px(HEIGHT as f32), ..default() };
            column.spawn((graph, ImageNode::new(images.add(picture())), size));
        });
    }
}

fn picture() -> Image {
    let extent = Extent3d { width: WIDTH as u32, height: HEIGHT as u32, depth_or_array_layers: 1 };
    let format = TextureFormat::Rgba8UnormSrgb;
    Image::new_fill(extent, TextureDimension::D2, &[0; 4], format, RenderAssetUsages::all())
}

fn update(
    diagnostics: Res<DiagnosticsStore>,
    mut graphs: Query<(&mut Graph, Option<&mut Text>, Option<&ImageNode>)>,
    mut images: ResMut<Assets<Image>>,
) {
    for (mut graph, title, picture) in &mut graphs {
        graph.measure(&diagnostics);
        if let Some(mut title) = title {
            let value = graph.last;
            let text = match graph.is_sum {
                true => format!("{} {value:>6}", graph.title),
                false => format!("{} {value:5.2} {}", graph.title, graph.unit),
            };
            theme::set(&mut title, text);
        }
        if let Some(mut image) = picture.and_then(|picture| images.get_mut(&picture.image)) {
            graph.draw(&mut image);
        }
    }
}
