//! Text compared as GitHub compares it: ordinal and without regard to case. Each character is mapped to its one upper-case
//! character; there is no full case folding (`ß` is not `ss`), and no character maps into ASCII from outside (`ı` is not `I`).

use std::borrow::Cow;
use std::cmp::Ordering;

/// The one upper-case character of `c`, or `c` itself.
pub(super) fn upper(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_uppercase();
    }
    match c {
        // Their upper case would be in ASCII.
        '\u{131}' | '\u{17f}' => c,
        // Greek with iota subscript: the full mapping has two characters, the simple one has one.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
            char::from_u32(c as u32 + 8).unwrap_or(c)
        }
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => char::from_u32(c as u32 + 9).unwrap_or(c),
        _ => {
            let mut mapped = c.to_uppercase();
            match (mapped.next(), mapped.next()) {
                (Some(one), None) => one,
                _ => c,
            }
        }
    }
}

/// `text` with every character in upper case.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|b| b.is_ascii_lowercase()) {
            return Cow::Owned(text.to_ascii_uppercase());
        }
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(upper).collect())
}

/// Whether both are equal but for case.
pub(super) fn equal(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.chars().map(upper).eq(b.chars().map(upper))
}

/// Order by UTF-16 code units of the upper-case text.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    // Characters beyond U+FFFF are written as surrogates, which stand before U+E000.
    let key = |c: char| {
        let c = upper(c) as u32;
        if c > 0xffff { (0xd800, c) } else { (c, 0) }
    };
    a.chars().map(key).cmp(b.chars().map(key))
}

/// Whether `needle` is in `text`.
pub(super) fn contains(text: &str, needle: &str) -> bool {
    needle.is_empty() || fold(text).contains(fold(needle).as_ref())
}

/// Whether `text` starts with `prefix`.
pub(super) fn starts_with(text: &str, prefix: &str) -> bool {
    let mut chars = text.chars();
    prefix.chars().all(|p| chars.next().is_some_and(|c| upper(c) == upper(p)))
}

/// Whether `text` ends with `suffix`.
pub(super) fn ends_with(text: &str, suffix: &str) -> bool {
    let mut chars = text.chars().rev();
    suffix.chars().rev().all(|s| chars.next().is_some_and(|c| upper(c) == upper(s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_ignored_one_character_at_a_time() {
        assert!(equal("STRASSE", "strasse"));
        assert!(!equal("straße", "STRASSE"));
        assert!(equal("ς", "σ"));
        assert!(equal("ᾳ", "ᾼ"));
        assert!(!equal("ı", "I"));
        assert!(!equal("ſ", "S"));
    }

    #[test]
    fn order_is_that_of_utf_16() {
        assert_eq!(compare("\u{ffff}", "😀"), Ordering::Greater);
        assert_eq!(compare("a", "B"), Ordering::Less);
        assert_eq!(compare("ab", "A"), Ordering::Greater);
    }

    #[test]
    fn parts_are_found_without_regard_to_case() {
        assert!(contains("Grüße", "RÜ"));
        assert!(starts_with("Éa", "é"));
        assert!(ends_with("aÉ", "é"));
        assert!(!ends_with("é", "aé"));
    }
}
