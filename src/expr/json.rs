//! Values as JSON and back.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::number;
use super::object::Object;
use super::value::Value;

/// How deep a value may be to be written. What JSON gave is at most 128 deep.
const MAX_DEPTH: usize = 256;

/// The largest whole number up to which all whole numbers are doubles.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// Why a value was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteError {
    /// It is nested deeper than [`MAX_DEPTH`].
    Depth,
    /// It is longer than allowed.
    Length,
}

/// How JSON is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Style {
    /// As `toJSON` has it: two spaces an indent, numbers as [`Value::to_text`] has them.
    Pretty,
    /// One line, numbers that read back exactly.
    Line,
}

/// Writes `value`, at most `limit` bytes.
pub(super) fn write(value: &Value, style: Style, limit: usize) -> Result<String, WriteError> {
    let mut writer = Writer { out: String::new(), style, limit };
    writer.value(value, 0)?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    style: Style,
    limit: usize,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), WriteError> {
        if depth > MAX_DEPTH {
            return Err(WriteError::Depth);
        }
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Value::Number(value) => self.out.push_str(&match self.style {
                Style::Pretty => number::to_text(*value),
                Style::Line => number::to_exact_text(*value),
            }),
            Value::String(value) => self.string(value),
            Value::Array(items) if items.is_empty() => self.out.push_str("[]"),
            Value::Object(object) if object.is_empty() => self.out.push_str("{}"),
            Value::Array(items) => {
                self.out.push('[');
                for (i, item) in items.iter().enumerate() {
                    self.separate(i, depth + 1);
                    self.value(item, depth + 1)?;
                }
                self.line_break(depth);
                self.out.push(']');
            }
            Value::Object(object) => {
                self.out.push('{');
                for (i, (key, item)) in object.iter().enumerate() {
                    self.separate(i, depth + 1);
                    self.string(key);
                    self.out.push_str(match self.style {
                        Style::Pretty => ": ",
                        Style::Line => ":",
                    });
                    self.value(item, depth + 1)?;
                }
                self.line_break(depth);
                self.out.push('}');
            }
        }
        if self.out.len() > self.limit { Err(WriteError::Length) } else { Ok(()) }
    }

    fn separate(&mut self, index: usize, depth: usize) {
        if index > 0 {
            self.out.push(',');
        }
        self.line_break(depth);
    }

    fn line_break(&mut self, depth: usize) {
        if matches!(self.style, Style::Pretty) {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", depth));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                    self.out.push_str(&format!("\\u{:04x}", c as u32));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

impl Value {
    /// On one line, with numbers that read back exactly; NaN and the infinities are bare words, `-0` is `-0`. `None` when it
    /// is nested deeper than anything that JSON gave.
    pub fn to_json_line(&self) -> Option<String> {
        write(self, Style::Line, usize::MAX).ok()
    }

    /// From JSON; numbers become doubles.
    pub fn from_json(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(value) => Value::Number(value.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(value) => Value::from(value.as_str()),
            serde_json::Value::Array(items) => Value::array(items.iter().map(Value::from_json).collect()),
            serde_json::Value::Object(entries) => {
                Value::object(entries.iter().map(|(k, v)| (k.as_str(), Value::from_json(v))).collect())
            }
        }
    }

    /// To JSON; NaN and infinities become null (JSON has none), `-0` becomes 0, whole numbers print without a point.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(value) => match whole(*value) {
                Some(value) => value.into(),
                None => serde_json::Number::from_f64(*value).map_or(serde_json::Value::Null, Into::into),
            },
            Value::String(value) => serde_json::Value::String(value.to_string()),
            Value::Array(items) => serde_json::Value::Array(items.iter().map(Value::to_json).collect()),
            Value::Object(object) => {
                serde_json::Value::Object(object.iter().map(|(k, v)| (k.to_string(), v.to_json())).collect())
            }
        }
    }
}

fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() <= MAX_WHOLE).then_some(value as i64)
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(value) => match whole(*value) {
                Some(value) => serializer.serialize_i64(value),
                None => serializer.serialize_f64(*value),
            },
            Value::String(value) => serializer.serialize_str(value),
            Value::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items.iter() {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Value::Object(object) => {
                let mut map = serializer.serialize_map(Some(object.len()))?;
                for (key, value) in object.iter() {
                    map.serialize_entry(&**key, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Object::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            object.insert(key, value);
        }
        Ok(Value::object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_goes_in_and_out() {
        let text = r#"{"b":[1,-2.5,"x\n",null,true,{}],"A":{"c":1e300}}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), text.replace("1e300", "1e+300"));
        assert_eq!(value.to_json(), serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(value.to_json_line().unwrap(), text);
        assert_eq!(Value::from_json(&value.to_json()).to_json_line().unwrap(), text);
    }

    #[test]
    fn what_json_lacks_is_null_or_a_bare_word() {
        let value = Value::array(vec![f64::NAN.into(), f64::NEG_INFINITY.into(), (-0.0).into()]);
        assert_eq!(serde_json::to_string(&value).unwrap(), "[null,null,0]");
        assert_eq!(value.to_json().to_string(), "[null,null,0]");
        assert_eq!(value.to_json_line().unwrap(), "[NaN,-Infinity,-0]");
    }

    #[test]
    fn too_much_is_refused() {
        let mut deep = Value::Null;
        for _ in 0..300 {
            deep = Value::array(vec![deep]);
        }
        assert_eq!(write(&deep, Style::Pretty, 1 << 20), Err(WriteError::Depth));
        let wide = Value::array(vec![Value::from("x"); 100]);
        assert_eq!(write(&wide, Style::Pretty, 50), Err(WriteError::Length));
    }
}
