//! Streaming masker: secrets become `***` however the bytes are split, and overlapping or touching ones become one `***`
//! (to mask the first alone would show the end of the second).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::secret::automaton::Gear;
use crate::secret::encode::forms;
use crate::secret::layers::{Automata, Layers};

/// What stands in place of a secret.
const STARS: &[u8] = b"***";

/// The set of what is masked; cheap to clone; grows while a run goes on (`::add-mask::`).
#[derive(Clone, Default)]
pub struct Masker {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Counts additions, so that streams notice them without the lock.
    generation: AtomicU64,
    set: Mutex<Layers>,
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masker(***)")
    }
}

impl Masker {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a secret in all its forms; blank values are ignored. Streams see it from their next write on, for the
    /// bytes that they still hold too.
    pub fn add(&self, secret: &str) {
        let mut set = self.set();
        if set.extend(forms(secret)) {
            self.shared.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// `text` with every secret replaced by `***`.
    pub fn mask(&self, text: &str) -> String {
        let mut stream = self.stream();
        let mut out = Vec::with_capacity(text.len());
        stream.write(text.as_bytes(), &mut out);
        stream.finish(&mut out);
        // Secrets are texts, so they begin and end between characters; nothing is lost here.
        String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// Whether `text` holds a secret.
    pub fn contains_secret(&self, text: &str) -> bool {
        let mut any = false;
        for automaton in self.automata().0.iter() {
            automaton.search(text.as_bytes(), 0, Gear::Skip, &mut |_, _| any = true);
        }
        any
    }

    /// A stream over which secrets are masked whatever the split.
    pub fn stream(&self) -> MaskStream {
        let (automata, generation) = self.automata();
        MaskStream {
            masker: self.clone(),
            gears: vec![Gear::Skip; automata.len()],
            automata,
            generation,
            held: Vec::new(),
            head: 0,
            found: Vec::new(),
            masked_to: None,
        }
    }

    fn set(&self) -> MutexGuard<'_, Layers> {
        // The set is whole after each statement that changes it, so a panic elsewhere does not spoil it.
        self.shared.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn automata(&self) -> (Automata, u64) {
        let mut set = self.set();
        // Only who holds the lock counts on, so this is the generation of what is made ready.
        (set.ready(), self.shared.generation.load(Ordering::Acquire))
    }
}

/// Masks one stream of bytes; holds back what may be the beginning of a secret: at most one byte less than the longest form.
pub struct MaskStream {
    masker: Masker,
    automata: Automata,
    /// Where the search of each automaton stands.
    gears: Vec<Gear>,
    generation: u64,
    /// Bytes that have come; those before `head` have gone out.
    held: Vec<u8>,
    head: usize,
    /// Secrets that are found and not yet written, ascending and apart from each other. Places are indices of `held`.
    found: Vec<(usize, usize)>,
    /// Where the last mask that went out ends, if it may still grow. Never before `head`.
    masked_to: Option<usize>,
}

impl MaskStream {
    /// Takes bytes in and appends what is certain to `out`.
    pub fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let generation = self.masker.shared.generation.load(Ordering::Acquire);
        let mut from = self.held.len();
        if generation != self.generation {
            (self.automata, self.generation) = self.masker.automata();
            (from, self.gears) = (self.head, vec![Gear::Skip; self.automata.len()]);
        }
        if self.automata.is_empty() {
            out.extend_from_slice(bytes);
            return;
        }
        self.held.extend_from_slice(bytes);
        let open = self.search(from);
        self.release(self.held.len() - open, out);
        self.compact();
    }

    /// Looks at what has come; gives how many bytes at the end may still become a secret.
    fn search(&mut self, from: usize) -> usize {
        let (found, masked_to) = (&mut self.found, &mut self.masked_to);
        if let ([automaton], [gear]) = (&*self.automata, &mut *self.gears) {
            let open;
            (*gear, open) =
                automaton.search(&self.held, from, *gear, &mut |end, len| join(found, masked_to, end - len, end));
            return open;
        }
        let (mut all, mut most) = (Vec::new(), 0);
        for (automaton, gear) in self.automata.iter().zip(&mut self.gears) {
            let open;
            (*gear, open) = automaton.search(&self.held, from, *gear, &mut |end, len| all.push((end, len)));
            most = most.max(open);
        }
        all.sort_unstable();
        all.into_iter().for_each(|(end, len)| join(found, masked_to, end - len, end));
        most
    }

    /// How many input bytes are held back.
    pub fn held(&self) -> usize {
        self.held.len() - self.head
    }

    /// Nothing more comes: appends the rest. The stream can be used again as new.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        // A secret may have been registered since the last write; what is held must not go out without a look at it.
        self.write(&[], out);
        self.release(self.held.len(), out);
        self.held.clear();
        self.found.clear();
        self.gears.fill(Gear::Skip);
        (self.head, self.masked_to) = (0, None);
    }

    /// Writes everything before `certain`: no secret that is still to be found begins there.
    fn release(&mut self, certain: usize, out: &mut Vec<u8>) {
        let mut gone = 0;
        for &(start, end) in self.found.iter().take_while(|(start, _)| *start < certain) {
            let from = self.head.max(self.masked_to.unwrap_or(0));
            out.extend_from_slice(&self.held[from..start]);
            out.extend_from_slice(STARS);
            self.head = start;
            self.masked_to = Some(end);
            gone += 1;
        }
        self.found.drain(..gone);
        let from = self.head.max(self.masked_to.unwrap_or(0));
        if from < certain {
            out.extend_from_slice(&self.held[from..certain]);
        }
        self.head = certain.max(self.head);
        // A secret that begins where the mask ends still joins it; later ones do not.
        self.masked_to = self.masked_to.filter(|end| *end >= self.head);
    }

    /// Drops the bytes that have gone out, not oftener than each byte pays for.
    fn compact(&mut self) {
        if self.head < self.held.len() / 2 {
            return;
        }
        let by = self.head;
        self.held.drain(..by);
        self.head = 0;
        for (start, end) in &mut self.found {
            (*start, *end) = (*start - by, *end - by);
        }
        self.masked_to = self.masked_to.map(|end| end - by);
    }
}

/// Adds a secret to those found, joining what it overlaps or touches.
fn join(found: &mut Vec<(usize, usize)>, masked_to: &mut Option<usize>, start: usize, end: usize) {
    let (mut start, mut end) = (start, end);
    while let Some((s, e)) = found.pop_if(|(_, e)| *e >= start) {
        (start, end) = (start.min(s), end.max(e));
    }
    match masked_to {
        Some(masked) if start <= *masked && found.is_empty() => *masked = end.max(*masked),
        _ => found.push((start, end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masker(secrets: &[&str]) -> Masker {
        let masker = Masker::new();
        secrets.iter().for_each(|secret| masker.add(secret));
        masker
    }

    fn in_pieces(masker: &Masker, text: &[u8], cuts: &[usize]) -> Vec<u8> {
        let (mut stream, mut out, mut from) = (masker.stream(), Vec::new(), 0);
        for cut in cuts.iter().copied().chain([text.len()]) {
            stream.write(&text[from..cut.max(from)], &mut out);
            from = cut.max(from);
        }
        stream.finish(&mut out);
        assert_eq!(stream.held(), 0);
        out
    }

    /// Looks for every form at every place: slow and plain.
    fn oracle(masker: &Masker, text: &[u8]) -> Vec<u8> {
        let mut hidden = vec![false; text.len() + 1];
        for form in masker.set().forms() {
            for at in 0..text.len() {
                if text[at..].starts_with(form.as_bytes()) {
                    hidden[at..at + form.len()].fill(true);
                }
            }
        }
        let mut out = Vec::new();
        for (i, byte) in text.iter().enumerate() {
            if !hidden[i] {
                out.push(*byte);
            } else if i == 0 || !hidden[i - 1] {
                out.extend_from_slice(STARS);
            }
        }
        out
    }

    #[test]
    fn overlapping_and_touching_secrets_become_one_mask() {
        let masker = masker(&["abcdef", "defghi"]);
        assert_eq!(masker.mask("xabcdefghiy"), "x***y");
        assert_eq!(masker.mask("xabcdefdefghiy"), "x***y");
        assert_eq!(masker.mask("abcdef defghi"), "*** ***");
    }

    #[test]
    fn a_longer_secret_wins_over_one_that_it_begins_with() {
        let masker = masker(&["pass", "password", "sword-fish"]);
        assert_eq!(masker.mask("a passwor password passwordpass x"), "a ***wor *** *** x");
        assert_eq!(masker.mask("password-fish"), "***");
    }

    #[test]
    fn short_values_are_masked_and_text_stays_text() {
        assert_eq!(masker(&["a"]).mask("banana"), "b***n***n***");
        assert_eq!(masker(&["ü"]).mask("grün Grüße"), "gr***n Gr***ße");
        assert_eq!(masker(&[" ", ""]).mask("a b"), "a b");
    }

    #[test]
    fn what_may_become_a_secret_is_held_and_a_whole_one_is_not() {
        let masker = masker(&["hunter2-secret"]);
        let (mut stream, mut out) = (masker.stream(), Vec::new());
        stream.write(b"the word is hunter2-", &mut out);
        assert_eq!((String::from_utf8_lossy(&out).as_ref(), stream.held()), ("the word is ", 8));
        stream.write(b"secret", &mut out);
        assert_eq!((String::from_utf8_lossy(&out).as_ref(), stream.held()), ("the word is ***", 0));
        stream.write(b"hunter2-secret.", &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "the word is ***.", "touching secrets join across writes");
    }

    #[test]
    fn a_secret_that_comes_later_hides_what_is_still_held() {
        let masker = masker(&["abcdefgh"]);
        let (mut stream, mut out) = (masker.stream(), Vec::new());
        stream.write(b"say abcd", &mut out);
        masker.add("abcd");
        stream.finish(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), "say ***");
        stream.write(b"abcd abcdefgh", &mut out);
        stream.finish(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), "say ****** ***", "the stream begins anew after finish");
    }

    #[test]
    fn values_registered_one_by_one_make_few_layers() {
        let masker = Masker::new();
        let (mut stream, mut out) = (masker.stream(), Vec::new());
        for n in 0..300 {
            masker.add(&format!("value-number-{n}-of-many"));
            stream.write(format!("value-number-{n}-of-many value-number-0-of-many;").as_bytes(), &mut out);
            let layers = masker.set().ready().len();
            assert!(layers <= 10, "{layers} layers after {n} values");
        }
        stream.finish(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), "*** ***;".repeat(300));
    }

    #[test]
    fn every_encoding_is_masked_in_a_text() {
        let masker = masker(&["p@ss\"wörd'&more<stuff>"]);
        for form in forms("p@ss\"wörd'&more<stuff>") {
            assert_eq!(masker.mask(&form), "***");
            assert!(masker.contains_secret(&format!("before {form} behind")));
        }
        assert!(!masker.contains_secret("p@ss"));
    }

    proptest! {
        #[test]
        fn any_split_gives_what_the_whole_gives(
            secrets in prop::collection::vec("[ab]{1,9}|[a-c]{4,6}|[a-e&\"'é\n]{3,12}", 1..6),
            text in prop::collection::vec(prop_oneof![4 => Just(b'a'), 4 => Just(b'b'), 2 => Just(b'c'), 1 => any::<u8>()], 0..200),
            planted in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..4),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            layered in 1_usize..9,
        ) {
            let masker = Masker::new();
            for (n, secret) in secrets.iter().enumerate() {
                masker.add(secret);
                // Those made ready one by one make several layers.
                if n % layered == 0 {
                    drop(masker.stream());
                }
            }
            let mut text = text;
            let known: Vec<String> = masker.set().forms().cloned().collect();
            for (form, at) in planted {
                if !known.is_empty() {
                    let at = at.index(text.len() + 1);
                    text.splice(at..at, form.get(&known).bytes());
                }
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.sort_unstable();
            let whole = oracle(&masker, &text);
            prop_assert_eq!(in_pieces(&masker, &text, &[]), whole.clone());
            prop_assert_eq!(in_pieces(&masker, &text, &cuts), whole.clone());
            let each: Vec<usize> = (0..text.len()).collect();
            prop_assert_eq!(in_pieces(&masker, &text, &each), whole);
        }

        #[test]
        fn nothing_that_may_become_a_secret_goes_out(
            secrets in prop::collection::vec("[ab]{2,9}", 1..5), text in "[abc]{0,60}",
        ) {
            let masker = masker(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
            let longest = masker.set().forms().map(String::len).max().unwrap_or(0);
            let (mut stream, mut out) = (masker.stream(), Vec::new());
            for (i, byte) in text.bytes().enumerate() {
                stream.write(&[byte], &mut out);
                prop_assert!(stream.held() < longest.max(1));
                let sent = &text.as_bytes()[..=i];
                for form in masker.set().forms() {
                    let open = (1..form.len()).rev().find(|n| sent.ends_with(&form.as_bytes()[..*n])).unwrap_or(0);
                    prop_assert!(stream.held() >= open, "{:?} holds {} of {:?}", form, stream.held(), sent);
                }
            }
        }
    }
}
