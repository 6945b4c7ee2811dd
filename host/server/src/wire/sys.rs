//! What the status routes take and say, outside the envelope: contract `10` section 1.

use serde::{Deserialize, Deserializer, Serialize};

/// The release of Vault whose API this is. Clients switch features on and off by it, so it names
/// neither ours nor an Enterprise one: contract `01` section 3.
pub(crate) const API_VERSION: &str = "1.18.5";

/// Shown beside the version. Fixed for each release, so that builds can be reproduced.
pub(crate) const BUILD_DATE: &str = "2026-01-01T00:00:00Z";

/// Of `GET sys/init`.
#[derive(Serialize)]
pub(crate) struct InitStatus {
    pub(crate) initialized: bool,
}

/// Of `PUT sys/init`. Numbers may come as text: command lines send them so.
#[derive(Deserialize)]
pub(crate) struct InitRequest {
    #[serde(default, deserialize_with = "count")]
    pub(crate) secret_shares: u64,
    #[serde(default, deserialize_with = "count")]
    pub(crate) secret_threshold: u64,
    #[serde(default)]
    pub(crate) pgp_keys: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) root_token_pgp_key: Option<String>,
    #[serde(default, deserialize_with = "count")]
    pub(crate) recovery_shares: u64,
    #[serde(default, deserialize_with = "count")]
    pub(crate) recovery_threshold: u64,
    #[serde(default)]
    pub(crate) recovery_pgp_keys: Option<Vec<String>>,
}

/// The answer to [`InitRequest`].
#[derive(Serialize)]
pub(crate) struct InitAnswer<'a> {
    pub(crate) keys: Vec<&'a str>,
    pub(crate) keys_base64: Vec<&'a str>,
    pub(crate) root_token: &'a str,
    /// Only with auto-unseal, as in Vault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) recovery_keys: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) recovery_keys_base64: Vec<&'a str>,
}

/// Of `PUT sys/unseal`.
#[derive(Deserialize)]
pub(crate) struct UnsealRequest {
    #[serde(default)]
    pub(crate) key: Option<String>,
    #[serde(default, deserialize_with = "switch")]
    pub(crate) reset: bool,
    #[serde(default, deserialize_with = "switch")]
    pub(crate) migrate: bool,
}

/// Of `GET sys/seal-status` and `PUT sys/unseal`.
#[derive(Serialize)]
pub(crate) struct SealStatus<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) initialized: bool,
    pub(crate) sealed: bool,
    pub(crate) t: u8,
    pub(crate) n: u8,
    pub(crate) progress: u8,
    pub(crate) nonce: &'a str,
    pub(crate) version: &'a str,
    pub(crate) build_date: &'a str,
    pub(crate) migration: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_id: Option<&'a str>,
    pub(crate) recovery_seal: bool,
    pub(crate) storage_type: &'a str,
}

/// Of `GET sys/health`.
#[derive(Serialize)]
pub(crate) struct Health<'a> {
    pub(crate) initialized: bool,
    pub(crate) sealed: bool,
    pub(crate) standby: bool,
    pub(crate) performance_standby: bool,
    pub(crate) replication_performance_mode: &'a str,
    pub(crate) replication_dr_mode: &'a str,
    pub(crate) server_time_utc: u64,
    pub(crate) version: &'a str,
    pub(crate) enterprise: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_id: Option<&'a str>,
    pub(crate) echo_duration_ms: u64,
    pub(crate) clock_skew_ms: u64,
    pub(crate) replication_primary_canary_age_ms: u64,
}

/// Of `GET sys/leader`: of one node, which is always in charge.
#[derive(Serialize)]
pub(crate) struct Leader {
    pub(crate) ha_enabled: bool,
    pub(crate) is_self: bool,
    pub(crate) active_time: &'static str,
    pub(crate) leader_address: &'static str,
    pub(crate) leader_cluster_address: &'static str,
    pub(crate) performance_standby: bool,
    pub(crate) performance_standby_last_remote_wal: u64,
}

impl Leader {
    /// Without other nodes.
    pub(crate) const ALONE: Leader = Leader {
        ha_enabled: false,
        is_self: false,
        // Go's zero time.
        active_time: "0001-01-01T00:00:00Z",
        leader_address: "",
        leader_cluster_address: "",
        performance_standby: false,
        performance_standby_last_remote_wal: 0,
    };
}

/// A count as a number or as text; null is none.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let wrong = || serde::de::Error::custom("expected a whole number");
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => Ok(0),
        serde_json::Value::Number(number) => number.as_u64().ok_or_else(wrong),
        serde_json::Value::String(text) if text.is_empty() => Ok(0),
        serde_json::Value::String(text) => text.parse().map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// True or false, also as text; null is false.
fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let wrong = || serde::de::Error::custom("expected true or false");
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => Ok(false),
        serde_json::Value::Bool(switch) => Ok(switch),
        serde_json::Value::String(text) => crate::request::switch(&text).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}
