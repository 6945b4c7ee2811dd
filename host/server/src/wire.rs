//! Vault's JSON as it stands on the wire: the envelope and the error body. No logic.
//!
//! Keys come in the contract's order and all are always there, null when unused: strict clients
//! count on them. `sys` has what the status routes say outside the envelope.

pub(crate) mod sys;

use std::collections::BTreeMap;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The body of almost every 200.
#[derive(Serialize)]
pub(crate) struct Envelope<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) lease_id: &'a str,
    pub(crate) renewable: bool,
    pub(crate) lease_duration: u64,
    /// Written as it is: what an engine's storage gave is not parsed on its way out.
    pub(crate) data: Option<&'a RawValue>,
    pub(crate) wrap_info: Option<WrapInfo<'a>>,
    pub(crate) warnings: Option<&'a [String]>,
    pub(crate) auth: Option<Auth<'a>>,
    pub(crate) mount_type: &'a str,
}

/// Names in the envelope: a key of `data` with one of them is not copied beside it.
pub(crate) const ENVELOPE_KEYS: [&str; 9] = [
    "request_id",
    "lease_id",
    "renewable",
    "lease_duration",
    "data",
    "wrap_info",
    "warnings",
    "auth",
    "mount_type",
];

/// Where the wrapped answer lies.
#[derive(Serialize)]
pub(crate) struct WrapInfo<'a> {
    pub(crate) token: &'a str,
    pub(crate) accessor: &'a str,
    pub(crate) ttl: u64,
    pub(crate) creation_time: &'a str,
    pub(crate) creation_path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wrapped_accessor: Option<&'a str>,
}

/// A token that was made or renewed.
#[derive(Serialize)]
pub(crate) struct Auth<'a> {
    pub(crate) client_token: &'a str,
    pub(crate) accessor: &'a str,
    pub(crate) policies: &'a [String],
    pub(crate) token_policies: &'a [String],
    pub(crate) identity_policies: &'a [String],
    pub(crate) metadata: Option<&'a BTreeMap<String, String>>,
    pub(crate) lease_duration: u64,
    pub(crate) renewable: bool,
    pub(crate) entity_id: &'a str,
    pub(crate) token_type: &'a str,
    pub(crate) orphan: bool,
    /// Always null: logins with a second factor are not offered.
    pub(crate) mfa_requirement: Option<()>,
    pub(crate) num_uses: u32,
}

/// The body of every error.
#[derive(Serialize)]
pub(crate) struct Errors<'a> {
    pub(crate) errors: &'a [&'a str],
}

/// The paths, without a trailing slash, whose `data` is also written at the top level, for old
/// clients: contract `00` section 5.4. `…/` stands for everything below.
const INJECTED: &[&str] = &[
    "sys/audit",
    "sys/audit/…",
    "sys/audit-hash/…",
    "sys/auth",
    "sys/auth/…",
    "sys/config/cors",
    "sys/config/auditing/request-headers",
    "sys/config/auditing/request-headers/…",
    "sys/capabilities",
    "sys/capabilities-accessor",
    "sys/capabilities-self",
    "sys/ha-status",
    "sys/key-status",
    "sys/mounts",
    "sys/mounts/…",
    "sys/policy",
    "sys/policy/…",
    "sys/rekey/backup",
    "sys/rekey/recovery-key-backup",
    "sys/rotate/root/backup",
    "sys/rotate/recovery/backup",
    "sys/remount",
    "sys/rotate",
    "sys/rotate/keyring",
    "sys/wrapping/wrap",
];

/// Whether the answer of `path` has its data at the top level too.
pub(crate) fn is_injected(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.starts_with("sys/")
        && INJECTED.iter().any(|known| match known.strip_suffix('…') {
            Some(folder) => path.starts_with(folder),
            None => path == *known,
        })
}

/// The members of a JSON object in their order, values as they stand in the text.
pub(crate) struct Members<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_sys_paths_have_their_data_at_the_top_level_too() {
        for (path, expected) in [
            ("sys/mounts", true),
            ("sys/mounts/", true),
            ("sys/mounts/secret/tune", true),
            ("sys/policy/dev", true),
            ("sys/policies/acl", false),
            ("sys/policies/acl/dev", false),
            ("sys/audit", true),
            ("sys/audit-hash/file", true),
            ("sys/auditor", false),
            ("sys/capabilities-self", true),
            ("sys/rotate/config", false),
            ("secret/sys/mounts", false),
            ("sys/leases/lookup", false),
        ] {
            assert_eq!(is_injected(path), expected, "{path}");
        }
    }
}
