//! Takes from text what could steer a terminal or deceive a reader. Output of jobs goes through here before any screen sees it.

/// Jobs' output for a terminal: of all escape sequences only SGR colours are kept (when `colors`); OSC, DCS, C1, cursor
/// movement and bidirectional overrides go; a tab stays; a carriage return leaves what was written last, as a terminal would.
pub fn line(text: &str, colors: bool) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.trim_end_matches('\r');
    // Progress bars write a line again and again: the last state is what counts.
    let text = text.rsplit('\r').next().unwrap_or(text);
    if text.bytes().all(|b| (0x20..0x7f).contains(&b) || b == b'\t') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut colored = false;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\x1b' => {
                let (len, sgr) = escape(&text[at..]);
                let end = at + len;
                while chars.next_if(|(i, _)| *i < end).is_some() {}
                if sgr && colors {
                    let sequence = &text[at..end];
                    colored = !matches!(sequence, "\x1b[0m" | "\x1b[m");
                    out.push_str(sequence);
                }
            }
            // C1: a CSI, OSC or DCS in one character.
            '\u{9b}' | '\u{9d}' | '\u{90}' | '\u{98}' | '\u{9e}' | '\u{9f}' => {
                let rest = &text[at + c.len_utf8()..];
                let len = if c == '\u{9b}' { csi(rest).0 } else { string(rest) };
                let end = at + c.len_utf8() + len;
                while chars.next_if(|(i, _)| *i < end).is_some() {}
            }
            '\t' => out.push('\t'),
            c if c.is_control() || is_deceptive(c) => {}
            c => out.push(c),
        }
    }
    if colored {
        out.push_str("\x1b[0m");
    }
    out
}

/// Text of ours that holds foreign words (names, messages): control characters and overrides become visible.
pub fn visible(text: &str) -> String {
    if !text.chars().any(|c| c.is_control() || is_deceptive(c)) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push('\n'),
            '\t' => out.push(' '),
            c => push_visible(&mut out, c),
        }
    }
    out
}

/// Pushes `c`, or a sign for it when it is a control character or an override.
pub fn push_visible(out: &mut String, c: char) {
    match c {
        '\u{0}'..='\u{1f}' => out.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}')),
        '\u{7f}' => out.push('\u{2421}'),
        c if c.is_control() || is_deceptive(c) => out.push('\u{fffd}'),
        c => out.push(c),
    }
}

/// Bidirectional overrides and isolates, line and paragraph separators, and the byte order mark.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{feff}')
}

/// Length of the escape sequence that `text` begins with, and whether it is an SGR.
fn escape(text: &str) -> (usize, bool) {
    let bytes = text.as_bytes();
    match bytes.get(1) {
        Some(b'[') => {
            let (len, sgr) = csi(&text[2..]);
            (2 + len, sgr)
        }
        // OSC, DCS, SOS, PM, APC: up to BEL or ST.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => (2 + string(&text[2..]), false),
        // Two-character and nF sequences: intermediates, then a final.
        Some(0x20..=0x7e) => {
            let intermediates = bytes[1..].iter().take_while(|b| (0x20..=0x2f).contains(*b)).count();
            let last = bytes.get(1 + intermediates).is_some_and(|b| (0x30..=0x7e).contains(b));
            (1 + intermediates + usize::from(last), false)
        }
        _ => (1, false),
    }
}

/// The rest of a control sequence: parameters, intermediates, final. SGR only with plain parameters.
fn csi(rest: &str) -> (usize, bool) {
    let bytes = rest.as_bytes();
    let parameters = bytes.iter().take_while(|b| (0x30..=0x3f).contains(*b)).count();
    let intermediates = bytes[parameters..].iter().take_while(|b| (0x20..=0x2f).contains(*b)).count();
    match bytes.get(parameters + intermediates) {
        Some(b'm') => {
            let plain = bytes[..parameters].iter().all(|b| b.is_ascii_digit() || matches!(b, b';' | b':'));
            (parameters + intermediates + 1, plain && intermediates == 0)
        }
        Some(0x40..=0x7e) => (parameters + intermediates + 1, false),
        _ => (parameters + intermediates, false),
    }
}

/// The rest of a control string, its end included; an unended one takes the whole line.
fn string(rest: &str) -> usize {
    for (at, c) in rest.char_indices() {
        match c {
            '\x07' | '\u{9c}' => return at + c.len_utf8(),
            '\x1b' if rest[at + 1..].starts_with('\\') => return at + 2,
            _ => {}
        }
    }
    rest.len()
}

/// A text as it stands in XML or HTML: what could be a tag or an attribute's end is none any more.
pub fn as_markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_survive() {
        assert_eq!(line("plain\ttext", true), "plain\ttext");
        assert_eq!(line("\x1b[31mred\x1b[0m ok", true), "\x1b[31mred\x1b[0m ok");
        assert_eq!(line("\x1b[31mred", true), "\x1b[31mred\x1b[0m");
        assert_eq!(line("\x1b[31mred\x1b[0m", false), "red");
        assert_eq!(line("a\x1b[2Jb\x1b[10;10Hc", true), "abc");
        assert_eq!(line("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c", true), "abc");
        assert_eq!(line("a\u{9b}2Jb\u{9d}0;t\u{9c}c", true), "abc");
        assert_eq!(line("a\x1bP1$tx\x1b\\b\x1bcc\x1b(Bd", true), "abcd");
        assert_eq!(line("a\x1b]never ended", true), "a");
        assert_eq!(line("\x1b[>4;2m\x1b[?25hx", true), "x");
        assert_eq!(line("x\u{202e}y\u{2066}z\u{feff}\x08\x07", true), "xyz");
    }

    #[test]
    fn a_progress_bar_leaves_its_last_state() {
        assert_eq!(line("10%\r50%\r100%\r\n", true), "100%");
        assert_eq!(line("text\r\n", true), "text");
    }

    #[test]
    fn cut_off_sequences_do_no_harm() {
        for text in
            ["\x1b", "\x1b[", "\x1b[31", "\x1b]", "\x1b(", "\u{9b}", "\u{9b}3", "\x1b日", "\x1b[日", "\x1b]日\x1b"]
        {
            assert!(!line(text, true).contains('\x1b'), "{text:?}");
        }
    }

    #[test]
    fn foreign_words_become_visible() {
        assert_eq!(visible("a\x1b[31mb\u{202e}"), "a␛[31mb\u{fffd}");
        assert_eq!(visible("two\nlines"), "two\nlines");
    }
}
