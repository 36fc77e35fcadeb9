//! How the settings of typed keys are read: one reader over the nodes, for the file as written (expressions stand where
//! values will be) and for the same nodes with every expression evaluated.

use std::time::Duration;

use crate::diagnostic::{Diagnostic, Diagnostics, suggest};
use crate::expr::{Template, Value};
use crate::model::{CoreType, Entry, Node, NodeKind, ScalarStyle, codes, core_type};
use crate::span::Span;

/// Reads nodes into values and collects what is wrong with them.
pub struct Reader<'d> {
    diagnostics: &'d mut Diagnostics,
    /// Whether `${{ }}` may stand where a value will be.
    open: bool,
}

/// The entries of a map whose keys are known. Keys are spelt with `-`; `_` is read as `-`.
#[derive(Debug, Clone)]
pub struct Settings<'n> {
    /// What the map is, for messages: `deploy`, `analysis`.
    pub name: &'n str,
    /// Where it stands: its first key.
    pub span: Span,
    list: Vec<(String, &'n Entry)>,
}

impl<'n> Settings<'n> {
    /// The value of `key`; nothing (`key:`) counts as not given.
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.given(key).filter(|node| !node.is_null())
    }

    /// The value of `key`, also when nothing is written behind it.
    pub fn given(&self, key: &str) -> Option<&'n Node> {
        self.list.iter().find(|(name, _)| name == key).map(|(_, entry)| &entry.value)
    }

    /// Where `key` stands.
    pub fn key_span(&self, key: &str) -> Span {
        self.list.iter().find(|(name, _)| name == key).map_or(self.span, |(_, entry)| entry.key_span)
    }

    /// Keys in file order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|(name, _)| name.as_str())
    }
}

impl<'d> Reader<'d> {
    /// For a file as it is written: where `${{ }}` stands a placeholder is read (0, empty, the first choice).
    pub fn of_file(diagnostics: &'d mut Diagnostics) -> Self {
        Self { diagnostics, open: true }
    }

    /// For nodes whose expressions have been evaluated.
    pub fn of_values(diagnostics: &'d mut Diagnostics) -> Self {
        Self { diagnostics, open: false }
    }

    /// Whether `node` is an expression that is not evaluated yet.
    pub fn is_open(&self, node: &Node) -> bool {
        self.open && node.scalar().is_some_and(|(text, _)| text.contains("${{"))
    }

    /// Adds a mistake.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Adds the mistake that `node` has a value which is not allowed.
    pub fn refuse(&mut self, node: &Node, message: impl Into<String>, help: Option<String>) {
        let mut diagnostic = Diagnostic::error(codes::VALUE, start_of(node), message);
        diagnostic.help = help;
        self.push(diagnostic);
    }

