//! GitHub's patterns for branches, tags and paths. `*` is any text without `/`, `**` any text, `**/` folders or nothing, `?`
//! makes what stands before it optional, `+` repeats it, `[abc]` and `[0-9]` are one character, `\` takes a sign as it is.
//! A pattern matches the whole text. Matching takes pattern times text at worst, without recursion.

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Glob {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone)]
enum Token {
    /// Any number of characters except `/`.
    Star,
    /// Any number of characters.
    Anything,
    /// Goes on with the next, or leaps over it: what follows is [`Token::Folders`].
    Optional,
    /// Any text up to a `/`.
    Folders,
    /// One of these characters, with how often.
    One(Class, Times),
}

#[derive(Debug, Clone)]
enum Class {
    Char(char),
    Set(Vec<(char, char)>),
}

impl Class {
    fn has(&self, c: char) -> bool {
        match self {
            Class::Char(own) => *own == c,
            Class::Set(ranges) => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    AtMostOnce,
    AtLeastOnce,
}

impl Glob {
    /// Compiles `pattern` (without a leading `!`). Signs that mean nothing where they stand are taken as they are.
    pub fn new(pattern: &str) -> Self {
        let mut tokens = Vec::new();
        let chars: Vec<char> = pattern.chars().collect();
        let mut at = 0;
        while at < chars.len() {
            match chars[at] {
                '*' if chars.get(at + 1) == Some(&'*') => {
                    let starts = at == 0 || chars[at - 1] == '/';
                    if starts && chars.get(at + 2) == Some(&'/') {
                        tokens.extend([Token::Optional, Token::Folders]);
                        at += 3;
                    } else {
                        tokens.push(Token::Anything);
                        at += 2;
                    }
                    continue;
                }
                '*' => tokens.push(Token::Star),
                sign @ ('?' | '+') => match tokens.last_mut() {
                    Some(Token::One(_, times)) if *times == Times::Once => {
                        *times = if sign == '?' { Times::AtMostOnce } else { Times::AtLeastOnce };
                    }
                    // Behind a `*` these add nothing.
                    Some(Token::Star | Token::Anything) => {}
                    _ => tokens.push(Token::One(Class::Char(sign), Times::Once)),
                },
                '[' => match chars[at..].iter().position(|c| *c == ']').filter(|length| *length > 1) {
                    Some(length) => {
                        tokens.push(Token::One(Class::Set(ranges(&chars[at + 1..at + length])), Times::Once));
                        at += length;
                    }
                    None => tokens.push(Token::One(Class::Char('['), Times::Once)),
                },
                '\\' if at + 1 < chars.len() => {
                    at += 1;
                    tokens.push(Token::One(Class::Char(chars[at]), Times::Once));
                }
                c => tokens.push(Token::One(Class::Char(c), Times::Once)),
            }
            at += 1;
        }
        Self { tokens }
    }

    /// Whether all of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        let end = self.tokens.len();
        let mut now = vec![false; end + 1];
        let mut next = vec![false; end + 1];
        self.enter(&mut now, 0);
        for c in text.chars() {
            next.fill(false);
            let mut alive = false;
            for (at, token) in self.tokens.iter().enumerate().filter(|(at, _)| now[*at]) {
                match token {
                    Token::Star if c == '/' => continue,
                    Token::Star | Token::Anything => self.enter(&mut next, at),
                    Token::Folders => {
                        next[at] = true;
                        if c == '/' {
                            self.enter(&mut next, at + 1);
                        }
                    }
                    Token::One(class, times) if class.has(c) => {
                        if *times == Times::AtLeastOnce {
                            next[at] = true;
                        }
                        self.enter(&mut next, at + 1);
                    }
                    Token::One(..) | Token::Optional => continue,
                }
                alive = true;
            }
            if !alive {
                return false;
            }
            std::mem::swap(&mut now, &mut next);
        }
        now[end]
    }

    /// Marks `at` and what can be reached from it without a character.
    fn enter(&self, states: &mut [bool], at: usize) {
        let mut at = at;
        while !std::mem::replace(&mut states[at], true) {
            match self.tokens.get(at) {
                Some(Token::Star | Token::Anything | Token::One(_, Times::AtMostOnce)) => at += 1,
                Some(Token::Optional) => {
                    states[at + 1] = true;
                    at += 2;
                }
                _ => return,
            }
        }
    }
}

/// What stands within `[]`.
fn ranges(chars: &[char]) -> Vec<(char, char)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        match chars.get(at + 1..at + 3) {
            Some(['-', high]) => {
                found.push((chars[at], *high));
                at += 3;
            }
            _ => {
                found.push((chars[at], chars[at]));
                at += 1;
            }
        }
    }
    found
}

