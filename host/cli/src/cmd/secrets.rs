//! `secrets`: where engines are mounted.
//!
//! GET `sys/mounts`, POST and DELETE `sys/mounts/<path>`, POST `sys/mounts/<path>/tune`, POST `sys/remount` and then GET
//! `sys/remount/status/<id>` until the move is done.

use std::collections::BTreeMap;
use std::thread;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::mount_path;
use super::mounts::{self, Listing, OwnColumn};
use crate::client::Call;
use crate::context::Context;
use crate::duration::GoDuration;
use crate::failure::{Exit, Failure};
use crate::flags::pair;
use crate::limits::{MOVE_POLL, MOVE_POLLS_MAX};

#[derive(clap::Subcommand)]
pub(crate) enum SecretsCommand {
    /// Mount a secrets engine
    Enable(Box<EnableArgs>),
    /// Unmount a secrets engine: its secrets are gone, its leases revoked
    Disable {
        /// Mount to remove
        path: String,
    },
    /// List the mounted secrets engines
    List(ListArgs),
    /// Move a secrets engine to another path
    Move {
        /// Mount to move
        from: String,
        /// Where to
        to: String,
    },
    /// Change a mount's settings
    Tune(Box<TuneArgs>),
}

#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// Show everything about each mount
    #[arg(long)]
    pub(super) detailed: bool,
}

#[derive(clap::Args)]
pub(crate) struct EnableArgs {
    /// Type of the engine, such as kv, transit or pki
    engine: String,
    /// Where to mount it, if not under the name of its type
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// What it is for
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    /// Lifetime of leases that ask for none
    #[arg(long, value_name = "DURATION")]
    default_lease_ttl: Option<GoDuration>,
    /// Longest lifetime of leases
    #[arg(long, value_name = "DURATION")]
    max_lease_ttl: Option<GoDuration>,
    /// Do not cache what the engine stores
    #[arg(long)]
    force_no_cache: bool,
    /// Name of the engine in the plugin catalog
    #[arg(long, value_name = "NAME")]
    plugin_name: Option<String>,
    /// Keep the mount out of replication
    #[arg(long)]
    local: bool,
    /// Wrap what the engine stores with the seal, too
    #[arg(long)]
    seal_wrap: bool,
    /// Let the engine use the seal's entropy
    #[arg(long)]
    external_entropy_access: bool,
    #[command(flatten)]
    shared: SharedArgs,
}

#[derive(clap::Args)]
pub(crate) struct TuneArgs {
    /// Mount to change
    path: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Lifetime of leases that ask for none; negative: the system's
    #[arg(long, value_name = "DURATION")]
    default_lease_ttl: Option<GoDuration>,
    /// Longest lifetime of leases; negative: the system's
    #[arg(long, value_name = "DURATION")]
    max_lease_ttl: Option<GoDuration>,
    #[command(flatten)]
    shared: SharedArgs,
}

/// What can be said when mounting and later.
#[derive(clap::Args)]
pub(crate) struct SharedArgs {
    /// Version of the engine's data format (kv: 1 or 2)
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    /// Option of the engine: key=value; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    options: Vec<(String, String)>,
    /// Who sees the mount without a token: hidden or unauth
    #[arg(long, value_name = "WHO")]
    listing_visibility: Option<String>,
    /// Key of requests that audit devices need not hide; may be repeated
    #[arg(long, value_name = "KEY")]
    audit_non_hmac_request_keys: Vec<String>,
    /// Key of answers that audit devices need not hide; may be repeated
    #[arg(long, value_name = "KEY")]
    audit_non_hmac_response_keys: Vec<String>,
    /// Header of requests that the engine may see; may be repeated
    #[arg(long, value_name = "NAME")]
    passthrough_request_headers: Vec<String>,
    /// Header that the engine may answer with; may be repeated
    #[arg(long, value_name = "NAME")]
    allowed_response_headers: Vec<String>,
    /// Version of the engine itself
    #[arg(long, value_name = "VERSION")]
    plugin_version: Option<String>,
}

/// The body of a tune, and of an enable's `config`, in the order in which Vault's client writes it.
#[derive(Serialize)]
struct MountConfig {
    options: Option<BTreeMap<String, String>>,
    default_lease_ttl: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    max_lease_ttl: String,
    force_no_cache: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    audit_non_hmac_request_keys: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    audit_non_hmac_response_keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listing_visibility: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passthrough_request_headers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_response_headers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin_version: Option<String>,
}

impl MountConfig {
    fn new(shared: SharedArgs, default_lease_ttl: String, max_lease_ttl: String) -> Self {
        Self {
            options: None,
            default_lease_ttl,
            description: None,
            max_lease_ttl,
            force_no_cache: false,
            audit_non_hmac_request_keys: shared.audit_non_hmac_request_keys,
            audit_non_hmac_response_keys: shared.audit_non_hmac_response_keys,
            listing_visibility: shared.listing_visibility.filter(|who| !who.is_empty()),
            passthrough_request_headers: shared.passthrough_request_headers,
            allowed_response_headers: shared.allowed_response_headers,
            plugin_version: shared.plugin_version.filter(|version| !version.is_empty()),
        }
    }
}

impl SharedArgs {
    /// The engine's options, `-version` among them; `None` if nothing was said.
    fn engine_options(&self) -> Option<BTreeMap<String, String>> {
        let version = self
            .version
            .filter(|version| *version > 0)
            .map(|version| ("version".to_owned(), version.to_string()));
        let options: BTreeMap<String, String> =
            self.options.iter().cloned().chain(version).collect();
        (!options.is_empty()).then_some(options)
    }
}

