//! Lines of source text with the place marked under them. Built once for a file, then asked for each mistake.

use crate::report::sanitize::push_visible;
use crate::report::style::{Ink, Style};
use crate::report::width;
use crate::span::{Position, Source, Span};

/// Columns of source text shown; longer lines are windowed around the place.
const WINDOW: usize = 100;
/// Columns shown before the place in a windowed line.
const BEFORE: usize = 30;
/// A tab is drawn as so many blanks.
const TAB: &str = "    ";

/// A file with the start of each line, so that every look-up is a binary search.
pub(crate) struct Snippets<'a> {
    text: &'a str,
    starts: Vec<u32>,
}

/// How a place is marked.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    /// The sign, `^` or `-`.
    pub(crate) sign: char,
    /// Its colour.
    pub(crate) ink: Ink,
}

impl<'a> Snippets<'a> {
    /// Finds the lines of `source`.
    pub(crate) fn new(source: &'a Source) -> Self {
        let text: &str = &source.text;
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| (i + 1) as u32);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// Line and column (characters, from 1) of byte `offset`.
    pub(crate) fn position(&self, offset: u32) -> Position {
        let offset = self.floor(offset as usize);
        let index = self.line_index(offset);
        let start = self.starts[index] as usize;
        Position { line: index + 1, column: self.text[start..offset].chars().count() + 1 }
    }

    /// The span without white space at its end, on character boundaries.
    pub(crate) fn trimmed(&self, span: Span) -> Span {
        let start = self.floor(span.start as usize);
        let end = self.floor(span.end as usize).max(start);
        Span::new(start, start + self.text[start..end].trim_end().len())
    }

    /// The number of the last line that [`Snippets::draw`] shows for `span`.
    pub(crate) fn last_line(&self, span: Span) -> usize {
        self.position(self.trimmed(span).end).line
    }

    /// Draws the line or lines of `span` with `gutter` columns for line numbers.
    pub(crate) fn draw(&self, out: &mut String, span: Span, gutter: usize, mark: Mark, style: Style) {
        let span = self.trimmed(span);
        let (start, end) = (span.start as usize, span.end as usize);
        let (first, last) = (self.line_index(start), self.line_index(end));
        let blank = format!("{:gutter$} {}", "", style.paint(Ink::Blue, "|"));
        out.push_str(&blank);
        out.push('\n');
        if first == last {
            self.draw_line(out, first, start, end, gutter, mark, style);
            return;
        }
        let (_, first_end) = self.bounds(first);
        self.draw_line(out, first, start, first_end.max(start), gutter, mark, style);
        if last > first + 1 {
            out.push_str(&style.paint(Ink::Blue, "..."));
            out.push('\n');
        }
        let (last_start, _) = self.bounds(last);
        let indent = self.text[last_start..end].len() - self.text[last_start..end].trim_start().len();
        self.draw_line(out, last, last_start + indent, end, gutter, mark, style);
    }

    #[expect(clippy::too_many_arguments, reason = "a line, its place and how it is drawn")]
    fn draw_line(
        &self,
        out: &mut String,
        index: usize,
        from: usize,
        to: usize,
        gutter: usize,
        mark: Mark,
        style: Style,
    ) {
        let (start, end) = self.bounds(index);
        let line = &self.text[start..end];
        let (from, to) = ((from - start).min(line.len()), (to - start).min(line.len()));
        let shown = Window::new(line, from, to);
        let number = style.paint(Ink::Blue, format!("{:>gutter$} |", index + 1));
        out.push_str(&format!("{number} {}", shown.text));
        trim_end(out);
        let marks: String = std::iter::repeat_n(mark.sign, shown.marks).collect();
        let bar = style.paint(Ink::Blue, "|");
        out.push_str(&format!("\n{:gutter$} {bar} {:indent$}", "", "", indent = shown.indent));
        out.push_str(&style.paint(mark.ink, marks));
        out.push('\n');
    }

    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }

    fn line_index(&self, offset: usize) -> usize {
        self.starts.partition_point(|s| *s as usize <= offset) - 1
    }

    /// First byte and end of the line's text, without its line end.
    fn bounds(&self, index: usize) -> (usize, usize) {
        let start = self.starts[index] as usize;
        let end = self.starts.get(index + 1).map_or(self.text.len(), |next| *next as usize - 1);
        let end = if self.text[start..end].ends_with('\r') { end - 1 } else { end };
        (start, end)
    }
}

/// A part of a line as it is drawn, with the place's columns in it.
struct Window {
    text: String,
    indent: usize,
    marks: usize,
}

impl Window {
    /// The part of `line` around bytes `from..to`. Looks at no more of the line than it shows.
    fn new(line: &str, from: usize, to: usize) -> Self {
        let mut begin = 0;
        // Four bytes a character at most: what is shorter than the window in bytes fits for certain.
        if line.len() > WINDOW && !fits(line) {
            begin = from;
            let mut columns = 0;
            for c in line[..from].chars().rev() {
                columns += columns_of(c);
                if columns > BEFORE {
                    break;
                }
                begin -= c.len_utf8();
            }
        }
        let mut text = String::new();
        let mut columns = 0;
        if begin > 0 {
            text.push('…');
            columns = 1;
        }
        let (mut indent, mut end_column) = (None, None);
        let mut cut = false;
        for (at, c) in line[begin..].char_indices().map(|(i, c)| (begin + i, c)) {
            if at >= from {
                indent.get_or_insert(columns);
            }
            if at >= to {
                end_column.get_or_insert(columns);
            }
            let wide = columns_of(c);
            if columns + wide > WINDOW {
                cut = true;
                break;
            }
            columns += wide;
            match c {
                '\t' => text.push_str(TAB),
                c => push_visible(&mut text, c),
            }
        }
        let indent = indent.unwrap_or(columns);
        let marks = end_column.unwrap_or(columns).saturating_sub(indent).max(1);
        if cut {
            text.push('…');
        }
        Self { text, indent, marks }
    }
}

/// Whether the whole line fits, found without reading more than a window of it.
fn fits(line: &str) -> bool {
    let mut columns = 0;
    line.chars().all(|c| {
        columns += columns_of(c);
        columns <= WINDOW
    })
}

fn columns_of(c: char) -> usize {
    match c {
        '\t' => TAB.len(),
        c if c.is_control() => 1,
        // Overrides are drawn as one replacement sign; other characters of no width (combining ones) take none.
        c => {
            let mut drawn = String::new();
            push_visible(&mut drawn, c);
            width::of(&drawn)
        }
    }
}

fn trim_end(out: &mut String) {
    out.truncate(out.trim_end().len());
}
