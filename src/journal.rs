//! The record format of the journal: versioned JSON, with golden files of old forms.
