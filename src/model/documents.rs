//! Texts of several YAML documents that are no pipelines.

use crate::diagnostic::{Diagnostics, Severity};
use crate::span::Source;

use super::limits::Limits;
use super::{Node, yaml};

/// Reads every document of a text that is no pipeline (manifests); an error names line and column. Lines that begin with `---`
/// part documents wherever they stand, so the text is cut there; blank lines keep the numbers right.
pub fn documents(name: &str, text: &str) -> Result<Vec<Node>, String> {
    let mut pieces = vec![String::new()];
    for (above, line) in text.lines().enumerate() {
        let separator = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if let Some(rest) = separator {
            pieces.push("\n".repeat(above));
            if let Some(piece) = pieces.last_mut() {
                piece.push_str(rest);
            }
        } else if let Some(piece) = pieces.last_mut() {
            piece.push_str(line);
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push('\n');
        }
    }
    let mut nodes = Vec::new();
    for piece in pieces {
        let source = Source::new(name, piece.as_str());
        let mut diagnostics = Diagnostics::new(source.clone());
        let node = yaml::parse(&source, &Limits::default(), &mut diagnostics);
        if let Some(first) = diagnostics.list.iter().find(|one| one.severity == Severity::Error) {
            let at = source.position(first.span.start);
            return Err(format!("{name}:{}:{}: {}", at.line, at.column, first.message));
        }
        nodes.extend(node.filter(|node| !node.is_null()));
    }
    Ok(nodes)
}
