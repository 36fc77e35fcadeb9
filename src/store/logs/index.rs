//! The index: for each whole block of the log, how many line ends stand before its end, as numbers of eight bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of a block: what is read to find a line once the block is known.
pub(super) const BLOCK: u64 = 64 << 10;

const ENTRY: u64 = 8;

/// Line ends in `bytes`.
pub(super) fn line_ends(bytes: &[u8]) -> u64 {
    // In pieces whose count fits a byte, which the compiler turns into vector code.
    bytes.chunks(255).map(|piece| u64::from(piece.iter().map(|b| u8::from(*b == b'\n')).sum::<u8>())).sum()
}

/// Counts line ends as the log grows, and gives the entries that are complete.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Counter {
    /// Bytes seen.
    length: u64,
    /// Line ends in them.
    ends: u64,
}

impl Counter {
    /// After `length` bytes with `ends` line ends.
    pub(super) fn at(length: u64, ends: u64) -> Self {
        Self { length, ends }
    }

    /// Takes the next bytes in; entries of blocks that became whole go to `entries`.
    pub(super) fn feed(&mut self, mut bytes: &[u8], entries: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let room = usize::try_from(BLOCK - self.length % BLOCK).expect("a block fits memory");
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.length += now.len() as u64;
            self.ends += line_ends(now);
            if self.length.is_multiple_of(BLOCK) {
                entries.extend_from_slice(&self.ends.to_le_bytes());
            }
            bytes = later;
        }
    }
}

/// An index that is read.
pub(super) struct Index {
    file: Option<File>,
    entries: u64,
}

impl Index {
    /// The index at `path` as far as it speaks of the first `length` bytes of the log; none there is an empty one.
    pub(super) fn open(path: &std::path::Path, length: u64) -> io::Result<Self> {
        if length < BLOCK {
            return Ok(Self { file: None, entries: 0 });
        }
        match File::open(path) {
            Ok(file) => {
                let entries = (file.metadata()?.len() / ENTRY).min(length / BLOCK);
                Ok(Self { file: Some(file), entries })
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self { file: None, entries: 0 }),
            Err(e) => Err(e),
        }
    }

    /// Whole blocks that it knows.
    pub(super) fn blocks(&self) -> u64 {
        self.entries
    }

    /// Line ends in the first `blocks` blocks.
    pub(super) fn ends_before(&self, blocks: u64) -> io::Result<u64> {
        let (Some(file), Some(at)) = (&self.file, blocks.checked_sub(1)) else { return Ok(0) };
        let mut entry = [0; ENTRY as usize];
        file.read_exact_at(&mut entry, at * ENTRY)?;
        Ok(u64::from_le_bytes(entry))
    }

    /// The most blocks from the log's start that hold fewer than `ends` line ends: line `ends` begins behind them.
    pub(super) fn before_end(&self, ends: u64) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.ends_before(middle)? < ends { low = middle } else { high = middle - 1 }
        }
        Ok(low)
    }
}
