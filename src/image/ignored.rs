//! `.dockerignore`: what of the context the engine does not get.

use super::pattern::Pattern;

/// The rules of one file, in order; the last that fits decides.
#[derive(Debug, Clone, Default)]
pub struct DockerIgnore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: Pattern,
    /// `!`: what an earlier rule left out is in again.
    keeps: bool,
}

impl DockerIgnore {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Vec::new();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let line = line.trim();
            let (keeps, rest) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let fail = |why: String| format!("line {}: \"{line}\" is no pattern: {why}", index + 1);
            if rest.is_empty() {
                return Err(fail("nothing stands behind \"!\"".to_owned()));
            }
            let pattern = Pattern::parse(&clean(rest)).map_err(fail)?;
            rules.push(Rule { pattern, keeps });
        }
        Ok(Self { rules })
    }

    /// Whether `path`, relative to the context, is left out: itself, or with a folder above it.
    pub fn leaves_out(&self, path: &str) -> bool {
        let folders = || path.match_indices('/').map(|(at, _)| &path[..at]);
        let mut out = false;
        for rule in &self.rules {
            if rule.keeps == out && (rule.pattern.matches(path) || folders().any(|folder| rule.pattern.matches(folder)))
            {
                out = !rule.keeps;
            }
        }
        out
    }

    /// Whether something below a folder that is left out may be in.
    pub fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.keeps)
    }
}

/// Without `.`, `..` and doubled or outer slashes.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            // Above the context there is nothing.
            ".." if pattern.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these paths are sent.
    fn sent<'p>(text: &str, paths: &[&'p str]) -> Vec<&'p str> {
        let ignore = DockerIgnore::parse(text).unwrap();
        paths.iter().copied().filter(|path| !ignore.leaves_out(path)).collect()
    }

    #[test]
    fn the_last_rule_that_fits_decides() {
        let paths = ["README.md", "README-secret.md", "docs/README.md", "main.rs"];
        assert_eq!(sent("*.md\n!README*.md\nREADME-secret.md\n", &paths), ["README.md", "docs/README.md", "main.rs"]);
        assert_eq!(
            sent("*.md\nREADME-secret.md\n!README*.md\n", &paths),
            ["README.md", "README-secret.md", "docs/README.md", "main.rs"]
        );
        assert_eq!(sent("**/*.md\n", &paths), ["main.rs"]);
    }

    #[test]
    fn a_folder_goes_with_all_that_is_in_it_but_exceptions() {
        let paths = ["target/a", "target/keep/b", "src/target/c", "target.rs"];
        assert_eq!(sent("target\n", &paths), ["src/target/c", "target.rs"]);
        assert_eq!(sent("/target/\n", &paths), ["src/target/c", "target.rs"]);
        assert_eq!(sent("**/target\n", &paths), ["target.rs"]);
        assert_eq!(sent("target\n!target/keep\n", &paths), ["target/keep/b", "src/target/c", "target.rs"]);
        assert_eq!(sent("*\n!src\n", &paths), ["src/target/c"]);
        assert_eq!(sent("./target/../target\n", &paths), ["src/target/c", "target.rs"]);
    }

    #[test]
    fn comments_and_spaces_are_read_as_docker_does() {
        let paths = ["#a", "a", " a"];
        assert_eq!(sent("#a\n\n  a  \n", &paths), ["#a", " a"]);
        assert_eq!(sent("\u{feff}a\r\n", &paths), ["#a", " a"]);
        assert_eq!(sent("a\n! a\n", &paths), paths);
        assert!(DockerIgnore::parse("a\n!\n").unwrap_err().contains("line 2"));
        assert!(DockerIgnore::parse("[a\n").unwrap_err().contains("not closed"));
    }
}
