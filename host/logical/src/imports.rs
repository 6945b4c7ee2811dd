//! What the host offers an engine beside storage. A capability that is not granted is absent
//! from [`Imports`], not refused.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Mount, RequestId, SecretBytes, Storage};

/// All that one call can reach.
#[derive(Clone)]
pub struct Imports {
    /// Of the request that the call serves: ties a log line to it.
    pub request_id: RequestId,
    /// The mount.
    pub mount: Arc<Mount>,
    /// The mount's records, in the transaction of the call.
    pub storage: Arc<dyn Storage>,
    /// Time and chance.
    pub ambient: Arc<dyn Ambient>,
    /// Custody of plaintext.
    pub secrets: Arc<dyn Secrets>,
    /// What the call may use up.
    pub limits: CallLimits,
}

/// What a call may use up, as the operator granted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Wall time of the whole call, waiting included.
    pub wall: Duration,
    /// Time of the guest's own computing.
    pub compute: Duration,
    /// Linear memory.
    pub memory_bytes: usize,
}

/// Time and chance, as arguments, so that a call can be replayed.
#[async_trait]
pub trait Ambient: Send + Sync {
    /// Milliseconds since 1970 at which the call began; stands still within it.
    fn now_millis(&self) -> u64;

    /// Fills `buf` from the system's generator.
    fn fill_random(&self, buf: &mut [u8]);

    /// Waits; the caller keeps to the deadline of the call.
    async fn sleep(&self, duration: Duration);
}

/// Custody of plaintext for one mount.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// A password after the named password policy, or the host's default.
    async fn generate_password(&self, policy: Option<&str>) -> Result<SecretBytes, SecretsError>;

    /// `length` random characters of `[0-9A-Za-z]`.
    fn generate_token(&self, length: u32) -> Result<SecretBytes, SecretsError>;

    /// Sealed form for storage; opens again only in this mount, with the same `context`.
    fn seal(&self, secret: &SecretBytes, context: &str) -> Result<Vec<u8>, SecretsError>;

    /// What `seal` sealed.
    fn unseal(&self, sealed: &[u8], context: &str) -> Result<SecretBytes, SecretsError>;
}

/// Why custody failed.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// No password policy has this name.
    #[error("no password policy named {0:?}")]
    NoSuchPolicy(String),
    /// More than a secret may hold.
    #[error("a secret is at most {0} bytes")]
    TooLong(usize),
    /// Sealed elsewhere, with another context, or damaged.
    #[error("sealed secret does not open here")]
    DoesNotOpen,
    /// The host's fault: it ends the call, and no engine sees it.
    #[error("custody failed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}
