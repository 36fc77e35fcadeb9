//! What a file may cost, and its way from bytes to text.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::span::{Source, Span};

use super::codes;

/// What a file may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of text.
    pub bytes: usize,
    /// Nodes as written.
    pub nodes: usize,
    /// Nodes that aliases stand for, over all aliases.
    pub alias_nodes: usize,
    /// Lists and maps within each other.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A pipeline of 100,000 jobs with 500,000 needs is about 15 MB; GitHub takes 500 KB.
            bytes: 32 << 20,
            nodes: 3_000_000,
            alias_nodes: 100_000,
            // GitHub's own bound.
            depth: 50,
        }
    }
}

/// Bytes to a [`Source`]; the error says where they stop being UTF-8.
pub fn decode(name: &str, bytes: Vec<u8>) -> Result<Source, Box<Diagnostics>> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok(Source::new(name, text)),
        Err(error) => error,
    };
    let valid = bytes.utf8_error().valid_up_to();
    let byte = bytes.as_bytes()[valid];
    let text = String::from_utf8_lossy(bytes.as_bytes()).into_owned();
    let utf16 = bytes.as_bytes().starts_with(&[0xff, 0xfe]) || bytes.as_bytes().starts_with(&[0xfe, 0xff]);
    let mut diagnostics = Diagnostics::new(Source::new(name, text));
    let what = format!("the file is not UTF-8: byte {valid} (from 0) is 0x{byte:02x}, which no character has there");
    diagnostics.push(Diagnostic::error(codes::NOT_UTF8, Span::new(valid, valid + 3), what).help(if utf16 {
        "it looks like UTF-16; save it as UTF-8"
    } else {
        "save it as UTF-8"
    }));
    Err(Box::new(diagnostics))
}
