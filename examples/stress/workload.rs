//! What the processes run.

use std::path::{Path, PathBuf};

use bevy_luau_os::Script;

use crate::hostile::Attacks;
use crate::options::Options;

/// A script, and the name under which the report shows it.
pub struct Workload {
    pub name: String,
    pub script: Script,
    /// For the workload `hostile`.
    pub attacks: Option<Attacks>,
}

/// Reads and compiles the script that the options name.
///
/// # Errors
///
/// A message that names the file and what is wrong with it.
pub fn load(options: &Options) -> Result<Workload, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/scripts/stress");
    let (name, path) = match &options.script {
        Some(path) => (path.display().to_string(), path.clone()),
        None => (options.workload.clone(), folder.join(format!("{}.luau", options.workload))),
    };
    let source = std::fs::read(&path).map_err(|error| match &options.script {
        Some(_) => format!("cannot read {}: {error}", path.display()),
        None => format!("there is no workload `{name}`; there are: {}", names(&folder).join(", ")),
    })?;
    let chunk_name = path.file_name().map_or_else(|| name.clone(), |file| file.to_string_lossy().into());
    let script = Script::new(chunk_name, source);
    script.compile().map_err(|error| error.to_string())?;
    let attacks = if name == "hostile" { Some(Attacks::load()?) } else { None };
    Ok(Workload { name, script, attacks })
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let mut names: Vec<String> = entries.filter_map(|entry| stem(entry.path())).collect();
    names.sort();
    names
}
