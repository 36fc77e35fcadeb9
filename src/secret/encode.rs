//! The encodings in which a secret may show up in a log: GitHub's, and a few that tools of every day add.
//!
//! What is short: a whole value is masked whatever its length, as GitHub does it. A line of a longer value is masked when it
//! holds a letter or a digit (else `{` would be masked everywhere). Every other form is dropped below [`MIN_DERIVED`]
//! characters. Of a value above [`MAX_ENCODED`] bytes only the value itself and its lines are masked.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Shorter derived forms would hide ordinary text.
const MIN_DERIVED: usize = 4;
/// Larger values (whole files) are not encoded: each form costs memory for as long as the run lasts.
const MAX_ENCODED: usize = 64 * 1024;
/// Leaves of JSON secrets are secrets of their own from this length on.
const MIN_LEAF: usize = 6;
/// What GitHub asks of the pieces into which PowerShell tears a value, and of values in quotes.
const MIN_PIECE: usize = 6;
const MIN_QUOTED: usize = 9;
/// Lines into which `base64` and `openssl` break what they write.
const BASE64_LINES: [usize; 2] = [76, 64];

/// Every form of `secret` that is masked, without repetition; none for a blank one.
pub fn forms(secret: &str) -> Vec<String> {
    if secret.trim().is_empty() {
        return Vec::new();
    }
    let mut forms = BTreeSet::new();
    value(secret, &mut forms);
    for leaf in json_leaves(secret) {
        value(&leaf, &mut forms);
    }
    forms.into_iter().collect()
}

/// The forms of one value and of its lines.
fn value(secret: &str, forms: &mut BTreeSet<String>) {
    let encoded = secret.len() <= MAX_ENCODED;
    forms.insert(secret.to_owned());
    if encoded {
        derive(secret, forms);
    }
    for line in secret.split(['\r', '\n']).map(str::trim) {
        if line.len() == secret.len() || !(line.len() >= MIN_DERIVED || line.contains(char::is_alphanumeric)) {
            continue;
        }
        forms.insert(line.to_owned());
        if encoded {
            derive(line, forms);
        }
    }
}

