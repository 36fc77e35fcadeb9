//! What must be known of a Dockerfile before it is built.

use super::name::Name;

/// Flags and signs that only BuildKit understands.
const BUILDKIT_FLAGS: [&str; 4] = ["--mount=", "--network=", "--security=", "--link"];

/// What a Dockerfile says about its build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// Why only BuildKit can build it; none: any builder can.
    pub needs_buildkit: Option<String>,
    /// Registries of the images that it stands on, where they are named.
    pub registries: Vec<String>,
}

impl Dockerfile {
    /// Looks through the text. What is wrong with it the engine says better.
    pub fn read(text: &str) -> Self {
        let mut found = Self::default();
        for line in lines(text) {
            let mut words = line.split_whitespace();
            let Some(instruction) = words.next() else { continue };
            let rest: Vec<&str> = words.collect();
            let flags = rest.iter().take_while(|word| word.starts_with("--"));
            match instruction.to_uppercase().as_str() {
                "FROM" => {
                    if let Some(image) =
                        rest.iter().find(|word| !word.starts_with("--")).filter(|image| !image.contains('$'))
                        && let Some(registry) = Name::parse(image).registry
                        && !found.registries.contains(&registry)
                    {
                        found.registries.push(registry);
                    }
                }
                name @ ("RUN" | "COPY" | "ADD") => {
                    let flag = flags.clone().find(|word| BUILDKIT_FLAGS.iter().any(|flag| word.starts_with(flag)));
                    let chmod = flags.clone().find(|word| word.starts_with("--chmod="));
                    let here = rest.iter().find(|word| is_heredoc(word));
                    if let Some(why) = flag.or(chmod).or(here) {
                        found.needs_buildkit.get_or_insert_with(|| format!("\"{name} {why}\""));
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// Instructions with their continuations joined, comments left out.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let (part, goes_on) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        let mut whole = open.take().unwrap_or_default();
        whole.push_str(part);
        whole.push(' ');
        match goes_on {
            true => open = Some(whole),
            false => lines.push(whole),
        }
    }
    lines.extend(open);
    lines
}

/// `<<EOF`, `<<-"EOF"`; not `<<<`, nor a shift.
fn is_heredoc(word: &str) -> bool {
    let Some(rest) = word.strip_prefix("<<") else { return false };
    let rest = rest.trim_start_matches('-').trim_start_matches(['"', '\'']);
    rest.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_buildkit_can_is_seen() {
        let needs = |text: &str| Dockerfile::read(text).needs_buildkit;
        assert_eq!(
            needs("FROM a\nRUN --mount=type=cache,target=/c make\n").unwrap(),
            "\"RUN --mount=type=cache,target=/c\""
        );
        assert!(needs("FROM a\nrun \\\n  # a comment\n --mount=type=secret,id=a \\\n make\n").is_some());
        assert!(needs("FROM a\nCOPY --chmod=755 a /b\n").is_some());
        assert!(needs("FROM a\nRUN <<EOF\nmake\nEOF\n").is_some());
        assert_eq!(needs("FROM a\nCOPY --from=b --chown=1:1 a /b\nRUN echo --mount=x $((1 << 2)) <<< a\n"), None);
        assert_eq!(needs("FROM a\n# RUN --mount=type=secret\n"), None);
    }

    #[test]
    fn registries_are_those_of_its_images() {
        let text = "FROM --platform=linux/amd64 reg.local:5000/a:1 AS b\nFROM b\nFROM $BASE\nFROM team/c\n";
        assert_eq!(Dockerfile::read(text).registries, ["reg.local:5000"]);
    }
}
