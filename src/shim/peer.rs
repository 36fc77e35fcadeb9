//! A connection: bytes in and out, never waiting.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::protocol::{Answer, MAX_FRAME, MAX_HELLO, MAX_PUT, Malformed, OUTPUT_CHUNK, Request, next_frame};

/// Above this many bytes waiting to be written no output is added. Answers are: there are as many as requests.
pub const OUT_HIGH: usize = 1 << 20;
/// Bytes read before other connections and steps get their turn.
const READ_TURN: usize = 1 << 20;

/// A connection.
pub struct Peer {
    pub stream: UnixStream,
    pub welcome: bool,
    pub since: Instant,
    /// Output was held back because too much was waiting.
    pub starved: bool,
    /// Whether the event loop waits for room to write.
    pub armed: bool,
    read: Vec<u8>,
    taken: usize,
    out: Vec<u8>,
    written: usize,
    puts: HashMap<String, HashMap<String, Vec<u8>>>,
    put_bytes: usize,
}

impl Peer {
    pub fn new(stream: UnixStream, since: Instant) -> Self {
        let (read, out, puts) = (Vec::new(), Vec::new(), HashMap::new());
        Self {
            stream,
            welcome: false,
            since,
            starved: false,
            armed: false,
            read,
            taken: 0,
            out,
            written: 0,
            puts,
            put_bytes: 0,
        }
    }

    /// Reads what is there; `false` at the end of the stream.
    pub fn fill(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        self.read.drain(..self.taken);
        self.taken = 0;
        let mut turn = 0;
        while turn < READ_TURN {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    self.read.extend_from_slice(&buffer[..n]);
                    turn += n;
                    if n < buffer.len() {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// The next whole request.
    pub fn next(&mut self) -> Result<Option<Request>, Malformed> {
        let limit = if self.welcome { MAX_FRAME } else { MAX_HELLO };
        let Some((body, length)) = next_frame(&self.read[self.taken..], limit)? else { return Ok(None) };
        let request = Request::decode(body)?;
        self.taken += length;
        Ok(Some(request))
    }

    /// Keeps a piece of a file for its start.
    pub fn put(&mut self, key: String, name: String, bytes: &[u8]) -> Result<(), Malformed> {
        // A name counts too, so that empty pieces are bounded.
        self.put_bytes += bytes.len() + name.len() + 64;
        if self.put_bytes > MAX_PUT + OUTPUT_CHUNK {
            return Err(Malformed("more files are put than are started"));
        }
        self.puts.entry(key).or_default().entry(name).or_default().extend_from_slice(bytes);
        Ok(())
    }

    /// What was put for a key.
    pub fn take_puts(&mut self, key: &str) -> HashMap<String, Vec<u8>> {
        let puts = self.puts.remove(key).unwrap_or_default();
        if self.puts.is_empty() {
            self.put_bytes = 0;
        }
        puts
    }

    pub fn say(&mut self, answer: &Answer) {
        answer.encode(&mut self.out);
    }

    /// Where frames are appended.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    pub fn has_room(&self) -> bool {
        self.out.len() - self.written < OUT_HIGH
    }

    /// Writes what waits; `true` when nothing is left.
    pub fn flush(&mut self) -> io::Result<bool> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.out.drain(..self.written);
                    self.written = 0;
                    return Ok(false);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.out.clear();
        self.written = 0;
        if self.out.capacity() > 2 * OUT_HIGH {
            self.out.shrink_to(OUT_HIGH);
        }
        Ok(true)
    }
}
