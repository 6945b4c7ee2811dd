//! Mounts as `secrets list` and `auth list` show them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::client::{Call, Client};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::table;

/// What the two lists differ in.
pub(super) struct Listing {
    /// The path of the API.
    pub(super) path: &'static str,
    /// What went wrong if it did.
    pub(super) error: &'static str,
    /// The short table's columns, beside path, type and accessor.
    pub(super) has_version: bool,
    /// The column that only one of the two has.
    pub(super) own_column: OwnColumn,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnColumn {
    ForceNoCache,
    TokenType,
}

/// A mount, its fields in the order in which Vault's client prints them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Mount {
    uuid: String,
    r#type: String,
    description: String,
    accessor: String,
    config: MountConfig,
    options: Option<BTreeMap<String, String>>,
    local: bool,
    seal_wrap: bool,
    external_entropy_access: bool,
    plugin_version: String,
    running_plugin_version: String,
    running_sha256: String,
    deprecation_status: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct MountConfig {
    default_lease_ttl: i64,
    max_lease_ttl: i64,
    force_no_cache: bool,
    /// Whatever else is set: `listing_visibility`, `token_type`, `audit_non_hmac_request_keys` and more.
    #[serde(flatten)]
    others: Map<String, Value>,
}

pub(super) fn list(ctx: &mut Context, listing: &Listing, detailed: bool) -> Result<Exit, Failure> {
    let mounts = fetch(&mut ctx.client()?, listing)?;
    if !ctx.is_table() {
        ctx.console.data(&mounts)?;
        return Ok(Exit::Ok);
    }
    let (header, rows) = if detailed {
        detailed_rows(&mounts, listing.own_column)
    } else {
        rows(&mounts, listing.has_version)
    };
    ctx.console.line(&table::table(&header, &rows))?;
    Ok(Exit::Ok)
}

fn fetch(client: &mut Client, listing: &Listing) -> Result<BTreeMap<String, Mount>, Failure> {
    let found = client
        .write(Call::get(listing.path))
        .map_err(|err| err.while_doing(listing.error))?;
    let data = found
        .secret()
        .and_then(|secret| secret.data)
        .filter(|data| !data.is_empty());
    let data = data.ok_or_else(|| {
        Failure::remote(format!(
            "{}: data from server response is empty",
            listing.error
        ))
    })?;
    serde_json::from_value(Value::Object(data))
        .map_err(|err| Failure::remote(format!("{}: {err}", listing.error)))
}

fn rows(
    mounts: &BTreeMap<String, Mount>,
    has_version: bool,
) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let mut header = vec!["Path", "Type", "Accessor", "Description"];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (path, mount) in mounts {
        let mut row = vec![
            path.clone(),
            mount.r#type.clone(),
            mount.accessor.clone(),
            mount.description.clone(),
        ];
        if has_version {
            row.push(mount.plugin_version.clone());
        }
        rows.push(row);
    }
    if has_version {
        header.push("Version");
    }
    (header, rows)
}

fn detailed_rows(
    mounts: &BTreeMap<String, Mount>,
    own: OwnColumn,
) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let own_title = match own {
        OwnColumn::ForceNoCache => "Force No Cache",
        OwnColumn::TokenType => "Token Type",
    };
    let header = vec![
        "Path",
        "Plugin",
        "Accessor",
        "Default TTL",
        "Max TTL",
        own_title,
        "Replication",
        "Seal Wrap",
        "External Entropy Access",
        "Options",
        "Description",
        "UUID",
        "Version",
        "Running Version",
        "Running SHA256",
        "Deprecation Status",
    ];
    let row = |(path, mount): (&String, &Mount)| {
        let ttl = |seconds: i64| match (mount.r#type.as_str(), seconds) {
            // What these hold lives as long as the server or the token.
            ("system" | "cubbyhole", _) => String::new(),
            (_, 0) => "system".to_owned(),
            (_, seconds) => seconds.to_string(),
        };
        let own = match own {
            OwnColumn::ForceNoCache => mount.config.force_no_cache.to_string(),
            OwnColumn::TokenType => mount
                .config
                .others
                .get("token_type")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
        };
        let options: Vec<String> = mount
            .options
            .iter()
            .flatten()
            .map(|(key, value)| format!("{key}:{value}"))
            .collect();
        vec![
            path.clone(),
            mount.r#type.clone(),
            mount.accessor.clone(),
            ttl(mount.config.default_lease_ttl),
            ttl(mount.config.max_lease_ttl),
            own,
            if mount.local { "local" } else { "replicated" }.to_owned(),
            mount.seal_wrap.to_string(),
            mount.external_entropy_access.to_string(),
            format!("map[{}]", options.join(" ")),
            mount.description.clone(),
            mount.uuid.clone(),
            mount.plugin_version.clone(),
            mount.running_plugin_version.clone(),
            mount.running_sha256.clone(),
            mount.deprecation_status.clone(),
        ]
    };
    (header, mounts.iter().map(row).collect())
}
