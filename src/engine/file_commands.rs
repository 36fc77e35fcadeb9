//! File commands (`GITHUB_OUTPUT`, `GITHUB_ENV`, `GITHUB_PATH`): runners.md 3.8.
