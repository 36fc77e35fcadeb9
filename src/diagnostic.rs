//! What is wrong with a file, as data: a code, a place, a cause, a way out. Drawing it is `report::diagnostic`'s work.

use crate::span::{Source, Span};

/// How grave a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is refused.
    Warning,
    /// The file is refused.
    Error,
}

/// A second place that explains the first ("first defined here").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Where.
    pub span: Span,
    /// What is there.
    pub message: String,
}

/// One mistake: lower case, no full stop, names in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// A stable code such as `E012`; listed in docs/diagnostics.md.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What stands behind it, when the message alone does not say.
    pub notes: Vec<String>,
    /// The way out ("did you mean \"build\"?").
    pub help: Option<String>,
    /// Other places that matter.
    pub related: Vec<Related>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span,
            notes: Vec::new(),
            help: None,
            related: Vec::new(),
        }
    }

    /// A warning at `span`.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// With a way out.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With a note.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// With a second place.
    pub fn related(mut self, span: Span, message: impl Into<String>) -> Self {
        self.related.push(Related { span, message: message.into() });
        self
    }
}

/// Collects every mistake of one file. Bounded, so that a hostile file cannot fill memory with complaints.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    /// The file they speak of.
    pub source: Source,
    /// The mistakes in the order they were found.
    pub list: Vec<Diagnostic>,
    /// How many were dropped beyond [`Diagnostics::MAX`].
    pub dropped: usize,
}

impl Diagnostics {
    /// More than this many help nobody.
    pub const MAX: usize = 200;

    /// An empty collection for `source`.
    pub fn new(source: Source) -> Self {
        Self { source, list: Vec::new(), dropped: 0 }
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < Self::MAX {
            self.list.push(diagnostic);
            return;
        }
        self.dropped += 1;
        // An error is never lost to warnings, so that `has_errors` stays true to the file.
        if diagnostic.severity == Severity::Error
            && let Some(warning) = self.list.iter_mut().rev().find(|d| d.severity == Severity::Warning)
        {
            *warning = diagnostic;
        }
    }

    /// Whether anything refuses the file.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// In order of their places, errors and warnings together.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|d| (d.span.start, d.span.end, d.code));
    }
}

/// The name in `known` that is closest to `name`, when it is close enough to be a slip.
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(name.len()) / 3).clamp(1, 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// An error with its causes, as one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
