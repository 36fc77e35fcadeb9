//! Expressions from hostile hands: no panic, no overflow, bounded work; and what an expression says about itself.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

use proptest::prelude::{ProptestConfig, Strategy, prop, proptest};
use slipway::expr::{EvalError, Expr, NoScope, Object, Scope, StatusFunction, Template, Value};

struct Contexts(Object);

impl Scope for Contexts {
    fn context(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }

    fn status(&self, function: StatusFunction, _args: &[Value]) -> Result<bool, EvalError> {
        Ok(function == StatusFunction::Success)
    }
}

fn scope() -> Contexts {
    let json = r#"{"github":{"ref":"refs/heads/dev","event":{"commits":[{"message":"a"},{"message":"b"}],"n":3}},
                   "matrix":{"os":["linux","mac"],"i":1},"env":{}}"#;
    let Value::Object(object) = serde_json::from_str(json).unwrap() else { unreachable!() };
    Contexts(object.as_ref().clone())
}

/// Everything that can be asked of a text.
fn exercise(text: &str) {
    let scope = scope();
    let _ = Template::parse(text).map(|template| template.evaluate_text(&scope));
    match Expr::parse(text) {
        Ok(expr) => {
            let value = expr.evaluate(&scope);
            let _ = value.map(|value| (value.to_json_line(), value.to_text(), value.to_number(), value.to_json()));
            let _ = (expr.paths(), expr.functions(), expr.uses_status_function(), expr.observed(&scope));
            for error in expr.check(&[], &[]) {
                assert!(text.get(error.offset..error.offset + error.length).is_some(), "{error:?}");
            }
        }
        Err(error) => {
            assert!(error.length >= 1);
            assert!(text.get(error.offset..).is_some(), "{error:?}");
            assert!(text.is_empty() || text.get(..error.offset + error.length).is_some(), "{error:?} in {text:?}");
        }
    }
}

fn soup() -> impl Strategy<Value = String> {
    let words = [
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        "*",
        "!",
        "==",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "&&",
        "||",
        "'a'",
        "'{0}{1}'",
        "'[1,[2]]'",
        "'",
        "1",
        "-0",
        "0xff",
        ".5",
        "NaN",
        "Infinity",
        "null",
        "true",
        "false",
        "github",
        "event",
        "commits",
        "matrix",
        "contains",
        "startsWith",
        "endsWith",
        "format",
        "join",
        "toJSON",
        "fromJSON",
        "case",
        "hashFiles",
        "success",
        "always",
        " ",
        "\n",
        "é",
        "${{",
        "}}",
        "=",
        "&",
        "@",
        "github.event.commits.*.message",
        "toJSON(github)",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..40).prop_map(|words| words.concat())
}

/// Sound expressions, so that evaluation is reached too.
fn sound() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "1",
        "-0.5",
        "'a'",
        "''",
        "'É'",
        "null",
        "true",
        "NaN",
        "github",
        "github.event.commits",
        "matrix.os.*",
        "matrix.*.*",
        "env.X",
        "success()",
        "fromJSON('{\"a\":[1,{\"b\":null}]}')",
        "github.event.commits[*].message",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(6, 60, 4, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop::strategy::Union::new([
            pair.clone().prop_map(|(a, b)| format!("({a}) == {b}")).boxed(),
            pair.clone().prop_map(|(a, b)| format!("{a} && {b}")).boxed(),
            pair.clone().prop_map(|(a, b)| format!("({a} || !({b}))")).boxed(),
            pair.clone().prop_map(|(a, b)| format!("contains({a}, {b})")).boxed(),
            pair.clone().prop_map(|(a, b)| format!("format('{{0}}{{{{{{1}}', {a}, {b})")).boxed(),
            pair.clone().prop_map(|(a, b)| format!("join({a}, {b})")).boxed(),
            pair.clone().prop_map(|(a, b)| format!("case({a} < {b}, {a}, {b})")).boxed(),
            pair.prop_map(|(a, b)| format!("({a})[{b}]")).boxed(),
            inner.clone().prop_map(|a| format!("fromJSON(toJSON({a}))")).boxed(),
            inner.prop_map(|a| format!("({a}).*.b")).boxed(),
        ])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC{0,60}|[ '!=<>&|(){}$.*,0-9a-zé\\[\\]\\-]{0,60}") {
        exercise(&text);
        exercise(&format!("${{{{{text}}}}}"));
    }

    #[test]
    fn any_words_are_read_without_a_panic(text in soup()) {
        exercise(&text);
    }

    #[test]
    fn sound_expressions_are_evaluated_without_a_panic(text in sound()) {
        let parsed = Expr::parse(&text);
        if let Err(error) = &parsed {
            assert!(error.message.starts_with("Exceeded max"), "{text}: {error}");
        }
        exercise(&text);
    }

    #[test]
    fn numbers_survive_as_text(bits in proptest::num::u64::ANY) {
        let number = f64::from_bits(bits);
        let line = Value::from(number).to_json_line().unwrap();
        if number.is_finite() {
            assert_eq!(line.parse::<f64>().unwrap().to_bits(), bits, "{line}");
            let text = Value::from(number).to_text();
            let back = Value::from(text.as_str()).to_number();
            assert!(back == number || (back / number - 1.0).abs() < 1e-14 || number.is_subnormal() || back.is_infinite(), "{text}");
        }
    }
}

