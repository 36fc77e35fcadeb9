//! The YAML tree as it is written: every node with its span, scalars with their style. Structs are read from it.

use std::sync::Arc;

use crate::expr::Value;
use crate::span::Span;

/// A node of the file.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is. Aliases share the anchor's node.
    pub kind: Arc<NodeKind>,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// Any scalar; its type is decided by who reads it (YAML 1.2 core rules for plain ones).
    Scalar {
        /// The text after YAML's unescaping and folding.
        text: Arc<str>,
        /// How it is written.
        style: ScalarStyle,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// A map in file order; keys are unique.
    Mapping(Vec<Entry>),
}

/// How a scalar is written: only plain ones can be null, booleans or numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarStyle {
    /// `abc`
    Plain,
    /// `'abc'` or `"abc"`
    Quoted,
    /// `|` or `>`
    Block,
}

/// An entry of a map.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key's text.
    pub key: Arc<str>,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The text and style of a scalar.
    pub fn scalar(&self) -> Option<(&Arc<str>, ScalarStyle)> {
        match &*self.kind {
            NodeKind::Scalar { text, style } => Some((text, *style)),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn items(&self) -> Option<&[Node]> {
        match &*self.kind {
            NodeKind::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a map.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &*self.kind {
            NodeKind::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value at `key` of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?.iter().find(|entry| &*entry.key == key).map(|entry| &entry.value)
    }

    /// Whether it is nothing: `~`, `null` or empty.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(|(text, style)| core_type(text, style) == CoreType::Null)
    }

    /// What it is, for messages: `a list`, `a map`, `nothing`, `a number`, ...
    pub fn describe(&self) -> &'static str {
        match &*self.kind {
            NodeKind::Sequence(_) => "a list",
            NodeKind::Mapping(_) => "a map",
            NodeKind::Scalar { text, style } => match core_type(text, *style) {
                CoreType::Null => "nothing",
                CoreType::Bool => "a boolean",
                CoreType::Int | CoreType::Float => "a number",
                CoreType::Text => "a text",
            },
        }
    }
}

/// The types of YAML 1.2's core schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreType {
    /// `~`, `null`, nothing at all.
    Null,
    /// `true`, `false`; `yes` and `on` are text.
    Bool,
    /// `12`, `0o7`, `0xff`.
    Int,
    /// `1.5`, `1e3`, `.inf`, `.nan`.
    Float,
    /// All else, and whatever is quoted.
    Text,
}

/// The core type of a scalar.
pub fn core_type(text: &str, style: ScalarStyle) -> CoreType {
    if style != ScalarStyle::Plain {
        return CoreType::Text;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return CoreType::Null,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return CoreType::Bool,
        ".nan" | ".NaN" | ".NAN" => return CoreType::Float,
        _ => {}
    }
    let bytes = text.as_bytes();
    if !matches!(bytes[0], b'0'..=b'9' | b'+' | b'-' | b'.') {
        return CoreType::Text;
    }
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    if let Some(hex) = text.strip_prefix("0x") {
        return if digits(hex, 16) { CoreType::Int } else { CoreType::Text };
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return if digits(octal, 8) { CoreType::Int } else { CoreType::Text };
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits(unsigned, 10) {
        return CoreType::Int;
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return CoreType::Float;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    if mantissa_fits && exponent.is_none_or(|e| digits(e, 10)) { CoreType::Float } else { CoreType::Text }
}

/// The value of a scalar by the core schema; numbers are doubles, as in expressions.
pub fn core_value(text: &Arc<str>, style: ScalarStyle) -> Value {
    match core_type(text, style) {
        CoreType::Null => Value::Null,
        CoreType::Bool => Value::Bool(text.starts_with(['t', 'T'])),
        CoreType::Text => Value::String(text.clone()),
        CoreType::Int | CoreType::Float => Value::Number(core_number(text)),
    }
}

/// The number that a scalar of type int or float is; NaN for other texts.
pub fn core_number(text: &str) -> f64 {
    let radix = |digits: &str, radix: f64| {
        digits.chars().fold(0.0, |n, c| n * radix + f64::from(c.to_digit(16).unwrap_or_default()))
    };
    if let Some(hex) = text.strip_prefix("0x") {
        return radix(hex, 16.0);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return radix(octal, 8.0);
    }
    match text.to_ascii_lowercase().as_str() {
        ".inf" | "+.inf" => f64::INFINITY,
        "-.inf" => f64::NEG_INFINITY,
        other => other.parse().unwrap_or(f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_types_are_those_of_yaml_1_2() {
        let plain = |text| core_type(text, ScalarStyle::Plain);
        for text in ["~", "", "null", "NULL"] {
            assert_eq!(plain(text), CoreType::Null, "{text:?}");
        }
        for text in
            ["yes", "on", "Off", "12_345", "1:30", "-", "+", ".", "e3", "1e", "0x", "inf", "nan", "-infinity", "1.2.3"]
        {
            assert_eq!(plain(text), CoreType::Text, "{text:?}");
        }
        for text in ["0", "-12", "+7", "007", "0o17", "0xFF"] {
            assert_eq!(plain(text), CoreType::Int, "{text:?}");
        }
        for text in ["1.", ".5", "1.10", "-1e3", "1E+3", ".inf", "-.INF", ".NaN"] {
            assert_eq!(plain(text), CoreType::Float, "{text:?}");
        }
        assert_eq!(core_type("true", ScalarStyle::Quoted), CoreType::Text);
        assert_eq!(core_number("0xff"), 255.0);
        assert_eq!(core_number("0o17"), 15.0);
        assert_eq!(core_number("-.inf"), f64::NEG_INFINITY);
    }
}
