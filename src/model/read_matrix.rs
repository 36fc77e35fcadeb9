//! `strategy` and its matrix.

use crate::diagnostic::{Diagnostic, suggest};
use crate::span::Spanned;

use super::codes;
use super::read::{Field, Reader, start_of};
use super::tables::STRATEGY;
use super::{Data, DataKind, Late, Matrix, MatrixSource, NodeKind, Strategy};

impl Reader {
    /// `strategy`.
    pub(super) fn strategy(&mut self, field: Field<'_>) -> Option<Strategy> {
        let fields = self.fields(field.node, &STRATEGY)?;
        let max_parallel = fields.get("max-parallel").and_then(|field| self.late_number(field));
        if let Some(Late::Known(max)) = &max_parallel
            && (max.value < 1.0 || max.value.fract() != 0.0)
        {
            let message = "\"max-parallel\" must be a whole number, at least 1";
            self.push(Diagnostic::error(codes::VALUE, max.span, message));
        }
        Some(Strategy {
            matrix: fields.get("matrix").and_then(|field| self.matrix(field)),
            fail_fast: fields.get("fail-fast").and_then(|field| self.late_bool(field)),
            max_parallel,
            span: field.node.span,
        })
    }

    fn matrix(&mut self, field: Field<'_>) -> Option<Matrix> {
        let span = field.node.span;
        let entries = match &*field.node.kind {
            NodeKind::Mapping(entries) => entries,
            NodeKind::Scalar { text, .. } if text.contains("${{") => {
                let text = self.text(field)?;
                return Some(Matrix { source: MatrixSource::Expr(text), span });
            }
            _ => {
                self.wrong_kind(field.node, "\"matrix\" is a map of vectors, or an expression that gives one");
                return None;
            }
        };
        let (mut vectors, mut include, mut exclude) = (Vec::new(), None, None);
        for entry in entries {
            let data = self.data(&entry.value, field.contexts);
            match &*entry.key {
                "include" => include = self.filters(&entry.key, data),
                "exclude" => exclude = self.filters(&entry.key, data),
                name => {
                    self.check_vector(name, &data);
                    vectors.push((Spanned::new(name.to_owned(), entry.key_span), data));
                }
            }
        }
        if vectors.is_empty() && include.is_none() && entries.iter().all(|e| &*e.key != "include") {
            let message = "the matrix has no vector";
            self.push(
                Diagnostic::error(codes::MATRIX, start_of(field.node), message)
                    .help("for example: matrix: {node: [18, 20]}"),
            );
        }
        self.check_exclude(&vectors, exclude.as_ref());
        Some(Matrix { source: MatrixSource::Map { vectors, include, exclude }, span })
    }

    fn check_vector(&mut self, name: &str, data: &Data) {
        let problem = match &data.kind {
            DataKind::Sequence(items) if items.is_empty() => "does not contain any values",
            DataKind::Sequence(_) | DataKind::Text(_) => return,
            _ => "is a list of values, or an expression that gives one",
        };
        let message = format!("the matrix vector \"{name}\" {problem}");
        let mut diagnostic = Diagnostic::error(codes::MATRIX, data.span, message);
        if let DataKind::Scalar(value) = &data.kind
            && let Some(text) = value.as_str()
        {
            diagnostic = diagnostic.help(format!("write [{text}]"));
        }
        self.push(diagnostic);
    }

    /// `include` and `exclude`: a list of maps, or expressions for the list or its items.
    fn filters(&mut self, name: &str, data: Data) -> Option<Data> {
        let items = match &data.kind {
            DataKind::Text(_) => return Some(data),
            DataKind::Sequence(items) => items,
            _ => {
                let message = format!("\"{name}\" of a matrix is a list of maps");
                self.push(Diagnostic::error(codes::MATRIX, data.span, message));
                return None;
            }
        };
        let mut good = true;
        for item in items {
            let problem = match &item.kind {
                DataKind::Mapping(entries) if entries.is_empty() => "is empty",
                DataKind::Mapping(_) | DataKind::Text(_) => continue,
                _ => "is no map",
            };
            let message = format!("an item of the matrix's \"{name}\" {problem}");
            self.push(Diagnostic::error(codes::MATRIX, item.span, message));
            good = false;
        }
        good.then_some(data)
    }

    fn check_exclude(&mut self, vectors: &[(Spanned<String>, Data)], exclude: Option<&Data>) {
        let Some(Data { kind: DataKind::Sequence(items), .. }) = exclude else { return };
        for item in items {
            let DataKind::Mapping(entries) = &item.kind else { continue };
            for (key, _) in entries {
                let Some(name) = key.template.as_literal() else { continue };
                if vectors.iter().any(|(vector, _)| vector.value.eq_ignore_ascii_case(name)) || name.starts_with("${{")
                {
                    continue;
                }
                let message = format!("\"exclude\" names \"{name}\", which is no vector of the matrix");
                let mut diagnostic = Diagnostic::error(codes::MATRIX, key.span, message);
                if let Some(near) = suggest(name, vectors.iter().map(|(vector, _)| vector.value.as_str())) {
                    diagnostic = diagnostic.help(format!("did you mean \"{near}\"?"));
                }
                self.push(diagnostic);
            }
        }
    }
}
