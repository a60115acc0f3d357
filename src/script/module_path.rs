//! Paths of modules, as `require` reads them.
//!
//! The rules are those of Luau's own [`require`](https://rfcs.luau.org/new-require-by-string-semantics.html). Paths have
//! slashes between their parts and no extension. A file `init` stands for its folder.

/// What files of scripts are called.
const EXTENSIONS: [&str; 2] = [".luau", ".lua"];

/// What is required, without the path to which it is relative.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Specifier<'a> {
    /// Beside the script.
    Relative(&'a str),
    /// In the folder that the script stands for, or that has its name.
    Own(&'a str),
    /// From an alias on.
    Alias(&'a str, &'a str),
}

impl<'a> Specifier<'a> {
    /// `None` if there is no such form.
    pub(crate) fn parse(specifier: &'a str) -> Option<Self> {
        if let Some(aliased) = specifier.strip_prefix('@') {
            let (alias, rest) = aliased.split_once('/').unwrap_or((aliased, ""));
            return Some(if alias == "self" { Self::Own(rest) } else { Self::Alias(alias, rest) });
        }
        let is_relative = specifier.starts_with("./") || specifier.starts_with("../");
        is_relative.then_some(Self::Relative(specifier))
    }
}

/// `path` from `folder` on, without `.` and `..`. `None` if that leads out of everything.
pub(crate) fn join(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            // On Windows one part could hold a path, even an absolute one.
            part if part.contains(['\\', ':']) => return None,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The folder in which something is.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The path without an extension.
pub(crate) fn without_extension(path: &str) -> &str {
    EXTENSIONS.iter().find_map(|extension| path.strip_suffix(extension)).unwrap_or(path)
}

/// Under which path a file is required.
pub(crate) fn module_path(file: &str) -> Option<String> {
    let path = join("", without_extension(file))?;
    Some(match path.strip_suffix("init") {
        Some(folder) if folder.is_empty() || folder.ends_with('/') => folder.trim_end_matches('/').to_owned(),
        _ => path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_and_stay_inside() {
        assert_eq!(join("a/b", "./c").as_deref(), Some("a/b/c"));
        assert_eq!(join("a/b", "../c/./d").as_deref(), Some("a/c/d"));
        assert_eq!(join("a", ".././../c"), None);
        assert_eq!(join("", "/etc/passwd").as_deref(), Some("etc/passwd"), "the source's own folder");
        assert_eq!(join("a", "C:\\x"), None);
    }

    #[test]
    fn a_file_is_found_without_its_extension_and_init_under_its_folder() {
        for (file, path) in [
            ("./a/b.luau", "a/b"),
            ("a.lua", "a"),
            ("a/init.luau", "a"),
            ("init", ""),
            ("a/reinit", "a/reinit"),
        ] {
            assert_eq!(module_path(file).as_deref(), Some(path), "{file}");
        }
        assert_eq!(module_path("../a"), None);
    }

    #[test]
    fn specifiers_have_three_forms() {
        assert_eq!(Specifier::parse("./a"), Some(Specifier::Relative("./a")));
        assert_eq!(Specifier::parse("@self/a/b"), Some(Specifier::Own("a/b")));
        assert_eq!(Specifier::parse("@lib"), Some(Specifier::Alias("lib", "")));
        assert_eq!(Specifier::parse("a"), None);
    }
}
