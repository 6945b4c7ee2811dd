//! The binary against recorded answers: what it asks, what it prints, how it exits.
//!
//! Each story is one golden text: the requests (`>`), stdout, stderr (`!`), the exit code. The answers are those of a Vault
//! server, so the texts are what Vault's own client prints for them, hints apart.

mod failures;
mod generic;
mod kv;
mod mounts;
mod operator;
mod policies_and_tokens;
mod prompts;
mod support;
mod transport;