fn refused(text: &str) -> String {
    exercise(text);
    Expr::parse(text).unwrap_err().message
}

#[test]
fn size_and_depth_are_limited() {
    let nested = |open: &str, middle: &str, close: &str, times: usize| {
        format!("{}{middle}{}", open.repeat(times), close.repeat(times))
    };
    for text in [
        nested("(", "1", ")", 1_000_000),
        nested("!", "1", "", 1_000_000),
        nested("a[", "1", "]", 1_000_000),
        nested("format(", "1", ")", 1_000_000),
        nested("1 && ", "1", "", 1_000_000),
        nested("", "a", ".b", 1_000_000),
        format!("'{}'", "x".repeat(21_000)),
    ] {
        assert_eq!(refused(&text), "Exceeded max expression length 21000");
    }
    for text in [
        nested("!", "1", "", 20_000),
        nested("a[", "1", "]", 5_000),
        nested("format(", "1", ")", 2_000),
        nested("(1 == ", "1", ")", 2_000),
        nested("", "a", ".b", 10_000),
    ] {
        assert_eq!(refused(&text), "Exceeded max expression depth 50");
    }
    // Brackets alone and chains are not deep; 21,000 counts UTF-16 units.
    for text in [nested("(", "1", ")", 10_000), nested("1 && ", "1", "", 4_000), format!("'{}'", "é".repeat(20_998))] {
        exercise(&text);
        assert!(Expr::parse(&text).unwrap().evaluate(&NoScope).is_ok());
    }
    // Grouped to the right, a chain is as flat.
    exercise(&nested("1 || (", "1", ")", 2_500));
    assert!(Expr::parse(&nested("1 || (", "1", ")", 2_500)).is_ok());
}

#[test]
fn work_and_text_are_limited() {
    let mut scope = scope();
    let items: Vec<Value> = (0..200_000).map(|i| Value::from(f64::from(i))).collect();
    scope.0.insert("big", Value::array(items));
    scope.0.insert("long", "x".repeat(600_000));
    let error = |text: &str| Expr::parse(text).unwrap().evaluate(&scope).unwrap_err().message;
    let many = vec!["contains(big, -1)"; 1000].join(" || ");
    assert!(error(&many).contains("more than 100000 operations"));
    assert!(error("format('{0}{0}', long)").contains("more than 1 MiB of text"));
    assert!(error("toJSON(big)").contains("more than 1 MiB of text"));
    assert!(error("join(big)").contains("more than 1 MiB of text"));
    let many = vec!["!format('{0}', long)"; 100].join(" || ");
    assert!(error(&many).contains("more than 1 MiB of text"));
    assert!(Expr::parse("contains(big, 199999)").unwrap().evaluate(&scope).unwrap().truthy());
}

#[test]
fn expressions_say_what_they_read() {
    let text = "GitHub.Ref == 'x' && github.event.commits.*.message && matrix.os[matrix.i] || hashFiles(env['X']) || failure()";
    let expr = Expr::parse(text).unwrap();
    let paths: Vec<String> = expr.paths().iter().map(|path| path.join("/")).collect();
    assert_eq!(paths, ["github/Ref", "github/event/commits/*/message", "matrix/os/*", "matrix/i", "env/X"]);
    assert_eq!(expr.functions(), ["hashfiles", "failure"]);
    assert!(expr.uses_status_function());
    let observed: Vec<String> = expr
        .observed(&scope())
        .iter()
        .map(|(name, value)| format!("{name} = {}", value.to_json_line().unwrap()))
        .collect();
    let wanted = [
        r#"github.Ref = "refs/heads/dev""#,
        r#"github.event.commits.*.message = ["a","b"]"#,
        r#"matrix.os[matrix.i] = "mac""#,
        "matrix.i = 1",
        "env.X = null",
        "failure() = false",
    ];
    assert_eq!(observed, wanted);
}

#[test]
fn names_are_checked_where_the_expression_stands() {
    let expr = Expr::parse("(env).X == secrets.Y || hashFiles('a') || Success() || contains(github.ref, 'x')").unwrap();
    let messages: Vec<String> = expr
        .check(&["github", "Secrets"], &["success"])
        .iter()
        .map(|error| format!("{} {} {}", error.offset, error.length, error.message.split(" within").next().unwrap()))
        .collect();
    let wanted = [
        "1 3 Unrecognized named-value: 'env'. Located at position 2",
        "24 9 Unrecognized function: 'hashFiles'. Located at position 25",
    ];
    assert_eq!(messages, wanted);
    let error = expr.evaluate(&NoScope).unwrap_err().message;
    assert!(
        error.starts_with("Unrecognized named-value: 'env'. Located at position 2 within expression: (env).X"),
        "{error}"
    );
}
