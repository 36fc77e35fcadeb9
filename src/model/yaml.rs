//! The only file that names the YAML crate: text to [`Node`], YAML 1.2 core schema, with budgets.
//!
//! Anchors and aliases are allowed (an alias shares its anchor's node, and what it stands for is counted against a budget, so
//! a bomb costs nothing). Merge keys and tags other than those of the core schema are refused. A syntax error ends the reading:
//! what follows it in YAML is guesswork.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle as Style, Tag, options};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::span::{Source, Span};

use super::codes;
use super::limits::Limits;
use super::node::{CoreType, Entry, Node, NodeKind, ScalarStyle, core_type};

/// Reads the one document of `source`. Duplicate keys and refused tags are reported and reading goes on; what cannot be
/// read on gives `None`.
pub(super) fn parse(source: &Source, limits: &Limits, diagnostics: &mut Diagnostics) -> Option<Node> {
    if source.text.len() > limits.bytes {
        let message = format!(
            "the file has {} bytes, more than the {} that are read (maximum file size)",
            source.text.len(),
            limits.bytes
        );
        diagnostics.push(Diagnostic::error(codes::BUDGET, Span::default(), message).help("split the pipeline"));
        return None;
    }
    let mut text = Cow::Borrowed(&*source.text);
    let before = (diagnostics.list.len(), diagnostics.dropped);
    for _ in 0..MAX_GLUED_COMMENTS {
        match build(&text, limits, diagnostics) {
            Err(Stop::GluedComment(at)) => {
                diagnostics.list.truncate(before.0);
                diagnostics.dropped = before.1;
                let end = text[at..].find('\n').map_or(text.len(), |i| at + i);
                text.to_mut().replace_range(at..end, &" ".repeat(end - at));
            }
            Err(Stop::Fatal(diagnostic)) => {
                diagnostics.push(*diagnostic);
                return None;
            }
            Ok(node) => return node,
        }
    }
    let message = format!("more than {MAX_GLUED_COMMENTS} comments stand without a space before their \"#\"");
    diagnostics.push(Diagnostic::error(codes::YAML, Span::default(), message));
    None
}

/// GitHub reads a comment glued to a closing bracket (`[one]# two`), YAML and the crate do not. Such a comment is blanked, which
/// moves no span, and the text read again: so often at most.
const MAX_GLUED_COMMENTS: usize = 20;

/// Why building ended early.
enum Stop {
    /// A comment without a space before it, at this byte.
    GluedComment(usize),
    /// Nothing more can be read.
    Fatal(Fatal),
}

impl From<Fatal> for Stop {
    fn from(diagnostic: Fatal) -> Self {
        Stop::Fatal(diagnostic)
    }
}

fn build(text: &str, limits: &Limits, diagnostics: &mut Diagnostics) -> Result<Option<Node>, Stop> {
    let mut builder = Builder {
        text,
        limits,
        diagnostics,
        stack: Vec::new(),
        anchors: HashMap::new(),
        interned: HashSet::new(),
        nodes: 0,
        alias_nodes: 0,
        root: None,
    };
    builder.run()?;
    Ok(builder.root.map(|built| built.node))
}

/// A node with what it costs.
#[derive(Clone)]
struct Built {
    node: Node,
    /// Nodes in it, aliases counted in full.
    size: usize,
    /// Lists and maps within each other.
    height: usize,
}

enum Open {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, key: Option<(Arc<str>, Span)>, seen: HashMap<Arc<str>, Span> },
}

struct Frame {
    open: Open,
    span: Span,
    anchor: usize,
    size: usize,
    height: usize,
}

struct Builder<'a> {
    text: &'a str,
    limits: &'a Limits,
    diagnostics: &'a mut Diagnostics,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Built>,
    interned: HashSet<Arc<str>>,
    nodes: usize,
    alias_nodes: usize,
    root: Option<Built>,
}

type Fatal = Box<Diagnostic>;

/// Maps below this size find a repeated key by looking; larger ones keep an index.
const INDEX_FROM: usize = 12;

/// Texts up to this length are shared: keys, ids and needs repeat by the hundred thousand.
const INTERN_UP_TO: usize = 64;

