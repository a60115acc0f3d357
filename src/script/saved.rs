//! Scripts as they are saved: their sources, with the modules that they may require. Never bytecode.

use std::sync::{Arc, OnceLock};

use bevy::platform::collections::HashMap;
use serde::{Deserialize, Serialize};

use super::module_path::module_path;
use super::{CompileError, Module, Script};
use crate::save::Bytes;

/// Scripts, each once. What a script requires is before it.
#[derive(Debug, Default)]
pub(crate) struct ScriptTable {
    numbers: HashMap<Script, u32>,
    scripts: Vec<SavedScript>,
}

/// A script and the numbers of its modules.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedScript {
    name: Box<str>,
    source: Bytes,
    /// Why it could not be loaded.
    error: Option<Box<str>>,
    /// What it calls its modules, where these are files.
    modules: Vec<(Box<str>, u32)>,
    /// Names and sources of the modules that the game has given it, and its aliases.
    given: Vec<(Box<str>, Bytes)>,
    aliases: Vec<(Box<str>, Box<str>)>,
}

impl ScriptTable {
    /// The number of a script, which is put into the table if it is not there.
    pub(crate) fn number(&mut self, script: &Script) -> u32 {
        if let Some(&number) = self.numbers.get(script) {
            return number;
        }
        let data = &*script.0;
        let is_given = !data.given.modules.is_empty();
        let modules = data.modules.iter().filter(|_| !is_given);
        let modules = modules.map(|module| ((*module.specifier).into(), self.number(&module.script)));
        let modules = modules.collect();
        let given = data.given.modules.iter();
        self.scripts.push(SavedScript {
            name: (*data.name).into(),
            source: (*data.source).into(),
            error: data.asset_error().map(|error| match error {
                CompileError::Asset { message, .. } => (**message).into(),
                error => error.to_string().into(),
            }),
            modules,
            given: given.map(|it| (it.script.name().into(), it.script.source().into())).collect(),
            aliases: data.given.aliases.iter().map(|(a, b)| ((**a).into(), (**b).into())).collect(),
        });
        let number = self.scripts.len() as u32 - 1;
        self.numbers.insert(script.clone(), number);
        number
    }

    /// The scripts, in the order of their numbers.
    pub(crate) fn into_scripts(self) -> Vec<SavedScript> {
        self.scripts
    }
}

/// Makes the scripts of a table, in their order. They are compiled when they are needed.
///
/// # Errors
///
/// The number of the script that is wrong, and what is.
pub(crate) fn scripts(saved: Vec<SavedScript>) -> Result<Vec<Script>, (usize, &'static str)> {
    let mut scripts: Vec<Script> = Vec::new();
    for (number, saved) in saved.into_iter().enumerate() {
        let SavedScript { name, source, error, modules, given, aliases } = saved;
        let name: Arc<str> = name.into();
        let mut script = match error {
            Some(message) => Script::not_loaded(name, message.into()),
            None => {
                Script::from_parts(name, source.0.into(), OnceLock::new(), Box::default(), Arc::default())
            }
        };
        if !modules.is_empty() {
            let module = |(specifier, number): (Box<str>, u32)| {
                let script = scripts.get(number as usize)?.clone();
                Some(Module { specifier: specifier.into(), script })
            };
            let modules: Option<Vec<Module>> = modules.into_iter().map(module).collect();
            script = script.with_modules(modules.ok_or((number, "a module that is not before its script"))?);
        }
        if !given.is_empty() {
            script = script.with_given(given, aliases);
        }
        scripts.push(script);
    }
    Ok(scripts)
}

impl Script {
    fn with_given(&self, given: Vec<(Box<str>, Bytes)>, aliases: Vec<(Box<str>, Box<str>)>) -> Self {
        let aliases = aliases.into_iter().map(|(name, path)| (name.into(), path.into())).collect();
        let mut all = super::Given { aliases, ..super::Given::default() };
        for (file, source) in given {
            let path = module_path(&file).unwrap_or_else(|| file.to_string());
            let script = Self::new(&*file, source.0.into_vec());
            all.add(path.into(), script);
        }
        self.given(all.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::save::{decode, encode};

    fn saved_and_loaded(script: &Script) -> Script {
        let mut table = ScriptTable::default();
        assert_eq!(table.number(script), table.number(script));
        let bytes = encode(&table.into_scripts());
        let scripts = scripts(decode(&bytes, 0).expect("it was saved")).expect("it is right");
        scripts.last().expect("there is one").clone()
    }

    #[test]
    fn scripts_come_back_with_their_modules() {
        let plain = Script::new("plain", b"return '\xff'".to_vec());
        let given = Script::new("main", "return require('./lib/a')")
            .with_alias("std", "lib")
            .with_module("lib/a.luau", "return require('@std/b')")
            .with_module("lib/b.luau", "return 1");
        let missing = Script::new("main", "return require('./a')");
        let linked = plain.with_modules(vec![
            Module { specifier: "./a".into(), script: given.clone() },
            Module { specifier: "./b".into(), script: Script::not_loaded("b".into(), "no".into()) },
        ]);
        for script in [plain, given.clone(), missing, linked] {
            assert_eq!(saved_and_loaded(&script), script);
        }
        let child = |script: &Script| script.child("child", "return require('@std/b')");
        assert_eq!(child(&saved_and_loaded(&given)), child(&given));
    }

    #[test]
    fn a_module_that_is_not_before_its_script_is_refused() {
        let script = |modules| SavedScript {
            name: "x".into(),
            source: Bytes::default(),
            error: None,
            modules,
            given: Vec::new(),
            aliases: Vec::new(),
        };
        let wrong = vec![script(vec![]), script(vec![("./x".into(), 1)])];
        assert_eq!(scripts(wrong).expect_err("itself").0, 1);
    }
}
