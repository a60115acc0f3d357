//! One trial for each script, so that the failure of one hides no other. They are found by walking the folders:
//!
//! | folder | its scripts |
//! |---|---|
//! | `tests/hostile/*` | hurt nobody else, and end as their first line says |
//! | `tests/scripts/golden` | print what the file beside them says, at every quantum |
//! | `tests/scripts/pass`, `fault` | return or fail at every quantum as they do on a plain Luau state |
//! | `tests/scripts/ordinary` | the same, programs of ordinary size with the default limits |
//! | golden scripts and attacks once more, as `migrated` | are saved after every tick and go on in another app (feature `save`) |
//! | `tests/scripts/library` | print at every quantum what they print on a plain Luau state |
//!
//! `cargo test --test scripts hostile/cpu` runs the scripts whose paths contain that.
//! `UPDATE_GOLDEN=1 cargo test --test scripts golden` writes what golden scripts print; look at the difference.
//! `cargo test --features save --test scripts -- --ignored migrated` runs those that are saved; it takes minutes.
//! `cargo test --release --test scripts -- --ignored longest` measures for how long attacks hold up a tick.

#[path = "../common/app.rs"]
mod app;
#[path = "../common/attack.rs"]
mod attack;
mod golden;
mod hostile;
mod library;
mod longest_ticks;
#[cfg(feature = "save")]
#[path = "../common/migrate.rs"]
mod migrate;
#[cfg(feature = "save")]
mod migrated;
#[path = "../common/one_thread.rs"]
mod one_thread;
mod preemption;
mod range;
#[path = "../common/run.rs"]
mod run;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// Checks a script. An error says what is wrong with it.
type Check = fn(&Path) -> Result<(), String>;

fn main() -> ExitCode {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let attacks = files(&tests.join("hostile"));
    let mut trials: Vec<Trial> = attacks.iter().map(|path| trial(&tests, path, hostile::check)).collect();
    for folder in entries(&tests.join("scripts")).into_iter().filter(|path| path.is_dir()) {
        let scripts = files(&folder).into_iter().filter(|path| !golden::is_output(path));
        trials.extend(scripts.map(|path| trial(&tests, &path, check_of(&folder))));
    }
    #[cfg(feature = "save")]
    trials.extend(migrated_trials(&tests, &attacks));
    let measure = move || longest_ticks::measure(&attacks).map_err(Failed::from);
    trials.push(Trial::test("longest_ticks", measure).with_ignored_flag(true));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The same scripts, saved and loaded after every tick.
#[cfg(feature = "save")]
fn migrated_trials(tests: &Path, attacks: &[PathBuf]) -> Vec<Trial> {
    let golden = files(&tests.join("scripts/golden")).into_iter().filter(|path| !golden::is_output(path));
    let golden = golden.map(|path| (path, migrated::prints_the_same as Check));
    let attacks = attacks.iter().map(|path| (path.clone(), migrated::does_no_more as Check));
    let all = golden.chain(attacks);
    let trial = |(path, check): (PathBuf, Check)| {
        let name = format!("migrated/{}", trial_name(tests, &path));
        named_trial(name, &path, check).with_ignored_flag(true) // they take minutes
    };
    all.map(trial).collect()
}

/// What is to be checked of the scripts in a folder of `tests/scripts`.
fn check_of(folder: &Path) -> Check {
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("golden") => golden::check,
        Some("pass") => preemption::returns_the_same,
        Some("ordinary") => preemption::is_ordinary,
        Some("fault") => preemption::fails_the_same,
        Some("library") => library::prints_the_same,
        _ => |_| Err("nothing is said about the scripts of this folder".to_owned()),
    }
}

/// A trial that has the path of its script in `tests` as its name.
fn trial(tests: &Path, path: &Path, check: Check) -> Trial {
    named_trial(trial_name(tests, path), path, check)
}

fn is_script(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "luau")
}

fn trial_name(tests: &Path, path: &Path) -> String {
    let named = if is_script(path) { path.with_extension("") } else { path.to_owned() };
    named.strip_prefix(tests).expect("it was found there").to_string_lossy().replace('\\', "/")
}

fn named_trial(name: String, path: &Path, check: Check) -> Trial {
    let path = path.to_owned();
    let is_script = is_script(&path);
    Trial::test(name, move || {
        let result = if is_script { check(&path) } else { Err("this is no script".to_owned()) };
        result.map_err(|error| format!("{}: {error}", path.display()).into())
    })
}

/// The files of a folder and of those in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let files = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries(folder).into_iter().flat_map(files).collect()
}

/// What is in a folder, in order.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "there is nothing in {}", folder.display());
    paths
}

/// A script's name, as its error messages have it.
fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// A script's text.
fn source(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}
