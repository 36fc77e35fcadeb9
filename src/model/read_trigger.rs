//! `on`.

use crate::diagnostic::{Diagnostic, suggest};
use crate::span::{Span, Spanned};

use super::codes;
use super::keys::{Form, Table};
use super::node::core_type;
use super::read::{Field, Fields, Reader};
use super::tables_trigger::{CALL_INPUT, CALL_TYPES, DISPATCH_INPUT, DISPATCH_TYPES, EVENT_NAMES, EVENTS};
use super::{Dialect, EventFilter, InputKind, InputSpec, Node, NodeKind, Patterns, Triggers};

impl Reader {
    /// `on`: an event's name, a list of names, or a map.
    pub(super) fn triggers(&mut self, field: Field<'_>) -> Triggers {
        let mut triggers = Triggers { events: Vec::new(), span: field.node.span };
        match &*field.node.kind {
            NodeKind::Mapping(entries) => {
                for entry in entries {
                    self.check_event(&entry.key, entry.key_span);
                    let name = Spanned::new(entry.key.to_string(), entry.key_span);
                    triggers.events.push(self.event(name, &entry.value));
                }
            }
            NodeKind::Scalar { .. } if field.node.is_null() => {
                let message = "\"on\" names no event";
                self.push(Diagnostic::error(codes::VALUE, field.node.span, message).help("for example: on: push"));
            }
            _ => {
                for name in self.literals("on", field.node) {
                    self.check_event(&name.value, name.span);
                    triggers.events.push(empty(name));
                }
            }
        }
        triggers
    }

    fn check_event(&mut self, name: &str, span: Span) {
        if EVENT_NAMES.contains(&name) {
            return;
        }
        let message = format!("\"{name}\" is no known event");
        let diagnostic = match suggest(name, EVENT_NAMES.iter().copied()) {
            // A slip is an error; a name that is like none may be newer than this program.
            Some(near) => Diagnostic::error(codes::VALUE, span, message).help(format!("did you mean \"{near}\"?")),
            None => Diagnostic::warning(codes::UNKNOWN_EVENT, span, message),
        };
        self.push(diagnostic);
    }

    fn event(&mut self, name: Spanned<String>, node: &Node) -> EventFilter {
        let mut event = empty(name);
        if event.name.value == "schedule" {
            event.cron = self.schedule(node);
            return event;
        }
        if node.is_null() {
            return event;
        }
        let Some(table) = EVENTS.find(&event.name.value).and_then(|key| table_of(&key.form)) else { return event };
        let Some(fields) = self.fields(node, table) else { return event };
        let list = |reader: &mut Self, name: &str| match fields.iter().find(|field| field.name == name) {
            Some(field) => reader.literals(field.name, field.node),
            None => Vec::new(),
        };
        event.types = list(self, "types");
        event.workflows = list(self, "workflows");
        let patterns = |reader: &mut Self, include: &str, ignore: &str| {
            let (include, ignore) = (list(reader, include), list(reader, ignore));
            Patterns { include, ignore }
        };
        event.branches = patterns(self, "branches", "branches-ignore");
        event.tags = patterns(self, "tags", "tags-ignore");
        event.paths = patterns(self, "paths", "paths-ignore");
        for (include, ignore) in [("branches", "branches-ignore"), ("tags", "tags-ignore"), ("paths", "paths-ignore")] {
            self.check_both(&fields, include, ignore);
        }
        match event.name.value.as_str() {
            "workflow_dispatch" => event.inputs = self.inputs(&fields, &DISPATCH_INPUT),
            "workflow_call" => {
                event.inputs = self.inputs(&fields, &CALL_INPUT);
                self.call_outputs(&fields);
            }
            _ => {}
        }
        event
    }

