//! A run as a picture.

use std::io;
use std::path::Path;
use std::time::Duration;

use plotters::coord::Shift;
use plotters::prelude::*;

/// Points of a line; a longer run shows the highest values of several frames in each.
const MAX_POINTS: usize = 1_500;

const SIZE: (u32, u32) = (960, 720);
const TITLE_STYLE: (&str, u32) = ("sans-serif", 22);
const CAPTION_STYLE: (&str, u32) = ("sans-serif", 15);
const LABEL_STYLE: (&str, u32) = ("sans-serif", 13);

const FRAME: RGBColor = RGBColor(49, 104, 176);
const TICK: RGBColor = RGBColor(224, 127, 30);
const COLLECTOR: RGBColor = RGBColor(150, 70, 160);
const PROCESSES: RGBColor = RGBColor(50, 140, 80);
const DEADLINE: RGBColor = RGBColor(200, 40, 40);

pub type DrawError = DrawingAreaErrorKind<io::Error>;

/// What is measured of a frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Since the first frame.
    pub at: Duration,
    /// What the frame took, without waiting for the next.
    pub frame: Duration,
    pub tick: Duration,
    /// Collection, all workers added up.
    pub collector: Duration,
    pub processes: u64,
}

impl Sample {
    fn merge(self, other: Self) -> Self {
        Self {
            at: self.at,
            frame: self.frame.max(other.frame),
            tick: self.tick.max(other.tick),
            collector: self.collector.max(other.collector),
            processes: self.processes.max(other.processes),
        }
    }
}

/// The frames of a run, in bounded space.
#[derive(Debug)]
pub struct Timeline {
    points: Vec<Sample>,
    frames_per_point: u32,
    frames_in_last: u32,
}

impl Timeline {
    pub fn new() -> Self {
        Self { points: Vec::new(), frames_per_point: 1, frames_in_last: 1 }
    }

    pub fn record(&mut self, sample: Sample) {
        if self.frames_in_last < self.frames_per_point
            && let Some(last) = self.points.last_mut()
        {
            *last = last.merge(sample);
            self.frames_in_last += 1;
            return;
        }
        if self.points.len() == MAX_POINTS {
            let pairs = self.points.chunks(2);
            self.points = pairs.map(|pair| pair.iter().copied().fold(pair[0], Sample::merge)).collect();
            self.frames_per_point *= 2;
        }
        self.points.push(sample);
        self.frames_in_last = 1;
    }

    /// Draws the run; a frame that takes longer than `deadline` is late.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn draw(&self, path: &Path, title: &str, deadline: Duration) -> Result<(), DrawError> {
        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let root = root.titled(title, TITLE_STYLE)?;
        let (times, rest) = root.split_vertically(310);
        let (collections, processes) = rest.split_vertically(185);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        self.panel(
            &times,
            "Time of a frame, without waiting for the next, and of its tick (ms)",
            Some(ms(deadline)),
            &[("frame", FRAME, &|sample| ms(sample.frame)), ("tick", TICK, &|sample| ms(sample.tick))],
        )?;
        self.panel(
            &collections,
            "Garbage collection in a frame, all workers together (ms)",
            None,
            &[("collection", COLLECTOR, &|sample| ms(sample.collector))],
        )?;
        self.panel(
            &processes,
            "Live processes (thousands)",
            None,
            &[("processes", PROCESSES, &|sample| sample.processes as f64 / 1e3)],
        )?;
        root.present()?;
        Ok(())
    }

    /// Lines over time, and a level that should not be passed.
    fn panel(
        &self,
        area: &DrawingArea<SVGBackend<'_>, Shift>,
        caption: &str,
        level: Option<f64>,
        lines: &[(&str, RGBColor, &dyn Fn(&Sample) -> f64)],
    ) -> Result<(), DrawError> {
        let seconds = |sample: &Sample| sample.at.as_secs_f64();
        let end = self.points.last().map_or(1.0, seconds).max(1e-3);
        let values = lines.iter().flat_map(|(.., value)| self.points.iter().map(value));
        let top = values.chain(level).fold(1.0, f64::max) * if lines.len() > 1 { 1.4 } else { 1.1 };
        let mut chart = ChartBuilder::on(area)
            .caption(caption, CAPTION_STYLE)
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..end, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .x_desc("seconds")
            .y_labels(6)
            .label_style(LABEL_STYLE)
            .draw()?;
        for &(name, color, value) in lines {
            let points = self.points.iter().map(|sample| (seconds(sample), value(sample)));
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(1)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)));
        }
        if let Some(level) = level {
            chart
                .draw_series(DashedLineSeries::new(
                    [(0.0, level), (end, level)],
                    6,
                    4,
                    DEADLINE.stroke_width(1),
                ))?
                .label("a frame's time")
                .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], DEADLINE.stroke_width(3)));
        }
        if lines.len() == 1 {
            return Ok(());
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .label_font(LABEL_STYLE)
            .draw()?;
        Ok(())
    }
}
