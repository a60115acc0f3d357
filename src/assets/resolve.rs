//! From what a script requires to the asset that it means.
//!
//! Asset sources take the place of the disk.

use std::path::{Path, PathBuf};

use bevy::asset::io::{AssetReaderError, AssetSource};
use bevy::asset::{AssetPath, AssetServer, AssetServerMode};
use jsonc_parser::JsonValue;
use thiserror::Error;

use crate::script::module_path::{Specifier, join, module_path, parent, without_extension};

/// What may be added to a path to make it that of a module, in the order in which it is tried.
const SUFFIXES: [&str; 4] = [".luau", ".lua", "/init.luau", "/init.lua"];

/// Why a module cannot be found.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequireError {
    /// What is required is not a path that Luau knows.
    #[error("it must begin with \"./\", \"../\" or \"@\" and an alias")]
    Specifier,
    /// The path leads out of the asset source.
    #[error("{path} is outside of the asset source")]
    Outside {
        /// The path.
        path: String,
    },
    /// There is no such file.
    #[error("no such module; looked for {}", tried.join(", "))]
    Missing {
        /// The files that it could have been.
        tried: Vec<String>,
    },
    /// There is no such file, and the path has an extension, which must be left out.
    #[error("the path of a module has no extension: write \"{instead}\"")]
    Extension {
        /// The path without it.
        instead: String,
    },
    /// No `.luaurc` defines the alias.
    #[error("no .luaurc in the script's folder or above defines the alias @{alias}")]
    UnknownAlias {
        /// Its name.
        alias: String,
    },
    /// A `.luaurc` is not what it should be.
    #[error("{path}: {message}")]
    Configuration {
        /// The file.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// The script's asset source is not there any more.
    #[error("the script's asset source does not exist")]
    NoSource,
    /// The asset source cannot be read.
    #[error("{path} cannot be read: {message}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        message: String,
    },
}

/// Finds modules for one script.
pub(super) struct Resolver<'a> {
    source: &'a AssetSource,
    mode: AssetServerMode,
    script: &'a AssetPath<'static>,
}

impl<'a> Resolver<'a> {
    /// `None` if the script's asset source is not there, so that it cannot have come from it.
    pub(super) fn new(server: &'a AssetServer, script: &'a AssetPath<'static>) -> Option<Self> {
        let source = server.get_source(script.source()).ok()?;
        Some(Self { source, mode: server.mode(), script })
    }

    /// The module that the script means by `specifier`, and the `.luaurc` that it took to find it.
    pub(super) async fn resolve(
        &self,
        specifier: &str,
    ) -> Result<(AssetPath<'static>, Option<AssetPath<'static>>), RequireError> {
        let (path, configuration) = match Specifier::parse(specifier).ok_or(RequireError::Specifier)? {
            Specifier::Alias(alias, rest) => {
                let (target, configuration) = self.alias(alias).await?;
                (join(&target, rest), Some(configuration))
            }
            Specifier::Relative(relative) => (join(parent(&self.own_path()), relative), None),
            Specifier::Own(rest) => (join(&self.own_path(), rest), None),
        };
        let path = path.ok_or_else(|| RequireError::Outside { path: specifier.to_owned() })?;
        let candidates = SUFFIXES.map(|suffix| format!("{path}{suffix}"));
        for candidate in &candidates {
            if self.read(Path::new(candidate)).await?.is_some() {
                let found = self.in_source(Path::new(candidate));
                return Ok((found, configuration.map(|path| self.in_source(&path))));
            }
        }
        match without_extension(specifier) {
            shorter if shorter != specifier => Err(RequireError::Extension { instead: shorter.to_owned() }),
            _ => Err(RequireError::Missing { tried: candidates.into() }),
        }
    }

    /// Under which path the script is required: its own, or that of its folder if it stands for that.
    fn own_path(&self) -> String {
        module_path(&slashes(self.script.path())).unwrap_or_default()
    }

    fn in_source(&self, path: &Path) -> AssetPath<'static> {
        AssetPath::from_path_buf(path.to_owned()).with_source(self.script.source().clone_owned())
    }

    /// What an alias stands for, and the `.luaurc` that says so: the nearest one that knows it.
    async fn alias(&self, alias: &str) -> Result<(String, PathBuf), RequireError> {
        let folders = self.script.path().ancestors().skip(1);
        for folder in folders {
            let file = folder.join(".luaurc");
            let Some(text) = self.read(&file).await? else { continue };
            let wrong = |message: String| RequireError::Configuration {
                path: self.in_source(&file).to_string(),
                message,
            };
            if let Some(target) = find_alias(&text, alias).map_err(wrong)? {
                let target = join(&slashes(folder), &target)
                    .ok_or_else(|| wrong(format!("the alias @{alias} leads out of the asset source")))?;
                return Ok((target, file));
            }
        }
        Err(RequireError::UnknownAlias { alias: alias.to_owned() })
    }

    /// The bytes of a file, if there is one.
    async fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, RequireError> {
        let error = |message: String| RequireError::Read { path: self.in_source(path).to_string(), message };
        let reader = match self.mode {
            AssetServerMode::Unprocessed => self.source.reader(),
            AssetServerMode::Processed => {
                self.source.processed_reader().map_err(|missing| error(missing.to_string()))?
            }
        };
        let mut bytes = Vec::new();
        match reader.read(path).await {
            Ok(mut reader) => match reader.read_to_end(&mut bytes).await {
                Ok(_) => Ok(Some(bytes)),
                Err(failure) => Err(error(failure.to_string())),
            },
            Err(AssetReaderError::NotFound(_)) => Ok(None),
            Err(failure) => Err(error(failure.to_string())),
        }
    }
}

/// A path in an asset source, as it is on all systems.
fn slashes(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

/// What the text of a `.luaurc` says of an alias. Names of aliases are not case-sensitive.
fn find_alias(text: &[u8], alias: &str) -> Result<Option<String>, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let parsed =
        jsonc_parser::parse_to_value(text, &Default::default()).map_err(|error| error.to_string())?;
    let mut configuration = match parsed {
        Some(JsonValue::Object(configuration)) => configuration,
        _ => return Err("it must hold an object".to_owned()),
    };
    let Some(aliases) = configuration.take("aliases") else { return Ok(None) };
    let JsonValue::Object(aliases) = aliases else { return Err("\"aliases\" must be an object".to_owned()) };
    match aliases.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(alias)) {
        Some((_, JsonValue::String(target))) => Ok(Some(target.into_owned())),
        Some(_) => Err(format!("the alias \"{alias}\" must be a string")),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_read_from_luaurc() {
        let text = br#"{ // as Luau allows
            "languageMode": "strict",
            "aliases": { "Lib": "../library", "bad": 3, },
        }"#;
        assert_eq!(find_alias(text, "lib"), Ok(Some("../library".into())));
        assert_eq!(find_alias(text, "other"), Ok(None));
        assert!(find_alias(text, "bad").unwrap_err().contains("must be a string"));
        assert!(find_alias(b"[]", "a").unwrap_err().contains("object"));
        assert!(find_alias(b"{ \"aliases\"", "a").is_err());
        assert_eq!(find_alias(b"{}", "a"), Ok(None));
    }
}
