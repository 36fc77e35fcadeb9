//! AES-256-GCM in chunks, so that a backup of any size is sealed as it streams, and what was cut off, reordered or changed is seen.
//!
//! The file: `SLIPBAK1`, the key's id (8), a salt (16), then chunks: 64 KiB of text each (the last one may be shorter) with its tag.
//! A chunk's nonce is the salt's first 7 bytes, a counter (4, big-endian) and 1 for the last chunk; the header is authenticated with each.
//! A key of 64 hexadecimal digits or of 32 bytes in base64 is taken as it is; a pass phrase goes through PBKDF2-HMAC-SHA256 with the
//! salt.

use std::io::{self, Read, Write};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"SLIPBAK1";
const SALT: usize = 16;
const ID: usize = 8;
const HEADER: usize = MAGIC.len() + ID + SALT;
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
const PREFIX: usize = 7;
/// A guess at a pass phrase costs so many hashes.
const ROUNDS: u32 = 100_000;

/// A key, or a pass phrase from which keys are made.
#[derive(Clone)]
pub enum Key {
    /// 32 bytes.
    Whole([u8; 32]),
    /// A text.
    Phrase(String),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(***)")
    }
}

impl Key {
    /// Of what a person writes.
    pub fn of(text: &str) -> Self {
        let text = text.trim();
        let hex = || {
            let digits: Option<Vec<u8>> = (text.len() == 64 && text.is_ascii())
                .then(|| (0..32).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()).collect())?;
            digits?.try_into().ok()
        };
        let base64 = || STANDARD.decode(text).ok()?.try_into().ok();
        hex().or_else(base64).map_or_else(|| Key::Phrase(text.to_owned()), Key::Whole)
    }

    fn bytes(&self, salt: &[u8]) -> [u8; 32] {
        match self {
            Key::Whole(bytes) => *bytes,
            Key::Phrase(text) => stretched(text.as_bytes(), salt),
        }
    }

    /// A name of the key that does not give it away.
    pub fn id(&self) -> [u8; ID] {
        let hash = match self {
            Key::Whole(bytes) => Sha256::digest([b"slipway backup key ".as_slice(), bytes].concat()),
            // From the stretched one: a hash of the phrase itself could be guessed at.
            Key::Phrase(text) => Sha256::digest(stretched(text.as_bytes(), b"slipway backup phrase")),
        };
        let mut id = [0; ID];
        id.copy_from_slice(&hash[..ID]);
        id
    }
}