    /// The map at `node`, whose keys are among `keys`; `None` (reported) when it is none. `required` must be given.
    pub fn map<'n>(
        &mut self,
        name: &'n str,
        node: &'n Node,
        keys: &[&'static str],
        required: &[&'static str],
    ) -> Option<Settings<'n>> {
        let Some(entries) = node.entries() else {
            self.wrong_kind(name, node, "a map");
            return None;
        };
        let mut list = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = entry.key.replace('_', "-");
            if keys.contains(&key.as_str()) {
                list.push((key, entry));
                continue;
            }
            let message = format!("\"{}\" is not a key of \"{name}\"", entry.key);
            let help = match suggest(&key, keys.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("known keys: {}", keys.join(", ")),
            };
            self.push(Diagnostic::error(codes::TYPED_KEY, entry.key_span, message).help(help));
        }
        let span = start_of(node);
        let settings = Settings { name, span, list };
        for key in required {
            if settings.get(key).is_none() {
                let message = format!("\"{name}\" needs the key \"{key}\"");
                self.push(Diagnostic::error(codes::MISSING, span, message));
            }
        }
        Some(settings)
    }

    /// A choice: a name, or a map with that one name and its settings. Gives the name and the settings' node (`None` behind a
    /// bare name). For maps that hold shared settings beside the choice use [`Self::map`] and look for the choices in it.
    pub fn choice_of<'n>(
        &mut self,
        name: &str,
        node: &'n Node,
        choices: &[&'static str],
    ) -> Option<(&'static str, Option<&'n Node>)> {
        if let Some([entry]) = node.entries() {
            let key = entry.key.replace('_', "-");
            if let Some(choice) = choices.iter().find(|choice| **choice == key) {
                return Some((choice, Some(&entry.value).filter(|value| !value.is_null())));
            }
            let message = format!("\"{name}\" cannot be \"{}\"", entry.key);
            let help = one_of(&key, choices);
            self.push(Diagnostic::error(codes::VALUE, entry.key_span, message).help(help));
            return None;
        }
        if node.entries().is_some() {
            let message = format!("\"{name}\" takes one of {}", choices.join(", "));
            self.push(Diagnostic::error(codes::CONFLICT, start_of(node), message));
            return None;
        }
        self.word(name, node, choices).map(|choice| (choice, None))
    }

    /// One of `choices`.
    pub fn word(&mut self, name: &str, node: &Node, choices: &[&'static str]) -> Option<&'static str> {
        if self.is_open(node) {
            return choices.first().copied();
        }
        let text = self.text(name, node)?;
        let dashed = text.replace('_', "-");
        let found = choices.iter().find(|choice| **choice == dashed).copied();
        if found.is_none() {
            self.refuse(node, format!("\"{name}\" cannot be \"{text}\""), Some(one_of(&dashed, choices)));
        }
        found
    }

    /// A text: the letters as they are written.
    pub fn text(&mut self, name: &str, node: &Node) -> Option<String> {
        match node.scalar() {
            Some((text, _)) => {
                self.parse(node, text);
                Some(text.to_string())
            }
            None => {
                self.wrong_kind(name, node, "a text");
                None
            }
        }
    }

    /// A text or a list of texts; one is a list of one.
    pub fn texts(&mut self, name: &str, node: &Node) -> Vec<String> {
        match node.items() {
            Some(items) => items.iter().filter_map(|item| self.text(name, item)).collect(),
            None if node.is_null() => Vec::new(),
            None => self.text(name, node).into_iter().collect(),
        }
    }

    /// A map of free keys to texts, in file order.
    pub fn pairs(&mut self, name: &str, node: &Node) -> Vec<(String, String)> {
        match node.entries() {
            Some(entries) => entries
                .iter()
                .filter_map(|entry| Some((entry.key.to_string(), self.text(&entry.key, &entry.value)?)))
                .collect(),
            None if node.is_null() || self.is_open(node) => Vec::new(),
            None => {
                self.wrong_kind(name, node, "a map of texts");
                Vec::new()
            }
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, name: &str, node: &Node) -> Option<bool> {
        if self.is_open(node) {
            return Some(false);
        }
        match node.scalar() {
            Some((text, _)) if matches!(&**text, "true" | "True" | "TRUE") => Some(true),
            Some((text, _)) if matches!(&**text, "false" | "False" | "FALSE") => Some(false),
            _ => {
                self.wrong_value(name, node, "true or false");
                None
            }
        }
    }

    /// A whole number within `range`.
    pub fn integer(&mut self, name: &str, node: &Node, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        if self.is_open(node) {
            return Some(*range.start());
        }
        let number = node.scalar().and_then(|(text, _)| text.parse::<u64>().ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let wanted = format!("a whole number from {} to {}", range.start(), range.end());
            self.wrong_value(name, node, &wanted);
        }
        number
    }

    /// A plain number, such as a ratio or a limit of a query.
    pub fn number(&mut self, name: &str, node: &Node) -> Option<f64> {
        if self.is_open(node) {
            return Some(0.0);
        }
        let number = node.scalar().and_then(|(text, _)| text.parse::<f64>().ok()).filter(|number| number.is_finite());
        if number.is_none() {
            self.wrong_value(name, node, "a number");
        }
        number
    }

    /// A duration: `500ms`, `15s`, `5m` (minutes), `1h30m`, `30d`; only 0 goes without unit.
    pub fn duration(&mut self, name: &str, node: &Node) -> Option<Duration> {
        if self.is_open(node) {
            return Some(Duration::ZERO);
        }
        let text = node.scalar().map(|(text, _)| text.to_string()).unwrap_or_default();
        let duration = parse_duration(&text);
        if duration.is_none() {
            let help = text.parse::<f64>().ok().map(|_| format!("say which unit: {text}s, {text}m or {text}h"));
            self.refuse(node, format!("\"{name}\" is a duration such as 15s, 5m or 1h30m, not \"{text}\""), help);
        }
        duration
    }

    /// A percentage such as `5%`, as a fraction (0.05).
    pub fn percent(&mut self, name: &str, node: &Node) -> Option<f64> {
        self.with_unit(name, node, "%", "a percentage such as 5%", |text, number| match number {
            _ if text.ends_with("pp") => {
                Some(format!("points are for \"max-delta\"; a percentage: {}%", strip(text, "pp")))
            }
            Some(number) if number < 1.0 => Some(format!("{text}% or {}%", number * 100.0)),
            Some(_) => Some(format!("did you mean {text}%?")),
            None => None,
        })
    }

    /// Percentage points such as `3pp`, as a fraction (0.03).
    pub fn points(&mut self, name: &str, node: &Node) -> Option<f64> {
        self.with_unit(name, node, "pp", "percentage points such as 3pp", |text, number| match number {
            Some(_) => Some(format!("did you mean {text}pp?")),
            None if text.ends_with('%') => Some(format!(
                "{}pp is that much above the old version; a share of it is \"max-ratio\"",
                strip(text, "%")
            )),
            None => None,
        })
    }

    fn with_unit(
        &mut self,
        name: &str,
        node: &Node,
        unit: &str,
        wanted: &str,
        help: impl Fn(&str, Option<f64>) -> Option<String>,
    ) -> Option<f64> {
        if self.is_open(node) {
            return Some(0.0);
        }
        let text = node.scalar().map(|(text, _)| text.to_string()).unwrap_or_default();
        let number = text.strip_suffix(unit).and_then(|number| number.trim().parse::<f64>().ok());
        let number = number.filter(|number| (0.0..=1e6).contains(number));
        if number.is_none() {
            let help = help(&text, text.parse::<f64>().ok());
            self.refuse(node, format!("\"{name}\" is {wanted}, not \"{text}\""), help);
        }
        number.map(|number| number / 100.0)
    }

    /// Says that `node` is of another kind than wanted.
    pub fn wrong_kind(&mut self, name: &str, node: &Node, wanted: &str) {
        let message = format!("\"{name}\" is {wanted}, but this is {}", node.describe());
        self.push(Diagnostic::error(codes::KIND, start_of(node), message));
    }

    fn wrong_value(&mut self, name: &str, node: &Node, wanted: &str) {
        match node.scalar() {
            Some((text, _)) => self.refuse(node, format!("\"{name}\" is {wanted}, not \"{text}\""), None),
            None => self.wrong_kind(name, node, wanted),
        }
    }

    /// Reports a text whose `${{ }}` is no expression.
    fn parse(&mut self, node: &Node, text: &str) {
        if self.open
            && text.contains("${{")
            && let Err(error) = Template::parse(text)
        {
            self.push(Diagnostic::error(codes::EXPRESSION, node.span, error.message));
        }
    }

    /// Refuses `key` by name: it is valid and waits for a later version (`(4)` in the language's reference).
    pub fn not_yet(&mut self, settings: &Settings<'_>, keys: &[&str]) {
        for key in keys.iter().filter(|key| settings.given(key).is_some()) {
            let message = format!("\"{}\" has \"{key}\", which this version reads but cannot do yet", settings.name);
            self.push(Diagnostic::error(codes::NOT_YET, settings.key_span(key), message));
        }
    }
}

/// `1h30m` and its like.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let length = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..length] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = &rest[length..];
    }
    (!text.is_empty() && total.is_finite() && total < 1e10).then(|| Duration::from_secs_f64(total))
}

