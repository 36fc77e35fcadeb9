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
}
