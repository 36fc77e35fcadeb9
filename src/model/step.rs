//! A step.

use crate::span::{Span, Spanned};

use super::{Condition, Data, EnvMap, Late, Text};

/// One of `steps:`.
#[derive(Debug, Clone)]
pub struct Step {
    /// `id:`; unique in the job without regard to case.
    pub id: Option<Spanned<String>>,
    /// `name:`.
    pub name: Option<Text>,
    /// `if:`.
    pub condition: Option<Condition>,
    /// `env:`.
    pub env: EnvMap,
    /// What it does.
    pub action: StepAction,
    /// `continue-on-error:`.
    pub continue_on_error: Option<Late<bool>>,
    /// `timeout-minutes:`.
    pub timeout_minutes: Option<Late<f64>>,
    /// Where the step stands.
    pub span: Span,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum StepAction {
    /// `run:`.
    Run {
        /// The script.
        script: Text,
        /// `shell:`.
        shell: Option<Text>,
        /// `working-directory:`.
        working_directory: Option<Text>,
    },
    /// `uses:`.
    Uses {
        /// The action.
        uses: Spanned<String>,
        /// `with:` in file order.
        with: Vec<(Spanned<String>, Data)>,
    },
    /// The typed key of a stage, which is its one step. The settings stand in [`super::Job::typed`].
    Task {
        /// The key: `scan`, `deploy`, ...
        key: String,
    },
}

impl StepAction {
    /// Whether it is `actions/checkout` in any version, which Slipway does itself.
    pub fn is_checkout(&self) -> bool {
        let StepAction::Uses { uses, .. } = self else { return false };
        uses.value.split('@').next().is_some_and(|name| name.eq_ignore_ascii_case("actions/checkout"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(text: &str) -> StepAction {
        StepAction::Uses { uses: Spanned::new(text.to_owned(), Span::default()), with: Vec::new() }
    }

    #[test]
    fn any_version_of_checkout_is_known() {
        assert!(uses("actions/checkout@v4").is_checkout());
        assert!(uses("Actions/Checkout@8e5e7e5ab8b370d6c329ec480221332ada57f0ab").is_checkout());
        assert!(!uses("actions/checkout-more@v4").is_checkout());
    }
}
