//! Values: null, bool, number (f64), string, array, object. Cheap to clone; arrays and objects have identity.

use std::cmp::Ordering;
use std::sync::Arc;

use super::object::Object;
use super::{number, text};

/// A value of the expression language.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A double.
    Number(f64),
    /// Text.
    String(Arc<str>),
    /// An array; compared by identity.
    Array(Arc<Vec<Value>>),
    /// An object; compared by identity.
    Object(Arc<Object>),
}

impl Value {
    /// An array.
    pub fn array(items: Vec<Value>) -> Self {
        Value::Array(Arc::new(items))
    }

    /// An object.
    pub fn object(object: Object) -> Self {
        Value::Object(Arc::new(object))
    }

    /// `value[key]` of an object, else null.
    pub fn get(&self, key: &str) -> Value {
        match self {
            Value::Object(object) => object.get(key).cloned().unwrap_or_default(),
            _ => Value::Null,
        }
    }

    /// The text, when it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// GitHub's name of its kind: `Null`, `Boolean`, `Number`, `String`, `Array` or `Object`.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "Null",
            Value::Bool(_) => "Boolean",
            Value::Number(_) => "Number",
            Value::String(_) => "String",
            Value::Array(_) => "Array",
            Value::Object(_) => "Object",
        }
    }

    /// Whether it is neither array nor object.
    pub fn is_primitive(&self) -> bool {
        !matches!(self, Value::Array(_) | Value::Object(_))
    }

    /// GitHub's truth: null, false, 0, -0, NaN and '' are false.
    pub fn truthy(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(value) => *value != 0.0 && !value.is_nan(),
            Value::String(value) => !value.is_empty(),
            Value::Array(_) | Value::Object(_) => true,
        }
    }

    /// GitHub's conversion to a string (15 significant digits; `Array`; `Object`).
    pub fn to_text(&self) -> String {
        self.text().to_string()
    }

    /// [`Value::to_text`] without a copy of a string.
    pub(super) fn text(&self) -> Arc<str> {
        match self {
            Value::Null => "".into(),
            Value::Bool(true) => "true".into(),
            Value::Bool(false) => "false".into(),
            Value::Number(value) => number::to_text(*value).into(),
            Value::String(value) => value.clone(),
            Value::Array(_) => "Array".into(),
            Value::Object(_) => "Object".into(),
        }
    }

    /// GitHub's conversion to a number.
    pub fn to_number(&self) -> f64 {
        match self {
            Value::Null => 0.0,
            Value::Bool(value) => f64::from(u8::from(*value)),
            Value::Number(value) => *value,
            Value::String(value) => number::parse(value),
            Value::Array(_) | Value::Object(_) => f64::NAN,
        }
    }

    /// GitHub's `==`: strings without regard to case, arrays and objects by identity, different kinds as numbers.
    pub fn loose_eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::String(a), Value::String(b)) => text::equal(a, b),
            (Value::Array(a), Value::Array(b)) => Arc::ptr_eq(a, b),
            (Value::Object(a), Value::Object(b)) => Arc::ptr_eq(a, b),
            _ => self.is_primitive() && other.is_primitive() && self.to_number() == other.to_number(),
        }
    }

    /// GitHub's order, for `<` and `>`: none between arrays, objects, NaN, or two nulls.
    pub fn loose_cmp(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Null, Value::Null) => None,
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::String(a), Value::String(b)) => Some(text::compare(a, b)),
            _ if self.is_primitive() && other.is_primitive() => self.to_number().partial_cmp(&other.to_number()),
            _ => None,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}
impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Number(value)
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::String(value.into())
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::String(value.into())
    }
}
impl From<Arc<str>> for Value {
    fn from(value: Arc<str>) -> Self {
        Value::String(value)
    }
}
impl From<Object> for Value {
    fn from(value: Object) -> Self {
        Value::object(value)
    }
}
impl From<Vec<Value>> for Value {
    fn from(value: Vec<Value>) -> Self {
        Value::array(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_kinds_are_compared_as_numbers() {
        assert!(Value::Null.loose_eq(&Value::from("  ")));
        assert!(Value::from("0x10").loose_eq(&Value::from(16.0)));
        assert!(!Value::from("true").loose_eq(&Value::from(true)));
        assert!(!Value::array(vec![]).loose_eq(&Value::array(vec![])));
        assert!(!Value::array(vec![]).loose_eq(&Value::Null));
        let same = Value::array(vec![]);
        assert!(same.loose_eq(&same.clone()));
        assert_eq!(Value::Null.loose_cmp(&Value::Null), None);
        assert_eq!(Value::Null.loose_cmp(&Value::from(true)), Some(Ordering::Less));
    }

    #[test]
    fn truth_is_githubs() {
        for value in [Value::Null, false.into(), 0.0.into(), (-0.0).into(), f64::NAN.into(), "".into()] {
            assert!(!value.truthy(), "{value:?}");
        }
        for value in [Value::from(" "), true.into(), Value::array(vec![]), Object::new().into()] {
            assert!(value.truthy(), "{value:?}");
        }
    }
}
