//! How a call fails, and who reads of it.

use std::time::Duration;

/// What every handler returns.
pub type Answer = Result<crate::Response, Error>;

/// How a call fails: nothing that it wrote is kept. The client sees the text, but for
/// [`Internal`](Error::Internal).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
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
    /// 429, with the time after which to try again.
    #[error("rate limited")]
    RateLimited(Option<Duration>),
    /// 502: a system outside refused or failed.
    #[error("{0}")]
    Upstream(String),
    /// 500: for the server's log only, under the request's id. Put no secret in it.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// The request is at fault; the client sees `text` with a 400.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::InvalidRequest(text.into())
    }

    /// The engine or its data is at fault; the server's log has `text`, the client does not.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::Internal(text.into())
    }
}

/// What storage refuses. `?` makes an [`Error`] of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// An empty, `.` or `..` segment, or a key that is too long.
    #[error("{0}")]
    InvalidKey(String),
    /// The value, or all writes of this call, exceed this many bytes.
    #[error("put failed due to value being too large; the limit is {0} bytes")]
    TooLarge(u64),
    /// An existence check only reads.
    #[error("an existence check may not write")]
    ReadOnly,
}

/// Keys and values come from requests, so the client is told what is wrong with them.
impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::InvalidKey(_) | StorageError::TooLarge(_) => {
                Self::InvalidRequest(error.to_string())
            }
            StorageError::ReadOnly => Self::Internal(error.to_string()),
        }
    }
}
