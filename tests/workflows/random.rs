//! No bytes and no mutation of a real file make the reader panic, and every span it names lies within the text.

use proptest::prelude::*;

use crate::{files, ground, read};

fn holds(text: &str) {
    let (pipeline, diagnostics) = read("random.yml", text);
    assert_eq!(pipeline.is_none(), diagnostics.has_errors());
    for diagnostic in &diagnostics.list {
        let spans = diagnostic.related.iter().map(|related| related.span).chain([diagnostic.span]);
        for span in spans {
            assert!(span.start <= span.end, "{diagnostic:?}");
            assert!(span.start as usize <= text.len(), "{diagnostic:?} in {text:?}");
        }
    }
}

/// Pieces that mean something, so that chance comes further than the first character.
fn pieces() -> impl Strategy<Value = String> {
    let words = vec![
        "on: push\n",
        "jobs:\n",
        "stages:\n",
        "  a:\n",
        "  b: ",
        "    needs: a\n",
        "    run: x\n",
        "- ",
        "  ",
        "\n",
        "{",
        "}",
        "[",
        "]",
        "${{ ",
        " }}",
        "github.ref",
        "always()",
        "'",
        "\"",
        ": ",
        "&a ",
        "*a",
        "!!int ",
        "!x ",
        "|\n",
        ">-\n",
        "# c\n",
        "if: ",
        "\t",
        "matrix: ",
        "strategy:\n",
        "include",
        "~",
        "1e999",
        "\u{feff}",
        "\u{e9}",
        "\0",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "<<: ",
        "? ",
        "retry: ",
        "steps:\n",
        "uses: ",
        "deploy: ",
        "env: ",
        "${{ insert }}: ",
    ];
    prop::collection::vec(prop::sample::select(words), 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text_never_panics(text in "\\PC{0,200}") {
        holds(&text);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        match slipway::model::decode("random.yml", bytes) {
            Ok(source) => holds(&source.text),
            Err(diagnostics) => prop_assert!(diagnostics.has_errors()),
        }
    }

    #[test]
    fn random_pieces_never_panic(text in pieces()) {
        holds(&text);
    }
}

#[test]
fn mutated_files_never_panic() {
    let (Some(corpus), Some(language)) = (ground("corpus/workflows"), ground("language")) else { return };
    // A fixed generator: each run tries the same mutations.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound.max(1) as u64) as usize
    };
    for (_, text) in files(corpus).into_iter().chain(files(language)) {
        let text = text.split("\n---").nth(1).map_or(text.clone(), str::to_owned);
        for _ in 0..20 {
            let mut chars: Vec<char> = text.chars().collect();
            for _ in 0..1 + next(4) {
                let at = next(chars.len());
                match next(4) {
                    0 => drop(chars.drain(at..(at + 1 + next(8)).min(chars.len()))),
                    1 => chars.insert(at, [':', '\n', '{', '[', '"', '\'', '&', '*', '-', '\t', '$', '}'][next(12)]),
                    2 => chars.truncate(at),
                    _ => {
                        let piece: Vec<char> = chars[at..(at + next(20)).min(chars.len())].to_vec();
                        let to = next(chars.len());
                        chars.splice(to..to, piece);
                    }
                }
                if chars.is_empty() {
                    break;
                }
            }
            holds(&chars.into_iter().collect::<String>());
        }
    }
}
