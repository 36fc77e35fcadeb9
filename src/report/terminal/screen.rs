//! The live area at the bottom of a terminal. A frame is one write between the marks of a synchronized update, so that
//! nothing flickers; what is printed above it scrolls away as usual.

use std::io::Write;

use crate::report::width;

/// Ends what a frame may have left open and shows the cursor. For whoever ends the process without finishing the sink.
pub const RESTORE: &str = "\x1b[?2026l\x1b[?25h";

const BEGIN: &str = "\x1b[?2026h\x1b[?25l";
const END: &str = "\x1b[?2026l";

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

/// A live area.
pub struct Screen {
    out: Option<Box<dyn Write + Send>>,
    /// Lines of the last frame, and the columns for which they were cut.
    shown: Vec<String>,
    columns: usize,
    dirty: bool,
}

impl Screen {
    /// On `out`; nothing is written yet.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out: Some(out), shown: Vec::new(), columns: 0, dirty: false }
    }

    /// Prints `above` (whole lines), then `lines` as the live area. Lines must be shorter than the terminal is wide. A frame
    /// that equals the one before is not written.
    pub fn draw(&mut self, above: &str, lines: Vec<String>, size: Size) {
        if above.is_empty() && lines == self.shown && size.columns == self.columns {
            return;
        }
        let mut frame = String::with_capacity(above.len() + lines.iter().map(|l| l.len() + 8).sum::<usize>() + 64);
        frame.push_str(BEGIN);
        let up = self.height(size);
        if up > 0 {
            frame.push_str(&format!("\r\x1b[{up}A"));
        }
        // After a resize nobody knows what the terminal has made of the old lines. Otherwise old lines are written over, not
        // erased before: some terminals keep what is erased from their first row on in their history.
        if size.columns != self.columns {
            frame.push_str("\r\x1b[J");
        }
        for line in above.lines() {
            frame.push_str(line);
            // Behind a line that fills its last row the cursor stands still on the last cell, which must not be erased.
            let columns = width::of(line);
            if columns == 0 || !columns.is_multiple_of(size.columns.max(1)) {
                frame.push_str("\x1b[K");
            }
            frame.push('\n');
        }
        for line in &lines {
            frame.push_str(line);
            frame.push_str("\x1b[K\n");
        }
        frame.push_str("\x1b[J");
        frame.push_str(END);
        self.write(&frame);
        self.dirty = true;
        self.shown = lines;
        self.columns = size.columns;
    }

    /// Takes the live area away, prints `text`, and gives the cursor back.
    pub fn finish(&mut self, text: &str, size: Size) {
        self.draw(text, Vec::new(), size);
        self.restore();
    }

    fn restore(&mut self) {
        if std::mem::take(&mut self.dirty) {
            self.write(RESTORE);
        }
    }

    /// Rows that the last frame takes now: a terminal that became narrower has wrapped its lines.
    fn height(&self, size: Size) -> usize {
        if size.columns >= self.columns || size.columns == 0 {
            return self.shown.len();
        }
        let wrapped: usize = self.shown.iter().map(|l| width::of(l).div_ceil(size.columns).max(1)).sum();
        wrapped.min(size.rows.saturating_sub(1).max(self.shown.len().min(size.rows)))
    }

    /// When the terminal has gone, the rest is let go; the run goes on.
    fn write(&mut self, text: &str) {
        if let Some(out) = &mut self.out
            && out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err()
        {
            self.out = None;
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.restore();
    }
}
