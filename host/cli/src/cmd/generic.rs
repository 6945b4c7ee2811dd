//! `read`, `write`, `patch`, `delete`, `list`: any path of the API.
//!
//! GET with the pairs as query, PUT and PATCH with them as body, DELETE with them as query, GET with `list=true`.

use serde_json::{Map, Value};

use super::trimmed;
use crate::client::{Call, Found, not_mounted};
use crate::context::Context;
use crate::data;
use crate::failure::{Exit, Failure};
use crate::flags::FieldFlag;
use crate::output::Format;

#[derive(clap::Args)]
pub(crate) struct ReadArgs {
    /// Path to read
    path: String,
    /// Parameters: key=value
    data: Vec<String>,
    #[command(flatten)]
    field: FieldFlag,
}

#[derive(clap::Args)]
pub(crate) struct WriteArgs {
    /// Path to write to
    path: String,
    /// key=value, key=@file, key=- (stdin), @file.json, - (JSON on stdin)
    data: Vec<String>,
    /// Write without data
    #[arg(long, alias = "f")]
    force: bool,
    #[command(flatten)]
    field: FieldFlag,
}

#[derive(clap::Args)]
pub(crate) struct DeleteArgs {
    /// Path to delete
    path: String,
    /// Parameters: key=value
    data: Vec<String>,
    #[command(flatten)]
    field: FieldFlag,
}

#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// Path to list
    path: String,
    /// Show what the engine says about each key
    #[arg(long)]
    detailed: bool,
    /// Start behind this key
    #[arg(long, value_name = "KEY")]
    after: Option<String>,
    /// Return at most so many keys
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

pub(crate) fn read(ctx: &mut Context, args: ReadArgs) -> Result<Exit, Failure> {
    let path = trimmed(&args.path);
    let query = data::parse_query(&args.data, ctx.stdin()).map_err(bad_data)?;
    let mut client = ctx.client()?;
    let call = Call::get(path).query(query);
    if ctx.console.format == Format::Raw {
        let body = client
            .send(call)
            .map_err(|err| err.while_doing(format!("Error reading: {path}")))?;
        ctx.console.bytes(&body)?;
        ctx.console.bytes(b"\n")?;
        return Ok(Exit::Ok);
    }
    match client
        .read(call)
        .map_err(|err| err.while_doing(format!("Error reading {path}")))?
    {
        Found::Nothing { errors } => Err(nothing_at(path, &errors)),
        Found::Secret(secret) => match args.field.field {
            Some(field) => ctx.console.field(&field, secret.field(&field).as_ref()),
            None => ctx.console.secret(&secret).map(|()| Exit::Ok),
        },
    }
}

pub(crate) fn write(ctx: &mut Context, args: WriteArgs) -> Result<Exit, Failure> {
    change(ctx, args, |path, body| Call::put(path, body))
}

pub(crate) fn patch(ctx: &mut Context, args: WriteArgs) -> Result<Exit, Failure> {
    change(ctx, args, |path, body| Call::patch(path, body))
}

fn change(
    ctx: &mut Context,
    args: WriteArgs,
    call: impl FnOnce(&str, &Value) -> Call,
) -> Result<Exit, Failure> {
    if args.data.is_empty() && !args.force {
        return Err(Failure::local("Must supply data or use -force"));
    }
    let path = trimmed(&args.path);
    let body = data::parse(&args.data, ctx.stdin()).map_err(bad_data)?;
    let call = call(path, &body.map_or(Value::Null, Value::Object));
    let found = ctx
        .client()?
        .write(call)
        .map_err(|err| err.while_doing(format!("Error writing data to {path}")))?;
    show_written(ctx, path, found, args.field.field.as_deref())
}

pub(crate) fn delete(ctx: &mut Context, args: DeleteArgs) -> Result<Exit, Failure> {
    let path = trimmed(&args.path);
    let query = data::parse_query(&args.data, ctx.stdin())
        .map_err(|err| Failure::local(format!("Failed to parse string list data: {err}")))?;
    let call = Call::delete(path).query(query);
    let found = ctx
        .client()?
        .write(call)
        .map_err(|err| err.while_doing(format!("Error deleting {path}")))?;
    show_deleted(ctx, path, found, args.field.field.as_deref())
}

