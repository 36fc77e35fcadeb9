//! From a dump to the file that is stored, and back.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::stage::Compress;

use super::seal::{Key, Opener, Sealer};

/// A file that is ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Its bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// Counts and hashes what passes.
struct Hashing<W> {
    to: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Compresses and encrypts `dump` into `to`. Blocks.
pub fn pack(dump: &Path, to: &Path, compress: Compress, key: Option<&Key>) -> io::Result<Packed> {
    let file = Hashing { to: BufWriter::new(File::create(to)?), hash: Sha256::new(), size: 0 };
    let mut dump = BufReader::new(File::open(dump)?);
    let mut file = match key {
        Some(key) => compressed(&mut dump, Sealer::new(file, key)?, compress)?.finish()?,
        None => compressed(&mut dump, file, compress)?,
    };
    file.flush()?;
    let file_end = file.to.into_inner().map_err(io::IntoInnerError::into_error)?;
    file_end.sync_all()?;
    Ok(Packed { size: file.size, sha256: hex(&file.hash.finalize()) })
}

fn compressed<W: Write>(from: &mut impl Read, mut to: W, compress: Compress) -> io::Result<W> {
    match compress {
        Compress::Gzip => {
            let mut encoder = GzEncoder::new(to, flate2::Compression::default());
            io::copy(from, &mut encoder)?;
            encoder.finish()
        }
        Compress::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(to, 0)?;
            io::copy(from, &mut encoder)?;
            encoder.finish()
        }
        Compress::None => {
            io::copy(from, &mut to)?;
            Ok(to)
        }
    }
}

/// Decrypts and decompresses `from` into `to`; what was changed is an error. Blocks.
pub fn unpack(from: &Path, to: &mut dyn Write, compress: Compress, key: Option<&Key>) -> io::Result<u64> {
    let file = BufReader::new(File::open(from)?);
    let clear: Box<dyn Read> = match key {
        Some(key) => Box::new(Opener::new(file, key)?),
        None => Box::new(file),
    };
    let mut clear = BufReader::new(clear);
    let copied = match compress {
        Compress::Gzip => io::copy(&mut MultiGzDecoder::new(&mut clear), to)?,
        Compress::Zstd => io::copy(&mut zstd::stream::read::Decoder::with_buffer(&mut clear)?, to)?,
        Compress::None => io::copy(&mut clear, to)?,
    };
    // The last chunk is authentic only when it has been read.
    io::copy(&mut clear, &mut io::sink())?;
    Ok(copied)
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (dump, packed) = (folder.path().join("dump"), folder.path().join("packed"));
        let text = "many words, ".repeat(20_000);
        std::fs::write(&dump, &text).unwrap();
        let key = Key::of(&"ab".repeat(32));
        for compress in [Compress::Gzip, Compress::Zstd, Compress::None] {
            for key in [None, Some(&key)] {
                let made = pack(&dump, &packed, compress, key).unwrap();
                let bytes = std::fs::read(&packed).unwrap();
                assert_eq!(
                    (made.size, made.sha256.as_str()),
                    (bytes.len() as u64, hex(&Sha256::digest(&bytes)).as_str())
                );
                assert_eq!(compress == Compress::None, bytes.len() > text.len() / 2, "{compress:?}");
                let mut back = Vec::new();
                unpack(&packed, &mut back, compress, key).unwrap();
                assert_eq!(back, text.as_bytes());
            }
        }
    }
}
