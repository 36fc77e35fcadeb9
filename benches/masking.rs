//! What masking costs: `cargo bench --bench masking`.
//!
//! MB/s of a [`MaskStream`](slipway::secret::MaskStream) with 100 secrets in all their forms over an ordinary build log, in
//! pieces as a pipe gives them, beside a bare `aho_corasick::find_iter` of the same forms over the same text (which finds,
//! but neither joins overlaps, nor writes, nor holds back). Rounds are interleaved; the best of each counts.

use std::hint::black_box;

use aho_corasick::{AhoCorasick, MatchKind};
use slipway::clock::instant;
use slipway::secret::{Masker, forms};

const SECRETS: usize = 100;
const TEXT_BYTES: usize = 64 << 20;
const PIECE: usize = 64 << 10;
const ROUNDS: usize = 5;
const TARGET_MB_S: f64 = 400.0;

/// A small generator of numbers, so that each run measures the same.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Tokens, passwords with signs, and a few of several lines.
fn secrets(chance: &mut Chance) -> Vec<String> {
    const PLAIN: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const SIGNS: &[u8] = b"abcdefghijkABCDEFGHIJK0123456789!\"$%&/()='+*~#<>|_-:.;";
    let prefixes = ["", "ghp_", "sk-", "AKIA", "xoxb-", "glpat-"];
    (0..SECRETS)
        .map(|n| {
            let letters = if n % 3 == 0 { SIGNS } else { PLAIN };
            let mut secret = prefixes[n % prefixes.len()].to_owned();
            for i in 0..16 + chance.below(32) {
                if n % 20 == 0 && i % 16 == 15 {
                    secret.push('\n');
                }
                secret.push(char::from(letters[chance.below(letters.len())]));
            }
            secret
        })
        .collect()
}

/// Lines of compilers, package managers and tests; every `every`-th line holds a secret.
fn log(chance: &mut Chance, secrets: &[String], every: usize) -> Vec<u8> {
    let words = [
        "Compiling",
        "warning:",
        "unused",
        "variable",
        "running",
        "test",
        "ok",
        "FAILED",
        "downloaded",
        "sha256:",
        "in",
        "target/debug/deps",
        "node_modules/.bin",
        "src/main.rs:42:17",
        "0.53s",
        "GET",
        "/api/v1/users",
        "200",
        "INFO",
    ];
    let mut text = Vec::with_capacity(TEXT_BYTES + 256);
    let mut line = 0;
    while text.len() < TEXT_BYTES {
        line += 1;
        text.extend_from_slice(format!("2026-01-05T10:{:02}:{:02}Z ", line / 60 % 60, line % 60).as_bytes());
        for _ in 0..6 + chance.below(8) {
            text.extend_from_slice(words[chance.below(words.len())].as_bytes());
            text.push(b' ');
        }
        text.extend_from_slice(format!("{:016x}", chance.below(usize::MAX)).as_bytes());
        if every > 0 && line % every == 0 {
            text.extend_from_slice(b" token=");
            text.extend_from_slice(secrets[chance.below(secrets.len())].as_bytes());
        }
        text.push(b'\n');
    }
    text
}

fn measure(name: &str, masker: &Masker, bare: &AhoCorasick, text: &[u8]) {
    let (mut masked, mut plain) = (f64::INFINITY, f64::INFINITY);
    let mut out = Vec::with_capacity(2 * PIECE);
    for _ in 0..ROUNDS {
        let start = instant();
        let mut stream = masker.stream();
        for piece in text.chunks(PIECE) {
            out.clear();
            stream.write(piece, &mut out);
            black_box(&out);
        }
        stream.finish(&mut out);
        masked = masked.min(start.elapsed().as_secs_f64());
        let start = instant();
        black_box(bare.find_iter(text).count());
        plain = plain.min(start.elapsed().as_secs_f64());
    }
    let rate = |seconds: f64| text.len() as f64 / 1e6 / seconds;
    let (masked, plain) = (rate(masked), rate(plain));
    println!("{name}: masked {masked:.0} MB/s, bare aho-corasick {plain:.0} MB/s, ratio {:.2}", masked / plain);
    if masked < TARGET_MB_S {
        println!("  below the target of {TARGET_MB_S:.0} MB/s");
    }
}

fn main() {
    let mut chance = Chance(0x5_11b_3a7);
    let secrets = secrets(&mut chance);
    let mut all: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
    all.sort();
    all.dedup();
    let make = || {
        let masker = Masker::new();
        secrets.iter().for_each(|secret| masker.add(secret));
        drop(masker.stream());
        masker
    };
    let start = instant();
    let masker = make();
    let built = start.elapsed();
    let grown = make();
    let start = instant();
    grown.add("one-more-secret-at-run-time");
    drop(grown.stream());
    println!(
        "{SECRETS} secrets, {} forms, {} KiB; made ready in {:.1} ms, one more at run time in {:.1} ms",
        all.len(),
        all.iter().map(String::len).sum::<usize>() / 1024,
        built.as_secs_f64() * 1e3,
        start.elapsed().as_secs_f64() * 1e3
    );
    let bare = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&all).expect("a few thousand forms");
    let text = log(&mut chance, &secrets, 0);
    measure("no secret in the log     ", &masker, &bare, &text);
    measure("the same, one more secret", &grown, &bare, &text);
    measure("one in 1,000 lines       ", &masker, &bare, &log(&mut chance, &secrets, 1000));
    measure("one in every line        ", &masker, &bare, &log(&mut chance, &secrets, 1));
    // What a hostile step prints: the first half of a secret, over and over.
    let half: Vec<u8> = secrets[1].bytes().take(20).cycle().take(TEXT_BYTES).collect();
    measure("halves of a secret only  ", &masker, &bare, &half);
}
