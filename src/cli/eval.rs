//! `slipway eval`: one expression against a file of contexts.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::exit::Exit;
use crate::expr::{EvalError, Expr, Object, ParseError, ParseErrorKind, Scope, StatusFunction, Template, Value};

/// Evaluates an expression and prints its value as JSON on one line; NaN, Infinity and -Infinity are bare words.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// JSON file whose top-level keys are the contexts; `job.status` decides the status functions (success when absent)
    #[arg(long, value_name = "FILE")]
    pub context: Option<PathBuf>,

    /// The expression, with or without `${{ }}`
    #[arg(value_name = "EXPR", allow_hyphen_values = true)]
    pub expression: String,
}

/// Runs the command.
pub fn run(args: &Args) -> Exit {
    let contexts = match args.context.as_deref().map_or_else(|| Ok(Object::new()), read_contexts) {
        Ok(contexts) => contexts,
        Err((exit, message)) => {
            eprintln!("error: {message}");
            return exit;
        }
    };
    match evaluate(&args.expression, FileScope { contexts }) {
        Ok(line) => {
            // A reader that went away has no use for an error.
            let _ = writeln!(io::stdout(), "{line}");
            Exit::Success
        }
        Err(message) => {
            eprintln!("{message}");
            Exit::InvalidPipeline
        }
    }
}

fn read_contexts(path: &Path) -> Result<Object, (Exit, String)> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| (Exit::Usage, format!("failed to read the contexts from \"{name}\": {error}")))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| {
        (Exit::Usage, format!("failed to read the contexts from \"{name}\": it is no JSON: {error}"))
    })?;
    match value {
        Value::Object(object) => Ok(object.as_ref().clone()),
        other => {
            let kind = other.kind().to_lowercase();
            let message = format!(
                "failed to read the contexts from \"{name}\": it holds a value of kind \"{kind}\"; write an object such as \
                 {{\"github\": {{\"ref\": \"refs/heads/main\"}}}}"
            );
            Err((Exit::Usage, message))
        }
    }
}

/// The value of `text` as a line of JSON, else a message of several lines.
fn evaluate(text: &str, scope: FileScope) -> Result<String, String> {
    let known = |name: &str| scope.contexts.get(name).is_some();
    let value = if let Some(expr) = bare(text) {
        let expr = Expr::parse_with(expr, &known).map_err(|error| draw(expr, &error))?;
        expr.evaluate(&scope).map_err(|error| draw_evaluation(&expr.source, &error))?
    } else {
        let template = Template::parse(text).map_err(|error| draw(text, &error))?;
        for expr in template.expressions() {
            Expr::parse_with(&expr.source, &known).map_err(|error| draw(&expr.source, &error))?;
        }
        template.evaluate(&scope).map_err(|error| draw_evaluation(text, &error))?
    };
    value.to_json_line().ok_or_else(|| "evaluation error: the value is nested too deep to be printed".to_owned())
}

/// The expression when `text` is one without `${{ }}` around it, or with exactly one.
fn bare(text: &str) -> Option<&str> {
    if !text.trim_start().starts_with("${{") {
        // Text with `${{ }}` in its midst is a template, as it would be in a file; within a string it is text.
        let template = text.contains("${{") && Expr::parse(text).is_err();
        return (!template).then_some(text);
    }
    let inner = text.trim().strip_prefix("${{")?.strip_suffix("}}")?;
    matches!(Template::parse(text.trim()), Ok(Template::Expr(_))).then_some(inner.trim())
}

