//! One pattern of a `.dockerignore`: `*`, `?`, `[a-z]`, `\x`, and `**` for any number of folders.

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// This character.
    Just(char),
    /// One character that is no `/`.
    One,
    /// Any number of characters that are no `/`.
    Many,
    /// `**/`: nothing, or folders with the `/` behind them.
    Folders,
    /// `**` at the end: everything.
    Rest,
    /// One character that is among these ranges, or is not.
    Among { not: bool, ranges: Vec<(char, char)> },
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

impl Pattern {
    /// Parses a pattern without its `!`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            pieces.push(match c {
                '*' if chars.peek() == Some(&'*') => {
                    while chars.next_if_eq(&'*').is_some() {}
                    // `**/` stands for nothing too, so the `/` is part of it.
                    let slash = chars.next_if_eq(&'/').is_some();
                    if !slash && chars.peek().is_none() { Piece::Rest } else { Piece::Folders }
                }
                '*' => Piece::Many,
                '?' => Piece::One,
                '[' => class(&mut chars)?,
                '\\' => Piece::Just(chars.next().ok_or("it ends with \"\\\"")?),
                other => Piece::Just(other),
            });
        }
        Ok(Self(pieces))
    }

    /// Whether the whole of `path` is meant.
    pub fn matches(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        // Which places of the path may be reached before each piece; a step for each piece and place, so that no pattern costs more.
        let mut reached = vec![false; path.len() + 1];
        reached[0] = true;
        for piece in &self.0 {
            let mut next = vec![false; path.len() + 1];
            match piece {
                Piece::Many => {
                    let mut on = false;
                    for at in 0..=path.len() {
                        on = reached[at] || on && path[at - 1] != '/';
                        next[at] = on;
                    }
                }
                Piece::Rest => {
                    let mut on = false;
                    for at in 0..=path.len() {
                        on |= reached[at];
                        next[at] = on;
                    }
                }
                Piece::Folders => {
                    let mut before = false;
                    for at in 0..=path.len() {
                        next[at] = reached[at] || before && path[at - 1] == '/';
                        before |= reached[at];
                    }
                }
                single => {
                    for at in 0..path.len() {
                        next[at + 1] = reached[at] && single.takes(path[at]);
                    }
                }
            }
            reached = next;
        }
        reached[path.len()]
    }
}

impl Piece {
    fn takes(&self, c: char) -> bool {
        match self {
            Piece::Just(own) => *own == c,
            Piece::One => c != '/',
            Piece::Among { not, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *not,
            Piece::Many | Piece::Folders | Piece::Rest => false,
        }
    }
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Piece, String> {
    let not = chars.next_if(|c| matches!(c, '^' | '!')).is_some();
    let mut ranges = Vec::new();
    let one = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| -> Result<char, String> {
        match chars.next() {
            Some('\\') => chars.next().ok_or_else(|| "it ends with \"\\\"".to_owned()),
            Some(c) => Ok(c),
            None => Err("its \"[\" is not closed".to_owned()),
        }
    };
    loop {
        if chars.peek() == Some(&']') && !ranges.is_empty() {
            chars.next();
            return Ok(Piece::Among { not, ranges });
        }
        let from = one(chars)?;
        let to = if chars.next_if_eq(&'-').is_some() { one(chars)? } else { from };
        ranges.push((from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(path)
    }

    #[test]
    fn stars_stop_at_folders_and_two_do_not() {
        for (pattern, path, expected) in [
            ("*", "a", true),
            ("*", "a/b", false),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("*.rs", ".rs", true),
            ("**", "a/b/c", true),
            ("**/c", "c", true),
            ("**/c", "a/b/c", true),
            ("**/c", "a/bc", false),
            ("a/**", "a/b/c", true),
            ("a/**", "ab", false),
            ("a/**/d", "a/d", true),
            ("a/**/d", "a/b/c/d", true),
            ("a/**/d", "a/bd", false),
            ("**/*.log", "x/y/z.log", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("a[b-d]e", "ace", true),
            ("a[^b-d]e", "ace", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            ("a.c", "abc", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} over {path}");
        }
        for bad in ["[", "[a", "a\\"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hostile_pattern_costs_little() {
        let pattern = "*a".repeat(200);
        assert!(!matches(&pattern, &"a".repeat(199)));
        assert!(matches(&pattern, &"a".repeat(400)));
    }
}
