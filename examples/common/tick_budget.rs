//! The option `--tick-budget`, which the stress and the demo share.

use std::time::Duration;

use bevy_luau_os::TickBudget;

/// Reads a budget.
///
/// # Errors
///
/// A message that lists what is valid.
pub fn parse(text: &str) -> Result<TickBudget, String> {
    match text {
        "auto" => Ok(TickBudget::Auto),
        "default" => Ok(TickBudget::default()),
        "unlimited" => Ok(TickBudget::Unlimited),
        _ => match text.parse::<f64>() {
            Ok(ms) if (1e-3..=1e6).contains(&ms) => Ok(TickBudget::Time(Duration::from_secs_f64(ms / 1e3))),
            _ => Err("expected `auto`, `default`, `unlimited`, or milliseconds".to_owned()),
        },
    }
}
