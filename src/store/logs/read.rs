//! Reading a log, whole or from a line on.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use crate::store::logs::index::{BLOCK, Index, line_ends};
use crate::store::logs::place::{LogPlace, SEGMENT};

/// One read gives no more, whatever is asked for.
const MOST: usize = 16 << 20;

/// Reads one log.
pub(super) struct LogReader {
    place: LogPlace,
}

impl LogReader {
    pub(super) fn new(place: LogPlace) -> Self {
        Self { place }
    }

    /// Bytes in the log. Few logs have a second segment, so the first one's length mostly is the answer; else the last
    /// segment is looked for by doubling steps.
    pub(super) fn len(&self) -> io::Result<u64> {
        let size = |number: u64| match fs::metadata(self.place.segment(number)) {
            Ok(file) => Ok(Some(file.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        };
        let first = size(0)?.unwrap_or(0);
        if first < SEGMENT {
            return Ok(first);
        }
        let (mut there, mut step, mut length) = (0, 1, first);
        loop {
            match size(there + step)? {
                Some(bytes) => {
                    (there, length) = (there + step, bytes);
                    step *= 2;
                }
                None if step == 1 => return Ok(there * SEGMENT + length.min(SEGMENT)),
                None => step = 1,
            }
        }
    }

    pub(super) fn read(&self, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let limit = limit.min(MOST);
        while bytes.len() < limit {
            let at = offset + bytes.len() as u64;
            let file = match File::open(self.place.segment(at / SEGMENT)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => break,
                file => file?,
            };
            let within = at % SEGMENT;
            let there = file.metadata()?.len().min(SEGMENT).saturating_sub(within);
            let want = usize::try_from(there).unwrap_or(MOST).min(limit - bytes.len());
            if want == 0 {
                break;
            }
            let start = bytes.len();
            bytes.resize(start + want, 0);
            let got = read_up_to(&file, &mut bytes[start..], within)?;
            bytes.truncate(start + got);
            if got < want {
                break;
            }
        }
        Ok(bytes)
    }

    pub(super) fn line(&self, line: u64) -> io::Result<Option<u64>> {
        let length = self.len()?;
        if line == 0 {
            return Ok((length > 0).then_some(0));
        }
        let index = Index::open(&self.place.index(), length)?;
        let block = index.before_end(line)?;
        let start = self.behind_end(block * BLOCK, line - index.ends_before(block)?)?;
        // The end of the last line begins no other.
        Ok(start.filter(|start| *start < length))
    }

    pub(super) fn lines(&self) -> io::Result<u64> {
        let length = self.len()?;
        // A last line that has no end yet is a line too.
        let open = length > 0 && self.read(length - 1, 1)? != b"\n";
        Ok(self.ends(length)? + u64::from(open))
    }

    pub(super) fn tail(&self, lines: u64) -> io::Result<u64> {
        let length = self.len()?;
        if lines == 0 || length == 0 {
            return Ok(length);
        }
        match self.lines()?.checked_sub(lines) {
            None | Some(0) => Ok(0),
            Some(first) => Ok(self.line(first)?.unwrap_or(0)),
        }
    }

    /// Line ends in the first `length` bytes.
    pub(super) fn ends(&self, length: u64) -> io::Result<u64> {
        let index = Index::open(&self.place.index(), length)?;
        let mut ends = index.ends_before(index.blocks())?;
        let mut at = index.blocks() * BLOCK;
        while at < length {
            let want = usize::try_from((length - at).min(BLOCK)).expect("a block fits memory");
            let bytes = self.read(at, want)?;
            if bytes.is_empty() {
                break;
            }
            ends += line_ends(&bytes);
            at += bytes.len() as u64;
        }
        Ok(ends)
    }

    /// The place behind the `count`th line end from `at` on.
    fn behind_end(&self, mut at: u64, mut count: u64) -> io::Result<Option<u64>> {
        loop {
            let bytes = self.read(at, BLOCK as usize)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let ends = line_ends(&bytes);
            if ends >= count {
                let nth = usize::try_from(count - 1).expect("a block's line ends fit memory");
                let found = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(nth);
                return Ok(found.map(|(i, _)| at + i as u64 + 1));
            }
            count -= ends;
            at += bytes.len() as u64;
        }
    }
}

/// Fills as much of `bytes` as the file has.
fn read_up_to(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < bytes.len() {
        match file.read_at(&mut bytes[got..], at + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}
