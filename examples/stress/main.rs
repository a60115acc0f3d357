//! Hundreds of thousands of simulated computers, headless.
//!
//! ```text
//! cargo run --release --example stress                       # 400,000 VMs, 800,000 processes
//! cargo run --release --example stress -- --baseline            # the same, the way it is usually done
//! cargo run --release --example stress -- --workload spin --seconds 10
//! cargo run --release --example stress -- --help
//! ```

mod chart;
mod ecs;
mod fairness;
mod hostile;
mod naive;
mod options;
mod pinning;
mod report;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    let workload = match workload::load(&options) {
        Ok(workload) => workload,
        Err(error) => {
            eprintln!("stress: {error}");
            return ExitCode::from(2);
        }
    };
    let (report, summary) =
        if options.naive { naive::run(&options, &workload) } else { ecs::run(&options, workload) };
    if let Some(path) = &options.report
        && let Err(error) = report.write(path)
    {
        eprintln!("stress: cannot write {}: {error}", path.display());
        return ExitCode::from(2);
    }
    if !options.quiet {
        println!("{report}");
    }
    println!("{summary}");
    ExitCode::SUCCESS
}
