//! What a handler gives back.

use std::time::Duration;

use serde::Serialize;

use crate::{Error, Secret};

/// An answer. It commits whatever its status: what must last although the client is refused (a
/// nonce used up) is an answer with a status, not an [`Error`].
///
/// Without a status the host says 200 with data or warnings; without them 204, and 404 for read
/// and list.
#[derive(Debug, Default)]
pub struct Response {
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(String, String)>,
    /// A failure to serialize waits here for the end of the call.
    pub(crate) data: Option<Result<Vec<u8>, Error>>,
    pub(crate) secrets: Vec<(String, Secret)>,
    pub(crate) warnings: Vec<String>,
    pub(crate) lease: Option<Lease>,
    pub(crate) refresh_after: Option<Duration>,
    pub(crate) raw: Option<(String, Vec<u8>)>,
}

impl Response {
    /// Nothing to say: 204, or 404 for read and list.
    pub fn empty() -> Self {
        Self::default()
    }

    /// `data`, which serializes to a JSON object.
    pub fn data(data: impl Serialize) -> Self {
        let text = serde_json::to_vec(&data)
            .map_err(|error| Error::internal(format!("cannot serialize the answer: {error}")));
        Self {
            data: Some(text),
            ..Self::default()
        }
    }

    /// The text of a JSON object, taken as it is: what was stored as JSON goes out unparsed.
    pub fn json(text: impl Into<Vec<u8>>) -> Self {
        Self {
            data: Some(Ok(text.into())),
            ..Self::default()
        }
    }

    /// A body of this content type instead of the envelope: PEM, OCSP.
    pub fn raw(content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self {
            raw: Some((content_type.into(), body.into())),
            ..Self::default()
        }
    }

    /// With this status in place of the usual.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// With a header, if the host and the mount let it through.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a warning for the person who reads the answer.
    #[must_use]
    pub fn warning(mut self, text: impl Into<String>) -> Self {
        self.warnings.push(text.into());
        self
    }

    /// With a secret that the host writes as a string where the JSON `pointer` points in the data,
    /// such as `/password`. Its parent must be there.
    #[must_use]
    pub fn secret(mut self, pointer: impl Into<String>, secret: Secret) -> Self {
        self.secrets.push((pointer.into(), secret));
        self
    }

    /// With a lease: what was handed out ends.
    #[must_use]
    pub fn lease(mut self, lease: Lease) -> Self {
        self.lease = Some(lease);
        self
    }

    /// With the time after which clients should read again: `lease_duration` without a lease.
    #[must_use]
    pub fn refresh_after(mut self, duration: Duration) -> Self {
        self.refresh_after = Some(duration);
        self
    }
}

/// Terms of a credential that ends. The host clamps the times to the mount's and the system's.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The mount's default if none.
    pub ttl: Option<Duration>,
    /// The mount's maximum if none.
    pub max_ttl: Option<Duration>,
    /// Whether its holder may extend it.
    pub renewable: bool,
    /// What was leased, in the engine's words.
    pub kind: String,
    /// JSON that comes back with it at renewal and revocation; sealed in between.
    pub internal: serde_json::Value,
}
