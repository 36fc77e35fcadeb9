//! Matrices against runners.md 3.4, each as JSON through the whole-matrix form and some as text.

use serde_json::json;

use super::*;
use crate::expr::Template;
use crate::model::Text;
use crate::plan::scope::ContextScope;
use crate::span::Span;

fn legs(matrix: serde_json::Value) -> Result<Vec<Leg>, EvalError> {
    let template = Template::parse("${{ fromJSON(inputs.m) }}").unwrap();
    let source = MatrixSource::Expr(Text { template, span: Span::default() });
    let mut scope = ContextScope::default();
    scope.set("inputs", Value::from_json(&json!({ "m": matrix.to_string() })));
    expand(&StageId::from("job"), &Matrix { source, span: Span::default() }, &scope)
}

fn check(matrix: serde_json::Value, wanted: &[(&str, serde_json::Value)]) {
    let legs = legs(matrix).unwrap();
    let got: Vec<(String, serde_json::Value)> =
        legs.iter().map(|leg| (leg.name.clone(), leg.matrix.to_json())).collect();
    let wanted: Vec<(String, serde_json::Value)> = wanted.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
    assert_eq!(got, wanted);
}

fn refused(matrix: serde_json::Value) -> String {
    legs(matrix).unwrap_err().message
}

#[test]
fn the_last_key_is_the_fastest() {
    check(
        json!({"a": [1, 2], "b": ["x", "y"]}),
        &[
            ("job (1, x)", json!({"a": 1, "b": "x"})),
            ("job (1, y)", json!({"a": 1, "b": "y"})),
            ("job (2, x)", json!({"a": 2, "b": "x"})),
            ("job (2, y)", json!({"a": 2, "b": "y"})),
        ],
    );
}

#[test]
fn exclude_coerces_and_matches_nested_leaves_in_part() {
    check(
        json!({"v": ["12", "14"], "os": ["linux", "mac"], "exclude": [{"v": 14, "os": "LINUX"}]}),
        &[
            ("job (12, linux)", json!({"v": "12", "os": "linux"})),
            ("job (12, mac)", json!({"v": "12", "os": "mac"})),
            ("job (14, mac)", json!({"v": "14", "os": "mac"})),
        ],
    );
    check(
        json!({"os": [{"n": "a", "v": 1}, {"n": "b", "v": 2}], "exclude": [{"os": {"n": "A"}}]}),
        &[("job (b, 2)", json!({"os": {"n": "b", "v": 2}}))],
    );
}

#[test]
fn includes_are_merged_as_githubs_example_says() {
    check(
        json!({"fruit": ["apple", "pear"], "animal": ["cat", "dog"], "include": [
            {"color": "green"}, {"color": "pink", "animal": "cat"}, {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"}, {"fruit": "banana", "animal": "cat"}]}),
        &[
            ("job (apple, cat)", json!({"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"})),
            ("job (apple, dog)", json!({"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"})),
            ("job (pear, cat)", json!({"fruit": "pear", "animal": "cat", "color": "pink"})),
            ("job (pear, dog)", json!({"fruit": "pear", "animal": "dog", "color": "green"})),
            ("job (banana)", json!({"fruit": "banana"})),
            ("job (banana, cat)", json!({"fruit": "banana", "animal": "cat"})),
        ],
    );
}

#[test]
fn includes_alone_are_a_leg_each() {
    check(json!({"include": [{"a": 1}, {"b": 2}]}), &[("job (1)", json!({"a": 1})), ("job (2)", json!({"b": 2}))]);
}

#[test]
fn an_include_whose_combinations_are_all_excluded_is_a_leg() {
    check(
        json!({"a": [1, 2], "exclude": [{"a": 2}], "include": [{"a": 2, "x": true}]}),
        &[("job (1)", json!({"a": 1})), ("job (2, true)", json!({"a": 2, "x": true}))],
    );
}

#[test]
fn a_wrong_matrix_says_what_is_wrong() {
    assert!(refused(json!({"a": []})).contains("\"a\" does not contain any values"));
    assert!(refused(json!({"a": [1], "exclude": [{"b": 1}]})).contains("exclude key \"b\""));
    assert!(refused(json!({"a": [1], "exclude": [{}]})).contains("empty item"));
    assert!(refused(json!({"a": [1], "include": [{}]})).contains("empty item"));
    assert!(refused(json!({"a": 1})).contains("must be a list"));
    assert!(refused(json!([1])).contains("must be an object"));
    assert!(refused(json!({"a": [1], "exclude": [{"a": 1}]})).contains("no job"));
    assert!(refused(json!({})).contains("no job"));
}

#[test]
fn legs_are_bounded_before_they_are_made() {
    let many: Vec<u32> = (0..257).collect();
    assert_eq!(legs(json!({"a": &many[..256]})).unwrap().len(), 256);
    assert!(refused(json!({"a": many})).contains("more than 256 jobs"));
    assert!(refused(json!({"a": many, "b": many, "c": many, "d": many})).contains("combinations"));
    let squared = json!({"a": &many[..16], "b": &many[..16], "include": [{"a": 99}]});
    assert!(refused(squared).contains("more than 256 jobs"));
}