impl SecretsCommand {
    pub(crate) fn run(self, ctx: &mut Context) -> Result<Exit, Failure> {
        match self {
            Self::Enable(args) => enable(ctx, *args),
            Self::Disable { path } => disable(ctx, &path),
            Self::List(args) => {
                let listing = Listing {
                    path: "sys/mounts",
                    error: "Error listing secrets engines",
                    has_version: false,
                    own_column: OwnColumn::ForceNoCache,
                };
                mounts::list(ctx, &listing, args.detailed)
            }
            Self::Move { from, to } => move_mount(ctx, &mount_path(&from), &mount_path(&to)),
            Self::Tune(args) => tune(ctx, *args),
        }
    }
}

fn enable(ctx: &mut Context, args: EnableArgs) -> Result<Exit, Failure> {
    let engine = match (args.engine.trim(), args.plugin_name) {
        ("plugin", Some(name)) => name,
        (engine, _) => engine.to_owned(),
    };
    let path = args.path.as_deref().filter(|path| !path.is_empty());
    let path = mount_path(path.unwrap_or(&engine));
    let options = args.shared.engine_options();
    let plugin_version = args.shared.plugin_version.clone();
    let ttl = |ttl: Option<GoDuration>| ttl.unwrap_or_default().to_string();
    let config = MountConfig {
        force_no_cache: args.force_no_cache,
        ..MountConfig::new(
            args.shared,
            ttl(args.default_lease_ttl),
            ttl(args.max_lease_ttl),
        )
    };
    let body = json!({
        "type": engine,
        "description": args.description,
        "config": config,
        "local": args.local,
        "seal_wrap": args.seal_wrap,
        "external_entropy_access": args.external_entropy_access,
        "options": options,
    });
    let call = Call::post(format!("sys/mounts/{path}"), &body);
    ctx.client()?
        .write(call)
        .map_err(|err| err.while_doing("Error enabling"))?;
    let version = plugin_version
        .map(|version| format!(" version {version}"))
        .unwrap_or_default();
    ctx.console.line(&format!(
        "Success! Enabled the {engine} secrets engine{version} at: {path}"
    ))?;
    Ok(Exit::Ok)
}

fn disable(ctx: &mut Context, path: &str) -> Result<Exit, Failure> {
    let path = mount_path(path);
    let call = Call::delete(format!("sys/mounts/{path}"));
    ctx.client()?
        .write(call)
        .map_err(|err| err.while_doing(format!("Error disabling secrets engine at {path}")))?;
    ctx.console.line(&format!(
        "Success! Disabled the secrets engine (if it existed) at: {path}"
    ))?;
    Ok(Exit::Ok)
}

fn tune(ctx: &mut Context, args: TuneArgs) -> Result<Exit, Failure> {
    let path = mount_path(&args.path);
    // "" keeps what is set.
    let ttl = |ttl: Option<GoDuration>| match ttl {
        None => String::new(),
        Some(ttl) if ttl.is_zero() => String::new(),
        Some(ttl) if ttl.is_negative() => "system".to_owned(),
        Some(ttl) => ttl.to_string(),
    };
    let options = args.shared.engine_options();
    let config = MountConfig {
        options,
        description: args.description,
        ..MountConfig::new(
            args.shared,
            ttl(args.default_lease_ttl),
            ttl(args.max_lease_ttl),
        )
    };
    let body = serde_json::to_value(config).map_err(Failure::local)?;
    let call = Call::post(format!("sys/mounts/{path}tune"), &body);
    let found = ctx
        .client()?
        .write(call)
        .map_err(|err| err.while_doing(format!("Error tuning secrets engine {path}")))?;
    if let Some(secret) = found.secret() {
        ctx.console.warnings(&secret);
    }
    ctx.console
        .line(&format!("Success! Tuned the secrets engine at: {path}"))?;
    Ok(Exit::Ok)
}

fn move_mount(ctx: &mut Context, from: &str, to: &str) -> Result<Exit, Failure> {
    #[derive(Deserialize)]
    struct Info {
        status: String,
    }
    let mut client = ctx.client()?;
    let body = json!({ "from": from, "to": to });
    let found = client
        .write(Call::post("sys/remount", &body))
        .map_err(|err| err.while_doing(format!("Error moving secrets engine {from} to {to}")))?;
    let id = found
        .secret()
        .and_then(|secret| Some(secret.get("migration_id")?.as_str()?.to_owned()));
    let id = id.ok_or_else(|| {
        Failure::remote(format!(
            "Error moving secrets engine {from} to {to}: no migration ID returned"
        ))
    })?;
    let what = format!("secrets engine {from} to {to}, with migration ID {id}");
    ctx.console.line(&format!("Started moving {what}"))?;

    for poll in 0..MOVE_POLLS_MAX {
        let error = format!("Error checking migration status of secrets engine {from} to {to}");
        let found = client
            .write(Call::get(format!("sys/remount/status/{id}")).preliminary())
            .map_err(|err| err.while_doing(&error))?;
        let info = found
            .secret()
            .and_then(|secret| secret.get("migration_info").cloned())
            .unwrap_or_default();
        let info: Info = serde_json::from_value(info)
            .map_err(|err| Failure::remote(format!("{error}: {err}")))?;
        match info.status.as_str() {
            "success" => {
                ctx.console
                    .line(&format!("Success! Finished moving {what}"))?;
                return Ok(Exit::Ok);
            }
            "failure" => {
                return Err(Failure::remote(format!(
                    "Failure! Error encountered moving {what}"
                )));
            }
            _ if poll == 0 => ctx.console.line(&format!(
                "Waiting for terminal status in migration of {what}"
            ))?,
            _ => {}
        }
        thread::sleep(MOVE_POLL);
    }
    Err(
        Failure::remote(format!("Still moving {what}")).hint(format!(
            "the server goes on; \"coffer read sys/remount/status/{id}\" shows how far it is"
        )),
    )
}
