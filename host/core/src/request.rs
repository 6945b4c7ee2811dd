//! A request as it comes from a client, before anything about it is known.

use std::any::Any;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use host_logical::{Operation, Peer, RequestId, RequestPath};

/// What the server made of an HTTP request.
pub struct Request {
    /// Drawn by the server.
    pub id: RequestId,
    /// A POST or PUT comes as `Update`; core finds out whether it creates.
    pub operation: Operation,
    /// Below `/v1/`. That of a LIST ends in `/`.
    pub path: RequestPath,
    /// The body of a write, or the query of anything else.
    pub data: Map<String, Value>,
    /// Content type and body as they came, for paths whose body need not be JSON.
    pub raw: Option<(String, Vec<u8>)>,
    /// `X-Vault-Token`, or the bearer.
    pub token: Option<ClientToken>,
    /// `X-Vault-Wrap-TTL`, in seconds.
    pub wrap_ttl: Option<u64>,
    /// Other headers, lower-cased names; a mount sees those that its operator passes through.
    pub headers: Vec<(String, String)>,
    /// The connection.
    pub peer: Peer,
    /// Kept until the request has come to its end, also where nobody waits for that any more: what the server
    /// counts for its data.
    pub held: Option<Box<dyn Any + Send + Sync>>,
}

/// A token as a client sent it: never compared, stored or printed, only hashed.
#[derive(Clone)]
pub struct ClientToken(Zeroizing<String>);

impl ClientToken {
    /// The longest text that is looked at. Ours have 28 characters; Vault's own reach 200, and
    /// operators may choose ids of their own.
    pub const MAX_BYTES: usize = 1024;

    /// Takes the text of a header. None if it cannot be a token.
    pub fn parse(raw: &str) -> Option<Self> {
        let raw = raw.trim();
        let fits = !raw.is_empty() && raw.len() <= Self::MAX_BYTES;
        let plain = raw.bytes().all(|b| b.is_ascii_graphic());
        (fits && plain).then(|| Self(Zeroizing::new(raw.to_owned())))
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ClientToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientToken")
    }
}