/// PBKDF2 with one block.
fn stretched(text: &[u8], salt: &[u8]) -> [u8; 32] {
    let keyed = Hmac::<Sha256>::new_from_slice(text).expect("any length is a key");
    let round = |input: &[&[u8]]| {
        let mut mac = keyed.clone();
        input.iter().for_each(|part| mac.update(part));
        <[u8; 32]>::from(mac.finalize().into_bytes())
    };
    let mut last = round(&[salt, &1_u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..ROUNDS {
        last = round(&[&last]);
        sum.iter_mut().zip(last).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn nonce(header: &[u8], counter: u32, last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..PREFIX].copy_from_slice(&header[HEADER - SALT..HEADER - SALT + PREFIX]);
    nonce[PREFIX..11].copy_from_slice(&counter.to_be_bytes());
    nonce[11] = u8::from(last);
    nonce
}

/// Seals what is written to it. Without [`Self::finish`] the file has no end, and cannot be read.
pub struct Sealer<W> {
    to: W,
    cipher: Aes256Gcm,
    header: Vec<u8>,
    buffer: Vec<u8>,
    counter: u32,
}

impl<W: Write> Sealer<W> {
    /// Writes the header.
    pub fn new(mut to: W, key: &Key) -> io::Result<Self> {
        let salt = uuid::Uuid::new_v4().into_bytes();
        let header = [MAGIC.as_slice(), &key.id(), &salt].concat();
        to.write_all(&header)?;
        let cipher = Aes256Gcm::new(&key.bytes(&salt).into());
        Ok(Self { to, cipher, header, buffer: Vec::with_capacity(2 * CHUNK), counter: 0 })
    }

    fn chunk(&mut self, length: usize, last: bool) -> io::Result<()> {
        let nonce = Nonce::from(nonce(&self.header, self.counter, last));
        let payload = Payload { msg: &self.buffer[..length], aad: &self.header };
        let sealed = self.cipher.encrypt(&nonce, payload).map_err(|_| io::Error::other("a chunk cannot be sealed"))?;
        self.to.write_all(&sealed)?;
        self.buffer.drain(..length);
        self.counter = self.counter.checked_add(1).ok_or_else(|| io::Error::other("a backup holds at most 256 TiB"))?;
        Ok(())
    }

    /// Seals the last chunk, and gives back what is below.
    pub fn finish(mut self) -> io::Result<W> {
        self.chunk(self.buffer.len(), true)?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        // One that is full stays until there is more: it could be the last.
        while self.buffer.len() > CHUNK {
            self.chunk(CHUNK, false)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Opens what a [`Sealer`] wrote. A chunk is given out only when it is authentic, and an end only when it is the end.
pub struct Opener<R> {
    from: R,
    cipher: Aes256Gcm,
    header: Vec<u8>,
    /// What was read and not opened.
    ahead: Vec<u8>,
    open: Vec<u8>,
    at: usize,
    counter: u32,
    over: bool,
}

impl<R: Read> Opener<R> {
    /// Reads the header; another key is an error here already.
    pub fn new(mut from: R, key: &Key) -> io::Result<Self> {
        let mut header = vec![0; HEADER];
        from.read_exact(&mut header).map_err(|_| wrong("it is too short to be an encrypted backup"))?;
        if header[..MAGIC.len()] != *MAGIC {
            return Err(wrong("it is no encrypted backup of slipway"));
        }
        if header[MAGIC.len()..MAGIC.len() + ID] != key.id() {
            return Err(wrong("it is encrypted under another key"));
        }
        let cipher = Aes256Gcm::new(&key.bytes(&header[HEADER - SALT..]).into());
        Ok(Self { from, cipher, header, ahead: Vec::new(), open: Vec::new(), at: 0, counter: 0, over: false })
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let whole = CHUNK + TAG;
        // One byte more than a chunk says that it is not the last.
        let wanted = (whole + 1).saturating_sub(self.ahead.len());
        self.from.by_ref().take(wanted as u64).read_to_end(&mut self.ahead)?;
        let last = self.ahead.len() <= whole;
        let length = self.ahead.len().min(whole);
        let nonce = Nonce::from(nonce(&self.header, self.counter, last));
        let payload = Payload { msg: &self.ahead[..length], aad: &self.header };
        let opened = self.cipher.decrypt(&nonce, payload);
        self.open = opened.map_err(|_| wrong("it was changed or cut off since it was made"))?;
        self.at = 0;
        self.ahead.drain(..length);
        self.counter = self.counter.wrapping_add(1);
        self.over = last;
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.open.len() && !self.over {
            self.next_chunk()?;
        }
        let length = into.len().min(self.open.len() - self.at);
        into[..length].copy_from_slice(&self.open[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::of(&"0f".repeat(32))
    }

    fn sealed(clear: &[u8], key: &Key) -> Vec<u8> {
        let mut sealer = Sealer::new(Vec::new(), key).unwrap();
        sealer.write_all(clear).unwrap();
        sealer.finish().unwrap()
    }

    fn opened(sealed: &[u8], key: &Key) -> io::Result<Vec<u8>> {
        let mut clear = Vec::new();
        Opener::new(sealed, key)?.read_to_end(&mut clear)?;
        Ok(clear)
    }

    #[test]
    fn what_is_sealed_opens_at_every_size() {
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7] {
            let clear: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            assert_eq!(opened(&sealed(&clear, &key()), &key()).unwrap(), clear, "{size} bytes");
        }
    }

    #[test]
    fn what_was_changed_cut_or_reordered_is_seen() {
        let clear = vec![7; 2 * CHUNK + 100];
        let good = sealed(&clear, &key());
        for at in [0, 9, 20, HEADER, HEADER + CHUNK + TAG + 5, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(opened(&bad, &key()).is_err(), "byte {at} was flipped");
        }
        // Cut at the border of a chunk, where nothing but the end's flag is missing.
        assert!(opened(&good[..HEADER + CHUNK + TAG], &key()).is_err());
        assert!(opened(&good[..good.len() - 1], &key()).is_err());
        let (first, second) = (HEADER..HEADER + CHUNK + TAG, HEADER + CHUNK + TAG..HEADER + 2 * (CHUNK + TAG));
        let swapped = [&good[..HEADER], &good[second.clone()], &good[first], &good[second.end..]].concat();
        assert!(opened(&swapped, &key()).is_err());
    }

    #[test]
    fn another_key_is_named_as_the_reason() {
        let error = opened(&sealed(b"text", &key()), &Key::of(&"1f".repeat(32))).unwrap_err();
        assert_eq!(error.to_string(), "it is encrypted under another key");
    }

    #[test]
    fn keys_are_read_in_each_form() {
        assert!(matches!(Key::of(&"0F".repeat(32)), Key::Whole(bytes) if bytes == [15; 32]));
        assert!(matches!(Key::of(&STANDARD.encode([3; 32])), Key::Whole(bytes) if bytes == [3; 32]));
        let phrase = Key::of("correct horse");
        assert!(matches!(phrase, Key::Phrase(_)));
        assert_eq!(opened(&sealed(b"text", &phrase), &phrase).unwrap(), b"text");
    }
}