    /// GitHub's parser takes both filters and its server refuses them: in a workflow this is a warning.
    fn check_both(&mut self, fields: &Fields<'_>, include: &str, ignore: &str) {
        let find = |name: &str| fields.iter().find(|field| field.name == name);
        let (Some(include), Some(ignore)) = (find(include), find(ignore)) else { return };
        let message = format!("\"{}\" and \"{}\" exclude each other", include.name, ignore.name);
        let diagnostic = match self.dialect {
            Dialect::Stages => Diagnostic::error(codes::FILTER, ignore.span, message),
            Dialect::Workflow => Diagnostic::warning(codes::BOTH_FILTERS, ignore.span, message),
        };
        self.push(
            diagnostic
                .help(format!("write what is ignored as \"!pattern\" in \"{}\"", include.name))
                .related(include.span, "the other filter"),
        );
    }

    fn schedule(&mut self, node: &Node) -> Vec<Spanned<String>> {
        let Some(items) = node.items() else {
            self.wrong_kind(node, "\"schedule\" is a list of items with \"cron\"");
            return Vec::new();
        };
        let Some(Form::List(Form::Map(table))) = EVENTS.find("schedule").map(|key| key.form) else { return Vec::new() };
        let mut lines = Vec::new();
        for item in items {
            let Some(fields) = self.fields(item, table) else { continue };
            if let Some(zone) = fields.get("timezone") {
                self.literal("timezone", zone.node);
            }
            let Some(line) = fields.get("cron").and_then(|cron| self.literal("cron", cron.node)) else { continue };
            if let Err(problem) = check_cron(&line.value) {
                let message = format!("the cron line \"{}\" is wrong: {problem}", line.value);
                let help = "five fields: minute, hour, day of month, month, day of week; for example \"0 3 * * *\"";
                self.push(Diagnostic::error(codes::CRON, line.span, message).help(help));
            }
            lines.push(line);
        }
        lines
    }

    fn inputs(&mut self, fields: &Fields<'_>, table: &'static Table) -> Vec<InputSpec> {
        let Some(inputs) = fields.get("inputs").filter(|field| !field.node.is_null()) else { return Vec::new() };
        let Some(entries) = inputs.node.entries() else {
            self.wrong_kind(inputs.node, "\"inputs\" is a map of inputs");
            return Vec::new();
        };
        let mut specs = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = Spanned::new(entry.key.to_string(), entry.key_span);
            self.check_id("an input", &name);
            let mut spec =
                InputSpec { name, description: None, required: false, default: None, kind: InputKind::String };
            if !entry.value.is_null() || !table.required.is_empty() {
                self.input(&mut spec, &entry.value, table);
            }
            specs.push(spec);
        }
        specs
    }

    fn input(&mut self, spec: &mut InputSpec, node: &Node, table: &'static Table) {
        let Some(fields) = self.fields(node, table) else { return };
        spec.description =
            fields.get("description").and_then(|field| self.literal("description", field.node)).map(|d| d.value);
        if let Some(required) =
            fields.get("required").and_then(|field| self.late_bool(field.within(super::keys::Contexts::NONE)))
        {
            spec.required = required.known().copied().unwrap_or_default();
        }
        spec.default = fields.get("default").map(|field| self.data(field.node, field.contexts));
        let dispatch = table.find("options").is_some();
        let types = if dispatch { DISPATCH_TYPES } else { CALL_TYPES };
        let kind = fields.get("type").and_then(|field| self.choice("type", field.node, types)).unwrap_or("string");
        let options_field = if dispatch { fields.get("options") } else { None };
        let options: Vec<String> = options_field
            .map(|field| self.literals("options", field.node))
            .unwrap_or_default()
            .into_iter()
            .map(|option| option.value)
            .collect();
        if kind == "choice" && options.is_empty() {
            let message = format!("the input \"{}\" is a choice without \"options\"", spec.name.value);
            self.push(Diagnostic::error(codes::MISSING, spec.name.span, message));
        }
        spec.kind = match kind {
            "number" => InputKind::Number,
            "boolean" => InputKind::Boolean,
            "environment" => InputKind::Environment,
            "choice" => InputKind::Choice(options),
            _ => InputKind::String,
        };
        self.check_default(spec, fields.get("default").map(|field| field.node));
    }

    fn check_default(&mut self, spec: &InputSpec, default: Option<&Node>) {
        let Some((node, (text, style))) = default.and_then(|node| node.scalar().map(|scalar| (node, scalar))) else {
            return;
        };
        if text.contains("${{") || node.is_null() {
            return;
        }
        let core = core_type(text, super::ScalarStyle::Plain);
        let _ = style;
        let problem = match &spec.kind {
            InputKind::Choice(options) if !options.iter().any(|option| **option == **text) => {
                let near = suggest(text, options.iter().map(String::as_str)).unwrap_or("one of its options");
                format!("none of its options; did you mean \"{near}\"?")
            }
            InputKind::Boolean if core != super::node::CoreType::Bool => "no boolean: true or false".to_owned(),
            InputKind::Number if !matches!(core, super::node::CoreType::Int | super::node::CoreType::Float) => {
                "no number".to_owned()
            }
            _ => return,
        };
        let message = format!("the default \"{text}\" of the input \"{}\" is {problem}", spec.name.value);
        self.push(Diagnostic::error(codes::VALUE, node.span, message));
    }

    fn call_outputs(&mut self, fields: &Fields<'_>) {
        for (name, form) in [("outputs", "outputs"), ("secrets", "secrets")] {
            let Some(entries) = fields.get(name).and_then(|field| field.node.entries()) else { continue };
            let table =
                match EVENTS.find("workflow_call").and_then(|key| table_of(&key.form)).and_then(|t| t.find(form)) {
                    Some(key) => table_of(&key.form),
                    None => None,
                };
            let Some(table) = table else { continue };
            for entry in entries.iter().filter(|entry| !entry.value.is_null() || !table.required.is_empty()) {
                let Some(fields) = self.fields(&entry.value, table) else { continue };
                for field in fields.iter() {
                    if field.name == "required" {
                        self.late_bool(field);
                    } else {
                        self.text(field);
                    }
                }
            }
        }
    }
}

