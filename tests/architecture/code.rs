//! Reads just enough of Rust to find paths: text without comments, literals and test code, and the paths that it names.

/// Text without comments, and with string and character literals emptied, so that braces and paths are code's own.
pub fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let behind_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        if rest.starts_with(b"//") {
            at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        } else if rest.starts_with(b"/*") {
            at += block_comment(rest);
        } else if let Some(length) = (!behind_word).then(|| raw_string(rest)).flatten() {
            out.extend_from_slice(b"\"\"");
            at += length;
        } else if rest[0] == b'"' {
            out.extend_from_slice(b"\"\"");
            at += quoted(rest, b'"');
        } else if rest[0] == b'\'' && is_character(rest) {
            out.extend_from_slice(b"' '");
            at += quoted(rest, b'\'');
        } else {
            out.push(rest[0]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn block_comment(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < text.len() {
        if text[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// Length of `r"..."`, `r#"..."#`, `br"..."` and their like, if one begins here. `r#type` is a name, not a string.
fn raw_string(text: &[u8]) -> Option<usize> {
    let start = text.iter().take(2).position(|b| *b == b'r')? + 1;
    if start == 2 && !matches!(text[0], b'b' | b'c') {
        return None;
    }
    let hashes = text[start..].iter().take_while(|b| **b == b'#').count();
    if text.get(start + hashes) != Some(&b'"') {
        return None;
    }
    let body = start + hashes + 1;
    let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let length =
        text[body..].windows(end.len()).position(|part| part == end).map_or(text.len(), |n| body + n + end.len());
    Some(length)
}

fn quoted(text: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// Whether a `'` begins a character literal; else it begins a lifetime.
fn is_character(text: &[u8]) -> bool {
    match text.get(1) {
        Some(b'\\') => true,
        Some(first) => {
            let width = match first {
                0xF0.. => 4,
                0xE0.. => 3,
                0xC0.. => 2,
                _ => 1,
            };
            text.get(1 + width) == Some(&b'\'')
        }
        None => false,
    }
}

/// Code without the items under `#[cfg(test)]`: tests may reach up, since they put floors together.
pub fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        out.push_str(&rest[..at]);
        rest = &rest[at + MARK.len()..];
        rest = &rest[item_length(rest)..];
    }
    out.push_str(rest);
    out
}

/// Length of the item that begins here: to the `;` or `,` outside of all brackets, or the `}` that closes its body.
fn item_length(code: &str) -> usize {
    let mut depth = 0usize;
    let group = code.trim_start();
    // `use a::{b, c};` has braces and ends with `;` all the same.
    let is_use = group.starts_with("use ") || group.starts_with("pub use ");
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' if depth == 0 => return at,
            '}' | ')' | ']' => {
                depth -= 1;
                if c == '}' && depth == 0 && !is_use {
                    return at + 1;
                }
            }
            ';' | ',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Every path that begins with `root::`, groups opened: of `root::a::{b, c::d}` come `a::b` and `a::c::d`.
pub fn paths_of(code: &str, root: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (at, found) in code.match_indices(&format!("{root}::")) {
        let before = code[..at].chars().next_back();
        // `::std::fs` is a path from the root; `x::std::fs` is not, and neither is `our_std::fs`.
        let inside = code[..at].ends_with("::") && code[..at - 2].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if before.is_none_or(|c| !c.is_alphanumeric() && c != '_') && !inside {
            open(&code[at + found.len()..], &mut Vec::new(), &mut paths);
        }
    }
    paths
}

fn open<'a>(mut rest: &'a str, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> &'a str {
    let depth = prefix.len();
    loop {
        rest = rest.trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            rest = group.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                let before = rest.len();
                rest = open(rest, prefix, paths).trim_start();
                // `b as c` ends with a name of no interest.
                rest = rest.find([',', '}']).map_or("", |end| &rest[end..]);
                rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
                if rest.len() == before {
                    break;
                }
            }
            rest = rest.strip_prefix('}').unwrap_or(rest);
            break;
        }
        if let Some(after) = rest.strip_prefix('*') {
            prefix.push("*".to_owned());
            paths.push(prefix.clone());
            rest = after;
            break;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end == 0 {
            // `a::b::<T>`: what follows is no name, and the path is what stood before.
            if prefix.len() > depth {
                paths.push(prefix.clone());
            }
            break;
        }
        prefix.push(rest[..end].to_owned());
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(after) => rest = after,
            None => {
                paths.push(prefix.clone());
                break;
            }
        }
    }
    prefix.truncate(depth);
    rest
}

/// The longest chain of `super::` in the code.
pub fn supers(code: &str) -> usize {
    code.match_indices("super::")
        .map(|(at, _)| code[at..].split("::").take_while(|part| *part == "super").count())
        .max()
        .unwrap_or(0)
}
