//! `kv`: key/value secrets of both versions.
//!
//! Each command first asks where the mount ends and which version it has (see [`KvPath`]); then, under version 2,
//! `data/`, `metadata/`, `delete/`, `undelete/` or `destroy/` is put behind the mount.

mod metadata;

use serde_json::{Map, Value, json};

use super::generic::{bad_data, nothing_at, show_deleted, show_list, show_written};
use super::mount_path;
use crate::client::{Call, Client, Found, RequestError};
use crate::context::Context;
use crate::data;
use crate::failure::{Exit, Failure};
use crate::flags::FieldFlag;
use crate::kv_path::KvPath;
use crate::output::table;
use crate::secret::{Data, Secret};

#[derive(clap::Subcommand)]
pub(crate) enum KvCommand {
    /// Read a secret
    Get(GetArgs),
    /// Write a secret, as a new version
    Put(PutArgs),
    /// Change some of a secret's keys, as a new version
    Patch(PatchArgs),
    /// List secrets and folders
    List(ListArgs),
    /// Delete a secret, or some of its versions; undelete takes it back
    Delete(DeleteArgs),
    /// Take a deletion back
    Undelete(VersionsArgs),
    /// Remove versions for good
    Destroy(VersionsArgs),
    /// Write an older version again, as the newest
    Rollback(RollbackArgs),
    /// Turn a mount of version 1 into version 2
    EnableVersioning {
        /// Mount to turn
        mount: String,
    },
    /// Work with what is known about a secret
    #[command(subcommand)]
    Metadata(metadata::MetadataCommand),
}

/// For all commands: where the secret is.
#[derive(clap::Args)]
pub(crate) struct PlaceArgs {
    /// Path of the secret: with the mount in front, unless -mount names it
    path: String,
    #[command(flatten)]
    mount: MountFlag,
}

#[derive(clap::Args)]
pub(crate) struct MountFlag {
    /// Mount of the engine; the path is then relative to it
    #[arg(long, value_name = "PATH")]
    mount: Option<String>,
}

impl PlaceArgs {
    fn resolve(&self, client: &mut Client) -> Result<KvPath, Failure> {
        KvPath::resolve(client, self.mount.mount.as_deref(), &self.path)
    }
}

#[derive(clap::Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Version to read instead of the newest
    #[arg(long, value_name = "N", default_value_t = 0)]
    version: i64,
    #[command(flatten)]
    field: FieldFlag,
}

#[derive(clap::Args)]
pub(crate) struct PutArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// key=value, key=@file, key=- (stdin), @file.json, - (JSON on stdin)
    data: Vec<String>,
    /// Write only if this is the current version; 0: only if there is none
    #[arg(long, value_name = "N", default_value_t = -1)]
    cas: i64,
    #[command(flatten)]
    field: FieldFlag,
}

#[derive(clap::Args)]
pub(crate) struct PatchArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// key=value, key=@file, key=- (stdin), @file.json, - (JSON on stdin)
    data: Vec<String>,
    /// Change only if this is the current version
    #[arg(long, value_name = "N", default_value_t = 0)]
    cas: i64,
    /// patch: let the server merge; rw: read, merge here, write
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Key to remove; may be repeated
    #[arg(long, value_name = "KEY")]
    remove_data: Vec<String>,
    #[command(flatten)]
    field: FieldFlag,
}

#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// Path to list: with the mount in front, unless -mount names it
    path: Option<String>,
    #[command(flatten)]
    mount: MountFlag,
}

#[derive(clap::Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Versions to delete instead of the newest: 1,2
    #[arg(long, value_name = "N,...")]
    versions: Vec<String>,
    #[command(flatten)]
    field: FieldFlag,
}

#[derive(clap::Args)]
pub(crate) struct VersionsArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Versions: 1,2
    #[arg(long, value_name = "N,...")]
    versions: Vec<String>,
}

#[derive(clap::Args)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Version to write again
    #[arg(long, value_name = "N")]
    version: Option<i64>,
}

impl KvCommand {
    pub(crate) fn run(self, ctx: &mut Context) -> Result<Exit, Failure> {
        match self {
            Self::Get(args) => get(ctx, args),
            Self::Put(args) => put(ctx, args),
            Self::Patch(args) => patch(ctx, args),
            Self::List(args) => list(ctx, args),
            Self::Delete(args) => delete(ctx, args),
            Self::Undelete(args) => mark(ctx, args, "undelete", "Undelete"),
            Self::Destroy(args) => mark(ctx, args, "destroy", "Destroy"),
            Self::Rollback(args) => rollback(ctx, args),
            Self::EnableVersioning { mount } => enable_versioning(ctx, &mount),
            Self::Metadata(command) => command.run(ctx),
        }
    }
}

