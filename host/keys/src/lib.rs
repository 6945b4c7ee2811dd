//! What the imports of an engine need of cryptography. Knows `host-logical` only: it is handed a
//! key for each mount and cannot name the barrier that the key came from.
//!
//! Now: custody of plaintext ([`MountSecrets`]). Named keys and password hashing join it with the
//! engines that need them.

mod limits;
mod secret;

pub use secret::{KeySource, MountSecrets, RandomSource};
