//! The functions: which there are, and what the pure ones do.

use super::evaluate::StatusFunction;
use super::text;
use super::value::Value;

/// A function of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Contains,
    StartsWith,
    EndsWith,
    Format,
    Join,
    ToJson,
    FromJson,
    Case,
    HashFiles,
    Status(StatusFunction),
}

/// As many arguments as GitHub allows.
const MAX_ARGUMENTS: usize = 255;

/// Those that are allowed only somewhere.
pub(super) const SPECIAL: &[&str] = &["hashFiles", "success", "failure", "cancelled", "always"];

/// The function called `name` (lower-case).
pub(super) fn find(name: &str) -> Option<Function> {
    Some(match name {
        "contains" => Function::Contains,
        "startswith" => Function::StartsWith,
        "endswith" => Function::EndsWith,
        "format" => Function::Format,
        "join" => Function::Join,
        "tojson" => Function::ToJson,
        "fromjson" => Function::FromJson,
        "case" => Function::Case,
        "hashfiles" => Function::HashFiles,
        "success" => Function::Status(StatusFunction::Success),
        "failure" => Function::Status(StatusFunction::Failure),
        "cancelled" => Function::Status(StatusFunction::Cancelled),
        "always" => Function::Status(StatusFunction::Always),
        _ => return None,
    })
}

impl Function {
    /// Its name as GitHub writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Function::Contains => "contains",
            Function::StartsWith => "startsWith",
            Function::EndsWith => "endsWith",
            Function::Format => "format",
            Function::Join => "join",
            Function::ToJson => "toJSON",
            Function::FromJson => "fromJSON",
            Function::Case => "case",
            Function::HashFiles => "hashFiles",
            Function::Status(StatusFunction::Success) => "success",
            Function::Status(StatusFunction::Failure) => "failure",
            Function::Status(StatusFunction::Cancelled) => "cancelled",
            Function::Status(StatusFunction::Always) => "always",
        }
    }

    /// Whether it is allowed only somewhere.
    pub(super) fn is_special(self) -> bool {
        matches!(self, Function::HashFiles | Function::Status(_))
    }

    /// Whether `count` arguments are right, else what is wrong.
    pub(super) fn check_count(self, count: usize) -> Result<(), &'static str> {
        let (least, most) = match self {
            Function::Contains | Function::StartsWith | Function::EndsWith => (2, 2),
            Function::Format | Function::HashFiles => (1, MAX_ARGUMENTS),
            Function::Join => (1, 2),
            Function::ToJson | Function::FromJson => (1, 1),
            Function::Case => (3, MAX_ARGUMENTS),
            Function::Status(StatusFunction::Success | StatusFunction::Failure) => (0, MAX_ARGUMENTS),
            Function::Status(_) => (0, 0),
        };
        if count < least {
            return Err("Too few parameters supplied");
        }
        if count > most {
            return Err("Too many parameters supplied");
        }
        if self == Function::Case && count.is_multiple_of(2) {
            return Err("Even number of parameters supplied, requires an odd number of parameters");
        }
        Ok(())
    }
}

/// `contains(search, item)`: text in text, or an item of an array.
pub(super) fn contains(search: &Value, item: &Value) -> bool {
    match search {
        Value::Array(items) => items.iter().any(|each| each.loose_eq(item)),
        Value::Object(_) => false,
        _ => item.is_primitive() && text::contains(&search.text(), &item.text()),
    }
}

/// `startsWith` and `endsWith`, by `test`.
pub(super) fn at_edge(value: &Value, part: &Value, test: fn(&str, &str) -> bool) -> bool {
    value.is_primitive() && part.is_primitive() && test(&value.text(), &part.text())
}

/// A piece of a format string.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// As it stands.
    Text(&'a str),
    /// `{N}`, or `{N:specifiers}`.
    Argument(usize, String),
}

/// The next piece of `format` from byte `at` on, and where the one after it begins; none at the end, or when it is invalid.
pub(super) fn next_piece(format: &str, at: usize) -> Result<Option<(Piece<'_>, usize)>, InvalidFormat> {
    if at >= format.len() {
        return Ok(None);
    }
    let rest = &format[at..];
    let Some(brace) = rest.find(['{', '}']) else { return Ok(Some((Piece::Text(rest), format.len()))) };
    if rest[brace + 1..].starts_with(&rest[brace..=brace]) {
        return Ok(Some((Piece::Text(&rest[..=brace]), at + brace + 2)));
    }
    if rest[brace..].starts_with('}') {
        return Err(InvalidFormat);
    }
    if brace > 0 {
        return Ok(Some((Piece::Text(&rest[..brace]), at + brace)));
    }
    let inner = &rest[1..];
    let digits = inner.find(|c: char| !c.is_ascii_digit()).ok_or(InvalidFormat)?;
    let index: u8 = inner[..digits].parse().map_err(|_| InvalidFormat)?;
    let (specifiers, length) = read_specifiers(&inner[digits..]).ok_or(InvalidFormat)?;
    Ok(Some((Piece::Argument(usize::from(index), specifiers), at + 1 + digits + length)))
}

/// The format string is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidFormat;

/// `}` or `:specifiers}` at the front of `text` (`}}` in it is a brace), and its length.
fn read_specifiers(text: &str) -> Option<(String, usize)> {
    if text.starts_with('}') {
        return Some((String::new(), 1));
    }
    if !text.starts_with(':') {
        return None;
    }
    let mut specifiers = String::new();
    let mut at = 1;
    loop {
        let length = text[at..].find('}')?;
        specifiers.push_str(&text[at..at + length]);
        at += length + 1;
        if !text[at..].starts_with('}') {
            return Some((specifiers, at));
        }
        specifiers.push('}');
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(format: &str) -> Result<Vec<Piece<'_>>, InvalidFormat> {
        let (mut all, mut at) = (Vec::new(), 0);
        while let Some((piece, next)) = next_piece(format, at)? {
            all.push(piece);
            at = next;
        }
        Ok(all)
    }

    #[test]
    fn format_strings_are_taken_apart() {
        let argument = |n| Piece::Argument(n, String::new());
        assert_eq!(pieces("a{0}é{12}").unwrap(), [Piece::Text("a"), argument(0), Piece::Text("é"), argument(12)]);
        assert_eq!(pieces("{0:x}}y}").unwrap(), [Piece::Argument(0, "x}y".to_owned())]);
        assert_eq!(pieces("a{{b}}").unwrap(), [Piece::Text("a{"), Piece::Text("b}")]);
        for bad in ["{", "}", "{}", "{0", "{256}", "{0:", "{0:x}}", "{ 0}", "{-1}", "{é}"] {
            assert_eq!(pieces(bad), Err(InvalidFormat), "{bad}");
        }
    }
}