fn get(ctx: &mut Context, args: GetArgs) -> Result<Exit, Failure> {
    let mut client = ctx.client()?;
    let place = args.place.resolve(&mut client)?;
    let path = place.api("data");
    let version = (place.is_versioned() && args.version > 0)
        .then(|| ("version".to_owned(), args.version.to_string()));
    let found = client
        .read(Call::get(&path).query(version))
        .map_err(|err| err.while_doing(format!("Error reading {path}")))?;
    let secret = match found {
        Found::Secret(secret) => secret,
        Found::Nothing { errors } => return Err(nothing_found(&place, &path, &errors)),
    };

    match args.field.field {
        Some(field) => show_field(ctx, &place, &path, &secret, &field),
        None if secret.is_wrapped() || !ctx.is_table() => {
            ctx.console.secret(&secret).map(|()| Exit::Ok)
        }
        None => {
            ctx.console.warnings(&secret);
            let inner = |key: &str| secret.get(key).and_then(Value::as_object);
            if !place.is_versioned() {
                return section(ctx, "Data", secret.data.as_ref()).map(|()| Exit::Ok);
            }
            heading(ctx, "Secret Path", &path)?;
            if let Some(metadata) = inner("metadata") {
                section(ctx, "Metadata", Some(metadata))?;
                ctx.console.line("")?;
            }
            section(ctx, "Data", inner("data"))?;
            Ok(Exit::Ok)
        }
    }
}

fn show_field(
    ctx: &mut Context,
    place: &KvPath,
    path: &str,
    secret: &Secret,
    field: &str,
) -> Result<Exit, Failure> {
    if !place.is_versioned() || secret.is_wrapped() {
        return ctx.console.field(field, secret.field(field).as_ref());
    }
    match secret.get("data").and_then(Value::as_object) {
        None => Err(Failure::remote(format!("No data found at {path}"))),
        // A key called "data" wins over the data as a whole.
        Some(data) if field == "data" && !data.contains_key("data") => {
            ctx.console.field(field, secret.get("data"))
        }
        Some(data) => ctx.console.field(field, data.get(field)),
    }
}

fn put(ctx: &mut Context, args: PutArgs) -> Result<Exit, Failure> {
    if args.data.is_empty() {
        return Err(Failure::local("Must supply data"));
    }
    let data = data::parse(&args.data, ctx.stdin())
        .map_err(bad_data)?
        .unwrap_or_default();
    let mut client = ctx.client()?;
    let place = args.place.resolve(&mut client)?;
    let path = place.api("data");
    let body = if place.is_versioned() {
        versioned_body(data, (args.cas > -1).then(|| Value::from(args.cas)))
    } else {
        Value::Object(data)
    };
    let found = client
        .write(Call::put(&path, &body))
        .map_err(|err| err.while_doing(format!("Error writing data to {path}")))?;
    show_new_version(ctx, &path, found, args.field.field.as_deref())
}

fn patch(ctx: &mut Context, args: PatchArgs) -> Result<Exit, Failure> {
    if args.data.is_empty() && args.remove_data.is_empty() {
        return Err(Failure::local("Must supply data"));
    }
    let mut data = data::parse(&args.data, ctx.stdin())
        .map_err(bad_data)?
        .unwrap_or_default();
    let mut client = ctx.client()?;
    let place = args.place.resolve(&mut client)?;
    if !place.is_versioned() {
        return Err(Failure::remote(
            "K/V engine mount must be version 2 for patch support",
        ));
    }
    let path = place.api("data");
    // In a merge patch null removes a key.
    data.extend(args.remove_data.into_iter().map(|key| (key, Value::Null)));

    let found = match args.method.as_deref() {
        Some("rw") => read_then_write(&mut client, &path, data)?,
        Some("patch") => merge_patch(&mut client, &path, &data, args.cas)
            .map_err(|err| err.while_doing(format!("Error writing data to {path}")))?,
        None | Some("") => {
            match merge_patch(&mut client, &path, &data, args.cas) {
                Ok(found) => found,
                Err(err) => match err.refusal().map(|refusal| refusal.status.as_u16()) {
                    // A server without PATCH, or a policy that does not know it yet.
                    Some(405) => read_then_write(&mut client, &path, data)?,
                    Some(403) => {
                        let found = read_then_write(&mut client, &path, data)?;
                        ctx.console.warn(&format!(
                        "Data was written to {path} but we recommend that you add the \"patch\" capability to your ACL policy in \
                         order to use HTTP PATCH in the future."
                    ));
                        found
                    }
                    Some(404) => {
                        let failure = err.while_doing(format!("Error writing data to {path}"));
                        return Err(failure.hint("only what is there can be patched: \"coffer kv put\" writes a new secret"));
                    }
                    _ => return Err(err.while_doing(format!("Error writing data to {path}"))),
                },
            }
        }
        Some(method) => {
            return Err(Failure::remote(format!(
                "Unsupported method provided to -method flag: {method}"
            )));
        }
    };
    show_new_version(ctx, &path, found, args.field.field.as_deref())
}