/// The mistake with the expression under it and carets under the place.
fn draw(source: &str, error: &ParseError) -> String {
    let kind = match error.kind {
        ParseErrorKind::Lexing => "lexing",
        ParseErrorKind::Parsing => "parsing",
    };
    let start = error.offset.min(source.len());
    let line_start = source[..start].rfind('\n').map_or(0, |i| i + 1);
    let line = source[line_start..].lines().next().unwrap_or("");
    let before = source[line_start..start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect::<String>();
    let end = (start + error.length).min(line_start + line.len()).max(start);
    let carets = "^".repeat(source.get(start..end).map_or(1, |word| word.chars().count()).max(1));
    format!("{kind} error: {}\n\n  {line}\n  {before}{carets}", error.message)
}

fn draw_evaluation(source: &str, error: &EvalError) -> String {
    let carets = "^".repeat(source.lines().next_back().map_or(1, |line| line.chars().count()).max(1));
    let source = source.replace('\n', "\n  ");
    format!("evaluation error: {}\n\n  {source}\n  {carets}", error.message)
}

/// The contexts of a file.
struct FileScope {
    contexts: Object,
}

impl Scope for FileScope {
    fn context(&self, name: &str) -> Option<Value> {
        self.contexts.get(name).cloned()
    }

    fn status(&self, function: StatusFunction, _args: &[Value]) -> Result<bool, EvalError> {
        let status = self.contexts.get("job").map(|job| job.get("status").to_text()).unwrap_or_default();
        let status = if status.is_empty() { "success".to_owned() } else { status.to_lowercase() };
        Ok(match function {
            StatusFunction::Always => true,
            StatusFunction::Success => status == "success",
            StatusFunction::Failure => status == "failure",
            StatusFunction::Cancelled => status == "cancelled",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(context: &str, text: &str) -> Result<String, String> {
        let Value::Object(contexts) = serde_json::from_str(context).unwrap() else { unreachable!() };
        evaluate(text, FileScope { contexts: contexts.as_ref().clone() })
    }

    #[test]
    fn expressions_are_taken_with_and_without_their_brackets() {
        for text in ["1 + 0x0", "${{ 1", "a ${{ }}"] {
            assert!(eval("{}", text).is_err(), "{text}");
        }
        for text in ["a.b", "${{ a.b }}", " ${{a.b}} "] {
            assert_eq!(eval(r#"{"a":{"b":[1,"x"]}}"#, text).unwrap(), r#"[1,"x"]"#);
        }
        assert_eq!(eval(r#"{"a":1}"#, "v${{ a }}-${{ a }}").unwrap(), r#""v1-1""#);
        assert_eq!(eval("{}", "'${{ x }}'").unwrap(), r#""${{ x }}""#);
        let error = eval("{}", "fromJSON('[1,')").unwrap_err();
        assert!(error.starts_with("evaluation error: fromJSON: the text is no JSON: EOF while parsing"), "{error}");
    }

    #[test]
    fn numbers_that_json_lacks_are_bare_words() {
        assert_eq!(eval("{}", "NaN").unwrap(), "NaN");
        assert_eq!(eval("{}", "-Infinity").unwrap(), "-Infinity");
        assert_eq!(eval("{}", "-0").unwrap(), "-0");
        assert_eq!(eval("{}", "1e21").unwrap(), "1e21");
        assert_eq!(eval("{}", "0.84551240822557006").unwrap(), "0.8455124082255701");
        assert_eq!(eval("{}", "0.1234567890123456789").unwrap(), "0.12345678901234568");
    }

    #[test]
    fn status_functions_follow_the_file() {
        assert_eq!(eval("{}", "success() && !failure()").unwrap(), "true");
        assert_eq!(eval(r#"{"job":{"status":"Failure"}}"#, "failure() && !cancelled()").unwrap(), "true");
        assert_eq!(eval(r#"{"job":{"status":"cancelled"}}"#, "cancelled() && always()").unwrap(), "true");
    }

    #[test]
    fn mistakes_are_pointed_at() {
        let drawn = eval(r#"{"a":1}"#, "${{ a &&\n\tenv.X }}").unwrap_err();
        let wanted = "parsing error: Unrecognized named-value: 'env'. Located at position 7 within expression: a &&\n\tenv.X\n\n  \
                      \tenv.X\n  \t^^^";
        assert_eq!(drawn, wanted);
        assert!(eval("{}", "hashFiles('x')").unwrap_err().contains("hashFiles() can only be used within a job"));
    }
}
