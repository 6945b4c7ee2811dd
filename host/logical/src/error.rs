//! How a call ends when it does not answer.
//!
//! Three outcomes stay apart: an answer ([`crate::EngineResponse`]), a refusal that the engine
//! chose ([`Refusal`]), and everything else, which is the host's to log and a 5xx to the client.

/// The engine says no. The client sees the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400
    #[error("{0}")]
    InvalidRequest(String),
    /// 403
    #[error("{0}")]
    PermissionDenied(String),
    /// 404
    #[error("not found")]
    NotFound,
    /// 400, and a failed try for user lockout.
    #[error("{0}")]
    InvalidCredentials(String),
    /// 405
    #[error("unsupported operation")]
    UnsupportedOperation,
    /// 404: the engine has no such path.
    #[error("unsupported path")]
    UnsupportedPath,
    /// 429, with seconds to wait.
    #[error("rate limited")]
    RateLimited(Option<u64>),
    /// 502: a system outside refused or failed.
    #[error("{0}")]
    Upstream(String),
}

/// A call that came to no answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine chose it.
    #[error("refused")]
    Refused(#[source] Refusal),
    /// The engine says that it is at fault: for the log only.
    #[error("engine reported an internal error: {0}")]
    Internal(String),
    /// The guest trapped; its last lines on stderr, for the log only.
    #[error("engine trapped: {reason}")]
    Trapped {
        /// Which trap.
        reason: String,
        /// The tail of what it printed.
        stderr: String,
    },
    /// The guest ran over a limit of the host.
    #[error("engine ran over a limit: {0}")]
    OverLimit(String),
    /// No room for the call now; try again after this many seconds.
    #[error("engine is busy")]
    Busy {
        /// Seconds to wait.
        retry_after: u64,
    },
    /// What came back from the guest is not what the world allows.
    #[error("engine answered what it may not: {0}")]
    Malformed(String),
    /// The component cannot be loaded or linked; the text says why and what mends it.
    #[error("engine cannot be loaded: {0}")]
    Load(String),
    /// The host failed below the call.
    #[error("host failed under an engine")]
    Host(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<Refusal> for EngineError {
    fn from(refusal: Refusal) -> Self {
        EngineError::Refused(refusal)
    }
}

impl EngineError {
    /// A 400 with `text`.
    pub fn invalid(text: impl Into<String>) -> Self {
        EngineError::Refused(Refusal::InvalidRequest(text.into()))
    }
}