fn merge_patch(
    client: &mut Client,
    path: &str,
    data: &Data,
    cas: i64,
) -> Result<Found, RequestError> {
    client.write(Call::patch(
        path,
        &versioned_body(data.clone(), (cas > 0).then(|| Value::from(cas))),
    ))
}

/// What `patch` did before servers could: nobody else's change is lost, since the version that was read must still be the
/// current one.
fn read_then_write(client: &mut Client, path: &str, changes: Data) -> Result<Found, Failure> {
    let (mut data, version) = current(client, Call::get(path).preliminary(), path, "patch")?;
    for (key, value) in changes {
        if value.is_null() {
            drop(data.shift_remove(&key))
        } else {
            drop(data.insert(key, value))
        }
    }
    let body = versioned_body(data, Some(version));
    client
        .write(Call::put(path, &body))
        .map_err(|err| err.while_doing(format!("Error writing data to {path}")))
}

fn list(ctx: &mut Context, args: ListArgs) -> Result<Exit, Failure> {
    if args.path.is_none() && args.mount.mount.is_none() {
        return Err(Failure::local("Not enough arguments (expected 1, got 0)"));
    }
    let mut client = ctx.client()?;
    let place = KvPath::resolve(
        &mut client,
        args.mount.mount.as_deref(),
        args.path.as_deref().unwrap_or_default(),
    )?;
    let path = place.api("metadata");
    let found = client
        .read(Call::list(&path))
        .map_err(|err| err.while_doing(format!("Error listing {path}")))?;
    show_list(ctx, &path, found, false)
}

fn delete(ctx: &mut Context, args: DeleteArgs) -> Result<Exit, Failure> {
    let mut client = ctx.client()?;
    let place = args.place.resolve(&mut client)?;
    let path = place.api("data");
    let call = if place.is_versioned() && !args.versions.is_empty() {
        Call::put(
            place.api("delete"),
            &json!({ "versions": split(&args.versions) }),
        )
    } else {
        Call::delete(&path)
    };
    let found = client
        .write(call)
        .map_err(|err| err.while_doing(format!("Error deleting {path}")))?;
    show_deleted(ctx, &path, found, args.field.field.as_deref())
}

/// `undelete` and `destroy`.
fn mark(ctx: &mut Context, args: VersionsArgs, part: &str, name: &str) -> Result<Exit, Failure> {
    if args.versions.is_empty() {
        return Err(Failure::local(format!(
            "No versions provided, use the \"-versions\" flag to specify the version to {part}."
        )));
    }
    let mut client = ctx.client()?;
    let place = args.place.resolve(&mut client)?;
    if !place.is_versioned() {
        return Err(Failure::local(format!(
            "{name} not supported on KV Version 1"
        )));
    }
    let path = place.api(part);
    let call = Call::put(&path, &json!({ "versions": split(&args.versions) }));
    let found = client
        .write(call)
        .map_err(|err| err.while_doing(format!("Error writing data to {path}")))?;
    show_written(ctx, &path, found, None)
}

fn rollback(ctx: &mut Context, args: RollbackArgs) -> Result<Exit, Failure> {
    let wanted = match args.version {
        None => return Err(Failure::local("Version flag must be specified")),
        Some(version) if version <= 0 => {
            return Err(Failure::local(format!(
                "Invalid value {version} for the version flag"
            )));
        }
        Some(version) => version,
    };
    let mut client = ctx.client()?;
    let place = args.place.resolve(&mut client)?;
    if !place.is_versioned() {
        return Err(Failure::remote(
            "K/V engine mount must be version 2 for rollback support",
        ));
    }
    let path = place.api("data");
    // The newest version may be deleted, so only its number counts here.
    let newest = metadata_of(
        &read_versioned(&mut client, Call::get(&path), &path)?,
        &path,
        "rollback",
    )?["version"]
        .clone();

    let call = Call::get(&path).query([("version".to_owned(), wanted.to_string())]);
    let old = read_versioned(&mut client, call, &path)?;
    let metadata = metadata_of(&old, &path, "rollback")?;
    if metadata
        .get("deletion_time")
        .and_then(Value::as_str)
        .is_some_and(|time| !time.is_empty())
    {
        return Err(Failure::remote(
            "Cannot roll back to a version that has been deleted",
        ));
    }
    if metadata.get("destroyed").and_then(Value::as_bool) == Some(true) {
        return Err(Failure::remote(
            "Cannot roll back to a version that has been destroyed",
        ));
    }
    let body = versioned_body(data_of(&old, &path, "rollback")?.clone(), Some(newest));
    let found = client
        .write(Call::put(&path, &body))
        .map_err(|err| err.while_doing(format!("Error writing data to {path}")))?;
    show_written(ctx, &path, found, None)
}