/// The table within a form.
fn table_of(form: &Form) -> Option<&'static Table> {
    match form {
        Form::Map(table) => Some(table),
        Form::OneOf(forms) => forms.iter().find_map(table_of),
        Form::MapOf(inner) => table_of(inner),
        _ => None,
    }
}

fn empty(name: Spanned<String>) -> EventFilter {
    EventFilter {
        name,
        types: Vec::new(),
        branches: Patterns::default(),
        tags: Patterns::default(),
        paths: Patterns::default(),
        workflows: Vec::new(),
        cron: Vec::new(),
        inputs: Vec::new(),
    }
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Five fields, each a list of `*`, values, ranges and steps within its bounds.
fn check_cron(line: &str) -> Result<(), String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!("it has {} fields, not five", fields.len()));
    }
    let bounds = [("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7)];
    for (field, (name, low, high)) in fields.into_iter().zip(bounds) {
        for part in field.split(',') {
            let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
            if step.is_some_and(|step| !step.parse::<u32>().is_ok_and(|step| step > 0)) {
                return Err(format!("the step of \"{part}\" is no number above 0"));
            }
            if range == "*" {
                continue;
            }
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            let value = |text: &str| {
                let lower = text.to_ascii_lowercase();
                let number = text.parse::<u32>().ok();
                let month = MONTHS.iter().position(|m| name == "month" && *m == lower).map(|i| i as u32 + 1);
                let day = DAYS.iter().position(|d| name == "day of week" && *d == lower).map(|i| i as u32);
                number
                    .or(month)
                    .or(day)
                    .filter(|n| (low..=high).contains(n))
                    .ok_or_else(|| format!("the {name} \"{text}\" is not {low} to {high}"))
            };
            if value(from)? > value(to)? {
                return Err(format!("the range \"{range}\" runs backwards"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_cron;

    #[test]
    fn cron_lines_are_checked_roughly() {
        for good in ["* * * * *", "0 */12 * * *", "30 5,17 * * MON-FRI", "0 0 1 jan 7", "*/5 * * * *"] {
            assert_eq!(check_cron(good), Ok(()), "{good}");
        }
        for bad in ["", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * foo *", "5-1 * * * *", "*/0 * * * *"]
        {
            assert!(check_cron(bad).is_err(), "{bad}");
        }
    }
}
