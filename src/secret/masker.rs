//! Streaming masker.

use std::sync::Arc;

/// The set of what is masked; cheap to clone; grows while a run goes on (`::add-mask::`).
#[derive(Clone, Default)]
pub struct Masker {
    inner: Arc<std::sync::RwLock<Vec<String>>>,
}

impl Masker {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a secret in all its forms; blank values are ignored. Streams see it from their next write on.
    pub fn add(&self, secret: &str) {
        let _ = (&self.inner, secret);
    }

    /// `text` with every secret replaced by `***`.
    pub fn mask(&self, text: &str) -> String {
        text.to_owned()
    }

    /// Whether `text` holds a secret.
    pub fn contains_secret(&self, text: &str) -> bool {
        let _ = text;
        false
    }

    /// A stream over which secrets are masked whatever the split.
    pub fn stream(&self) -> MaskStream {
        MaskStream { masker: self.clone() }
    }
}

/// Masks one stream of bytes; holds back what may be the beginning of a secret.
pub struct MaskStream {
    #[expect(dead_code, reason = "the skeleton")]
    masker: Masker,
}

impl MaskStream {
    /// Takes bytes in and appends what is certain to `out`.
    pub fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
    }

    /// How many input bytes are held back.
    pub fn held(&self) -> usize {
        0
    }

    /// Nothing more comes: appends the rest. The stream can be used again as new.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }
}
