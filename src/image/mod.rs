//! Container images: what `build` does.