fn derive(secret: &str, forms: &mut BTreeSet<String>) {
    let mut add = |form: String| {
        if form.chars().take(MIN_DERIVED).count() == MIN_DERIVED && !form.trim().is_empty() {
            forms.insert(form);
        }
    };
    base64_forms(secret.as_bytes(), &mut add);
    let hex = secret.bytes().fold(String::with_capacity(secret.len() * 2), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    add(hex.to_uppercase());
    add(hex);
    add(secret.replace('"', "\\\""));
    add(secret.replace('\'', "''"));
    add(secret.replace('\'', r"'\''"));
    add(secret.replace('\'', r#"'"'"'"#));
    json_forms(secret, &mut add);
    uri_forms(secret, &mut add);
    let xml = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    add(xml.replace('"', "&quot;").replace('\'', "&apos;"));
    add(xml.replace('"', "&quot;").replace('\'', "&#x27;"));
    add(xml.replace('"', "&#34;").replace('\'', "&#39;"));
    add(xml);
    if secret.len() >= MIN_QUOTED {
        add(secret.trim_matches('"').to_owned());
    }
    powershell_pieces(secret, &mut |piece| {
        if piece.chars().count() >= MIN_PIECE {
            add(piece.to_owned());
        }
    });
}

/// Base64 of the value alone (padded or not, with a newline behind it, broken into lines), and that part of it which stays
/// the same wherever the value stands in what is encoded: three phases of it.
fn base64_forms(bytes: &[u8], add: &mut impl FnMut(String)) {
    let mut both = |form: &str| {
        if form.contains(['+', '/']) {
            add(form.replace('+', "-").replace('/', "_"));
        }
        add(form.to_owned());
    };
    let mut line = bytes.to_vec();
    line.push(b'\n');
    for whole in [STANDARD.encode(bytes), STANDARD.encode(&line)] {
        both(whole.trim_end_matches('='));
        both(&whole);
        for width in BASE64_LINES.into_iter().filter(|width| whole.len() > *width) {
            // A base64 text is ASCII, so any cut is between characters.
            let mut rest = whole.as_str();
            while !rest.is_empty() {
                let (line, tail) = rest.split_at(width.min(rest.len()));
                if line.len() >= 2 * MIN_DERIVED {
                    both(line);
                }
                rest = tail;
            }
        }
    }
    for phase in 0..3_usize {
        let mut shifted = vec![0; phase];
        shifted.extend_from_slice(bytes);
        let text = STANDARD.encode(&shifted);
        // A character holds six bits; only those that lie within the value's bits are known.
        let (first, end) = ((phase * 8).div_ceil(6), shifted.len() * 8 / 6);
        if let Some(middle) = text.get(first..end) {
            both(middle);
        }
    }
}

/// JSON as most write it, with everything beyond ASCII as `\u....`, and as Go writes it (`<`, `>`, `&` too).
fn json_forms(secret: &str, add: &mut impl FnMut(String)) {
    let quoted = serde_json::Value::from(secret).to_string();
    let plain = &quoted[1..quoted.len() - 1];
    let ascii = plain.chars().fold(String::with_capacity(plain.len()), |mut text, c| {
        if c.is_ascii() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
        text
    });
    add(plain.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e"));
    add(plain.replace('/', "\\/"));
    add(ascii);
    add(plain.to_owned());
}

/// Percent encoding: strict (GitHub's), lower case, as JavaScript, as paths, and as forms have it (`+` for a space).
fn uri_forms(secret: &str, add: &mut impl FnMut(String)) {
    let encode = |keep: &str, upper: bool| {
        secret.bytes().fold(String::with_capacity(secret.len()), |mut text, byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.as_bytes().contains(&byte) {
                text.push(char::from(byte));
            } else if upper {
                let _ = write!(text, "%{byte:02X}");
            } else {
                let _ = write!(text, "%{byte:02x}");
            }
            text
        })
    };
    for upper in [true, false] {
        let strict = encode("", upper);
        add(strict.replace("%20", "+"));
        add(strict);
        add(encode("!'()*", upper));
        add(encode("/", upper));
    }
}

/// PowerShell shows a value with `&` in it in pieces, the sign at the end of the first (`&+` swallows a character).
fn powershell_pieces(secret: &str, add: &mut impl FnMut(&str)) {
    if let Some(at) = secret.find("&+") {
        let (head, tail) = secret.split_at(at + 2);
        add(head);
        let mut tail = tail.chars();
        tail.next();
        add(tail.as_str());
    }
    if let Some(at) = secret.rfind('&') {
        add(&secret[..=at]);
        add(&secret[at + 1..]);
    }
    if secret.contains('&') {
        secret.split('&').for_each(add);
    }
}

/// The leaves of a JSON object or array that are long enough to be secrets themselves.
fn json_leaves(secret: &str) -> Vec<String> {
    let mut leaves = Vec::new();
    if secret.len() > MAX_ENCODED || !secret.trim_start().starts_with(['{', '[']) {
        return leaves;
    }
    let Ok(root) = serde_json::from_str::<serde_json::Value>(secret) else { return leaves };
    // The reader bounds the depth, so the walk needs no bound of its own.
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        match node {
            serde_json::Value::Array(items) => open.extend(items),
            serde_json::Value::Object(members) => open.extend(members.into_iter().map(|(_, member)| member)),
            serde_json::Value::String(text) => leaves.push(text),
            serde_json::Value::Number(number) => leaves.push(number.to_string()),
            serde_json::Value::Null | serde_json::Value::Bool(_) => {}
        }
    }
    leaves.retain(|leaf| leaf.chars().count() >= MIN_LEAF && !leaf.trim().is_empty());
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(secret: &str, form: &str) {
        let forms = forms(secret);
        assert!(forms.iter().any(|f| f == form), "{form:?} is not among the forms of {secret:?}: {forms:#?}");
    }

    #[test]
    fn blank_values_have_no_form_and_short_ones_only_themselves() {
        assert!(forms("").is_empty() && forms(" \r\n\t").is_empty());
        assert!(forms("a").contains(&"a".to_owned()));
        assert!(forms("a").iter().all(|f| f == "a" || f.len() >= MIN_DERIVED), "{:?}", forms("a"));
    }

    #[test]
    fn each_encoder_gives_its_form() {
        has(r#"pa"ss"#, r#"pa\"ss"#);
        has("it's", "it''s");
        has("it's", r"it'\''s");
        has("tab\tülz", r"tab\tülz");
        has("tab\tülz", r"tab\t\u00fclz");
        has("a b/ü", "a%20b%2F%C3%BC");
        has("a b/ü", "a%20b%2f%c3%bc");
        has("a b/ü", "a+b%2F%C3%BC");
        has("<a&'\">", "&lt;a&amp;&apos;&quot;&gt;");
        has("\"quoted-value\"", "quoted-value");
        has("first-part&second-part", "first-part&");
        has("first-part&second-part", "second-part");
        has("first-part&+second-part", "first-part&+");
        has("first-part&+second-part", "econd-part");
        has("secret", "736563726574");
        has("zzzz\u{7f}", "7A7A7A7A7F");
    }

    #[test]
    fn base64_holds_wherever_the_value_stands_in_what_is_encoded() {
        let secret = "s3cr3t~value?>~~";
        let forms = forms(secret);
        for before in 0..7 {
            for after in 0..4 {
                let text = STANDARD.encode(format!("{}{secret}{}", "x".repeat(before), "y".repeat(after)));
                for text in [text.replace('+', "-").replace('/', "_"), text] {
                    let hit = forms.iter().filter(|f| text.contains(*f)).map(String::len).max().unwrap_or(0);
                    // At most one character on either side depends on the neighbours.
                    assert!(hit >= secret.len() * 8 / 6 - 1, "{before} before, {after} behind: {text}");
                }
            }
        }
    }

    #[test]
    fn long_base64_is_found_in_its_lines() {
        let secret: String = ('a'..='z').cycle().take(200).collect();
        has(&secret, &STANDARD.encode(&secret)[76..152]);
        has(&secret, &STANDARD.encode(&secret)[64..128]);
    }

    #[test]
    fn lines_of_a_value_are_secrets_too_but_not_its_braces() {
        let forms = forms("{\r\n  first line \n\nbar\n}");
        assert!(forms.iter().any(|f| f == "first line") && forms.iter().any(|f| f == "bar"), "{forms:?}");
        assert!(!forms.iter().any(|f| f == "{" || f == "}"), "{forms:?}");
    }

    #[test]
    fn leaves_of_json_are_secrets_from_six_characters() {
        let secret = r#"{"a": "leaf-one", "b": [123456789, "short"], "c": {"d": "line1\nline2"}}"#;
        for leaf in ["leaf-one", "123456789", "line1", r"line1\nline2"] {
            has(secret, leaf);
        }
        assert!(!forms(secret).iter().any(|f| f == "short"));
    }

    #[test]
    fn large_values_are_masked_without_encodings() {
        let secret = "0123456789abcde\n".repeat(1 << 14);
        let forms = forms(&secret);
        assert_eq!(forms.len(), 2, "the value and its line");
    }
}
