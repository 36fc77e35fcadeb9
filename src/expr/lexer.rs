//! Text to tokens. A token that cannot stand where it stands is refused here, which leaves the parser nothing but sound
//! sequences: it never has to ask whether an operand is missing.

use super::error::{ParseError, ParseErrorKind};
use super::number;
use super::value::Value;

/// An operator between or before operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Not,
}

impl Operator {
    /// The greater binds tighter.
    pub(super) fn precedence(self) -> u8 {
        match self {
            Operator::Or => 1,
            Operator::And => 2,
            Operator::Equal | Operator::NotEqual => 3,
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => 4,
            Operator::Not => 5,
        }
    }
}

/// What a token is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// `(` that groups.
    OpenGroup,
    /// `)` that groups.
    CloseGroup,
    /// `(` behind a function's name.
    OpenCall,
    /// `)` of a call.
    CloseCall,
    /// `[`
    OpenIndex,
    /// `]`
    CloseIndex,
    /// `,`
    Comma,
    /// `.`
    Dot,
    /// `*`
    Star,
    /// An operator.
    Operator(Operator),
    /// null, a boolean, a number or a string.
    Literal(Value),
    /// A name behind a dot.
    Property,
    /// A name before `(`.
    Function,
    /// Any other name: a context.
    Name,
}

/// A token and where it stands, in bytes.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Group,
    Call,
    Index,
}

/// What the last token allows after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing yet, a comma, an opening or an operator: an operand must come.
    WantsOperand,
    /// As before, directly behind `[`: `*` may come too.
    OpenIndex,
    /// As before, directly behind the `(` of a call: `)` may come too.
    OpenCall,
    /// A function's name: `(` comes, by construction.
    Function,
    /// A dot: a property or `*` must come.
    Dot,
    /// An operand that can be looked into with `.` and `[`.
    Operand,
    /// An operand that cannot: a literal.
    Literal,
    /// `*` behind `[`: only `]` may come.
    IndexStar,
}

