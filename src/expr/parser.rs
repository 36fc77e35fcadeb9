//! Tokens to a tree, with two stacks instead of recursion: no text can overflow the stack. Nodes stand in one list and name
//! each other by index, so that a deep tree is dropped without recursion too; one deeper than [`MAX_DEPTH`] is refused.

use super::ast::{Node, NodeId, NodeKind};
use super::error::{ParseError, ParseErrorKind};
use super::functions::{self, Function};
use super::lexer::{Kind, Lexer, Operator, Token};
use super::value::Value;

/// GitHub's limit of nesting.
const MAX_DEPTH: usize = 50;

/// GitHub's limit of length, in UTF-16 units.
const MAX_LENGTH: usize = 21_000;

/// Which names exist; none means that all do.
pub(super) type Known<'a> = Option<&'a dyn Fn(&str) -> bool>;

/// What waits for its operands.
enum Pending {
    /// `(`, with where it stands.
    Group(usize),
    /// `[`
    Index,
    /// A call: the function, where its name stands, and how many operands were there before its arguments.
    Call(Function, Token, usize),
    /// An operator and where it stands.
    Operator(Operator, usize),
}

/// The nodes of `source`, of which the last is the root. `contexts` and `functions` say which names exist.
pub(super) fn parse(source: &str, contexts: Known, functions: Known) -> Result<Vec<Node>, ParseError> {
    if source.len() > MAX_LENGTH && source.encode_utf16().count() > MAX_LENGTH {
        let message = format!("Exceeded max expression length {MAX_LENGTH}");
        return Err(ParseError::whole(message, source.len()));
    }
    let mut parser =
        Parser { source, contexts, functions, nodes: Vec::new(), operands: Vec::new(), pending: Vec::new() };
    let mut lexer = Lexer::new(source);
    let mut last = None;
    while let Some(token) = lexer.next()? {
        last = Some((token.start, token.end));
        parser.token(token)?;
    }
    let Some((start, end)) = last else {
        return Err(ParseError::whole("An expression was expected", source.len()));
    };
    if !lexer.may_end() {
        return Err(ParseError::at(ParseErrorKind::Parsing, "Unexpected end of expression", source, start, end));
    }
    parser.reduce_above(0);
    let root = parser.pop();
    if parser.nodes[root as usize].depth > MAX_DEPTH {
        return Err(ParseError::whole(format!("Exceeded max expression depth {MAX_DEPTH}"), source.len()));
    }
    // It is the last already but where brackets or the like are written last.
    let mut nodes = parser.nodes;
    if root as usize + 1 < nodes.len() {
        nodes.push(nodes[root as usize].clone());
    }
    Ok(nodes)
}

struct Parser<'a> {
    source: &'a str,
    contexts: Known<'a>,
    functions: Known<'a>,
    nodes: Vec<Node>,
    operands: Vec<NodeId>,
    pending: Vec<Pending>,
}

