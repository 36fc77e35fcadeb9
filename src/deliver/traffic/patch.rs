//! A JSON patch that fails where another hand was quicker.

use serde_json::{Map, Value as Json, json};

/// Annotations that the tool sets begin so.
pub const PREFIX: &str = "slipway.dev/";

/// The annotation that holds the epoch of the lease under which an object was written last.
pub const EPOCH: &str = "slipway.dev/epoch";

/// One write: operations that are all done or none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patch {
    operations: Vec<Json>,
}

impl Patch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.operations.iter().all(|operation| operation.get("op").and_then(Json::as_str) == Some("test"))
    }

    /// The operations, as RFC 6902 has them.
    pub fn operations(&self) -> &[Json] {
        &self.operations
    }

    /// As one value.
    pub fn into_json(self) -> Json {
        Json::Array(self.operations)
    }

    /// The value at `pointer` becomes `value`, if it still is what `live` shows.
    pub fn change(mut self, live: &Json, pointer: &str, value: Json) -> Self {
        match live.pointer(pointer) {
            Some(old) if *old == value => self.operations.push(json!({"op": "test", "path": pointer, "value": old})),
            Some(old) => {
                self.operations.push(json!({"op": "test", "path": pointer, "value": old}));
                self.operations.push(json!({"op": "replace", "path": pointer, "value": value}));
            }
            None => self.operations.push(json!({"op": "add", "path": pointer, "value": value})),
        }
        self
    }

    /// The value at `pointer` goes, if it still is what `live` shows.
    pub fn remove(mut self, live: &Json, pointer: &str) -> Self {
        if let Some(old) = live.pointer(pointer) {
            self.operations.push(json!({"op": "test", "path": pointer, "value": old}));
            self.operations.push(json!({"op": "remove", "path": pointer}));
        }
        self
    }

    /// Sets an annotation, or with none takes it away, if it still is what `live` shows.
    pub fn annotate(self, live: &Json, key: &str, value: Option<&str>) -> Self {
        let pointer = format!("/metadata/annotations/{}", escape(key));
        match value {
            Some(value) => self.with_annotations(live).change(live, &pointer, Json::from(value)),
            None => self.remove(live, &pointer),
        }
    }

    /// The map of annotations, where the object has none and no earlier operation made it.
    fn with_annotations(mut self, live: &Json) -> Self {
        const ANNOTATIONS: &str = "/metadata/annotations";
        let is_made = |operation: &Json| operation.get("path").and_then(Json::as_str) == Some(ANNOTATIONS);
        if live.pointer(ANNOTATIONS).is_none() && !self.operations.iter().any(is_made) {
            self.operations.push(json!({"op": "add", "path": ANNOTATIONS, "value": Map::new()}));
        }
        self
    }
}

/// A key as a part of a JSON pointer.
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// An annotation of an object.
pub fn annotation<'j>(live: &'j Json, key: &str) -> Option<&'j str> {
    live.get("metadata")?.get("annotations")?.get(key)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_tests_what_it_replaces() {
        let live = json!({"spec": {"selector": {"app": "a"}}});
        let patch = Patch::new().change(&live, "/spec/selector", json!({"app": "b"}));
        assert_eq!(
            patch.into_json(),
            json!([
                {"op": "test", "path": "/spec/selector", "value": {"app": "a"}},
                {"op": "replace", "path": "/spec/selector", "value": {"app": "b"}},
            ])
        );
    }

    #[test]
    fn what_stands_already_is_only_tested() {
        let live = json!({"spec": {"weight": 3}});
        let patch = Patch::new().change(&live, "/spec/weight", json!(3));
        assert!(patch.is_empty());
        assert_eq!(patch.operations().len(), 1);
    }

    #[test]
    fn the_first_annotations_make_their_map_once() {
        let live = json!({"metadata": {"name": "a"}});
        let patch =
            Patch::new().annotate(&live, "slipway.dev/a", Some("1")).annotate(&live, "slipway.dev/b", Some("2"));
        assert_eq!(
            patch.into_json(),
            json!([
                {"op": "add", "path": "/metadata/annotations", "value": {}},
                {"op": "add", "path": "/metadata/annotations/slipway.dev~1a", "value": "1"},
                {"op": "add", "path": "/metadata/annotations/slipway.dev~1b", "value": "2"},
            ])
        );
    }

    #[test]
    fn an_annotation_that_is_not_there_needs_no_removal() {
        let live = json!({"metadata": {"annotations": {"a": "1"}}});
        assert!(Patch::new().annotate(&live, "b", None).is_empty());
        assert_eq!(Patch::new().annotate(&live, "a", None).operations().len(), 2);
    }
}
