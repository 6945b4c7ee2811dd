//! `kv metadata`: what version 2 knows about a secret apart from its data.

use serde_json::{Map, Value};

use super::super::generic::{nothing_at, show_written};
use super::{PlaceArgs, heading, section};
use crate::client::{Call, Client, Found};
use crate::context::Context;
use crate::duration::GoDuration;
use crate::failure::{Exit, Failure};
use crate::flags::{FieldFlag, pair};
use crate::kv_path::KvPath;

#[derive(clap::Subcommand)]
pub(crate) enum MetadataCommand {
    /// Read a secret's settings and the history of its versions
    Get(GetArgs),
    /// Set a secret's settings; custom metadata is replaced as a whole
    Put(PutArgs),
    /// Change some of a secret's settings
    Patch(PatchArgs),
    /// Remove a secret with all its versions and settings, for good
    Delete(PlaceArgs),
}

#[derive(clap::Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    field: FieldFlag,
}

#[derive(clap::Args)]
pub(crate) struct PutArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    settings: Settings,
}

#[derive(clap::Args)]
pub(crate) struct PatchArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    settings: Settings,
    /// Key to remove from the custom metadata; may be repeated
    #[arg(long, value_name = "KEY")]
    remove_custom_metadata: Vec<String>,
}

/// Only what is given is sent.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// How many versions to keep; 0: as the mount says
    #[arg(long, value_name = "N", default_value_t = -1)]
    max_versions: i64,
    /// Whether every write must name the version it follows
    #[arg(long, value_name = "BOOL")]
    cas_required: Option<bool>,
    /// How long after it was written a version deletes itself
    #[arg(long, value_name = "DURATION")]
    delete_version_after: Option<GoDuration>,
    /// Anything else to know about the secret: key=value; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    custom_metadata: Vec<(String, String)>,
}

impl Settings {
    /// What is given of everything but the custom metadata.
    fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        if self.max_versions >= 0 {
            body.insert("max_versions".to_owned(), self.max_versions.into());
        }
        if let Some(required) = self.cas_required {
            body.insert("cas_required".to_owned(), required.into());
        }
        if let Some(after) = self
            .delete_version_after
            .filter(|after| !after.is_negative())
        {
            body.insert("delete_version_after".to_owned(), after.to_string().into());
        }
        body
    }

    fn custom_metadata(&self) -> Map<String, Value> {
        self.custom_metadata
            .iter()
            .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
            .collect()
    }
}

impl MetadataCommand {
    pub(crate) fn run(self, ctx: &mut Context) -> Result<Exit, Failure> {
        let mut client = ctx.client()?;
        match self {
            Self::Get(args) => get(ctx, &mut client, args),
            Self::Put(args) => {
                let path = path(&mut client, &args.place)?;
                let mut body = args.settings.body();
                if !args.settings.custom_metadata.is_empty() {
                    body.insert(
                        "custom_metadata".to_owned(),
                        args.settings.custom_metadata().into(),
                    );
                }
                write(ctx, &mut client, &path, Call::put(&path, &body.into()))
            }
            Self::Patch(args) => {
                let path = path(&mut client, &args.place)?;
                let mut body = args.settings.body();
                let mut custom = args.settings.custom_metadata();
                // In a merge patch null removes a key.
                custom.extend(
                    args.remove_custom_metadata
                        .into_iter()
                        .map(|key| (key, Value::Null)),
                );
                body.insert("custom_metadata".to_owned(), custom.into());
                write(ctx, &mut client, &path, Call::patch(&path, &body.into()))
            }
            Self::Delete(place) => {
                let path = path(&mut client, &place)?;
                client
                    .write(Call::delete(&path))
                    .map_err(|err| err.while_doing(format!("Error deleting {path}")))?;
                ctx.console
                    .line(&format!("Success! Data deleted (if it existed) at: {path}"))?;
                Ok(Exit::Ok)
            }
        }
    }
}

fn get(ctx: &mut Context, client: &mut Client, args: GetArgs) -> Result<Exit, Failure> {
    let path = path(client, &args.place)?;
    let found = client
        .read(Call::get(&path))
        .map_err(|err| err.while_doing(format!("Error reading {path}")))?;
    let mut secret = match found {
        Found::Secret(secret) => secret,
        Found::Nothing { errors } => return Err(nothing_at(&path, &errors)),
    };
    if let Some(field) = args.field.field {
        return ctx.console.field(&field, secret.field(&field).as_ref());
    }
    if secret.is_wrapped() || !ctx.is_table() {
        return ctx.console.secret(&secret).map(|()| Exit::Ok);
    }
    let Some(Value::Object(versions)) = secret
        .data
        .as_mut()
        .and_then(|data| data.shift_remove("versions"))
    else {
        return Err(nothing_at(&path, &[]).with_answer(Some(*secret)));
    };

    ctx.console.warnings(&secret);
    heading(ctx, "Metadata Path", &path)?;
    section(ctx, "Metadata", secret.data.as_ref())?;
    let mut versions: Vec<(u64, &Value)> = versions
        .iter()
        .filter_map(|(number, version)| Some((number.parse().ok()?, version)))
        .collect();
    versions.sort_by_key(|(number, _)| *number);
    for (number, version) in versions {
        ctx.console.line("")?;
        section(ctx, &format!("Version {number}"), version.as_object())?;
    }
    Ok(Exit::Ok)
}

fn write(ctx: &mut Context, client: &mut Client, path: &str, call: Call) -> Result<Exit, Failure> {
    let found = client
        .write(call)
        .map_err(|err| err.while_doing(format!("Error writing data to {path}")))?;
    show_written(ctx, path, found, None)
}

fn path(client: &mut Client, place: &PlaceArgs) -> Result<String, Failure> {
    let place: KvPath = place.resolve(client)?;
    if !place.is_versioned() {
        return Err(Failure::local("Metadata not supported on KV Version 1"));
    }
    Ok(place.api("metadata"))
}
