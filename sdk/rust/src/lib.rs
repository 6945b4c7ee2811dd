//! Write a Coffer engine in Rust.
