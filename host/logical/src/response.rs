//! What an engine answers.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::SecretBytes;

/// An answer commits whatever its status.
#[derive(Debug, Default)]
pub struct EngineResponse {
    /// None: 200 with data or warnings; without them 204, and 404 for read, list and head.
    pub status: Option<u16>,
    /// Let through by the host's list and the mount's `allowed_response_headers` only.
    pub headers: Vec<(String, String)>,
    /// A JSON object, kept as text: a read that splices stored JSON is not parsed on its way out.
    pub data: Option<Box<RawValue>>,
    /// JSON pointers into `data`, and the secret that the host writes there.
    pub secrets: Vec<(String, SecretBytes)>,
    /// Shown to the client.
    pub warnings: Vec<String>,
    /// Wanted, not yet granted.
    pub lease: Option<LeaseWanted>,
    /// Without a lease: shown as `lease_duration`. Seconds.
    pub refresh_after: Option<u64>,
    /// A login that succeeded.
    pub auth: Option<AuthGrant>,
    /// An answer that is not the envelope.
    pub raw: Option<RawBody>,
}

/// A body outside Vault's envelope: PEM, OCSP, ACME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawBody {
    /// The `Content-Type`.
    pub content_type: String,
    /// The bytes as they leave.
    pub body: Vec<u8>,
}

/// A credential that ends; the host clamps the times and registers the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseWanted {
    /// Seconds; none is the mount's default.
    pub ttl: Option<u64>,
    /// Seconds; none is the mount's.
    pub max_ttl: Option<u64>,
    /// Whether clients may renew it.
    pub renewable: bool,
    /// Which of the engine's kinds of secret it is.
    pub kind: String,
    /// JSON text, handed back to renew and revoke.
    pub internal: Vec<u8>,
}

/// A login that succeeded; the host makes the token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthGrant {
    /// Of the token, after the mount's name.
    pub display_name: String,
    /// Unique name of the identity within this mount.
    pub alias: String,
    /// Kept with the alias.
    pub alias_metadata: BTreeMap<String, String>,
    /// External groups.
    pub group_aliases: Vec<String>,
    /// Of the token.
    pub metadata: BTreeMap<String, String>,
    /// Of the token, without `default`.
    pub policies: Vec<String>,
    /// Leaves `default` out.
    pub no_default_policy: bool,
    /// Seconds.
    pub ttl: Option<u64>,
    /// Seconds.
    pub max_ttl: Option<u64>,
    /// Seconds.
    pub explicit_max_ttl: Option<u64>,
    /// Seconds.
    pub period: Option<u64>,
    /// 0 is without limit.
    pub num_uses: u32,
    /// Where the token may be used from.
    pub bound_cidrs: Vec<String>,
    /// `service`, `batch` or `default`.
    pub token_type: String,
    /// Whether the token may be renewed.
    pub renewable: bool,
    /// JSON text, handed back when the login is renewed.
    pub internal: Vec<u8>,
}
