//! `policy`: what tokens may do. `sys/policies/acl`, listed, read, written and deleted.

use serde_json::{Value, json};

use crate::client::{Call, Found};
use crate::context::Context;
use crate::data;
use crate::failure::{Exit, Failure};

#[derive(clap::Subcommand)]
pub(crate) enum PolicyCommand {
    /// List the policies
    List,
    /// Print a policy
    Read {
        /// Name of the policy
        name: String,
    },
    /// Write a policy from a file
    Write {
        /// Name of the policy
        name: String,
        /// File with the policy; "-" is stdin
        file: String,
    },
    /// Delete a policy
    Delete {
        /// Name of the policy
        name: String,
    },
}

impl PolicyCommand {
    pub(crate) fn run(self, ctx: &mut Context) -> Result<Exit, Failure> {
        match self {
            Self::List => list(ctx),
            Self::Read { name } => read(ctx, &normal(&name)),
            Self::Write { name, file } => write(ctx, &name, &file),
            Self::Delete { name } => {
                let name = normal(&name);
                let call = Call::delete(path(&name));
                ctx.client()?
                    .write(call)
                    .map_err(|err| err.while_doing(format!("Error deleting {name}")))?;
                ctx.console
                    .line(&format!("Success! Deleted policy: {name}"))?;
                Ok(Exit::Ok)
            }
        }
    }
}

fn list(ctx: &mut Context) -> Result<Exit, Failure> {
    let error = "Error listing policies";
    let found = ctx
        .client()?
        .read(Call::list("sys/policies/acl"))
        .map_err(|err| err.while_doing(error))?;
    let names = found.secret().and_then(|secret| secret.keys().cloned());
    let names = names
        .ok_or_else(|| Failure::remote(format!("{error}: data from server response is empty")))?;
    if !ctx.is_table() {
        ctx.console.data(&names)?;
        return Ok(Exit::Ok);
    }
    for name in names.iter().filter_map(Value::as_str) {
        ctx.console.line(name)?;
    }
    Ok(Exit::Ok)
}

fn read(ctx: &mut Context, name: &str) -> Result<Exit, Failure> {
    let found = ctx
        .client()?
        .read(Call::get(path(name)))
        .map_err(|err| err.while_doing(format!("Error reading policy named {name}")))?;
    let rules = match &found {
        Found::Secret(secret) => secret
            .get("policy")
            .or_else(|| secret.get("rules"))
            .and_then(Value::as_str),
        Found::Nothing { .. } => None,
    };
    let Some(rules) = rules.filter(|rules| !rules.is_empty()) else {
        return Err(Failure::remote(format!("No policy named: {name}")));
    };
    if ctx.is_table() {
        ctx.console.line(rules.trim())?
    } else {
        ctx.console.data(&json!({ "policy": rules }))?
    }
    Ok(Exit::Ok)
}

fn write(ctx: &mut Context, name: &str, file: &str) -> Result<Exit, Failure> {
    let rules = match file.trim() {
        "-" => data::text(ctx.stdin(), "stdin"),
        file => data::file(file),
    };
    let rules =
        rules.map_err(|err| Failure::remote(format!("Error opening policy file: {err}")))?;
    let normal = normal(name);
    let call = Call::put(path(&normal), &json!({ "policy": rules }));
    ctx.client()?
        .write(call)
        .map_err(|err| err.while_doing("Error uploading policy"))?;
    if normal != name {
        ctx.console.warn(&format!(
            "Policy name was converted from \"{name}\" to \"{normal}\""
        ));
    }
    ctx.console
        .line(&format!("Success! Uploaded policy: {normal}"))?;
    Ok(Exit::Ok)
}

/// Names are lower case.
fn normal(name: &str) -> String {
    name.trim().to_lowercase()
}

fn path(name: &str) -> String {
    format!("sys/policies/acl/{name}")
}