/// `node` with every expression in its values replaced by what `evaluate` gives for the text. Spans stay.
pub fn evaluated(node: &Node, evaluate: &mut dyn FnMut(&Template) -> Result<Value, String>) -> Result<Node, String> {
    replaced(node, &mut |template| evaluate(template).map(Some))
}

/// The same, where a text of which `evaluate` knows nothing stays as it is written.
pub fn replaced(
    node: &Node,
    evaluate: &mut dyn FnMut(&Template) -> Result<Option<Value>, String>,
) -> Result<Node, String> {
    let kind = match &*node.kind {
        NodeKind::Scalar { text, .. } if text.contains("${{") => {
            let template = Template::parse(text).map_err(|error| format!("\"{text}\": {}", error.message))?;
            let value = evaluate(&template).map_err(|error| format!("\"{text}\": {error}"))?;
            return Ok(value.map_or_else(|| node.clone(), |value| node_of(&value, node.span)));
        }
        NodeKind::Scalar { .. } => return Ok(node.clone()),
        NodeKind::Sequence(items) => {
            NodeKind::Sequence(items.iter().map(|item| replaced(item, evaluate)).collect::<Result<_, _>>()?)
        }
        NodeKind::Mapping(entries) => {
            let mut out = Vec::with_capacity(entries.len());
            for entry in entries {
                out.push(Entry { value: replaced(&entry.value, evaluate)?, ..entry.clone() });
            }
            NodeKind::Mapping(out)
        }
    };
    Ok(Node { span: node.span, kind: kind.into() })
}

