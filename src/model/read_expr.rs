//! Expressions within the file: parsing, and whether each may read what it reads where it stands.

use crate::diagnostic::{Diagnostic, suggest};
use crate::expr::{Expr, ParseError, Part, Template};
use crate::span::Span;

use super::codes;
use super::keys::Contexts;
use super::read::{Field, Reader};
use super::{Condition, Node};

const STATUS_FUNCTIONS: [&str; 4] = ["always", "cancelled", "failure", "success"];

/// Every function, for suggestions.
const FUNCTIONS: [&str; 13] = [
    "always",
    "cancelled",
    "case",
    "contains",
    "endsWith",
    "failure",
    "format",
    "fromJSON",
    "hashFiles",
    "join",
    "startsWith",
    "success",
    "toJSON",
];

impl Reader {
    /// The template that the scalar `node` is; without `${{` it costs nothing.
    pub(super) fn template(&mut self, node: &Node, contexts: Contexts) -> Template {
        let Some((text, _)) = node.scalar() else { return Template::literal("") };
        if !text.contains("${{") {
            return Template::Literal(text.clone());
        }
        if !contexts.allows_any() {
            let message = "no expression can stand here: the value must be known when the file is read";
            self.push(Diagnostic::error(codes::CONTEXT, node.span, message));
            return Template::Literal(text.clone());
        }
        if misplaced_insert(text) {
            self.misplaced_insert(node);
            return Template::Literal(text.clone());
        }
        match Template::parse(text) {
            Ok(template) => {
                for expr in template.expressions() {
                    self.check(expr, node, contexts);
                }
                template
            }
            Err(error) => {
                self.expression_error(node, text, &error, 0);
                Template::Literal(text.clone())
            }
        }
    }

    fn misplaced_insert(&mut self, node: &Node) {
        let message = "the directive \"insert\" cannot stand within a text";
        self.push(
            Diagnostic::error(codes::DIRECTIVE, node.span, message)
                .help("it is a key of its own: \"${{ insert }}: ${{ fromJSON(...) }}\""),
        );
    }

