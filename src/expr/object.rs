//! Objects: keys in order, found in constant time without regard to case.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use indexmap::{Equivalent, IndexMap};

use super::text;
use super::value::Value;

/// An object. Keys keep their order; looked up without regard to case, unless it tells them apart (the `env` context).
#[derive(Debug, Clone, Default)]
pub struct Object {
    sensitive: bool,
    entries: IndexMap<Key, Value>,
}

/// A key that hashes and compares as its object does.
#[derive(Debug, Clone)]
struct Key {
    text: Arc<str>,
    sensitive: bool,
}

/// A [`Key`] on loan.
struct Query<'a> {
    text: &'a str,
    sensitive: bool,
}

impl Hash for Query<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.sensitive {
            state.write(self.text.as_bytes());
        } else if self.text.is_ascii() {
            // In pieces, so that nothing is allocated.
            let mut piece = [0u8; 64];
            for bytes in self.text.as_bytes().chunks(piece.len()) {
                let piece = &mut piece[..bytes.len()];
                piece.copy_from_slice(bytes);
                piece.make_ascii_uppercase();
                state.write(piece);
            }
        } else {
            for bytes in text::fold(self.text).as_bytes().chunks(64) {
                state.write(bytes);
            }
        }
    }
}

impl Equivalent<Key> for Query<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.text == *key.text || (!self.sensitive && text::equal(self.text, &key.text))
    }
}

impl Key {
    fn query(&self) -> Query<'_> {
        Query { text: &self.text, sensitive: self.sensitive }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.query().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.query().equivalent(other)
    }
}

impl Eq for Key {}

impl Object {
    /// An empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty object whose keys are told apart by case.
    pub fn case_sensitive() -> Self {
        Self { sensitive: true, entries: IndexMap::new() }
    }

    /// Whether `a` and `A` are two keys.
    pub fn is_case_sensitive(&self) -> bool {
        self.sensitive
    }

    /// The value at `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(&Query { text: key, sensitive: self.sensitive })
    }

    /// Sets `key`; an existing key that equals it keeps its place and its spelling.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, value: impl Into<Value>) {
        self.entries.insert(Key { text: key.into(), sensitive: self.sensitive }, value.into());
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Value)> {
        self.entries.iter().map(|(key, value)| (&key.text, value))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_without_regard_to_case_and_keep_their_spelling() {
        let mut object = Object::new();
        object.insert("Höhe", 1.0);
        object.insert("b", 2.0);
        object.insert("HÖHE", 3.0);
        assert_eq!(object.len(), 2);
        let (key, value) = object.iter().next().unwrap();
        assert_eq!((&**key, value.to_number()), ("Höhe", 3.0));
        assert_eq!(object.get("höhe").unwrap().to_number(), 3.0);
        let long = "x".repeat(200);
        object.insert(long.as_str(), true);
        assert!(object.get(&long.to_uppercase()).is_some());
    }

    #[test]
    fn env_tells_keys_apart() {
        let mut object = Object::case_sensitive();
        object.insert("path", "a");
        object.insert("PATH", "b");
        assert_eq!(object.len(), 2);
        assert!(object.get("Path").is_none());
        assert_eq!(object.get("PATH").unwrap().as_str(), Some("b"));
    }
}
