//! `status`: the seal, and who leads. GET `sys/seal-status`, then GET `sys/leader`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::{Call, Client, RequestError};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::flags::FieldFlag;
use crate::output::table;

#[derive(clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    field: FieldFlag,
}

/// What the server says about its seal, in the order in which Vault's client prints it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SealStatus {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    initialized: bool,
    /// The one thing that must be said: to take silence for "open" would mislead.
    sealed: bool,
    #[serde(default)]
    t: u64,
    #[serde(default)]
    n: u64,
    #[serde(default)]
    progress: u64,
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    build_date: String,
    #[serde(default)]
    migration: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    cluster_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    cluster_id: String,
    #[serde(default)]
    pub(crate) recovery_seal: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    recovery_seal_type: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    storage_type: String,
}

/// Who leads, as far as it is shown.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Leader {
    ha_enabled: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_self: bool,
    active_time: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    leader_address: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    leader_cluster_address: String,
}

#[derive(Serialize)]
struct Status<'s> {
    #[serde(flatten)]
    seal: &'s SealStatus,
    #[serde(flatten)]
    leader: &'s Leader,
}

/// No moment at all, as Go writes it.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(crate) fn run(ctx: &mut Context, args: StatusArgs) -> Result<Exit, Failure> {
    // 2 means "sealed" here, so every failure is 1.
    let mut client = ctx.client().map_err(Failure::into_local)?;
    client.leave_namespace();
    let seal = fetch(&mut client)
        .map_err(|err| err.while_doing("Error checking seal status").into_local())?;
    match args.field.field {
        None => show(ctx, &mut client, &seal)?,
        Some(field) => {
            let leader = leader(&mut client)?;
            let value = match field.as_str() {
                "ha_mode" => Some(Value::from(mode(&leader))),
                field => serde_json::to_value(Status {
                    seal: &seal,
                    leader: &leader,
                })
                .map_err(Failure::local)?
                .get(field)
                .cloned(),
            };
            ctx.console.field(&field, value.as_ref())?;
        }
    }
    Ok(if seal.sealed { Exit::Remote } else { Exit::Ok })
}

/// GET `sys/seal-status`.
pub(crate) fn fetch(client: &mut Client) -> Result<SealStatus, RequestError> {
    client.bare(Call::get("sys/seal-status"))
}

/// Shows the seal and who leads.
pub(crate) fn show(
    ctx: &mut Context,
    client: &mut Client,
    seal: &SealStatus,
) -> Result<(), Failure> {
    let leader = leader(client)?;
    if !ctx.is_table() {
        return ctx.console.data(&Status {
            seal,
            leader: &leader,
        });
    }
    ctx.console
        .line(&table::table(&["Key", "Value"], &rows(seal, &leader)))
}

fn leader(client: &mut Client) -> Result<Leader, Failure> {
    let mut leader: Leader = match client.bare(Call::get("sys/leader").preliminary()) {
        Ok(leader) => leader,
        // A sealed node of a cluster does not know its leader; one alone would have answered.
        Err(RequestError::Refused(refusal)) if refusal.says("Vault is sealed") => Leader {
            ha_enabled: true,
            ..Leader::default()
        },
        Err(err) => return Err(err.while_doing("Error checking leader status").into_local()),
    };
    if leader.active_time.is_empty() {
        leader.active_time = NEVER.to_owned();
    }
    Ok(leader)
}

fn rows(seal: &SealStatus, leader: &Leader) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut add = |key: &str, value: &str| rows.push(vec![key.to_owned(), value.to_owned()]);
    add("Seal Type", &seal.r#type);
    if seal.recovery_seal {
        add("Recovery Seal Type", &seal.recovery_seal_type);
    }
    add("Initialized", &seal.initialized.to_string());
    add("Sealed", &seal.sealed.to_string());
    add(
        if seal.recovery_seal {
            "Total Recovery Shares"
        } else {
            "Total Shares"
        },
        &seal.n.to_string(),
    );
    add("Threshold", &seal.t.to_string());
    if seal.sealed {
        add("Unseal Progress", &format!("{}/{}", seal.progress, seal.t));
        add("Unseal Nonce", &seal.nonce);
    }
    if seal.migration {
        add("Seal Migration in Progress", "true");
    }
    let told = [
        ("Version", &seal.version),
        ("Build Date", &seal.build_date),
        ("Storage Type", &seal.storage_type),
    ];
    for (key, value) in told.into_iter().filter(|(_, value)| !value.is_empty()) {
        add(key, value);
    }
    if !seal.cluster_name.is_empty() && !seal.cluster_id.is_empty() {
        add("Cluster Name", &seal.cluster_name);
        add("Cluster ID", &seal.cluster_id);
    }
    add("HA Enabled", &leader.ha_enabled.to_string());
    if leader.ha_enabled && !seal.sealed {
        add("HA Cluster", &leader.leader_cluster_address);
        add("HA Mode", mode(leader));
        if leader.is_self && leader.active_time != NEVER {
            add("Active Since", &leader.active_time);
        }
        if !leader.is_self && !leader.leader_address.is_empty() {
            add("Active Node Address", &leader.leader_address);
        }
    }
    rows
}

fn mode(leader: &Leader) -> &'static str {
    if leader.is_self { "active" } else { "standby" }
}
