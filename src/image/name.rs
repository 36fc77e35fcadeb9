//! An image's name, taken apart.

/// `registry/repository:tag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The registry, if it is named; else the engine's own.
    pub registry: Option<String>,
    /// The name without tag, with the registry.
    pub repository: String,
    /// The tag, `latest` if none is written.
    pub tag: String,
}

impl Name {
    /// Takes `text` apart; a digest is left out.
    pub fn parse(text: &str) -> Self {
        let text = text.split_once('@').map_or(text, |(name, _)| name);
        let slash = text.rfind('/').map_or(0, |at| at + 1);
        let (end, tag) = match text[slash..].find(':') {
            Some(at) => (slash + at, &text[slash + at + 1..]),
            None => (text.len(), "latest"),
        };
        let repository = text[..end].to_owned();
        let registry = repository.split_once('/').map(|(first, _)| first);
        let registry = registry.filter(|first| first.contains(['.', ':']) || *first == "localhost").map(str::to_owned);
        Self { registry, repository, tag: tag.to_owned() }
    }

    /// With its tag.
    pub fn full(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let of = |text: &str| {
            let name = Name::parse(text);
            (name.registry.unwrap_or_default(), name.repository, name.tag)
        };
        let all = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(of("reg.local:5000/a/b:1"), all("reg.local:5000", "reg.local:5000/a/b", "1"));
        assert_eq!(of("reg.local:5000/a"), all("reg.local:5000", "reg.local:5000/a", "latest"));
        assert_eq!(of("team/a:x"), all("", "team/a", "x"));
        assert_eq!(of("a@sha256:00"), all("", "a", "latest"));
    }
}
