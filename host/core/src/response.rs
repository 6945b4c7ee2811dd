//! What core answers, before the server puts it into Vault's JSON.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use host_logical::{RawBody, RequestId};

use crate::clock::rfc3339;

/// An answer to one request.
#[derive(Debug, Serialize, Deserialize)]
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
#[derive(Debug, Serialize, Deserialize)]
pub enum Body {
    /// 204, or the status with nothing.
    Empty,
    /// Vault's envelope.
    Envelope(Box<Envelope>),
    /// JSON outside the envelope: help, OpenAPI.
    Bare(Box<RawValue>),
    /// Not JSON.
    #[serde(with = "raw_body")]
    Raw(RawBody),
}

/// What stands in Vault's envelope beside the request id.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Envelope {
    /// Empty without a lease.
    pub lease_id: String,
    /// Of the lease.
    pub renewable: bool,
    /// Seconds.
    pub lease_duration: u64,
    /// A JSON object, or null.
    pub data: Option<Box<RawValue>>,
    /// Where the answer lies, if it was wrapped.
    #[serde(skip)]
    pub wrap_info: Option<WrapInfo>,
    /// Shown as null when empty.
    pub warnings: Vec<String>,
    /// A token that was made or renewed.
    pub auth: Option<Auth>,
    /// The type of the engine that answered.
    pub mount_type: String,
}

/// A token that was made or renewed.
#[derive(Clone, Serialize, Deserialize)]
pub struct Auth {
    /// The token; empty where only its accessor was known.
    #[serde(with = "secret_text")]
    pub client_token: Zeroizing<String>,
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
    /// Whether it is kept.
    pub token_type: TokenType,
    /// Without a parent.
    pub orphan: bool,
    /// Uses left; 0 is without limit.
    pub num_uses: u32,
}

/// Whether the host keeps a record of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// It does.
    Service,
}

impl TokenType {
    /// Vault's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
        }
    }
}

/// Where a wrapped answer lies.
pub struct WrapInfo {
    /// Who has it gets the answer, once.
    pub token: Zeroizing<String>,
    /// Names the token without being it.
    pub accessor: String,
    /// Seconds that the answer is kept.
    pub ttl: u64,
    /// When it was wrapped, in milliseconds since 1970.
    pub creation_millis: u64,
    /// Of the request that was answered.
    pub creation_path: String,
    /// Of the token in the answer, if there is one.
    pub wrapped_accessor: Option<String>,
}

impl WrapInfo {
    /// When it was wrapped, as Vault writes times.
    pub fn creation_time(&self) -> String {
        rfc3339(self.creation_millis)
    }
}

impl std::fmt::Debug for WrapInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WrapInfo")
            .field("accessor", &self.accessor)
            .finish_non_exhaustive()
    }
}

/// A body in records: its type, and its bytes in base64.
mod raw_body {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use host_logical::RawBody;

    pub(super) fn serialize<S: Serializer>(raw: &RawBody, to: S) -> Result<S::Ok, S::Error> {
        (&raw.content_type, STANDARD.encode(&raw.body)).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RawBody, D::Error> {
        let (content_type, body) = <(String, String)>::deserialize(from)?;
        let body = STANDARD.decode(body).map_err(D::Error::custom)?;
        Ok(RawBody { content_type, body })
    }
}

/// A text that is wiped, in records.
mod secret_text {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(
        text: &Zeroizing<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(deserializer).map(Zeroizing::new)
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("accessor", &self.accessor)
            .finish_non_exhaustive()
    }
}
