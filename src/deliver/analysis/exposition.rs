//! The text in which programs expose their metrics: lines of `name{label="value"} number`.
//!
//! Own and small, since it stands on bytes of pods that nobody vouches for: a line that is not understood is passed over, and
//! sizes are bounded.

/// More series of one answer are not looked at.
const MAX_SERIES: usize = 50_000;

/// One series and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// Its value; never NaN.
    pub value: f64,
}

impl Series {
    /// A label's value.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

/// All series whose name `wanted` takes.
pub fn parse(text: &str, wanted: impl Fn(&str) -> bool) -> Vec<Series> {
    text.lines().filter_map(|line| series(line, &wanted)).take(MAX_SERIES).collect()
}

fn series(line: &str, wanted: &impl Fn(&str) -> bool) -> Option<Series> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    if !wanted(name) {
        return None;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    // Behind the value a time or an exemplar may stand.
    let value = number(rest.split_whitespace().next()?)?;
    Some(Series { name: name.to_owned(), labels, value })
}

/// Labels up to the closing brace, and what stands behind it.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, value) = rest.split_once('=')?;
        let mut value = value.trim_start().strip_prefix('"')?.char_indices();
        let text = value.as_str();
        let mut read = String::new();
        loop {
            match value.next()? {
                (at, '"') => {
                    rest = &text[at + 1..];
                    break;
                }
                (_, '\\') => match value.next()?.1 {
                    'n' => read.push('\n'),
                    other => read.push(other),
                },
                (_, other) => read.push(other),
            }
        }
        labels.push((name.trim().to_owned(), read));
    }
}

/// A number as they are written there; none for NaN.
pub fn number(text: &str) -> Option<f64> {
    let value = match text {
        "+Inf" | "Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse().ok()?,
    };
    (!value.is_nan()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_with_labels_escapes_and_times() {
        let text = "# HELP a b\n# TYPE a counter\na{status=\"200\",path=\"/x \\\"y\\\\z}\\n\"} 3 1700000000\n\nb 1e3\n  c{} +Inf\nd{le=\"+Inf\",} 4 # {trace=\"1\"} 5\n";
        let read = parse(text, |_| true);
        assert_eq!(read.len(), 4);
        assert_eq!(read[0].label("path"), Some("/x \"y\\z}\n"));
        assert_eq!((read[0].value, read[1].value, read[2].value, read[3].value), (3.0, 1000.0, f64::INFINITY, 4.0));
        assert_eq!(read[3].label("le"), Some("+Inf"));
        assert_eq!(parse(text, |name| name == "b").len(), 1);
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        for bad in ["a", "a{", "a{b}", "a{b=c} 1", "a{b=\"c} 1", "a NaN", "a x", "{} 1 2", "a{b=\"c\"}", "\u{0}\u{1}"] {
            assert!(parse(bad, |name| name == "a").is_empty(), "{bad}");
        }
    }
}