    fn expression_error(&mut self, node: &Node, text: &str, error: &ParseError, shift: usize) {
        let span = self.locate(node, text, error.offset + shift, error.length.max(1));
        let mut diagnostic = Diagnostic::error(codes::EXPRESSION, span, error.message.clone());
        let word = text.get(error.offset + shift..).and_then(|rest| rest.get(..error.length)).unwrap_or_default();
        if word.contains('"') {
            diagnostic = diagnostic.help("texts within an expression stand in single quotes: 'text'");
        } else if error.message.starts_with("Unrecognized function") {
            diagnostic = diagnostic.help(match suggest(word, FUNCTIONS) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("functions are {}", FUNCTIONS.join(", ")),
            });
        } else if error.message.starts_with("The expression is not closed") {
            diagnostic = diagnostic.help("close it with \"}}\"");
        }
        self.push(diagnostic);
    }

    /// The span in the file of `text[offset..offset + length]`, where `text` is what `node` says. Folding and escapes may
    /// have changed the text; then the same words are looked for, and else the whole scalar is named.
    fn locate(&self, node: &Node, text: &str, offset: usize, length: usize) -> Span {
        let (start, end) = (node.span.start as usize, node.span.end as usize);
        let Some(slice) = self.source.text.get(start..end) else { return node.span };
        if let Some(at) = slice.find(text) {
            return Span::new(start + at + offset.min(text.len()), start + at + (offset + length).min(text.len()));
        }
        let snippet = text.get(offset..).unwrap_or_default();
        let snippet = snippet.get(..length).unwrap_or(snippet).lines().next().unwrap_or_default();
        match slice.find(snippet) {
            Some(at) if !snippet.is_empty() => Span::new(start + at, start + at + snippet.len()),
            _ => node.span,
        }
    }

    /// Reports contexts and functions that do not exist where `expr` stands.
    fn check(&mut self, expr: &Expr, node: &Node, contexts: Contexts) {
        let available: Vec<&str> = contexts.names().collect();
        let wrong = expr.check(&available, contexts.functions());
        if wrong.is_empty() {
            return;
        }
        let text = node.scalar().map_or("", |(text, _)| text);
        let shift = text.find(&*expr.source).unwrap_or_default();
        for error in wrong {
            let span = self.locate(node, text, shift + error.offset, error.length.max(1));
            let name = expr.source.get(error.offset..error.offset + error.length).unwrap_or_default();
            let lower = name.to_ascii_lowercase();
            let diagnostic = Diagnostic::error(codes::CONTEXT, span, error.message);
            let list = || format!("available here: {}", available.join(", "));
            self.push(if lower == "hashfiles" {
                diagnostic.help("hashFiles needs the files of a job: call it within a step")
            } else if STATUS_FUNCTIONS.contains(&lower.as_str()) {
                diagnostic.help("status functions can only be called in \"if\"")
            } else if Contexts::exists(&lower) {
                diagnostic.note(format!("the context \"{lower}\" exists, but not at this key")).help(list())
            } else if let Some(near) = suggest(name, available.iter().copied()) {
                diagnostic.help(format!("did you mean \"{near}\"?"))
            } else {
                diagnostic.help(list())
            });
        }
    }

    /// An `if`. Nothing is `success()`, hence `None`.
    pub(super) fn condition(&mut self, field: Option<Field<'_>>) -> Option<Condition> {
        let field = field.filter(|field| !field.node.is_null())?;
        let text = self.scalar("if", field.node)?.clone();
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return None;
        }
        if !trimmed.contains("${{") {
            return match Expr::parse(trimmed) {
                Ok(expr) => {
                    self.check(&expr, field.node, field.contexts);
                    Some(Condition { expr, span: field.node.span })
                }
                Err(error) => {
                    let shift = text.len() - text.trim_start().len();
                    self.expression_error(field.node, &text, &error, shift);
                    None
                }
            };
        }
        let expr = match self.template(field.node, field.contexts) {
            Template::Expr(expr) => expr,
            Template::Literal(_) => return None,
            Template::Mixed(parts) => {
                if let Some(expr) = alone(trimmed) {
                    // Spaces around one `${{ }}` (a block scalar's line end) are no text.
                    return Some(Condition { expr, span: field.node.span });
                }
                let message = "this condition is always true: it is text with \"${{ }}\" in it, and text is true";
                self.push(
                    Diagnostic::warning(codes::ALWAYS_TRUE, field.node.span, message)
                        .help("put the whole condition into one \"${{ }}\", or write none at all"),
                );
                self.format_call(&Template::Mixed(parts))?
            }
        };
        Some(Condition { expr, span: field.node.span })
    }

    /// A mixture of text and expressions as one `format(...)`.
    fn format_call(&mut self, template: &Template) -> Option<Expr> {
        let Template::Mixed(parts) = template else { return None };
        let (mut pattern, mut arguments) = (String::new(), String::new());
        let mut count = 0;
        for part in parts.iter() {
            match part {
                Part::Text(text) => pattern.push_str(&text.replace('\'', "''").replace('{', "{{").replace('}', "}}")),
                Part::Expr(expr) => {
                    pattern.push_str(&format!("{{{count}}}"));
                    arguments.push_str(&format!(", {}", expr.source.trim()));
                    count += 1;
                }
            }
        }
        Expr::parse(&format!("format('{pattern}'{arguments})")).ok()
    }
}

/// The expression that `text` is, when it is exactly one `${{ }}`.
fn alone(text: &str) -> Option<Expr> {
    match Template::parse(text) {
        Ok(Template::Expr(expr)) => Some(expr),
        _ => None,
    }
}

fn misplaced_insert(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find("${{") {
        rest = &rest[at + 3..];
        if rest.split("}}").next().is_some_and(|inner| inner.trim() == "insert") {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insert_within_text_is_found() {
        assert!(misplaced_insert("a ${{ insert }}"));
        assert!(!misplaced_insert("${{ github.insert }} insert"));
    }
}
