//! The forms of all secrets, made ready for searching in few layers.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::secret::automaton::Automaton;

/// What a stream searches with.
pub type Automata = Arc<[Arc<Automaton>]>;

/// A growing set of forms. Each layer is more than twice as large as the next, so a step that registers values one by one
/// pays for each form a few times only, and there are few layers to search.
#[derive(Default)]
pub struct Layers {
    forms: BTreeSet<String>,
    /// Forms that no layer has yet.
    fresh: Vec<String>,
    layers: Vec<Layer>,
    automata: Automata,
}

/// Forms that were made ready together.
struct Layer {
    forms: Vec<String>,
    bytes: usize,
    automaton: Arc<Automaton>,
}

impl Layers {
    /// Adds forms; says whether any is new.
    pub fn extend(&mut self, forms: Vec<String>) -> bool {
        let before = self.fresh.len();
        for form in forms {
            if self.forms.insert(form.clone()) {
                self.fresh.push(form);
            }
        }
        self.fresh.len() > before
    }

    /// What finds all forms; makes ready what is fresh, together with the layers that are not much larger.
    pub fn ready(&mut self) -> Automata {
        if !self.fresh.is_empty() {
            let mut forms = std::mem::take(&mut self.fresh);
            let mut bytes: usize = forms.iter().map(String::len).sum();
            while let Some(layer) = self.layers.pop_if(|layer| layer.bytes <= 2 * bytes) {
                bytes += layer.bytes;
                forms.extend(layer.forms);
            }
            if let Some(automaton) = Automaton::new(&forms).map(Arc::new) {
                self.layers.push(Layer { forms, bytes, automaton });
            }
            self.automata = self.layers.iter().map(|layer| Arc::clone(&layer.automaton)).collect();
        }
        Arc::clone(&self.automata)
    }

    /// Every form.
    #[cfg(test)]
    pub fn forms(&self) -> impl Iterator<Item = &String> {
        self.forms.iter()
    }
}
