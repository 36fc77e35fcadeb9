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

pub mod access;
pub mod api;
pub mod app;
pub mod config;
pub mod hooks;
pub mod html;
pub mod intake;
pub mod keeper;
pub mod launch;
pub mod listen;
pub mod origin;
pub mod pages;
pub mod refusal;
pub mod status;
pub mod view;
pub mod worker;
