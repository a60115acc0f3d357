//! Modules that the game gives to a script, instead of files that are loaded.

use std::sync::Arc;

use bevy::platform::collections::HashMap;

use super::module_path::{Specifier, join, module_path, parent, without_extension};
use super::requires::{RequireCall, require_calls};
use super::{Given, GivenModule, Module, Script, ScriptData};

/// Modules that may require each other in a row.
const MAX_DEPTH: usize = 100;

impl Script {
    /// The same script, which may `require` a module, and so may its other modules.
    ///
    /// The path of a module is that of a file beside the script, as in `lib/list.luau`, with or without an extension. It is
    /// also its name in errors. `require("./lib/list")` in the script finds it, and `require("./list")` in another module
    /// of the same folder. A path may begin with an alias, as in `@std/list`.
    ///
    /// To require what nobody has given is an error. So is it to require modules that require each other.
    ///
    /// ```
    /// # use bevy_luau_os::Script;
    /// let script = Script::new("main", "return require('./lib/twice')(21)")
    ///     .with_module("lib/twice.luau", "return function(n) return n * 2 end");
    /// assert!(script.missing_modules().is_empty());
    /// ```
    #[must_use]
    pub fn with_module(&self, path: impl Into<Arc<str>>, source: impl Into<Vec<u8>>) -> Self {
        let file: Arc<str> = path.into();
        let path: Arc<str> = module_path(&file).unwrap_or_else(|| file.to_string()).into();
        let mut given = Given::clone(&self.0.given);
        given.add(path, Self::new(file, source));
        self.given(given.into())
    }

    /// The same script, in which `@name` means a folder or a module, as in a `.luaurc`. Names are not case-sensitive.
    ///
    /// ```
    /// # use bevy_luau_os::Script;
    /// let script = Script::new("main", "return require('@lib/twice')(21)")
    ///     .with_alias("lib", "shared/library")
    ///     .with_module("shared/library/twice.luau", "return function(n) return n * 2 end");
    /// assert!(script.missing_modules().is_empty());
    /// ```
    #[must_use]
    pub fn with_alias(&self, name: &str, path: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let mut given = Given::clone(&self.0.given);
        given.aliases.retain(|(other, _)| *other != name);
        given.aliases.push((name, module_path(path).unwrap_or_else(|| path.to_owned())));
        self.given(given.into())
    }

    /// The paths of modules that the script and its modules require and that they have not been
    /// [given](Self::with_module). So a game finds out what to give it.
    pub fn missing_modules(&self) -> Vec<String> {
        Linker::new(&self.0.given).missing(self)
    }

    /// The same script with these modules.
    pub(super) fn given(&self, given: Arc<Given>) -> Self {
        let ScriptData { name, source, bytecode, .. } = &*self.0;
        let modules = Linker::new(&given).modules(self, &require_calls(source), None);
        Self::from_parts(name.clone(), source.clone(), bytecode.clone(), modules.into(), given)
    }

    /// A script that may require what this one may.
    pub(crate) fn child(&self, name: impl Into<Arc<str>>, source: impl Into<Vec<u8>>) -> Self {
        let child = Self::new(name, source);
        if !self.0.given.modules.is_empty() {
            return child.given(self.0.given.clone());
        }
        if self.modules().is_empty() {
            return child;
        }
        let required = require_calls(child.source());
        let is_required = |module: &&Module| required.iter().any(|call| *call.specifier == *module.specifier);
        child.with_modules(self.modules().iter().filter(is_required).cloned().collect())
    }
}

impl Given {
    /// Adds a module, or replaces the one with its path.
    pub(super) fn add(&mut self, path: Arc<str>, script: Script) {
        let requires = require_calls(script.source()).into();
        self.modules.retain(|other| other.path != path);
        self.modules.push(GivenModule { path, script, requires });
    }
}

/// Puts a script together with the modules that it requires, and those that they do.
struct Linker<'a> {
    given: &'a Given,
    /// By their number.
    linked: HashMap<usize, Script>,
    /// The modules under way, each required by the one before it.
    chain: Vec<usize>,
    /// What is required and not given.
    missing: Vec<String>,
}

