//! A monkey at the keyboard: processes that do everything with their threads and tasks that a script can, in a random
//! order. What they do to themselves is their business. The machine must not crash, and who runs beside them must not
//! notice.
//!
//! `MONKEYS=10000 cargo test --test properties monkey` looks for longer, from seed `MONKEY` on.

use std::num::NonZeroUsize;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::{app, one_thread};

const SCRIPT: &str = include_str!("../scripts/monkey.luau");
const WELL_BEHAVED: &str = include_str!("../scripts/well_behaved.luau");

/// Seeds that once failed.
const FAILED: &[u32] = &[9, 2069, 3023];

/// Seeds that are tried.
const SEEDS: u32 = 60;

/// What one of them does at most.
const STEPS: u32 = 600;

/// Ticks for which they are watched.
const TICKS: usize = 300;

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

fn monkeys(seed: u32, quantum: u32, vms_per_isolate: usize) {
    let mut app = one_thread::app_with(LuauOsPlugin {
        quantum,
        vms_per_isolate,
        workers: NonZeroUsize::new(1 + seed as usize % 2),
        ..app::plugin()
    });
    let mut neighbours = Vec::new();
    for place in 0..4 {
        let vm = app::vm(&mut app);
        for twin in 0..2 {
            let seed = (seed * 16 + place * 4 + twin).to_string();
            let source = SCRIPT.replace("SEED", &seed).replace("STEPS", &STEPS.to_string());
            app::process(&mut app, vm, &source);
        }
        let vm = app::vm(&mut app);
        neighbours.push(app::process(&mut app, vm, WELL_BEHAVED));
    }
    for tick in 0..TICKS {
        app.update();
        if tick % 7 == 0 {
            let vms: Vec<Entity> =
                app.world_mut().query_filtered::<Entity, With<Vm>>().iter(app.world()).collect();
            for vm in vms {
                app.world_mut().commands().entity(vm).send_signal("s", tick as f64);
            }
        }
    }
    let outcomes = |app: &App| -> Vec<Outcome> {
        let ended = app::ended(app).processes.iter();
        ended.filter(|exit| neighbours.contains(&exit.entity)).map(|exit| exit.outcome.clone()).collect()
    };
    for _ in 0..100_000 {
        if outcomes(&app).len() == neighbours.len() {
            break;
        }
        app.update();
    }
    let outcomes = outcomes(&app);
    assert_eq!(outcomes.len(), neighbours.len(), "seed {seed}, quantum {quantum}: the neighbours ended");
    for outcome in &outcomes {
        let is_finished = matches!(outcome, Outcome::Finished(_));
        assert!(is_finished, "seed {seed}, quantum {quantum}: a neighbour: {outcome:?}");
    }
}

#[test]
fn monkeys_harm_nobody() {
    let first = number("MONKEY", 0);
    for seed in FAILED.iter().copied().chain(first..first + number("MONKEYS", SEEDS)) {
        let quantum = [2, 3, 7, 50, 1000][seed as usize % 5];
        // A crash says nothing.
        println!("seed {seed}, quantum {quantum}");
        monkeys(seed, quantum, [1, 3, 255][seed as usize % 3]);
    }
}
