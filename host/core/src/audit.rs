//! Audit: the place where every request and every answer is written down before it takes effect.
//!
//! No device exists yet, so writing succeeds with nothing written; the proofs are in force
//! already. [`Audited`] is made here only, and nothing reaches an engine without it.

use crate::authorize::Authorized;

/// Proof that a request was written to at least one device, or that there is none.
pub(crate) struct Audited(());

/// The devices.
#[derive(Default)]
pub(crate) struct Broker;

impl Broker {
    /// Before the engine runs.
    pub(crate) fn request(&self, _authorized: &Authorized) -> Audited {
        Audited(())
    }
}
