//! The plan's hash: what an approval holds on to. It depends on what was planned, not on when, where or as which run, nor on
//! how the file is written (comments, quotes, the order of keys).

use sha2::{Digest, Sha256};

use crate::expr::{Part, Template, Value};
use crate::model::{Dialect, Node, NodeKind, Pipeline, ScalarStyle};

use super::contexts::RUN_TIME_KEYS;
use super::ir::PlanInputs;
use super::walk::{self, At, Piece};

/// Changes when the form below does.
const FORM: &str = "slipway-plan-2";

/// Bytes that are gathered before they are hashed: the pieces are small.
const BUFFER: usize = 64 << 10;

/// SHA-256 (hex) of the read pipeline and of what else the plan depends on: contexts, selection, placement and the names of
/// secrets. Keys of `github` that only a run knows, the event's payload (times stand in it), and the file's name do not
/// count.
pub fn of(pipeline: &Pipeline, inputs: &PlanInputs) -> String {
    let mut github = inputs.github.clone();
    if let Some(object) = github.as_object_mut() {
        RUN_TIME_KEYS.iter().chain(&["event", "workflow", "workflow_ref"]).for_each(|key| {
            object.shift_remove(*key);
        });
    }
    let mut secrets = inputs.secret_names.clone();
    secrets.sort();
    let facts = serde_json::json!({
        "form": FORM,
        "dialect": if pipeline.dialect == Dialect::Stages { "stages" } else { "workflow" },
        "event_name": inputs.event_name,
        "github": sorted(github),
        "inputs": sorted(inputs.inputs.clone()),
        "vars": sorted(inputs.vars.clone()),
        "env": inputs.env,
        "secrets": secrets,
        "selection": inputs.selection,
        "placement": inputs.placement,
    });
    let mut form = Form { hasher: Sha256::new(), buffer: Vec::with_capacity(BUFFER + 1024) };
    form.word(&facts.to_string());
    walk::file(pipeline, &mut |at, key, piece| form.piece(at, key, piece));
    for job in &pipeline.jobs {
        walk::job(job, &mut |at, key, piece| form.piece(at, key, piece));
    }
    form.hasher.update(&form.buffer);
    let mut hex = String::with_capacity(64);
    for byte in form.hasher.finalize() {
        hex.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
        hex.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
    }
    hex
}

/// Pieces as bytes, each with its key and its length, so that no two pipelines have one form.
struct Form {
    hasher: Sha256,
    buffer: Vec<u8>,
}

impl Form {
    fn piece(&mut self, at: At, key: &str, piece: Piece<'_>) {
        let place: u64 = match at {
            At::File => 0,
            At::Job => 1,
            At::End => 2,
            At::Step(number) => 3 + number as u64,
        };
        self.buffer.extend_from_slice(&place.to_le_bytes());
        self.word(key);
        match piece {
            Piece::Text(text) => self.template(&text.template),
            Piece::Condition(condition) => self.tagged(b'i', condition.expr.source.trim()),
            Piece::Word(word) => self.tagged(b'w', word),
            Piece::Number(number) => {
                self.buffer.push(b'n');
                self.buffer.extend_from_slice(&number.to_bits().to_le_bytes());
            }
            Piece::Scalar(value) => self.value(value),
            Piece::Node(node) => self.node(node),
        }
        if self.buffer.len() >= BUFFER {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    fn word(&mut self, word: &str) {
        self.buffer.extend_from_slice(&(word.len() as u64).to_le_bytes());
        self.buffer.extend_from_slice(word.as_bytes());
    }

    fn tagged(&mut self, tag: u8, word: &str) {
        self.buffer.push(tag);
        self.word(word);
    }

    fn template(&mut self, template: &Template) {
        match template {
            Template::Literal(text) => self.tagged(b't', text),
            Template::Expr(expr) => self.tagged(b'e', expr.source.trim()),
            Template::Mixed(parts) => {
                self.buffer.push(b'm');
                self.buffer.extend_from_slice(&(parts.len() as u64).to_le_bytes());
                for part in parts.iter() {
                    match part {
                        Part::Text(text) => self.tagged(b't', text),
                        Part::Expr(expr) => self.tagged(b'e', expr.source.trim()),
                    }
                }
            }
        }
    }

    fn value(&mut self, value: &Value) {
        self.tagged(b'v', value.kind());
        self.word(&value.to_text());
    }

    /// A part that is kept as written; it is no deeper than the reader allows.
    fn node(&mut self, node: &Node) {
        match &*node.kind {
            NodeKind::Scalar { text, style } => {
                // `"1"` and `1` are two values; a block and a quoted text are one.
                self.buffer.push(u8::from(*style == ScalarStyle::Plain));
                self.tagged(b's', text);
            }
            NodeKind::Sequence(items) => {
                self.buffer.push(b'l');
                self.buffer.extend_from_slice(&(items.len() as u64).to_le_bytes());
                items.iter().for_each(|item| self.node(item));
            }
            NodeKind::Mapping(entries) => {
                self.buffer.push(b'k');
                self.buffer.extend_from_slice(&(entries.len() as u64).to_le_bytes());
                for entry in entries {
                    self.word(&entry.key);
                    self.node(&entry.value);
                }
            }
        }
    }
}

/// The same with the keys of all objects in order.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    let mut value = value;
    value.sort_all_objects();
    value
}
