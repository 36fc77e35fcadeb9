//! `inputs`: what a file asks for, what is given, and what that makes. Pure.

use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, Diagnostics, suggest};
use crate::expr::Scope;
use crate::model::{EventFilter, InputKind, InputSpec, Pipeline, codes};
use crate::span::Span;

/// `inputs` by the file's word: typed values, and the same as texts for `github.event.inputs`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inputs {
    /// The `inputs` context.
    pub typed: Map<String, Value>,
    /// `github.event.inputs`.
    pub texts: Map<String, Value>,
}

/// The inputs of `pipeline` for `event` (`workflow_dispatch` and `workflow_call` have them), from what is `given`; of two
/// values of one name the later counts. `scope` has what a default may read. All mistakes come together in `diagnostics`. A
/// file without `on` takes any input, as a text.
pub fn read(
    pipeline: &Pipeline,
    event: &str,
    given: &[(String, String)],
    scope: &dyn Scope,
    diagnostics: &mut Diagnostics,
) -> Inputs {
    let mut inputs = Inputs::default();
    let Some(on) = &pipeline.on else {
        for (name, value) in given {
            inputs.typed.insert(name.clone(), value.as_str().into());
        }
        inputs.texts.clone_from(&inputs.typed);
        return inputs;
    };
    let filter = on.events.iter().find(|filter| filter.name.value == event);
    let takes = matches!(event, "workflow_dispatch" | "workflow_call");
    let (specs, span) = match filter {
        Some(filter) if takes => (filter.inputs.as_slice(), filter.name.span),
        _ => (&[][..], on.span),
    };
    for (at, (name, _)) in given.iter().enumerate() {
        let known = specs.iter().any(|spec| spec.name.value.eq_ignore_ascii_case(name));
        if !known && !given[..at].iter().any(|(earlier, _)| earlier == name) {
            diagnostics.push(unknown(name, event, filter.filter(|_| takes), specs, span));
        }
    }
    for spec in specs {
        let name = &spec.name.value;
        let value = match given.iter().rev().find(|(given, _)| given.eq_ignore_ascii_case(name)) {
            Some((_, text)) => typed(spec, text).map_err(|problem| {
                let message = format!("the input \"{name}\" is \"{text}\", which is {problem}");
                Box::new(Diagnostic::error(codes::VALUE, spec.name.span, message))
            }),
            None => default(spec, event, scope),
        };
        match value {
            Ok(value) => {
                let text = match &value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                inputs.texts.insert(name.clone(), text.into());
                inputs.typed.insert(name.clone(), value);
            }
            Err(diagnostic) => diagnostics.push(*diagnostic),
        }
    }
    inputs
}

fn unknown(name: &str, event: &str, filter: Option<&EventFilter>, specs: &[InputSpec], span: Span) -> Diagnostic {
    let names = || specs.iter().map(|spec| spec.name.value.as_str());
    let error = |message: String| Diagnostic::error(codes::UNKNOWN_KEY, first(span), message);
    match (filter, suggest(name, names())) {
        (_, Some(near)) => error(format!("there is no input \"{name}\"")).help(format!("did you mean \"{near}\"?")),
        (Some(_), None) if !specs.is_empty() => error(format!("there is no input \"{name}\""))
            .help(format!("its inputs are: {}", names().collect::<Vec<_>>().join(", "))),
        (Some(_), None) => error(format!("there is no input \"{name}\": \"{event}\" declares none"))
            .help(format!("declare it under \"on.{event}.inputs\"")),
        (None, None) => error(format!(
            "the input \"{name}\" is given, but the file has no inputs for the event \"{event}\""
        ))
        .help("inputs stand under \"on.workflow_dispatch.inputs\", and are given with \"--event workflow_dispatch\""),
    }
}

/// A place of one character: `on` may go over many lines.
fn first(span: Span) -> Span {
    Span::new(span.start as usize, (span.start as usize + 1).min(span.end as usize))
}

/// `text` as the spec's type, else what is wrong with it.
fn typed(spec: &InputSpec, text: &str) -> Result<Value, String> {
    match &spec.kind {
        InputKind::String | InputKind::Environment => Ok(text.into()),
        InputKind::Boolean => match text {
            "true" => Ok(true.into()),
            "false" => Ok(false.into()),
            _ => Err("neither true nor false".to_owned()),
        },
        InputKind::Number => number(crate::expr::Value::from(text).to_number())
            .filter(|_| !text.trim().is_empty())
            .ok_or_else(|| "no number".to_owned()),
        InputKind::Choice(options) if options.iter().any(|option| option == text) => Ok(text.into()),
        InputKind::Choice(options) => {
            let all = format!("none of {}", options.join(", "));
            Err(match suggest(text, options.iter().map(String::as_str)) {
                Some(near) => format!("{all}; did you mean \"{near}\"?"),
                None => all,
            })
        }
    }
}

