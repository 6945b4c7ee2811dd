//! What is asked of an engine.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::SecretBytes;

/// What a client wants done, in Vault's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// A write where nothing was; told apart from `Update` only on paths with an existence check.
    Create,
    /// GET.
    Read,
    /// Any other write.
    Update,
    /// PATCH with a JSON merge patch.
    Patch,
    /// DELETE.
    Delete,
    /// LIST, or GET with `list=true`.
    List,
    /// HEAD.
    Head,
}

impl Operation {
    /// The word for it, as policies and audit write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Read => "read",
            Operation::Update => "update",
            Operation::Patch => "patch",
            Operation::Delete => "delete",
            Operation::List => "list",
            Operation::Head => "head",
        }
    }

    /// Whether it brings data to write.
    pub fn is_write(self) -> bool {
        matches!(
            self,
            Operation::Create | Operation::Update | Operation::Patch
        )
    }
}

/// A random UUID that names one request in the answer, the log and the audit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(String);

impl RequestId {
    /// Makes a version 4 UUID from 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid(bytes))
    }

    /// The UUID's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn uuid(mut bytes: [u8; 16]) -> String {
    // Version 4, variant 1 (RFC 9562 section 5.4).
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for nibble in [byte >> 4, byte & 0x0f] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}

/// A mount's options, such as `version=2` of KV.
pub type Options = BTreeMap<String, String>;

/// The mount that a call runs on, as its engine sees it.
#[derive(Clone, Debug, Default)]
pub struct Mount {
    /// With a trailing `/`; those of auth methods begin with `auth/`.
    pub path: String,
    /// `<type>_<8 hex>`; stays when the mount moves.
    pub accessor: String,
    /// In effect: the mount's, or else the system's. Seconds.
    pub default_lease_ttl: u64,
    /// In effect. Seconds.
    pub max_lease_ttl: u64,
    /// As enabled and tuned.
    pub options: Options,
}

/// Who asks: never the token itself.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The identity's entity, where there is one.
    pub entity_id: Option<String>,
    /// Such as `userpass-alice`.
    pub display_name: String,
    /// Of the token.
    pub metadata: BTreeMap<String, String>,
}

/// The connection, known also where no token is.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// IP address, without port; none on a Unix socket.
    pub address: Option<String>,
    /// TLS client chain as shown, not yet trusted: leaf first, DER.
    pub certificates: Vec<Vec<u8>>,
}

/// A request after routing: what an engine is handed.
#[derive(Debug)]
pub struct EngineRequest {
    /// Names the request in logs.
    pub id: RequestId,
    /// What to do.
    pub operation: Operation,
    /// Below the mount, percent-decoded once.
    pub path: String,
    /// What the pattern of the path captured, by name.
    pub params: Vec<(String, String)>,
    /// The fields that were sent, coerced to their declared types; numbers keep their digits.
    pub data: Map<String, Value>,
    /// Fields declared `secret`, by name; they are not in `data`.
    pub secrets: Vec<(String, SecretBytes)>,
    /// Only headers that the operator passes through to this mount.
    pub headers: Vec<(String, String)>,
    /// The mount.
    pub mount: Mount,
    /// None on unauthenticated paths.
    pub caller: Option<Caller>,
    /// The connection.
    pub peer: Peer,
    /// Content type and body, on paths with [`crate::PathTrait::RawBody`].
    pub raw: Option<(String, Vec<u8>)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_a_version_4_uuid() {
        let id = RequestId::from_random([0xff; 16]);
        assert_eq!(id.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
