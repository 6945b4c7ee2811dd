//! Stories over HTTP, against the binary as it is shipped: a real process, a real file, a real
//! port. `cargo xtask test tests` builds it; so does `cargo build --release`.

mod support;

mod bad_input;
mod config;
mod faults;
// Memory and connections of the server are read from /proc.
#[cfg(target_os = "linux")]
mod hostile_http;
mod kill;
mod kv;
mod memory;
mod mounts;
mod policies;
mod seal;
mod token_roles;
mod tokens;
mod vaultrs;
mod wire;
mod wrapping;
