//! `slipway serve`: webhooks, runs, a read-only API and a plain page.