/// The node that JSON would be written as.
pub fn node_of_json(json: &serde_json::Value) -> Node {
    node_of(&Value::from_json(json), Span::default())
}

fn node_of(value: &Value, span: Span) -> Node {
    let kind = match value {
        Value::Array(items) => NodeKind::Sequence(items.iter().map(|item| node_of(item, span)).collect()),
        Value::Object(object) => NodeKind::Mapping(
            object
                .iter()
                .map(|(key, value)| Entry { key: key.to_string().into(), key_span: span, value: node_of(value, span) })
                .collect(),
        ),
        Value::Null => NodeKind::Scalar { text: "".into(), style: ScalarStyle::Plain },
        Value::String(text) => NodeKind::Scalar { text: text.clone(), style: ScalarStyle::Quoted },
        other => NodeKind::Scalar { text: other.to_text().into(), style: ScalarStyle::Plain },
    };
    Node { span, kind: kind.into() }
}

/// Plain JSON of a node, by YAML 1.2's core schema.
pub fn json_of(node: &Node) -> serde_json::Value {
    match &*node.kind {
        NodeKind::Scalar { text, style } => match core_type(text, *style) {
            CoreType::Int => {
                text.parse::<i64>().map_or_else(|_| crate::model::core_value(text, *style).to_json(), Into::into)
            }
            _ => crate::model::core_value(text, *style).to_json(),
        },
        NodeKind::Sequence(items) => items.iter().map(json_of).collect(),
        NodeKind::Mapping(entries) => serde_json::Value::Object(
            entries.iter().map(|entry| (entry.key.to_string(), json_of(&entry.value))).collect(),
        ),
    }
}

fn strip<'t>(text: &'t str, unit: &str) -> &'t str {
    text.strip_suffix(unit).unwrap_or(text)
}

fn one_of(text: &str, choices: &[&'static str]) -> String {
    match suggest(text, choices.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("it is one of {}", choices.join(", ")),
    }
}

/// The first place of a node, so that a message does not underline pages.
fn start_of(node: &Node) -> Span {
    match &*node.kind {
        NodeKind::Mapping(entries) => entries.first().map_or(node.span, |entry| entry.key_span),
        NodeKind::Sequence(items) => items.first().map_or(node.span, start_of),
        NodeKind::Scalar { .. } => node.span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_units() {
        for (text, seconds) in
            [("500ms", 0.5), ("15s", 15.0), ("5m", 300.0), ("1h30m", 5400.0), ("30d", 2_592_000.0), ("0", 0.0)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "5", "m", "5 m", "5x", "-5s", "1.2.3s", "1h30"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
