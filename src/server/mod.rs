//! `slipway serve`: webhooks, runs, a read-only API and a plain page.
//!
//! ```text
//! forge ──POST /hooks/NAME──▶ hooks ──▶ inbox (on disk) ──202──▶ forge
//!                                         │
//!                                       worker ── clone ── trust ──▶ launcher (floor 8) ──▶ runs
//! people ──▶ pages, api ◀── store, logs                                  │
//! forge ◀── statuses ◀────────────────────────────────────────────────────┘
//! ```
//!
//! What a run needs of the edge (planning, driving) comes by a trait; nothing here knows the command line.

pub mod app;
pub mod config;
pub mod hooks;
pub mod listen;
