//! Colour, decided in one place. Nothing else writes a colour escape or reads `NO_COLOR`.

/// A colour or weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Failures.
    Red,
    /// Successes.
    Green,
    /// Warnings and waits.
    Yellow,
    /// Gutters.
    Blue,
    /// Commands and names.
    Cyan,
    /// What went lost.
    Magenta,
    /// What stands back.
    Dim,
    /// What stands out.
    Bold,
    /// Headers of errors.
    BoldRed,
    /// Headers of warnings.
    BoldYellow,
    /// Headers of success.
    BoldGreen,
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Ink::Red => "31",
            Ink::Green => "32",
            Ink::Yellow => "33",
            Ink::Blue => "34",
            Ink::Cyan => "36",
            Ink::Magenta => "35",
            Ink::Dim => "2",
            Ink::Bold => "1",
            Ink::BoldRed => "1;31",
            Ink::BoldYellow => "1;33",
            Ink::BoldGreen => "1;32",
        }
    }
}

/// Paints, or leaves plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Whether escapes are written at all.
    pub color: bool,
}

impl Style {
    /// A style with or without colour.
    pub fn new(color: bool) -> Self {
        Self { color }
    }

    /// `text` in `ink`.
    pub fn paint(self, ink: Ink, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        if self.color && !text.is_empty() { format!("\x1b[{}m{text}\x1b[0m", ink.code()) } else { text.to_owned() }
    }
}

/// Whether to use colour on a stream: `NO_COLOR` (not empty) forbids it, `CLICOLOR_FORCE` (neither empty nor `0`) demands
/// it, `CLICOLOR=0` and `TERM=dumb` forbid it, else a terminal has it.
pub fn wants_color(is_terminal: bool, env: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| env(name).is_some_and(|v| !v.is_empty());
    if set("NO_COLOR") {
        return false;
    }
    if env("CLICOLOR_FORCE").is_some_and(|v| !v.is_empty() && v != "0") {
        return true;
    }
    is_terminal && env("CLICOLOR").as_deref() != Some("0") && env("TERM").as_deref() != Some("dumb")
}

/// [`wants_color`] with the environment of this process.
pub fn wants_color_here(is_terminal: bool) -> bool {
    wants_color(is_terminal, |name| std::env::var(name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned())
    }

    #[test]
    fn the_environment_decides() {
        assert!(wants_color(true, with(&[])));
        assert!(!wants_color(false, with(&[])));
        assert!(!wants_color(true, with(&[("NO_COLOR", "1")])));
        assert!(wants_color(true, with(&[("NO_COLOR", "")])), "an empty NO_COLOR counts as not set");
        assert!(wants_color(false, with(&[("CLICOLOR_FORCE", "1")])));
        assert!(!wants_color(false, with(&[("CLICOLOR_FORCE", "0")])));
        assert!(!wants_color(false, with(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")])), "no is stronger");
        assert!(!wants_color(true, with(&[("TERM", "dumb")])));
        assert!(!wants_color(true, with(&[("CLICOLOR", "0")])));
    }

    #[test]
    fn plain_stays_plain() {
        assert_eq!(Style::new(false).paint(Ink::Red, "x"), "x");
        assert_eq!(Style::new(true).paint(Ink::BoldRed, "x"), "\x1b[1;31mx\x1b[0m");
        assert_eq!(Style::new(true).paint(Ink::Red, ""), "");
    }
}