impl Parser<'_> {
    fn token(&mut self, token: Token) -> Result<(), ParseError> {
        let Token { start, end, .. } = token;
        match token.kind {
            Kind::OpenGroup => self.pending.push(Pending::Group(start)),
            Kind::OpenIndex => self.pending.push(Pending::Index),
            // Both follow what already says all.
            Kind::OpenCall | Kind::Dot => {}
            Kind::CloseGroup => {
                self.reduce();
                if let Some(Pending::Group(open)) = self.pending.pop() {
                    let node = &mut self.nodes[*self.operands.last().expect("a group holds an operand") as usize];
                    (node.start, node.end) = (open, end);
                }
            }
            Kind::CloseIndex => {
                self.reduce();
                self.pending.pop();
                let index = self.pop();
                self.index(index, end);
            }
            Kind::Comma => self.reduce(),
            Kind::CloseCall => {
                self.reduce();
                self.call(end)?;
            }
            Kind::Star => {
                let star = self.node(NodeKind::Star, 0, start, end);
                // Behind a dot it is the whole index; behind `[` the bracket's end takes it up.
                if self.behind_dot(start) { self.index(star, end) } else { self.operands.push(star) }
            }
            Kind::Property => {
                let name = Value::from(&self.source[start..end]);
                let index = self.node(NodeKind::Literal(name), 0, start, end);
                self.index(index, end);
            }
            Kind::Literal(value) => {
                let literal = self.node(NodeKind::Literal(value), 0, start, end);
                self.operands.push(literal);
            }
            Kind::Name => {
                let name = self.source[start..end].to_ascii_lowercase();
                if self.contexts.is_some_and(|known| !known(&name)) {
                    return Err(self.unrecognized("named-value", start, end));
                }
                let context = self.node(NodeKind::Context(name.into()), 0, start, end);
                self.operands.push(context);
            }
            Kind::Function => {
                let name = self.source[start..end].to_ascii_lowercase();
                let function = functions::find(&name).filter(|_| self.functions.is_none_or(|known| known(&name)));
                let Some(function) = function else { return Err(self.unrecognized("function", start, end)) };
                self.pending.push(Pending::Call(function, token, self.operands.len()));
            }
            Kind::Operator(operator) => {
                if operator != Operator::Not {
                    self.reduce_above(operator.precedence());
                }
                self.pending.push(Pending::Operator(operator, start));
            }
        }
        Ok(())
    }

    fn unrecognized(&self, what: &str, start: usize, end: usize) -> ParseError {
        ParseError::at(ParseErrorKind::Parsing, &format!("Unrecognized {what}"), self.source, start, end)
    }

    fn behind_dot(&self, at: usize) -> bool {
        self.source[..at].trim_end().ends_with('.')
    }

    fn pop(&mut self) -> NodeId {
        self.operands.pop().expect("the lexer lets no operand be missing")
    }

    /// A node over children that are at most `below` deep.
    fn node(&mut self, kind: NodeKind, below: usize, start: usize, end: usize) -> NodeId {
        self.nodes.push(Node { kind, start, end, at: start, depth: below + 1 });
        (self.nodes.len() - 1) as NodeId
    }

    fn depth(&self, id: NodeId) -> usize {
        self.nodes[id as usize].depth
    }

    fn index(&mut self, index: NodeId, end: usize) {
        let target = self.pop();
        let below = self.depth(target).max(self.depth(index));
        let start = self.nodes[target as usize].start;
        let node = self.node(NodeKind::Index(target, index), below, start, end);
        self.operands.push(node);
    }

    fn call(&mut self, end: usize) -> Result<(), ParseError> {
        let Some(Pending::Call(function, name, base)) = self.pending.pop() else {
            unreachable!("the lexer closes a call only where one is open")
        };
        let arguments = self.operands.split_off(base);
        if let Err(what) = function.check_count(arguments.len()) {
            return Err(ParseError::at(ParseErrorKind::Parsing, what, self.source, name.start, name.end));
        }
        let below = arguments.iter().map(|id| self.depth(*id)).max().unwrap_or(0);
        let node = self.node(NodeKind::Call(function, arguments), below, name.start, end);
        self.operands.push(node);
        Ok(())
    }

    /// Applies all operators down to the innermost opening.
    fn reduce(&mut self) {
        self.reduce_above(0);
    }

    /// Applies the operators on top that bind at least as tight as `precedence`.
    fn reduce_above(&mut self, precedence: u8) {
        while let Some(Pending::Operator(operator, start)) = self.pending.last() {
            let (operator, start) = (*operator, *start);
            if operator.precedence() < precedence {
                return;
            }
            self.pending.pop();
            let right = self.pop();
            let end = self.nodes[right as usize].end;
            let node = if operator == Operator::Not {
                self.node(NodeKind::Not(right), self.depth(right), start, end)
            } else {
                let left = self.pop();
                let start = self.nodes[left as usize].start;
                match operator {
                    Operator::And | Operator::Or => self.chain(operator, left, right, start, end),
                    _ => {
                        let below = self.depth(left).max(self.depth(right));
                        self.node(NodeKind::Compare(operator, left, right), below, start, end)
                    }
                }
            };
            self.operands.push(node);
        }
    }

    /// `a && b && c` is one node, as deep as its deepest operand: long chains are not deep.
    fn chain(&mut self, operator: Operator, left: NodeId, right: NodeId, start: usize, end: usize) -> NodeId {
        let (mut items, mut below) = (Vec::new(), 0);
        for id in [left, right] {
            let node = &mut self.nodes[id as usize];
            match (&mut node.kind, operator) {
                (NodeKind::And(inner), Operator::And) | (NodeKind::Or(inner), Operator::Or) => {
                    below = below.max(node.depth - 1);
                    let inner = std::mem::take(inner);
                    if items.is_empty() { items = inner } else { items.extend(inner) }
                }
                _ => {
                    below = below.max(node.depth);
                    items.push(id);
                }
            }
        }
        let kind = if operator == Operator::And { NodeKind::And(items) } else { NodeKind::Or(items) };
        self.node(kind, below, start, end)
    }
}
