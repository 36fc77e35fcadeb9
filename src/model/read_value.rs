//! Scalars and small things made of them: texts, numbers, booleans, `env`, free data.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, suggest};
use crate::expr::{Template, Value};
use crate::span::{Span, Spanned};

use super::codes;
use super::keys::Contexts;
use super::node::{CoreType, core_number, core_type, core_value};
use super::read::{Field, Reader};
use super::{Data, DataKind, Dialect, EnvEntry, EnvMap, Late, Node, NodeKind, Text};

impl Reader {
    /// A scalar's text as written; anything else is reported.
    pub(super) fn scalar<'n>(&mut self, name: &str, node: &'n Node) -> Option<&'n Arc<str>> {
        match node.scalar() {
            Some((text, _)) => Some(text),
            None => {
                self.wrong_kind(node, &format!("\"{name}\" is a text"));
                None
            }
        }
    }

    /// A text that may hold expressions. Nothing is the empty text.
    pub(super) fn text(&mut self, field: Field<'_>) -> Option<Text> {
        self.text_at(field.name, field.node, field.contexts)
    }

    /// The same of any node.
    pub(super) fn text_at(&mut self, name: &str, node: &Node, contexts: Contexts) -> Option<Text> {
        self.scalar(name, node)?;
        let template = if node.is_null() { Template::literal("") } else { self.template(node, contexts) };
        Some(Text { template, span: node.span })
    }

    /// A text that may be left empty, which is as if the key were not there.
    pub(super) fn optional_text(&mut self, field: Option<Field<'_>>) -> Option<Text> {
        let field = field.filter(|field| !field.node.is_null())?;
        self.text(field)
    }

    /// A text that is known now: an expression is reported.
    pub(super) fn literal(&mut self, name: &str, node: &Node) -> Option<Spanned<String>> {
        let text = self.text_at(name, node, Contexts::NONE)?;
        let literal = text.template.as_literal()?.to_owned();
        Some(Spanned::new(literal, node.span))
    }

    /// A text or a list of texts.
    pub(super) fn texts(&mut self, field: Field<'_>) -> Vec<Text> {
        match &*field.node.kind {
            NodeKind::Sequence(items) => {
                items.iter().filter_map(|item| self.text_at(field.name, item, field.contexts)).collect()
            }
            NodeKind::Scalar { .. } if field.node.is_null() => Vec::new(),
            NodeKind::Scalar { .. } => self.text(field).into_iter().collect(),
            NodeKind::Mapping(_) => {
                self.wrong_kind(field.node, &format!("\"{}\" is a text or a list of texts", field.name));
                Vec::new()
            }
        }
    }

    /// A text or a list of texts that are known now.
    pub(super) fn literals(&mut self, name: &str, node: &Node) -> Vec<Spanned<String>> {
        match &*node.kind {
            NodeKind::Sequence(items) => items.iter().filter_map(|item| self.literal(name, item)).collect(),
            NodeKind::Scalar { .. } if node.is_null() => Vec::new(),
            NodeKind::Scalar { .. } => self.literal(name, node).into_iter().collect(),
            NodeKind::Mapping(_) => {
                self.wrong_kind(node, &format!("\"{name}\" is a text or a list of texts"));
                Vec::new()
            }
        }
    }

    /// `true`, `false`, or one expression.
    pub(super) fn late_bool(&mut self, field: Field<'_>) -> Option<Late<bool>> {
        self.late(field, "true or false", |text, kind| (kind == CoreType::Bool).then(|| text.starts_with(['t', 'T'])))
    }

    /// A number, or one expression.
    pub(super) fn late_number(&mut self, field: Field<'_>) -> Option<Late<f64>> {
        self.late(field, "a number", |text, kind| {
            matches!(kind, CoreType::Int | CoreType::Float).then(|| core_number(text))
        })
    }

    fn late<T>(
        &mut self,
        field: Field<'_>,
        wanted: &str,
        read: impl Fn(&str, CoreType) -> Option<T>,
    ) -> Option<Late<T>> {
        let node = field.node;
        let Some((text, style)) = node.scalar() else {
            self.wrong_kind(node, &format!("\"{}\" is {wanted}", field.name));
            return None;
        };
        if let Some(value) = read(text, core_type(text, style)) {
            return Some(Late::Known(Spanned::new(value, node.span)));
        }
        if text.contains("${{") {
            let errors = self.diagnostics.list.len();
            let text = self.text(field)?;
            if matches!(text.template, Template::Expr(_)) {
                return Some(Late::Expr(text));
            }
            if self.diagnostics.list.len() > errors {
                return None;
            }
        }
        let mut diagnostic = Diagnostic::error(
            codes::VALUE,
            node.span,
            format!("\"{}\" is {wanted} or one expression, not \"{text}\"", field.name),
        );
        if style != super::ScalarStyle::Plain && read(text, core_type(text, super::ScalarStyle::Plain)).is_some() {
            diagnostic = diagnostic.help(format!("leave the quotes away: {text}"));
        } else if matches!(text.to_ascii_lowercase().as_str(), "yes" | "on" | "no" | "off") {
            diagnostic = diagnostic.help("YAML 1.2 knows only true and false");
        }
        self.push(diagnostic);
        None
    }

    /// A number of minutes above zero.
    pub(super) fn minutes(&mut self, field: Option<Field<'_>>) -> Option<Late<f64>> {
        let late = self.late_number(field?)?;
        if let Late::Known(value) = &late
            && (value.value <= 0.0 || !value.value.is_finite())
        {
            let name = field.map_or("timeout-minutes", |field| field.name);
            let message = format!("\"{name}\" must be a number of minutes above 0");
            // GitHub reads such files, and so must we; a file of ours is told at once.
            let diagnostic = match self.dialect {
                Dialect::Stages => Diagnostic::error(codes::TIMEOUT, value.span, message),
                Dialect::Workflow => Diagnostic::warning(codes::ODD_TIMEOUT, value.span, message),
            };
            self.push(diagnostic.help("leave the key away for the default"));
        }
        Some(late)
    }

    /// One of `choices`.
    pub(super) fn choice(&mut self, name: &str, node: &Node, choices: &[&'static str]) -> Option<&'static str> {
        let literal = self.literal(name, node)?;
        let found = choices.iter().find(|choice| **choice == literal.value);
        if found.is_none() {
            let message = format!("\"{name}\" cannot be \"{}\"", literal.value);
            let help = match suggest(&literal.value, choices.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("it is one of {}", choices.join(", ")),
            };
            self.push(Diagnostic::error(codes::VALUE, node.span, message).help(help));
        }
        found.copied()
    }

    /// `env` and its like: names to texts. One expression in place of the map, and `${{ insert }}`, become entries
    /// whose value is an object of further entries.
    pub(super) fn env(&mut self, field: Option<Field<'_>>) -> EnvMap {
        let Some(field) = field.filter(|field| !field.node.is_null()) else { return Vec::new() };
        let entries = match &*field.node.kind {
            NodeKind::Mapping(entries) => entries,
            NodeKind::Scalar { text, .. } if text.trim_start().starts_with("${{") && field.contexts.allows_any() => {
                let name = Spanned::new(EnvEntry::INSERT.to_owned(), field.node.span);
                return self.text(field).map(|value| EnvEntry { name, value }).into_iter().collect();
            }
            _ => {
                self.wrong_kind(field.node, &format!("\"{}\" is a map of names to texts", field.name));
                return Vec::new();
            }
        };
        let mut env = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = if is_insert(&entry.key) {
                EnvEntry::INSERT.to_owned()
            } else {
                self.refuse_expression_key(&entry.key, entry.key_span);
                entry.key.to_string()
            };
            if let Some(value) = self.text_at(&entry.key, &entry.value, field.contexts) {
                env.push(EnvEntry { name: Spanned::new(name, entry.key_span), value });
            }
        }
        env
    }

    fn refuse_expression_key(&mut self, key: &str, span: Span) {
        if key.contains("${{") {
            self.push(Diagnostic::error(codes::CONTEXT, span, "a name cannot be an expression"));
        }
    }

    /// Free data: any tree, any scalar of which may be an expression.
    pub(super) fn data(&mut self, node: &Node, contexts: Contexts) -> Data {
        let kind = match &*node.kind {
            NodeKind::Scalar { text, style } => {
                if text.contains("${{") {
                    DataKind::Text(Text { template: self.template(node, contexts), span: node.span })
                } else {
                    DataKind::Scalar(core_value(text, *style))
                }
            }
            NodeKind::Sequence(items) => {
                DataKind::Sequence(items.iter().map(|item| self.data(item, contexts)).collect())
            }
            NodeKind::Mapping(entries) => DataKind::Mapping(
                entries
                    .iter()
                    .map(|entry| {
                        let key = Text::literal(
                            if is_insert(&entry.key) { EnvEntry::INSERT } else { &entry.key },
                            entry.key_span,
                        );
                        (key, self.data(&entry.value, contexts))
                    })
                    .collect(),
            ),
        };
        Data { span: node.span, kind }
    }

    /// `with` of a step: an action's inputs are texts, so that `3.10` stays the letters as written.
    pub(super) fn text_data(&mut self, field: Option<Field<'_>>) -> Vec<(Spanned<String>, Data)> {
        let mut entries = self.named_data(field);
        let Some(nodes) = field.and_then(|field| field.node.entries()) else { return entries };
        for ((_, data), entry) in entries.iter_mut().zip(nodes) {
            if let (DataKind::Scalar(value), Some((text, _))) = (&mut data.kind, entry.value.scalar()) {
                *value = Value::String(if entry.value.is_null() { Arc::from("") } else { text.clone() });
            }
        }
        entries
    }

    /// A map of names to free data: `with` of a job.
    pub(super) fn named_data(&mut self, field: Option<Field<'_>>) -> Vec<(Spanned<String>, Data)> {
        let Some(field) = field.filter(|field| !field.node.is_null()) else { return Vec::new() };
        let Some(entries) = field.node.entries() else {
            self.wrong_kind(field.node, &format!("\"{}\" is a map", field.name));
            return Vec::new();
        };
        entries
            .iter()
            .map(|e| (Spanned::new(e.key.to_string(), e.key_span), self.data(&e.value, field.contexts)))
            .collect()
    }
}

/// Whether a key is the directive `${{ insert }}`.
pub(super) fn is_insert(key: &str) -> bool {
    key.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")).is_some_and(|inner| inner.trim() == "insert")
}