/// Reads tokens from the front of an expression.
pub(super) struct Lexer<'a> {
    source: &'a str,
    at: usize,
    last: Last,
    open: Vec<Open>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { source, at: 0, last: Last::WantsOperand, open: Vec::new() }
    }

    /// Whether the text may end here.
    pub(super) fn may_end(&self) -> bool {
        self.open.is_empty() && matches!(self.last, Last::Operand | Last::Literal)
    }

    /// The next token, or none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token>, ParseError> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        let start = self.at;
        let Some(first) = self.rest().chars().next() else { return Ok(None) };
        let kind = match first {
            '(' if self.last == Last::Function => self.single(Kind::OpenCall),
            '(' => self.single(Kind::OpenGroup),
            ')' if self.open.last() == Some(&Open::Call) => self.single(Kind::CloseCall),
            ')' => self.single(Kind::CloseGroup),
            '[' => self.single(Kind::OpenIndex),
            ']' => self.single(Kind::CloseIndex),
            ',' => self.single(Kind::Comma),
            '*' => self.single(Kind::Star),
            '\'' => self.string(),
            '!' | '=' | '<' | '>' | '&' | '|' => self.operator(),
            '.' if !matches!(self.last, Last::WantsOperand | Last::OpenIndex | Last::OpenCall) => {
                self.single(Kind::Dot)
            }
            '.' | '-' | '+' | '0'..='9' => self.number(),
            _ => self.word(),
        };
        let Some(kind) = kind else {
            return Err(self.unexpected(ParseErrorKind::Lexing, start));
        };
        match self.follow(&kind) {
            Some(last) => self.last = last,
            None => return Err(self.unexpected(ParseErrorKind::Parsing, start)),
        }
        Ok(Some(Token { kind, start, end: self.at }))
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn unexpected(&self, kind: ParseErrorKind, start: usize) -> ParseError {
        ParseError::at(kind, "Unexpected symbol", self.source, start, self.at)
    }

    fn single(&mut self, kind: Kind) -> Option<Kind> {
        self.at += 1;
        Some(kind)
    }

    /// Goes on to the next character that ends a word.
    fn skip_word(&mut self, through_dots: bool) {
        let rest = self.rest();
        let end = rest.find(|c| ends_word(c) && !(through_dots && c == '.')).unwrap_or(rest.len());
        self.at += end;
    }

    fn string(&mut self) -> Option<Kind> {
        let mut text = String::new();
        let mut from = self.at + 1;
        while let Some(length) = self.source[from..].find('\'') {
            text.push_str(&self.source[from..from + length]);
            from += length + 1;
            if !self.source[from..].starts_with('\'') {
                self.at = from;
                return Some(Kind::Literal(Value::from(text)));
            }
            text.push('\'');
            from += 1;
        }
        self.at = self.source.len();
        None
    }

    fn operator(&mut self) -> Option<Kind> {
        let rest = self.rest();
        let double = match rest.as_bytes().get(..2) {
            Some(b"!=") => Some(Operator::NotEqual),
            Some(b"==") => Some(Operator::Equal),
            Some(b"<=") => Some(Operator::LessOrEqual),
            Some(b">=") => Some(Operator::GreaterOrEqual),
            Some(b"&&") => Some(Operator::And),
            Some(b"||") => Some(Operator::Or),
            _ => None,
        };
        if let Some(operator) = double {
            self.at += 2;
            return Some(Kind::Operator(operator));
        }
        self.at += 1;
        match rest.as_bytes()[0] {
            b'!' => Some(Kind::Operator(Operator::Not)),
            b'<' => Some(Kind::Operator(Operator::Less)),
            b'>' => Some(Kind::Operator(Operator::Greater)),
            _ => {
                self.skip_word(false);
                None
            }
        }
    }

    fn number(&mut self) -> Option<Kind> {
        let start = self.at;
        self.at += 1;
        self.skip_word(true);
        let number = number::parse(&self.source[start..self.at]);
        (!number.is_nan()).then_some(Kind::Literal(Value::Number(number)))
    }

    fn word(&mut self) -> Option<Kind> {
        let start = self.at;
        self.at += self.rest().chars().next().map_or(0, char::len_utf8);
        self.skip_word(false);
        let word = &self.source[start..self.at];
        let legal = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if !legal {
            return None;
        }
        Some(match word {
            _ if self.last == Last::Dot => Kind::Property,
            "null" => Kind::Literal(Value::Null),
            "true" => Kind::Literal(Value::Bool(true)),
            "false" => Kind::Literal(Value::Bool(false)),
            "NaN" => Kind::Literal(Value::Number(f64::NAN)),
            "Infinity" => Kind::Literal(Value::Number(f64::INFINITY)),
            _ if self.rest().trim_start().starts_with('(') => Kind::Function,
            _ => Kind::Name,
        })
    }

    /// What may come after `kind`, or none when `kind` itself may not come now.
    fn follow(&mut self, kind: &Kind) -> Option<Last> {
        let wants_operand = matches!(self.last, Last::WantsOperand | Last::OpenIndex | Last::OpenCall);
        let has_operand = matches!(self.last, Last::Operand | Last::Literal);
        let (allowed, next) = match kind {
            Kind::OpenGroup => {
                self.open.push(Open::Group);
                (wants_operand, Last::WantsOperand)
            }
            Kind::OpenCall => {
                self.open.push(Open::Call);
                (true, Last::OpenCall)
            }
            Kind::OpenIndex => {
                self.open.push(Open::Index);
                (self.last == Last::Operand, Last::OpenIndex)
            }
            Kind::CloseGroup => (has_operand && self.open.pop() == Some(Open::Group), Last::Operand),
            Kind::CloseCall => {
                let empty = self.last == Last::OpenCall;
                ((has_operand || empty) && self.open.pop() == Some(Open::Call), Last::Operand)
            }
            Kind::CloseIndex => {
                let star = self.last == Last::IndexStar;
                ((has_operand || star) && self.open.pop() == Some(Open::Index), Last::Operand)
            }
            Kind::Comma => (has_operand && self.open.last() == Some(&Open::Call), Last::WantsOperand),
            Kind::Dot => (self.last == Last::Operand, Last::Dot),
            Kind::Star if self.last == Last::OpenIndex => (true, Last::IndexStar),
            Kind::Star => (self.last == Last::Dot, Last::Operand),
            Kind::Operator(Operator::Not) => (wants_operand, Last::WantsOperand),
            Kind::Operator(_) => (has_operand, Last::WantsOperand),
            Kind::Literal(_) => (wants_operand, Last::Literal),
            Kind::Property => (true, Last::Operand),
            Kind::Function => (wants_operand, Last::Function),
            Kind::Name => (wants_operand, Last::Operand),
        };
        allowed.then_some(next)
    }
}

fn ends_word(c: char) -> bool {
    matches!(c, '(' | '[' | ')' | ']' | ',' | '.' | '!' | '>' | '<' | '=' | '&' | '|') || c.is_whitespace()
}
