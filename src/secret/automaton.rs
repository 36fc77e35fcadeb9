//! Finds all secrets in bytes that come in pieces, overlapping ones too.
//!
//! Two gears. Ordinary text is skipped by a filter that looks up the next few bytes in a bit map of how secrets begin: a
//! few instructions a byte. Where they may begin one, an Aho-Corasick automaton walks on until nothing longer than
//! those few bytes is open. Both read each byte a bounded number of times, whatever the text and the secrets are.

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

/// The filter looks at so many bytes, or at as many as the shortest secret has.
const WINDOW: usize = 4;
/// Bits of the filter's index: 8 KiB, which stay in the first cache.
const FILTER_BITS: u32 = 16;

/// A set of patterns made ready for searching.
pub struct Automaton {
    nfa: NFA,
    start: StateID,
    /// For each state how many bytes of the text may still become a pattern.
    open: Vec<u32>,
    /// For each state the longest pattern that ends there; 0 is none.
    longest: Vec<u32>,
    filter: Filter,
}

/// Where a search stands; kept between pieces.
#[derive(Debug, Clone, Copy)]
pub enum Gear {
    /// Nothing is open.
    Skip,
    /// The automaton walks; it has made `steps` steps since the filter stopped.
    Walk {
        /// Its state.
        state: StateID,
        /// Steps, at most [`WINDOW`].
        steps: u8,
    },
}

impl Automaton {
    /// Makes patterns ready. `None` when there are none, or more bytes of them than the automaton can number (2 GiB).
    pub fn new(patterns: &[String]) -> Option<Self> {
        let shortest = patterns.iter().map(String::len).min().filter(|len| *len > 0)?;
        let nfa = NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(patterns).ok()?;
        let start = nfa.start_state(Anchored::No).ok()?;
        let (open, longest) = measure(&nfa, start, patterns)?;
        Some(Self { filter: Filter::new(patterns, shortest.min(WINDOW)), nfa, start, open, longest })
    }

    /// Searches `text` from `at` on and calls `found(end, len)` for each place where secrets end, with the longest of them;
    /// ends ascend, except that a place may be reported twice. Gives the gear to go on with, and how many bytes at
    /// the end of `text` may still become a secret.
    pub fn search(&self, text: &[u8], at: usize, gear: Gear, found: &mut impl FnMut(usize, usize)) -> (Gear, usize) {
        let window = self.filter.window;
        let (mut at, mut gear) = (at, gear);
        loop {
            let (mut state, mut steps) = match gear {
                Gear::Walk { state, steps } => (state, usize::from(steps)),
                Gear::Skip => {
                    at = self.filter.skip(text, at);
                    if at == text.len() {
                        return (Gear::Skip, 0);
                    }
                    (self.start, 0)
                }
            };
            loop {
                let open = self.open[state.as_usize()] as usize;
                if steps >= window && open < window {
                    // Whatever is open begins behind the place where the filter stopped: it can look at that itself.
                    at -= open;
                    gear = Gear::Skip;
                    break;
                }
                let Some(byte) = text.get(at) else {
                    let steps = u8::try_from(steps.min(WINDOW)).unwrap_or(u8::MAX);
                    return (Gear::Walk { state, steps }, open);
                };
                state = self.nfa.next_state(Anchored::No, state, *byte);
                at += 1;
                steps += 1;
                let longest = self.longest[state.as_usize()] as usize;
                if longest > 0 {
                    found(at, longest);
                }
            }
            if at == text.len() {
                return (Gear::Skip, 0);
            }
        }
    }
}

/// The open bytes and the longest match of each state.
fn measure(nfa: &NFA, start: StateID, patterns: &[String]) -> Option<(Vec<u32>, Vec<u32>)> {
    fn set(list: &mut Vec<u32>, state: StateID, value: u32) {
        if list.len() <= state.as_usize() {
            list.resize(state.as_usize() + 1, 0);
        }
        list[state.as_usize()] = value;
    }
    let anchored = nfa.start_state(Anchored::Yes).ok()?;
    let (mut open, mut longest) = (Vec::new(), Vec::new());
    // A state counts as open when a pattern goes on from it.
    for pattern in patterns {
        let mut state = anchored;
        for (depth, byte) in (1..).zip(pattern.bytes()) {
            state = nfa.next_state(Anchored::Yes, state, byte);
            set(&mut open, state, if depth < pattern.len() { u32::try_from(depth).ok()? } else { 0 });
            let ends = (0..if nfa.is_match(state) { nfa.match_len(state) } else { 0 })
                .map(|i| nfa.pattern_len(nfa.match_pattern(state, i)))
                .max();
            set(&mut longest, state, u32::try_from(ends.unwrap_or(0)).ok()?);
        }
    }
    // The order of the patterns must not matter: those that go on from where another ends are walked again.
    for pattern in patterns {
        let mut state = anchored;
        for (depth, byte) in (1..pattern.len()).zip(pattern.bytes()) {
            state = nfa.next_state(Anchored::Yes, state, byte);
            set(&mut open, state, u32::try_from(depth).ok()?);
        }
    }
    // Where no pattern goes on, what is open is the longest ending that begins another; shorter patterns come first, as
    // such an ending may be a whole one.
    let mut by_length: Vec<&String> = patterns.iter().collect();
    by_length.sort_by_key(|pattern| pattern.len());
    for pattern in by_length {
        let walk =
            |anchor, from, bytes: &[u8]| bytes.iter().fold(from, |state, byte| nfa.next_state(anchor, state, *byte));
        let end = walk(Anchored::Yes, anchored, pattern.as_bytes());
        if open[end.as_usize()] == 0 {
            let rest = walk(Anchored::No, start, &pattern.as_bytes()[1..]);
            let value = open.get(rest.as_usize()).copied().unwrap_or(0);
            set(&mut open, end, value);
        }
    }
    let states = open.len().max(start.as_usize() + 1);
    open.resize(states, 0);
    longest.resize(states, 0);
    Some((open, longest))
}

/// A bit for each hash of how a pattern begins.
struct Filter {
    window: usize,
    mask: u32,
    bits: Box<[u64; 1 << (FILTER_BITS - 6)]>,
}

impl Filter {
    fn new(patterns: &[String], window: usize) -> Self {
        let mut filter =
            Self { window, mask: u32::MAX >> (8 * (WINDOW - window)), bits: Box::new([0; 1 << (FILTER_BITS - 6)]) };
        for pattern in patterns {
            let mut head = [0; WINDOW];
            head[..window].copy_from_slice(&pattern.as_bytes()[..window]);
            let (word, bit) = filter.place(u32::from_le_bytes(head));
            filter.bits[word] |= 1 << bit;
        }
        filter
    }

    #[inline(always)]
    fn place(&self, head: u32) -> (usize, u32) {
        let hash = (head & self.mask).wrapping_mul(0x9e37_79b1) >> (32 - FILTER_BITS);
        ((hash >> 6) as usize, hash & 63)
    }

    /// The first place from `at` on where a pattern may begin; near the end every place is one.
    fn skip(&self, text: &[u8], at: usize) -> usize {
        let rest = &text[at..];
        let hit = rest.array_windows::<WINDOW>().position(|head| {
            let (word, bit) = self.place(u32::from_le_bytes(*head));
            self.bits[word] >> bit & 1 == 1
        });
        hit.map_or(at.max((text.len() + 1).saturating_sub(WINDOW)), |hit| at + hit)
    }
}