/// Whether `text` is chosen by `patterns` in their order: a later one wins, and one with `!` takes away.
pub fn chosen<'a>(patterns: impl Iterator<Item = &'a (bool, Glob)>, text: &str) -> bool {
    let mut chosen = false;
    for (takes_away, glob) in patterns {
        if chosen == *takes_away && glob.matches(text) {
            chosen = !takes_away;
        }
    }
    chosen
}

/// Patterns, compiled: whether each takes away, and what it matches.
pub fn compile<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Vec<(bool, Glob)> {
    let one = |pattern: &'a str| match pattern.strip_prefix('!') {
        Some(rest) => (true, Glob::new(rest)),
        None => (false, Glob::new(pattern)),
    };
    patterns.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GitHub's own table of examples.
    #[test]
    fn githubs_examples() {
        for (pattern, yes, no) in [
            ("feature/*", &["feature/my-branch", "feature/your-branch"][..], &["feature/a/b", "feature"][..]),
            ("feature/**", &["feature/beta-a/my-branch", "feature/mona/the/octocat"], &["feature"]),
            ("main", &["main"], &["mainx", "xmain", "Main"]),
            ("*", &["main", "releases", ""], &["all/the/branches"]),
            ("**", &["all/the/branches", "every/tag", ""], &[]),
            ("*feature", &["mona-feature", "feature", "ver-10-feature"], &["a/feature"]),
            ("v2*", &["v2", "v2.0", "v2.9"], &["v1"]),
            ("v[12].[0-9]+.[0-9]+", &["v1.10.1", "v2.0.0"], &["v3.0.0", "v1..1", "v1.0"]),
            ("*.jsx?", &["page.js", "page.jsx"], &["a/page.js", "page.jsxx"]),
            ("*.js", &["app.js", "index.js"], &["js/app.js"]),
            ("**.js", &["index.js", "js/index.js", "src/js/app.js"], &["a.jsx"]),
            ("docs/*", &["docs/README.md", "docs/file.txt"], &["docs/a/b.md"]),
            ("docs/**", &["docs/README.md", "docs/mona/octocat.txt"], &["docs"]),
            (
                "docs/**/*.md",
                &["docs/README.md", "docs/mona/hello-world.md", "docs/a/markdown/file.md"],
                &["docs/a.txt"],
            ),
            ("**/docs/**", &["docs/hello.md", "dir/docs/my-file.txt", "space/docs/plan/space.doc"], &["mydocs/a"]),
            ("**/README.md", &["README.md", "js/README.md"], &["xREADME.md"]),
            ("**/*src/**", &["a/src/app.js", "my-src/code/js/app.js"], &["a/srcs"]),
            ("**/*-post.md", &["my-post.md", "path/their-post.md"], &["post.md"]),
            (
                "**/migrate-*.sql",
                &["migrate-10909.sql", "db/migrate-v1.0.sql", "db/sept/migrate-v1.sql"],
                &["migrate.sql"],
            ),
            ("[CB]at", &["Cat", "Bat"], &["cat", "CBat"]),
            ("a\\*b", &["a*b"], &["axb"]),
            ("[", &["["], &[""]),
            ("é?+", &["+", "é+"], &["éé+"]),
        ] {
            let glob = Glob::new(pattern);
            yes.iter().for_each(|text| assert!(glob.matches(text), "{pattern} must match {text}"));
            no.iter().for_each(|text| assert!(!glob.matches(text), "{pattern} must not match {text}"));
        }
    }

    #[test]
    fn order_decides() {
        let patterns = compile(["releases/**", "!releases/**-alpha", "releases/x-alpha"]);
        let is = |text: &str| chosen(patterns.iter(), text);
        assert!(is("releases/10") && !is("releases/10-alpha") && is("releases/x-alpha") && !is("main"));
        assert!(!chosen(compile(["!docs/**"]).iter(), "src/a"));
    }

    #[test]
    fn hostile_patterns_take_no_time() {
        let glob = Glob::new(&"*a".repeat(2000));
        assert!(!glob.matches(&"a".repeat(1999)));
    }
}
