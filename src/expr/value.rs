//! Values: null, bool, number (f64), string, array, object. Cheap to clone; arrays and objects have identity.

use std::sync::Arc;

use indexmap::IndexMap;

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

/// An object. Keys keep their order; looked up without regard to case, unless `case_sensitive` (the `env` context).
#[derive(Debug, Clone, Default)]
pub struct Object {
    /// Whether `a` and `A` are two keys.
    pub case_sensitive: bool,
    entries: IndexMap<Arc<str>, Value>,
}

impl Object {
    /// An empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty object whose keys are told apart by case.
    pub fn case_sensitive() -> Self {
        Self { case_sensitive: true, entries: IndexMap::new() }
    }

    /// The value at `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        if let Some(value) = self.entries.get(key) {
            return Some(value);
        }
        if self.case_sensitive {
            return None;
        }
        self.entries.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v)
    }

    /// Sets `key`; an existing key that equals it keeps its place and its spelling.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, value: impl Into<Value>) {
        let key = key.into();
        if !self.case_sensitive
            && !self.entries.contains_key(&key)
            && let Some(slot) = self.entries.iter_mut().find(|(k, _)| k.eq_ignore_ascii_case(&key))
        {
            *slot.1 = value.into();
            return;
        }
        self.entries.insert(key, value.into());
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Value)> {
        self.entries.iter()
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<K: Into<Arc<str>>, V: Into<Value>> FromIterator<(K, V)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(iter: I) -> Self {
        let mut object = Object::new();
        for (key, value) in iter {
            object.insert(key, value);
        }
        object
    }
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

// To be written by the room's owner: truthy(), to_number(), to_text() (GitHub's string conversion), loose_eq(), kind(),
// From<&serde_json::Value>, to_json() -> serde_json::Value, serde Serialize/Deserialize through JSON.
impl Value {
    /// GitHub's truth: null, false, 0, -0, NaN and '' are false.
    pub fn truthy(&self) -> bool {
        false
    }

    /// GitHub's conversion to a string (15 significant digits; `Array`; `Object`).
    pub fn to_text(&self) -> String {
        String::new()
    }

    /// GitHub's conversion to a number.
    pub fn to_number(&self) -> f64 {
        f64::NAN
    }

    /// GitHub's `==`.
    pub fn loose_eq(&self, other: &Value) -> bool {
        let _ = other;
        false
    }

    /// From JSON; numbers become doubles.
    pub fn from_json(json: &serde_json::Value) -> Value {
        let _ = json;
        Value::Null
    }

    /// To JSON; NaN and infinities become null (JSON has none), `-0` becomes 0, whole numbers print without a point.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}
