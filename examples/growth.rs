//! How cost grows with work: the stress at several sizes, as a table and a chart.
//!
//! ```text
//! cargo build --release --example stress
//! cargo run --release --example growth -- --chart growth.svg
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Parser;
use plotters::prelude::*;
use serde::Deserialize;

/// Runs `stress --workload spin --workers 1` at several sizes
#[derive(Parser, Debug)]
struct Options {
    /// Numbers of VMs, each with two processes. 2,000,000 take 6.8 GB
    #[arg(long, value_delimiter = ',', default_values_t = [500, 5_000, 50_000, 500_000, 2_000_000])]
    vms: Vec<u64>,
    /// Seconds that each size runs. Large ones get more, as they take longer to start
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Draw times and memory by the number of processes, as SVG
    #[arg(long)]
    chart: Option<PathBuf>,
}

/// What is shown of a report.
#[derive(Deserialize, Debug)]
struct Report {
    processes: u64,
    resume_ns: f64,
    bytes_per_process: f64,
    spawn_s: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut reports = Vec::new();
    println!("{:>10} {:>10} {:>17} {:>15}", "processes", "slice, ns", "bytes a process", "spawning, ns");
    for &vms in &options.vms {
        // A large one needs some of its time to start.
        let report = stress(vms, options.seconds + vms as f64 / 100_000.0)?;
        let Report { processes, resume_ns, bytes_per_process, spawn_s } = report;
        let spawn_ns = spawn_s * 1e9 / processes as f64;
        println!("{processes:>10} {resume_ns:>10.0} {bytes_per_process:>17.0} {spawn_ns:>15.0}");
        reports.push(report);
    }
    match &options.chart {
        Some(path) => draw(path, &reports),
        None => Ok(()),
    }
}

/// Runs the stress that was built beside this program.
fn stress(vms: u64, seconds: f64) -> Result<Report, Box<dyn Error>> {
    let stress = std::env::current_exe()?.with_file_name("stress");
    let path = std::env::temp_dir().join(format!("growth-{}.json", std::process::id()));
    let status = Command::new(&stress)
        .args(["--workload", "spin", "--workers", "1", "--uncapped", "--tick-budget", "unlimited", "--quiet"])
        .args(["--vms", &vms.to_string(), "--seconds", &seconds.to_string(), "--report"])
        .arg(&path)
        .stdout(Stdio::null())
        .status()
        .map_err(|error| {
            format!("{}: {error}; build it with `cargo build --release --example stress`", stress.display())
        })?;
    if !status.success() {
        return Err(format!("the stress with {vms} VMs ended with {status}").into());
    }
    let report = serde_json::from_slice(&std::fs::read(&path)?)?;
    std::fs::remove_file(path)?;
    Ok(report)
}

fn draw(path: &Path, reports: &[Report]) -> Result<(), Box<dyn Error>> {
    const TIME: RGBColor = RGBColor(49, 104, 176);
    const MEMORY: RGBColor = RGBColor(224, 127, 30);
    let processes = reports.iter().map(|report| report.processes);
    let (Some(fewest), Some(most)) = (processes.clone().min(), processes.max()) else {
        return Err("there is nothing to draw: `--vms` is empty".into());
    };
    let highest = |of: fn(&Report) -> f64| reports.iter().map(of).fold(0.0, f64::max) * 1.2;
    let range = (fewest..most.max(fewest + 1)).log_scale();
    let area = SVGBackend::new(path, (960, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Endless loops, one worker", ("sans-serif", 22))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(58)
        .right_y_label_area_size(68)
        .build_cartesian_2d(range.clone(), 0.0..highest(|report| report.resume_ns))?
        .set_secondary_coord(range, 0.0..highest(|report| report.bytes_per_process));
    chart
        .configure_mesh()
        .x_desc("processes")
        .y_desc("ns a slice")
        .x_label_formatter(&|count| count.to_string())
        .y_label_formatter(&|time| format!("{time:.0}"))
        .max_light_lines(0)
        .bold_line_style(RGBColor(225, 225, 225))
        .draw()?;
    chart
        .configure_secondary_axes()
        .y_desc("bytes a process")
        .y_label_formatter(&|bytes| format!("{bytes:.0}"))
        .draw()?;
    let times = reports.iter().map(|report| (report.processes, report.resume_ns));
    let bytes = reports.iter().map(|report| (report.processes, report.bytes_per_process));
    chart
        .draw_series(LineSeries::new(times, TIME.stroke_width(2)).point_size(4))?
        .label("a slice")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], TIME.stroke_width(2)));
    chart
        .draw_secondary_series(LineSeries::new(bytes, MEMORY.stroke_width(2)).point_size(4))?
        .label("memory")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], MEMORY.stroke_width(2)));
    chart
        .configure_series_labels()
        .background_style(WHITE)
        .border_style(BLACK)
        .position(SeriesLabelPosition::LowerRight)
        .draw()?;
    area.present()?;
    Ok(())
}
