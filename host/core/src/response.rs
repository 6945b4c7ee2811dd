//! What core answers, before the server puts it into Vault's JSON.

use serde_json::value::RawValue;

use host_logical::{RawBody, RequestId};

/// An answer to one request.
#[derive(Debug)]
pub struct Response {
    /// Of the request.
    pub request_id: RequestId,
    /// None: 200, or 204 without a body.
    pub status: Option<u16>,
    /// Already filtered.
    pub headers: Vec<(String, String)>,
    /// What there is to say.
    pub body: Body,
}

/// The forms of an answer.
#[derive(Debug)]
pub enum Body {
    /// 204, or the status with nothing.
    Empty,
    /// Vault's envelope.
    Envelope(Box<Envelope>),
    /// JSON outside the envelope: help, OpenAPI.
    Bare(Box<RawValue>),
    /// Not JSON.
    Raw(RawBody),
}

/// What stands in Vault's envelope beside the request id.
#[derive(Debug, Default)]
pub struct Envelope {
    /// Empty without a lease.
    pub lease_id: String,
    /// Of the lease.
    pub renewable: bool,
    /// Seconds.
    pub lease_duration: u64,
    /// A JSON object, or null.
    pub data: Option<Box<RawValue>>,
    /// Shown as null when empty.
    pub warnings: Vec<String>,
    /// A token that was made or renewed.
    pub auth: Option<Auth>,
    /// The type of the engine that answered.
    pub mount_type: String,
}

/// A token that was made or renewed.
#[derive(Clone)]
pub struct Auth {
    /// The token; empty where only its accessor was known.
    pub client_token: zeroize::Zeroizing<String>,
    /// Names the token without being it.
    pub accessor: String,
    /// All in force: sorted, each once.
    pub policies: Vec<String>,
    /// Those of the token itself.
    pub token_policies: Vec<String>,
    /// Those of its entity and groups.
    pub identity_policies: Vec<String>,
    /// Null when there is none.
    pub metadata: Option<std::collections::BTreeMap<String, String>>,
    /// Seconds left; 0 never ends.
    pub lease_duration: u64,
    /// Whether the token may be renewed.
    pub renewable: bool,
    /// Empty when there is none.
    pub entity_id: String,
    /// `service` or `batch`.
    pub token_type: &'static str,
    /// Without a parent.
    pub orphan: bool,
    /// Uses left; 0 is without limit.
    pub num_uses: u32,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("accessor", &self.accessor)
            .finish_non_exhaustive()
    }
}