impl<'a> Linker<'a> {
    fn new(given: &'a Given) -> Self {
        Self { given, linked: HashMap::default(), chain: Vec::new(), missing: Vec::new() }
    }

    /// The paths that a script and its modules require and nobody has given.
    fn missing(mut self, script: &Script) -> Vec<String> {
        self.modules(script, &require_calls(script.source()), None);
        self.missing
    }

    /// The modules of a script that requires these, and is itself the one at a path, or the main script. What cannot be required is among
    /// them, as a script that could not be loaded.
    fn modules(&mut self, script: &Script, requires: &[RequireCall], path: Option<&str>) -> Vec<Module> {
        let mut modules: Vec<Module> = Vec::new();
        for call in requires {
            let specifier: Arc<str> = (&*call.specifier).into();
            if modules.iter().any(|module| module.specifier == specifier) {
                continue;
            }
            let found = self.target(&specifier, script, path).map_err(str::to_owned);
            let script = found.and_then(|path| self.find(&path, &specifier));
            let script = script.unwrap_or_else(|why| Script::not_loaded(specifier.clone(), why));
            modules.push(Module { specifier, script });
        }
        modules
    }

    fn find(&mut self, path: &str, specifier: &str) -> Result<Script, String> {
        if let Some(number) = self.given.modules.iter().position(|module| *module.path == *path) {
            return self.link(number);
        }
        if !self.missing.iter().any(|missing| missing == path) {
            self.missing.push(path.to_owned());
        }
        Err(self.describe_missing(specifier))
    }

    fn link(&mut self, number: usize) -> Result<Script, String> {
        if let Some(script) = self.linked.get(&number) {
            return Ok(script.clone());
        }
        let GivenModule { path, script, requires } = &self.given.modules[number];
        if let Some(begin) = self.chain.iter().position(|&link| link == number) {
            let names = self.chain[begin..].iter().map(|&number| self.given.modules[number].script.name());
            let names: Vec<&str> = names.chain([script.name()]).collect();
            return Err(format!("modules require each other: {}", names.join(" -> ")));
        }
        if self.chain.len() == MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} modules require each other in a row"));
        }
        self.chain.push(number);
        let modules = self.modules(script, requires, Some(path));
        self.chain.pop();
        let linked = if modules.is_empty() { script.clone() } else { script.with_modules(modules) };
        self.linked.insert(number, linked.clone());
        Ok(linked)
    }

    fn describe_missing(&self, specifier: &str) -> String {
        let shorter = without_extension(specifier);
        if shorter != specifier {
            return format!("the path of a module has no extension: write \"{shorter}\"");
        }
        let given: Vec<&str> = self.given.modules.iter().take(8).map(|module| &*module.path).collect();
        if given.is_empty() {
            "no such module".to_owned()
        } else {
            format!("no such module; there are {}", given.join(", "))
        }
    }

    /// The path that a script means, which is at one itself, or the main script.
    fn target(&self, specifier: &str, script: &Script, path: Option<&str>) -> Result<String, &'static str> {
        let outside = "it is outside of the script's folder";
        let joined = match Specifier::parse(specifier) {
            None => return Err("it must begin with \"./\", \"../\" or \"@\" and an alias"),
            Some(Specifier::Relative(relative)) => join(path.map_or("", parent), relative),
            Some(Specifier::Own(relative)) => {
                let own = path.map(str::to_owned).or_else(|| module_path(file_name(script.name())));
                join(&own.unwrap_or_default(), relative)
            }
            Some(Specifier::Alias(alias, rest)) => {
                let known = self.given.aliases.iter().find(|(name, _)| name.eq_ignore_ascii_case(alias));
                match known {
                    Some((_, folder)) => join(folder, rest),
                    None => join(&format!("@{alias}"), rest),
                }
            }
        };
        joined.ok_or(outside)
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}
