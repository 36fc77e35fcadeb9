//! The state of a run: a fold of its events with legal transitions only.