pub(crate) fn list(ctx: &mut Context, args: ListArgs) -> Result<Exit, Failure> {
    let path = trimmed(&args.path);
    let after = args.after.map(|key| ("after".to_owned(), key));
    let limit = args
        .limit
        .map(|limit| ("limit".to_owned(), limit.to_string()));
    let call = Call::list(path).query(after).query(limit);
    let found = ctx
        .client()?
        .read(call)
        .map_err(|err| err.while_doing(format!("Error listing {path}")))?;
    let detailed =
        args.detailed || ctx.env.vault("DETAILED").and_then(crate::args::parse_bool) == Some(true);
    show_list(ctx, path, found, detailed)
}

/// What a write says: a success, or the answer.
pub(crate) fn show_written(
    ctx: &mut Context,
    path: &str,
    found: Found,
    field: Option<&str>,
) -> Result<Exit, Failure> {
    show_done(
        ctx,
        &format!("Success! Data written to: {path}"),
        found,
        field,
    )
}

/// What a deletion says.
pub(crate) fn show_deleted(
    ctx: &mut Context,
    path: &str,
    found: Found,
    field: Option<&str>,
) -> Result<Exit, Failure> {
    show_done(
        ctx,
        &format!("Success! Data deleted (if it existed) at: {path}"),
        found,
        field,
    )
}

fn show_done(
    ctx: &mut Context,
    success: &str,
    found: Found,
    field: Option<&str>,
) -> Result<Exit, Failure> {
    match (found, field) {
        (Found::Nothing { .. }, _) => ctx.console.table_line(success)?,
        (Found::Secret(secret), Some(field)) => {
            return ctx.console.field(field, secret.field(field).as_ref());
        }
        (Found::Secret(secret), None) => ctx.console.secret(&secret)?,
    }
    Ok(Exit::Ok)
}

/// What a list says. A script that asked for JSON gets an empty object where nothing is, and exit code 2.
pub(crate) fn show_list(
    ctx: &mut Context,
    path: &str,
    found: Found,
    detailed: bool,
) -> Result<Exit, Failure> {
    let (secret, errors) = match found {
        Found::Secret(secret) => (Some(secret), Vec::new()),
        Found::Nothing { errors } => (None, errors),
    };
    if let Some(wrapped) = secret.as_ref().filter(|secret| secret.is_wrapped()) {
        return ctx.console.secret(wrapped).map(|()| Exit::Ok);
    }
    match secret {
        Some(secret) if secret.keys().is_some() => {
            let keys = secret.keys().cloned().unwrap_or_default();
            if detailed {
                ctx.console.list_detailed(&secret, &keys)?
            } else {
                ctx.console.list(&secret, &keys)?
            }
            Ok(Exit::Ok)
        }
        _ if !ctx.is_table() => {
            ctx.console.data(&Map::new())?;
            Ok(Exit::Remote)
        }
        Some(secret) if secret.data.is_none() => ctx.console.secret(&secret).map(|()| Exit::Ok),
        Some(_) => Err(Failure::remote(format!("No entries found at {path}"))),
        None => Err(nothing_at(path, &errors)),
    }
}

/// Nothing is there; where not even an engine is, that is said too, and how to mount one.
pub(crate) fn nothing_at(path: &str, errors: &[String]) -> Failure {
    let failure = Failure::remote(format!("No value found at {path}"));
    match errors
        .iter()
        .find(|error| error.contains("no handler for route"))
    {
        Some(error) => {
            let what = error.split(". ").next().unwrap_or_default();
            failure.hint(format!("{what}: {}", not_mounted(path)))
        }
        None if errors
            .iter()
            .any(|error| error.contains("namespace not found")) =>
        {
            failure.hint("the server has no such namespace: look at -namespace and VAULT_NAMESPACE")
        }
        None => failure,
    }
}

pub(crate) fn bad_data(err: data::DataError) -> Failure {
    Failure::local(format!("Failed to parse K=V data: {err}"))
}