impl Builder<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        let options = options! {
            emit_comments: false,
            flow_nesting_limit: 255,
            block_nesting_limit: 255,
            // As libyaml and GitHub do it.
            block_scalar_eof_without_line_feed: true,
        };
        let mut documents = 0;
        for event in Parser::new_from_str_with_options(self.text, options) {
            let (event, span) = event.map_err(|error| self.stop(&error))?;
            let span = span.byte_range().map_or_else(Span::default, |range| Span::new(range.start, range.end));
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Stop::Fatal(Box::new(
                            Diagnostic::error(codes::YAML, span, "the file holds a second document")
                                .help("put each pipeline into a file of its own"),
                        )));
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let node = self.scalar(&text, style, tag.as_deref(), span)?;
                    self.add(Built { node, size: 1, height: 0 }, anchor)?;
                }
                Event::SequenceStart(_, anchor, tag) => {
                    self.open(Open::Sequence(Vec::new()), span, anchor, tag.as_deref())?
                }
                Event::MappingStart(_, anchor, tag) => {
                    let open = Open::Mapping { entries: Vec::new(), key: None, seen: HashMap::new() };
                    self.open(open, span, anchor, tag.as_deref())?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
                Event::Alias(id) => self.alias(id, span)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn open(&mut self, open: Open, span: Span, anchor: usize, tag: Option<&Tag>) -> Result<(), Fatal> {
        if let Some(tag) = tag
            && !["seq", "map"].contains(&tag.core_suffix().unwrap_or_default())
        {
            self.refuse_tag(tag, span);
        }
        self.check_depth(self.stack.len() + 1, span)?;
        self.stack.push(Frame { open, span, anchor, size: 1, height: 0 });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), Fatal> {
        let frame = self.stack.pop().expect("the parser closes only what it opened");
        // A block's end event stands at the next token; its last child says where it really ends.
        let last = match &frame.open {
            Open::Sequence(items) => items.last().map(|n| n.span.end),
            Open::Mapping { entries, .. } => entries.last().map(|e| e.value.span.end.max(e.key_span.end)),
        };
        let span = match last {
            Some(last) if end.start == end.end => Span { start: frame.span.start, end: last.max(frame.span.end) },
            _ => frame.span.to(end),
        };
        let kind = match frame.open {
            Open::Sequence(mut items) => {
                items.shrink_to_fit();
                NodeKind::Sequence(items)
            }
            Open::Mapping { mut entries, .. } => {
                entries.shrink_to_fit();
                NodeKind::Mapping(entries)
            }
        };
        let node = Node { span, kind: Arc::new(kind) };
        self.add(Built { node, size: frame.size, height: frame.height + 1 }, frame.anchor)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Fatal> {
        let Some(built) = self.anchors.get(&id) else {
            return Err(Box::new(Diagnostic::error(codes::YAML, span, "the alias stands within its own anchor")));
        };
        let built = built.clone();
        self.check_depth(self.stack.len() + built.height, span)?;
        self.alias_nodes += built.size;
        if self.alias_nodes > self.limits.alias_nodes {
            let message = format!("the aliases stand for more than {} nodes together", self.limits.alias_nodes);
            return Err(Box::new(
                Diagnostic::error(codes::BUDGET, span, message).help("write fewer aliases of aliases"),
            ));
        }
        self.add(built, 0)
    }

    fn check_depth(&self, depth: usize, span: Span) -> Result<(), Fatal> {
        if depth <= self.limits.depth {
            return Ok(());
        }
        let message = format!("lists and maps are nested deeper than {}", self.limits.depth);
        Err(Box::new(Diagnostic::error(codes::BUDGET, span, message).note("GitHub: Maximum object depth exceeded")))
    }

    fn add(&mut self, built: Built, anchor: usize) -> Result<(), Fatal> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            let message = format!("the file holds more than {} values (maximum object size)", self.limits.nodes);
            return Err(Box::new(Diagnostic::error(codes::BUDGET, built.node.span, message)));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(built);
            return Ok(());
        };
        frame.size += built.size;
        frame.height = frame.height.max(built.height);
        let mut node = built.node;
        match &mut frame.open {
            Open::Sequence(items) => items.push(node),
            Open::Mapping { entries, key, seen } => match key.take() {
                None => *key = Some(entry_key(&node, seen, entries, self.diagnostics)?),
                Some((key, key_span)) => {
                    if node.span.start == node.span.end && node.is_null() {
                        // An empty value stands just behind its colon, wherever the next token is.
                        let at = (key_span.end as usize + 1).min(self.text.len());
                        node.span = Span::new(at, at);
                    }
                    if !key.is_empty() || key_span.start != u32::MAX {
                        entries.push(Entry { key, key_span, value: node });
                    }
                }
            },
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: Style, tag: Option<&Tag>, span: Span) -> Result<Node, Fatal> {
        let mut style = match style {
            Style::Plain => ScalarStyle::Plain,
            Style::SingleQuoted | Style::DoubleQuoted => ScalarStyle::Quoted,
            Style::Literal | Style::Folded => ScalarStyle::Block,
        };
        if let Some(tag) = tag {
            self.check_tag(tag, text, style, span);
            if tag.is_yaml_core_schema_tag("str") && style == ScalarStyle::Plain {
                style = ScalarStyle::Quoted;
            }
        }
        let text = if text.len() > INTERN_UP_TO {
            Arc::from(text)
        } else if let Some(known) = self.interned.get(text) {
            known.clone()
        } else {
            let new: Arc<str> = Arc::from(text);
            self.interned.insert(new.clone());
            new
        };
        Ok(Node { span, kind: Arc::new(NodeKind::Scalar { text, style }) })
    }

    /// Tags of the core schema are allowed where the text agrees, as on GitHub.
    fn check_tag(&mut self, tag: &Tag, text: &str, style: ScalarStyle, span: Span) {
        let wanted = match tag.core_suffix() {
            Some("str") => return,
            Some("null") => CoreType::Null,
            Some("bool") => CoreType::Bool,
            Some("int") => CoreType::Int,
            Some("float") => CoreType::Float,
            _ => return self.refuse_tag(tag, span),
        };
        let is = core_type(text, style);
        let fits = is == wanted || (wanted == CoreType::Float && is == CoreType::Int);
        if !fits {
            let message = format!("the value \"{text}\" does not fit its tag \"{}\"", tag.original());
            self.diagnostics.push(
                Diagnostic::error(codes::TAG, span, message).help("leave the tag away; types follow from the value"),
            );
        }
    }

    fn refuse_tag(&mut self, tag: &Tag, span: Span) {
        let mut help = "leave the tag away".to_owned();
        if tag.original().starts_with('!') {
            help.push_str("; a text that begins with \"!\" needs quotes");
        }
        let message = format!("the tag \"{}\" is not supported", tag.original());
        self.diagnostics.push(Diagnostic::error(codes::TAG, span, message).help(help));
    }

    fn stop(&self, error: &granit_parser::ScanError) -> Stop {
        let at = error.marker().byte_offset().unwrap_or_default();
        match error.kind() {
            ErrorKind::CommentNotSeparated if self.text[at.min(self.text.len())..].starts_with('#') => {
                Stop::GluedComment(at)
            }
            _ => Stop::Fatal(self.syntax_error(error)),
        }
    }

    fn syntax_error(&self, error: &granit_parser::ScanError) -> Fatal {
        let at = error.marker().byte_offset().unwrap_or_default().min(self.text.len());
        let mut end = at + 1;
        while end < self.text.len() && !self.text.is_char_boundary(end) {
            end += 1;
        }
        let info = error.info();
        let mut chars = info.chars();
        let first: String = chars.next().map(|c| c.to_lowercase().collect()).unwrap_or_default();
        let message = format!("{first}{}", chars.as_str().trim_end_matches('.'));
        let mut diagnostic = Diagnostic::error(codes::YAML, Span::new(at, end.min(self.text.len())), message);
        let rest = &self.text[at.min(self.text.len())..];
        let line_start = self.text[..at].rfind('\n').map_or(0, |i| i + 1);
        if rest.starts_with('\t') || self.text[line_start..at].contains('\t') {
            diagnostic = diagnostic.help("indent with spaces; YAML takes no tabs there");
        } else if rest.starts_with(['@', '`', '%']) {
            diagnostic = diagnostic.help("put the text in quotes: plain text cannot begin with this character");
        } else if rest.starts_with('*') || self.text[line_start..at].contains('*') {
            diagnostic = diagnostic.help("a text that begins with \"*\" needs quotes; else it names an anchor");
        } else if rest.starts_with(':') || self.text[line_start..at].contains(": ") {
            diagnostic = diagnostic.help("a text with \": \" or \" #\" in it needs quotes");
        }
        Box::new(diagnostic)
    }
}

