//! Columns that text takes on a terminal: wide, combining and escape characters. Texts may hold SGR colours, which take none.

use unicode_width::UnicodeWidthChar;

/// Columns of one character; control characters take none.
pub fn of_char(c: char) -> usize {
    if c.is_ascii() { usize::from(!c.is_ascii_control()) } else { c.width().unwrap_or(0) }
}

/// Columns of `text`, without its SGR escapes.
pub fn of(text: &str) -> usize {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return text.len();
    }
    let mut columns = 0;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let escape = escape_len(rest);
        if escape > 0 {
            rest = &rest[escape..];
        } else {
            columns += of_char(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    columns
}

/// `text` in at most `columns`; what is too long ends in `…`. Colours that were begun are ended.
pub fn cut(text: &str, columns: usize) -> String {
    // A character takes at least a byte, so most texts need no closer look.
    if text.len() <= columns && !text.contains('\x1b') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len().min(columns * 4 + 16));
    let mut used = 0;
    let mut last_fit = 0;
    let mut colored = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let escape = escape_len(rest);
        if escape > 0 {
            colored = !matches!(&rest[..escape], "\x1b[0m" | "\x1b[m");
            out.push_str(&rest[..escape]);
            rest = &rest[escape..];
            continue;
        }
        let wide = of_char(c);
        if used + wide > columns {
            out.truncate(last_fit);
            if columns > 0 {
                out.push('…');
            }
            if colored || out.contains('\x1b') {
                out.push_str("\x1b[0m");
            }
            return out;
        }
        out.push(c);
        used += wide;
        if used < columns {
            last_fit = out.len();
        }
        rest = &rest[c.len_utf8()..];
    }
    if colored {
        out.push_str("\x1b[0m");
    }
    out
}

/// `text` followed by blanks up to `columns`, cut when it is longer.
pub fn fit(text: &str, columns: usize) -> String {
    let mut out = cut(text, columns);
    let used = of(&out);
    out.extend(std::iter::repeat_n(' ', columns.saturating_sub(used)));
    out
}

/// Length of the SGR escape that `text` begins with, or 0.
fn escape_len(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\x1b[") else { return 0 };
    let n = parameters.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b';' | b':')).count();
    if parameters.as_bytes().get(n) == Some(&b'm') { n + 3 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_what_a_terminal_shows() {
        assert_eq!(of("abc"), 3);
        assert_eq!(of("日本"), 4);
        assert_eq!(of("e\u{301}"), 1);
        assert_eq!(of("\x1b[1;31mred\x1b[0m"), 3);
    }

    #[test]
    fn cutting_keeps_within_and_ends_colours() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(cut("\x1b[31mabcdef\x1b[0m", 4), "\x1b[31mabc…\x1b[0m");
        assert_eq!(cut("\x1b[31mab", 4), "\x1b[31mab\x1b[0m");
        assert_eq!(fit("ab", 4), "ab  ");
        for n in 0..8 {
            assert!(of(&cut("a日b本c語", n)) <= n);
        }
    }
}
