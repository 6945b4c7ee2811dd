//! Why a request was not served. The server alone knows which status and words each becomes.

use host_barrier::BarrierError;
use host_logical::{EngineError, Refusal};

/// A request that was not served.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// No key in memory: nothing but the status routes answers.
    #[error("sealed")]
    Sealed,
    /// A path that needs a token came without one.
    #[error("no token was sent")]
    NoToken,
    /// Unknown, expired or revoked: a stranger is not told which.
    #[error("the token is not valid")]
    InvalidToken,
    /// The policies do not allow it, whether or not there is something at the path.
    #[error("permission denied")]
    Denied,
    /// A login path, or one that checks the token itself, says no: without Vault's list around it.
    #[error("{0}")]
    DeniedPlain(String),
    /// No mount serves the path.
    #[error("no handler for route {path:?}")]
    NoMount {
        /// As asked.
        path: String,
    },
    /// The engine chose to refuse. `plain` where Vault shows the bare text: on login paths.
    #[error("refused")]
    Refused {
        /// What the engine said.
        #[source]
        refusal: Refusal,
        /// Unauthenticated path: the text is not put into a list.
        plain: bool,
    },
    /// What was sent cannot be taken; the text says why.
    #[error("{0}")]
    Invalid(String),
    /// As [`HandleError::Invalid`], where Vault shows the text in a list of one.
    #[error("{0}")]
    InvalidListed(String),
    /// What is asked for is part of Vault's API that this server does not have (yet).
    #[error("{0}")]
    NotOffered(String),
    /// What this call read has changed: it runs again. Seen by callers of core never.
    #[error("what the call read has changed")]
    Conflict,
    /// Others kept changing what this call read, again and again.
    #[error("the records this call needs are contended")]
    Contended,
    /// No room now; seconds to wait.
    #[error("busy")]
    Busy {
        /// Seconds.
        retry_after: u64,
    },
    /// The engine failed: a trap, a limit, nonsense.
    #[error("the engine at {mount} failed")]
    Engine {
        /// Where it is mounted.
        mount: String,
        /// For the log.
        #[source]
        source: EngineError,
    },
    /// The disk failed: it is full, read-only, or broken.
    #[error("the storage failed")]
    Storage {
        /// Whether what was asked for is known not to be written.
        nothing_written: bool,
        /// For the log; what the disk said is in it.
        #[source]
        source: BarrierError,
    },
    /// The host failed.
    #[error("the host failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl HandleError {
    pub(crate) fn internal(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        HandleError::Internal(Box::new(source))
    }
}

impl From<BarrierError> for HandleError {
    fn from(source: BarrierError) -> Self {
        match source {
            BarrierError::Sealed => HandleError::Sealed,
            source @ BarrierError::Io(_) => HandleError::Storage {
                nothing_written: true,
                source,
            },
            source @ BarrierError::IoUnknown(_) => HandleError::Storage {
                nothing_written: false,
                source,
            },
            source => HandleError::internal(source),
        }
    }
}

impl From<Refusal> for HandleError {
    fn from(refusal: Refusal) -> Self {
        HandleError::Refused {
            refusal,
            plain: false,
        }
    }
}