/// The key of an entry. One that was there before is reported, and its entry left out (marked by an impossible span).
fn entry_key(
    node: &Node,
    seen: &mut HashMap<Arc<str>, Span>,
    entries: &[Entry],
    diagnostics: &mut Diagnostics,
) -> Result<(Arc<str>, Span), Fatal> {
    let NodeKind::Scalar { text, style } = &*node.kind else {
        let message = "a key must be text, not a list or a map";
        let help = "text that begins with \"{\" or \"[\" needs quotes";
        return Err(Box::new(Diagnostic::error(codes::KIND, node.span, message).help(help)));
    };
    if &**text == "<<" && *style == ScalarStyle::Plain {
        diagnostics.push(
            Diagnostic::error(codes::TAG, node.span, "merge keys (\"<<\") are not supported")
                .help("write the entries out, or share a whole value by an alias"),
        );
        return Ok((Arc::from(""), Span { start: u32::MAX, end: u32::MAX }));
    }
    let first = if entries.len() < INDEX_FROM {
        entries.iter().find(|entry| entry.key == *text).map(|entry| entry.key_span)
    } else {
        if seen.is_empty() {
            seen.extend(entries.iter().map(|entry| (entry.key.clone(), entry.key_span)));
        }
        let first = seen.get(text).copied();
        if first.is_none() {
            seen.insert(text.clone(), node.span);
        }
        first
    };
    if let Some(first) = first {
        diagnostics.push(
            Diagnostic::error(codes::DUPLICATE_KEY, node.span, format!("\"{text}\" is already defined"))
                .related(first, "first defined here")
                .help("keep one of the two"),
        );
        return Ok((Arc::from(""), Span { start: u32::MAX, end: u32::MAX }));
    }
    Ok((text.clone(), node.span))
}