fn default(spec: &InputSpec, event: &str, scope: &dyn Scope) -> Result<Value, Box<Diagnostic>> {
    let name = &spec.name.value;
    let error = |code, message: String| Diagnostic::error(code, spec.name.span, message);
    if let Some(data) = &spec.default {
        let value = data.evaluate(scope).map_err(|problem| {
            Box::new(error(
                codes::VALUE_LATE,
                format!("the default of the input \"{name}\" has no value: {}", problem.message),
            ))
        })?;
        return typed(spec, &value.to_text()).map_err(|problem| {
            Box::new(error(codes::VALUE, format!("the default of the input \"{name}\" is {problem}")))
        });
    }
    if spec.required {
        let values = match &spec.kind {
            InputKind::Choice(options) => options.join("|"),
            InputKind::Boolean => "true|false".to_owned(),
            InputKind::Number => "NUMBER".to_owned(),
            InputKind::String | InputKind::Environment => "TEXT".to_owned(),
        };
        let missing = error(codes::MISSING, format!("\"{event}\" requires the input \"{name}\", and it is not given"))
            .help(format!("give it with \"--input {name}={values}\""));
        return Err(Box::new(missing));
    }
    Ok(match spec.kind {
        InputKind::Boolean => false.into(),
        InputKind::Number => 0.into(),
        _ => "".into(),
    })
}

/// Whole numbers without a point.
fn number(value: f64) -> Option<Value> {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Some((value as i64).into());
    }
    serde_json::Number::from_f64(value).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::expr::NoScope;
    use crate::plan::testing::{messages, pipeline};

    const FILE: &str = "
on:
  workflow_dispatch:
    inputs:
      who: {required: true}
      loud: {type: boolean, default: true}
      count: {type: number}
      level: {type: choice, options: [low, high], default: low}
stages: {a: {run: 'true'}}
";

    fn with(file: &str, event: &str, given: &[(&str, &str)]) -> (Inputs, Vec<String>, Vec<String>) {
        let pipeline = pipeline(file);
        let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut all = Diagnostics::new(pipeline.source.clone());
        let inputs = read(&pipeline, event, &given, &NoScope, &mut all);
        let helps = all.list.iter().filter_map(|d| d.help.clone()).collect();
        (inputs, messages(&all), helps)
    }

    #[test]
    fn inputs_have_types_and_defaults() {
        let (inputs, wrong, _) = with(FILE, "workflow_dispatch", &[("WHO", "me"), ("count", "3"), ("loud", "false")]);
        assert_eq!(wrong, Vec::<String>::new());
        assert_eq!(Value::from(inputs.typed), json!({"who": "me", "loud": false, "count": 3, "level": "low"}));
        assert_eq!(Value::from(inputs.texts), json!({"who": "me", "loud": "false", "count": "3", "level": "low"}));
        let (inputs, ..) = with("stages: {a: {run: 'true'}}", "workflow_dispatch", &[("x", "1")]);
        assert_eq!(Value::from(inputs.typed), json!({"x": "1"}));
    }

    #[test]
    fn all_mistakes_come_together_with_a_way_out() {
        let given = [("levl", "low"), ("count", "many"), ("loud", "yes"), ("level", "hihg")];
        let (_, wrong, helps) = with(FILE, "workflow_dispatch", &given);
        assert_eq!(
            wrong,
            [
                "E010 there is no input \"levl\"",
                "E012 \"workflow_dispatch\" requires the input \"who\", and it is not given",
                "E013 the input \"loud\" is \"yes\", which is neither true nor false",
                "E013 the input \"count\" is \"many\", which is no number",
                "E013 the input \"level\" is \"hihg\", which is none of low, high; did you mean \"high\"?",
            ]
        );
        assert_eq!(helps, ["did you mean \"level\"?", "give it with \"--input who=TEXT\""]);
        let (_, wrong, _) = with(FILE, "push", &[("who", "x")]);
        assert!(wrong[0].contains("no inputs for the event \"push\""), "{wrong:?}");
    }
}
