//! Hundreds of thousands of simulated computers, headless.
//!
//! ```text
//! cargo run --release --example stress                               # 800,000 processes at 60 frames a second
//! cargo run --release --example stress -- --tick-budget unlimited    # the same, as fast as possible
//! cargo run --release --example stress -- --baseline                 # the same without this crate
//! cargo run --release --example stress -- --workload spin --seconds 10
//! cargo run --release --example stress -- --hash --tick-budget unlimited   # a digest, the same in each run
//! cargo run --release --example stress -- --help
//! ```

mod baseline;
mod chart;
#[path = "../common/digest.rs"]
mod digest;
mod ecs;
mod fairness;
mod hash;
mod hostile;
mod options;
mod pinning;
mod report;
#[cfg(feature = "save")]
mod saves;
#[path = "../common/tick_budget.rs"]
mod tick_budget;
mod workload;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    let options = Options::read();
    let workload = match workload::load(&options) {
        Ok(workload) => workload,
        Err(error) => {
            eprintln!("stress: {error}");
            return ExitCode::from(2);
        }
    };
    let report =
        if options.baseline { baseline::run(&options, &workload) } else { ecs::run(&options, workload) };
    if let Some(path) = &options.report
        && let Err(error) = report.write(path)
    {
        eprintln!("stress: cannot write {}: {error}", path.display());
        return ExitCode::from(2);
    }
    if !options.quiet {
        println!("{report}\n");
    }
    println!("{}", report.summary());
    if let Some(digest) = &report.digest {
        println!("Digest: {digest}");
    }
    ExitCode::SUCCESS
}
