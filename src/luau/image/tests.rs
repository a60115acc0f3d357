//! Processes that are saved and loaded into a fresh state after every slice do what they do otherwise.

mod computer;
mod mutated;
mod pieces;

use computer::{Computer, uninterrupted};

/// Runs a script to its end in slices of `quantum` safepoints, and moves it to a fresh state after each.
fn moved(name: &str, source: &str, quantum: u32) -> (String, usize) {
    let mut computer = Computer::start(name, source);
    let mut moves = 0;
    while computer.slice(quantum) {
        if let Some(image) = computer.save() {
            computer = computer.moved(&image);
            moves += 1;
        }
    }
    (computer.output, moves)
}

fn check(name: &str, source: &str, least: usize) {
    let expected = uninterrupted(name, source);
    for quantum in [2, 3, 7, 31] {
        let (output, moves) = moved(name, source, quantum);
        assert!(output == expected, "{name} at {quantum}:\n{output}\nexpected:\n{expected}");
        assert!(quantum > 2 || moves >= least, "{name}: {moves} moves");
    }
}

#[test]
fn a_script_that_has_a_bit_of_everything() {
    check("everything", include_str!("tests/everything.luau"), 600);
}

#[test]
fn coroutines_and_what_they_share() {
    check("coroutines", include_str!("tests/coroutines.luau"), 300);
}

#[test]
fn functions_that_call_functions_of_the_script() {
    check("callbacks", include_str!("tests/callbacks.luau"), 300);
}

#[test]
fn tables_in_all_states() {
    check("tables", include_str!("tests/tables.luau"), 300);
}

#[test]
fn tasks_of_a_process() {
    for name in ["task_cancel", "task_errors", "task_join", "task_nested", "task_order", "task_wake"] {
        let path = format!("{}/tests/scripts/golden/{name}.luau", env!("CARGO_MANIFEST_DIR"));
        check(name, &std::fs::read_to_string(path).expect("the script is there"), 8);
    }
}

#[test]
fn what_stops_in_the_middle_of_a_metamethod_is_saved_later() {
    check("parked", include_str!("tests/parked.luau"), 50);
}
