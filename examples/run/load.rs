//! Reading scripts, and the modules that they require, from the disk.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use bevy_luau_os::prelude::*;
use serde::Deserialize;

/// What may be added to a path to make it that of a module, in the order in which it is tried.
const SUFFIXES: [&str; 4] = [".luau", ".lua", "/init.luau", "/init.lua"];

/// What there is of interest in a `.luaurc`.
#[derive(Deserialize, Default)]
struct Configuration {
    #[serde(default)]
    aliases: HashMap<String, String>,
}

/// Reads and compiles a file, with the modules beside it that it requires.
pub fn load(path: &Path) -> Result<Script, String> {
    let source =
        std::fs::read(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    let mut script = Script::new(path.display().to_string(), source);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))?;
    for (name, target) in aliases(&folder)? {
        script = script.with_alias(&name, &target);
    }
    let mut tried = HashSet::new();
    loop {
        let missing = script.missing_modules();
        let new: Vec<_> = missing.into_iter().filter(|module| tried.insert(module.clone())).collect();
        if new.is_empty() {
            break;
        }
        for module in new {
            // What is not there is an error of the process that requires it.
            let Some((suffix, file)) = find(&folder, &module) else { continue };
            let source = std::fs::read(&file)
                .map_err(|error| format!("{}: cannot be read: {error}", file.display()))?;
            script = script.with_module(format!("{module}{suffix}"), source);
        }
    }
    script.compile().map_err(|error| error.to_string())?;
    Ok(script)
}

fn aliases(folder: &Path) -> Result<HashMap<String, String>, String> {
    let file = folder.join(".luaurc");
    let Ok(text) = std::fs::read(&file) else { return Ok(HashMap::new()) };
    let configuration: Configuration =
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(configuration.aliases)
}

/// The file of a module, and how its name goes on. It must be in the folder.
fn find(folder: &Path, module: &str) -> Option<(&'static str, PathBuf)> {
    SUFFIXES.into_iter().find_map(|suffix| {
        let file = folder.join(format!("{module}{suffix}")).canonicalize().ok()?;
        (file.starts_with(folder) && file.is_file()).then_some((suffix, file))
    })
}