fn enable_versioning(ctx: &mut Context, mount: &str) -> Result<Exit, Failure> {
    let mount = mount_path(mount);
    // Empty lifetimes keep what is set.
    let body = json!({ "options": { "version": "2" }, "default_lease_ttl": "", "max_lease_ttl": "", "force_no_cache": false });
    let call = Call::post(format!("sys/mounts/{mount}tune"), &body);
    ctx.client()?
        .write(call)
        .map_err(|err| err.while_doing(format!("Error tuning secrets engine {mount}")))?;
    ctx.console
        .line(&format!("Success! Tuned the secrets engine at: {mount}"))?;
    Ok(Exit::Ok)
}

/// A secret's data and version number, for a change that builds on them.
fn current(
    client: &mut Client,
    call: Call,
    path: &str,
    command: &str,
) -> Result<(Data, Value), Failure> {
    let secret = read_versioned(client, call, path)?;
    let version = metadata_of(&secret, path, command)?["version"].clone();
    Ok((data_of(&secret, path, command)?.clone(), version))
}

fn read_versioned(client: &mut Client, call: Call, path: &str) -> Result<Secret, Failure> {
    match client
        .read(call)
        .map_err(|err| err.while_doing(format!("Error doing pre-read at {path}")))?
    {
        Found::Secret(secret) if secret.data.is_some() => Ok(*secret),
        Found::Secret(_) => Err(nothing_at(path, &[])),
        Found::Nothing { errors } => Err(nothing_at(path, &errors)),
    }
}

fn metadata_of<'s>(secret: &'s Secret, path: &str, command: &str) -> Result<&'s Data, Failure> {
    let none = || {
        Failure::remote(format!(
            "No metadata found at {path}; {command} only works on existing data"
        ))
    };
    let metadata = secret
        .get("metadata")
        .and_then(Value::as_object)
        .ok_or_else(none)?;
    if metadata.contains_key("version") {
        Ok(metadata)
    } else {
        Err(none())
    }
}

fn data_of<'s>(secret: &'s Secret, path: &str, command: &str) -> Result<&'s Data, Failure> {
    secret
        .get("data")
        .and_then(Value::as_object)
        .ok_or_else(|| {
            Failure::remote(format!(
                "No data found at {path}; {command} only works on existing data"
            ))
        })
}

fn versioned_body(data: Data, cas: Option<Value>) -> Value {
    let options: Map<String, Value> = cas
        .map(|version| ("cas".to_owned(), version))
        .into_iter()
        .collect();
    json!({ "data": data, "options": options })
}

/// `-versions=1,2 -versions=3` as a list.
fn split(versions: &[String]) -> Vec<String> {
    let all = versions.iter().flat_map(|some| some.split(','));
    all.map(str::trim)
        .filter(|version| !version.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What `put` and `patch` say about the version they made.
fn show_new_version(
    ctx: &mut Context,
    path: &str,
    found: Found,
    field: Option<&str>,
) -> Result<Exit, Failure> {
    match found {
        Found::Secret(secret) if field.is_none() && ctx.is_table() && !secret.is_wrapped() => {
            ctx.console.warnings(&secret);
            heading(ctx, "Secret Path", path)?;
            section(ctx, "Metadata", secret.data.as_ref())?;
            Ok(Exit::Ok)
        }
        found => show_written(ctx, path, found, field),
    }
}

/// A title and a path under it.
fn heading(ctx: &mut Context, title: &str, path: &str) -> Result<(), Failure> {
    ctx.console.line(&table::title(title, path.len()))?;
    ctx.console.line(path)?;
    ctx.console.line("")
}

/// A title and a table under it, if there is anything to show.
fn section(ctx: &mut Context, title: &str, map: Option<&Data>) -> Result<(), Failure> {
    let Some(map) = map else { return Ok(()) };
    ctx.console.line(&table::title_for_map(title, map))?;
    ctx.console.data(map)
}

fn nothing_found(place: &KvPath, path: &str, errors: &[String]) -> Failure {
    let failure = nothing_at(path, errors);
    match place.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
