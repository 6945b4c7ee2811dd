//! `sys/mounts`, `sys/auth` and `sys/remount`: which engine is where.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use host_logical::{
    EngineError, EngineKind, EngineRequest, EngineResponse, FieldType, MountPath, Operation,
    PathDescription, PathTrait,
};

use super::super::describe::{Describe, path};
use super::super::{AfterCommit, Fields, NativeCall, data, done, invalid, nothing, param, warned};
use crate::duration::GoDuration;
use crate::error::HandleError;
use crate::mount::{self, MountConfig, MountRecord, MountTable, Serves};
use crate::storage::{self, from_barrier, from_view, parse_json, to_json};
use crate::{Core, limits, purge, random};

/// Where nothing can be mounted: the host's own, and the first segments of its API.
const RESERVED: [&str; 5] = ["sys/", "cubbyhole/", "identity/", "auth/", "audit/"];
const REMOUNTS: &str = "remount/";

pub(super) fn paths() -> Vec<PathDescription> {
    use FieldType::{Any, Boolean, CommaList, Object, Text};
    use Operation::{Delete, Read, Update};
    let one = |pattern: &str, help: &str| {
        path(pattern, help, &[Read, Update, Delete])
            .fields(
                Text,
                &["type", "description", "plugin_name", "plugin_version"],
            )
            .field("config", Object, "TTLs, visibility, headers.")
            .field("options", Any, "Of the engine, such as version.")
            .fields(Boolean, &["local", "seal_wrap", "external_entropy_access"])
    };
    let tune = |pattern: &str, help: &str| {
        path(pattern, help, &[Read, Update])
            .field(
                "default_lease_ttl",
                Text,
                "Such as 1h; system for the system's.",
            )
            .field(
                "max_lease_ttl",
                Text,
                "Such as 24h; system for the system's.",
            )
            .fields(
                Text,
                &[
                    "description",
                    "listing_visibility",
                    "token_type",
                    "plugin_version",
                ],
            )
            .fields(
                CommaList,
                &[
                    "audit_non_hmac_request_keys",
                    "audit_non_hmac_response_keys",
                    "passthrough_request_headers",
                    "allowed_response_headers",
                ],
            )
            .field("options", Any, "Merged, key by key.")
            .field(
                "force_no_cache",
                Boolean,
                "Kept for clients; there is nothing to turn off.",
            )
            .field("user_lockout_config", Any, "For methods with passwords.")
    };
    vec![
        path("mounts", "All secrets engines.", &[Read]),
        one(
            "mounts/{path...}",
            "A secrets engine: show, enable, disable.",
        ),
        tune("mounts/{path...}/tune", "How a secrets engine is tuned."),
        path("auth", "All auth methods.", &[Read]),
        one("auth/{path...}", "An auth method: show, enable, disable.").with(PathTrait::Sudo),
        tune("auth/{path...}/tune", "How an auth method is tuned.").with(PathTrait::Sudo),
        path(
            "remount",
            "Moves a mount with all that it holds.",
            &[Update],
        )
        .with(PathTrait::Sudo)
        .fields(Text, &["from", "to"]),
        path("remount/status/{id}", "How a move went.", &[Read]),
    ]
}

pub(super) fn serves(pattern: &str) -> bool {
    ["mounts", "auth", "remount"].iter().any(|family| {
        pattern
            .strip_prefix(family)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

pub(super) async fn handle(
    call: &NativeCall,
    pattern: &str,
    request: &EngineRequest,
) -> Result<EngineResponse, HandleError> {
    let kind = match pattern.starts_with("auth") {
        true => EngineKind::Auth,
        false => EngineKind::Secrets,
    };
    let asked = param(request, "path");
    match (pattern, request.operation) {
        ("remount", _) => move_mount(call, request).await,
        ("remount/status/{id}", _) => move_status(call, param(request, "id")).await,
        ("mounts" | "auth", _) => list(call, kind).await,
        (_, Operation::Read) if pattern.ends_with("/tune") => show_tuning(call, kind, asked).await,
        _ if pattern.ends_with("/tune") => tune(call, kind, asked, request).await,
        (_, Operation::Read) => show(call, kind, asked).await,
        (_, Operation::Delete) => disable(call, kind, asked).await,
        _ => enable(call, kind, asked, request).await,
    }
}

/// A mount as `sys/mounts` shows it.
pub(super) fn shown(record: &MountRecord) -> Map<String, Value> {
    let config = &record.config;
    let mut shown_config = Map::new();
    shown_config.insert("default_lease_ttl".into(), json!(config.default_lease_ttl));
    shown_config.insert("force_no_cache".into(), json!(config.force_no_cache));
    shown_config.insert("max_lease_ttl".into(), json!(config.max_lease_ttl));
    if record.auth {
        let token_type = match config.token_type.as_str() {
            "" => "default-service",
            token_type => token_type,
        };
        shown_config.insert("token_type".into(), json!(token_type));
    }
    shown_config.extend(optional_config(config));
    let mut shown = Map::new();
    let mut set = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    set("accessor", json!(record.accessor));
    set("config", Value::Object(shown_config));
    set("deprecation_status", json!("supported"));
    set("description", json!(record.description));
    set(
        "external_entropy_access",
        json!(record.external_entropy_access),
    );
    set("local", json!(record.local));
    set("options", json!(record.options));
    set("plugin_version", json!(""));
    set(
        "running_plugin_version",
        json!(concat!("v", env!("CARGO_PKG_VERSION"), "+builtin")),
    );
    set("running_sha256", json!(""));
    set("seal_wrap", json!(record.seal_wrap));
    set("type", json!(record.engine));
    set("uuid", json!(record.uuid));
    shown
}

/// What is shown only where it was set.
fn optional_config(config: &MountConfig) -> Map<String, Value> {
    let mut shown = Map::new();
    let lists = [
        (
            "audit_non_hmac_request_keys",
            &config.audit_non_hmac_request_keys,
        ),
        (
            "audit_non_hmac_response_keys",
            &config.audit_non_hmac_response_keys,
        ),
        (
            "passthrough_request_headers",
            &config.passthrough_request_headers,
        ),
        ("allowed_response_headers", &config.allowed_response_headers),
    ];
    for (name, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
        shown.insert((*name).to_owned(), json!(list));
    }
    if !config.listing_visibility.is_empty() {
        shown.insert(
            "listing_visibility".into(),
            json!(config.listing_visibility),
        );
    }
    shown
}

async fn list(call: &NativeCall, kind: EngineKind) -> Result<EngineResponse, HandleError> {
    let table = call.core.mounts().await?;
    let mut all = Map::new();
    for mount in table.iter().filter(|mount| mount.record.kind() == kind) {
        let path = mount
            .record
            .path
            .strip_prefix("auth/")
            .filter(|_| kind == EngineKind::Auth);
        let path = path.unwrap_or(&mount.record.path);
        all.insert(path.to_owned(), Value::Object(shown(&mount.record)));
    }
    data(&Value::Object(all))
}

async fn show(
    call: &NativeCall,
    kind: EngineKind,
    asked: &str,
) -> Result<EngineResponse, HandleError> {
    let table = call.core.mounts().await?;
    match full_path(kind, asked)
        .ok()
        .and_then(|path| table.get(&path).cloned())
    {
        Some(mount) => data(&Value::Object(shown(&mount.record))),
        None => {
            let what = match kind {
                EngineKind::Secrets => "secret",
                EngineKind::Auth => "auth",
            };
            invalid(format!(
                "No {what} engine {}at {}",
                mount_word(kind),
                with_slash(asked)
            ))
        }
    }
}

/// `No secret engine mount at foo/`, but `No auth engine at foo/`: terraform matches both.
fn mount_word(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Secrets => "mount ",
        EngineKind::Auth => "",
    }
}

async fn enable(
    call: &NativeCall,
    kind: EngineKind,
    asked: &str,
    request: &EngineRequest,
) -> Result<EngineResponse, HandleError> {
    let fields = Fields::of(request);
    let path = full_path(kind, asked)
        .map_err(|err| HandleError::Invalid(format!("cannot mount at {asked:?}: {err}")))?;
    let config = fields.object("config").cloned().unwrap_or_default();
    let (engine, options) = engine_and_options(&fields, &config)?;
    check_mountable(kind, &engine, &path)?;
    let description = fields.text("description").unwrap_or_default().to_owned();
    check_description(&description)?;
    let mut record = MountRecord {
        path: path.to_string(),
        auth: kind == EngineKind::Auth,
        accessor: accessor(&call.core, kind, &engine)?,
        uuid: random::uuid(&*call.core.random)?,
        engine,
        description,
        config: MountConfig::default(),
        options,
        local: fields.flag("local").unwrap_or(false),
        seal_wrap: fields.flag("seal_wrap").unwrap_or(false),
        external_entropy_access: fields.flag("external_entropy_access").unwrap_or(false),
        storage_version: 0,
    };
    apply_config(&mut record, &config, Words::Mount, &call.core)?;
    let loaded = call.core.engines.engine(kind, &record.engine).await;
    let engine = loaded
        .map_err(|err| engine_failed(&record, err))?
        .ok_or_else(|| {
            HandleError::Invalid(format!(
                "plugin not found in the catalog: {}",
                record.engine
            ))
        })?;

    let table = call.core.mounts_in(&call.txn).await?;
    if let Some(other) = table.in_the_way(&path) {
        let other = other
            .record
            .path
            .strip_prefix("auth/")
            .unwrap_or(&other.record.path);
        return invalid(format!("path is already in use at {other}"));
    }
    if table.len() >= limits::MAX_MOUNTS {
        return invalid(format!(
            "this server has {} mounts, its most",
            limits::MAX_MOUNTS
        ));
    }
    let seen = std::sync::Arc::new(record.seen_by_engine(&call.core.settings));
    let described = engine.describe(&seen.options).await;
    record.storage_version = described
        .map_err(|err| engine_failed(&record, err))?
        .storage_version;
    let view = call
        .txn
        .create_mount(record.mount_id()?)
        .await
        .map_err(from_barrier)?;
    let imports = call
        .core
        .imports_on(view, seen.clone(), &call.txn, &request.id)?;
    let opened = engine.open(imports).await;
    let mut opened = opened.map_err(|err| engine_failed(&record, err))?;
    opened
        .initialize(None, &seen)
        .await
        .map_err(|err| engine_failed(&record, err))?;
    mount::write(&call.txn, &record).await?;
    done()
}

/// The engine's name and its options: `kv-v2` is `kv` with version 2, and `plugin` names another.
fn engine_and_options(
    fields: &Fields<'_>,
    config: &Map<String, Value>,
) -> Result<(String, Option<BTreeMap<String, String>>), HandleError> {
    let named = match fields.said("type") {
        Some("plugin") => fields.said("plugin_name"),
        named => named.or(fields.said("plugin_name")),
    };
    let Some(named) = named else {
        return invalid("backend type must be specified as a string");
    };
    // Old clients put the options into the config.
    let sent = fields
        .get("options")
        .or(config.get("options").filter(|o| !o.is_null()));
    let mut options = match sent {
        Some(sent) => Some(options_of(sent)?),
        None if fields.0.contains_key("options") => None,
        None => Some(BTreeMap::new()),
    };
    let engine = match named {
        "kv-v1" | "kv-v2" => {
            let version = named.trim_start_matches("kv-v").to_owned();
            options
                .get_or_insert_default()
                .insert("version".to_owned(), version);
            "kv"
        }
        // The name under which Vault's command line knows it.
        "generic" => "kv",
        named => named,
    };
    if engine != "kv"
        && options
            .as_ref()
            .is_some_and(|options| options.contains_key("version"))
    {
        return invalid(format!(
            "secrets engine {engine:?} does not allow setting a version"
        ));
    }
    Ok((engine.to_owned(), options))
}

fn options_of(sent: &Value) -> Result<BTreeMap<String, String>, HandleError> {
    let Some(sent) = sent.as_object() else {
        return invalid("error converting input for field \"options\": it must be an object");
    };
    let mut options = BTreeMap::new();
    for (name, value) in sent {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => return invalid(format!("option {name:?} must be a text")),
        };
        options.insert(name.clone(), text);
    }
    Ok(options)
}

fn check_mountable(kind: EngineKind, engine: &str, path: &MountPath) -> Result<(), HandleError> {
    match (kind, engine) {
        (EngineKind::Auth, "token") => {
            return invalid("token credential backend cannot be instantiated");
        }
        (_, "cubbyhole" | "system" | "token" | "identity") => {
            return invalid(format!("mount type of {engine:?} is not mountable"));
        }
        _ => {}
    }
    let reserved = RESERVED
        .iter()
        .any(|reserved| path.as_str().starts_with(reserved));
    if kind == EngineKind::Secrets && reserved {
        return invalid(format!("cannot mount {:?}", path.as_str()));
    }
    Ok(())
}

fn check_description(description: &str) -> Result<(), HandleError> {
    match description.len() > limits::MAX_DESCRIPTION_BYTES {
        true => invalid(format!(
            "a description has at most {} bytes",
            limits::MAX_DESCRIPTION_BYTES
        )),
        false => Ok(()),
    }
}

async fn disable(
    call: &NativeCall,
    kind: EngineKind,
    asked: &str,
) -> Result<EngineResponse, HandleError> {
    let table = call.core.mounts_in(&call.txn).await?;
    let Ok(path) = full_path(kind, asked) else {
        return done();
    };
    let Some(mount) = table.get(&path) else {
        return done();
    };
    if let Serves::Native(_) = mount.serves {
        return match kind {
            EngineKind::Auth => invalid("token credential backend cannot be disabled"),
            EngineKind::Secrets => invalid(format!("cannot unmount {:?}", path.as_str())),
        };
    }
    mount::remove(&call.txn, &mount.record).await?;
    call.txn
        .destroy_mount(mount.id)
        .await
        .map_err(from_barrier)?;
    let id = mount.id;
    purge::remember(&call.txn, id).await?;
    call.say(|said| said.after_commit.push(AfterCommit::Purge(id)));
    done()
}

async fn show_tuning(
    call: &NativeCall,
    kind: EngineKind,
    asked: &str,
) -> Result<EngineResponse, HandleError> {
    let table = call.core.mounts().await?;
    let path = full_path(kind, asked).ok();
    let Some(mount) = path.and_then(|path| table.get(&path).cloned()) else {
        return invalid(format!(
            "cannot fetch sysview for path {:?}",
            with_slash(asked)
        ));
    };
    let record = &mount.record;
    let (default, max) = record.effective_ttls(&call.core.settings);
    let mut shown = Map::new();
    shown.insert("default_lease_ttl".into(), json!(default));
    shown.insert("description".into(), json!(record.description));
    shown.insert("force_no_cache".into(), json!(record.config.force_no_cache));
    shown.insert("max_lease_ttl".into(), json!(max));
    if record
        .options
        .as_ref()
        .is_some_and(|options| !options.is_empty())
    {
        shown.insert("options".into(), json!(record.options));
    }
    if record.auth {
        let token_type = match record.config.token_type.as_str() {
            "" => "default-service",
            token_type => token_type,
        };
        shown.insert("token_type".into(), json!(token_type));
    }
    shown.extend(optional_config(&record.config));
    data(&Value::Object(shown))
}

async fn tune(
    call: &NativeCall,
    kind: EngineKind,
    asked: &str,
    request: &EngineRequest,
) -> Result<EngineResponse, HandleError> {
    let table = call.core.mounts_in(&call.txn).await?;
    let path = full_path(kind, asked).ok();
    let Some(mount) = path.and_then(|path| table.get(&path).cloned()) else {
        return invalid(format!(
            "tune of path {:?} failed: no mount entry found",
            with_slash(asked)
        ));
    };
    let fields = Fields::of(request);
    let mut record = mount.record.clone();
    let mut warnings = Vec::new();
    if let Some(description) = fields.text("description") {
        check_description(description)?;
        record.description = description.to_owned();
    }
    if let Some(sent) = fields.get("options") {
        let sent = options_of(sent)?;
        if let Some(warning) = check_version_change(&record, &sent)? {
            warnings.push(warning);
        }
        record.options.get_or_insert_default().extend(sent);
    }
    apply_config(&mut record, fields.0, Words::Tune, &call.core)?;
    if record.options != mount.record.options
        && let Serves::Component(engine) = &mount.serves
    {
        let seen = std::sync::Arc::new(record.seen_by_engine(&call.core.settings));
        let imports = call.core.imports(&mount, &call.txn, &request.id).await?;
        let opened = engine.open(imports).await;
        let mut opened = opened.map_err(|err| engine_failed(&record, err))?;
        let from = Some(record.storage_version);
        opened
            .initialize(from, &seen)
            .await
            .map_err(|err| engine_failed(&record, err))?;
    }
    mount::write(&call.txn, &record).await?;
    warned(warnings)
}

/// KV's two versions, the one option that Vault's clients set after mounting.
fn check_version_change(
    record: &MountRecord,
    sent: &BTreeMap<String, String>,
) -> Result<Option<String>, HandleError> {
    let Some(wanted) = sent.get("version").map(String::as_str) else {
        return Ok(None);
    };
    if record.engine != "kv" {
        return invalid(format!(
            "secrets engine {:?} does not allow setting a version",
            record.engine
        ));
    }
    let now = record
        .options
        .as_ref()
        .and_then(|options| options.get("version"));
    match (now.map_or("", String::as_str), wanted) {
        ("2", "2") => Ok(None),
        ("2", "" | "0" | "1") => invalid("cannot downgrade mount from version 2"),
        (_, "" | "0" | "1") => Ok(None),
        (now, "2") => {
            let now = if now.is_empty() { "0" } else { now };
            Ok(Some(format!(
                "Upgraded mount from version {now} to version 2. Every key is its version 1 from now on; nothing was unavailable."
            )))
        }
        _ => invalid(format!(
            "version {wanted:?} of kv does not exist: use \"1\" or \"2\""
        )),
    }
}

/// Where a setting comes from: errors have other words at each place.
#[derive(Clone, Copy, PartialEq)]
enum Words {
    Mount,
    Tune,
}

/// Sets what was sent and leaves the rest.
fn apply_config(
    record: &mut MountRecord,
    sent: &Map<String, Value>,
    words: Words,
    core: &Core,
) -> Result<(), HandleError> {
    let fields = Fields(sent);
    if let Some(ttl) = sent_ttl(&fields, "default_lease_ttl", "default")? {
        record.config.default_lease_ttl = ttl;
    }
    if let Some(ttl) = sent_ttl(&fields, "max_lease_ttl", "max")? {
        record.config.max_lease_ttl = ttl;
    }
    let (default, max) = (record.config.default_lease_ttl, record.config.max_lease_ttl);
    let system_max = core.settings.max_lease_ttl;
    match words {
        Words::Mount if max > 0 && default > max => {
            return invalid("given default lease TTL greater than given max lease TTL");
        }
        Words::Mount if max == 0 && default > system_max => {
            return invalid(format!(
                "given default lease TTL greater than system max lease TTL of {system_max}"
            ));
        }
        Words::Tune if default > 0 && default > effective(max, system_max) => {
            return invalid(format!(
                "backend max lease TTL of {} would be less than backend default lease TTL of {default}",
                effective(max, system_max)
            ));
        }
        _ => {}
    }
    if let Some(visibility) = fields.text("listing_visibility") {
        if !matches!(visibility, "" | "unauth" | "hidden") {
            return invalid(format!("invalid listing_visibility {visibility}"));
        }
        record.config.listing_visibility = visibility.to_owned();
    }
    if let Some(token_type) = fields.said("token_type") {
        if !record.auth {
            return invalid("'token_type' can only be modified on auth mounts");
        }
        if !matches!(
            token_type,
            "service" | "batch" | "default-service" | "default-batch"
        ) {
            return invalid("invalid value for 'token_type'");
        }
        record.config.token_type = token_type.to_owned();
    }
    if fields.get("user_lockout_config").is_some() {
        return invalid(format!(
            "tuning of user lockout configuration for auth type {:?} not allowed",
            record.engine
        ));
    }
    if let Some(flag) = fields.flag("force_no_cache") {
        record.config.force_no_cache = flag;
    }
    let config = &mut record.config;
    for (name, list) in [
        (
            "audit_non_hmac_request_keys",
            &mut config.audit_non_hmac_request_keys,
        ),
        (
            "audit_non_hmac_response_keys",
            &mut config.audit_non_hmac_response_keys,
        ),
        (
            "passthrough_request_headers",
            &mut config.passthrough_request_headers,
        ),
        (
            "allowed_response_headers",
            &mut config.allowed_response_headers,
        ),
    ] {
        if let Some(sent) = fields.texts(name) {
            *list = sent;
        }
    }
    Ok(())
}

fn effective(max: u64, system_max: u64) -> u64 {
    if max == 0 { system_max } else { max }
}

/// A TTL as the command line and terraform send it: `""` keeps, `system` and 0 are the system's.
fn sent_ttl(fields: &Fields<'_>, name: &str, what: &str) -> Result<Option<u64>, HandleError> {
    let text = match fields.get(name) {
        None => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return invalid(format!("unable to parse {what} TTL: it must be a duration")),
    };
    match text.as_str() {
        "" => Ok(None),
        "system" => Ok(Some(0)),
        text => match GoDuration::parse(text).map(|ttl| u64::try_from(ttl.seconds())) {
            Ok(Ok(seconds)) => Ok(Some(seconds)),
            Ok(Err(_)) => invalid(format!(
                "unable to parse {what} TTL of {text}: it is negative"
            )),
            Err(err) => invalid(format!("unable to parse {what} TTL of {text}: {err}")),
        },
    }
}

async fn move_mount(
    call: &NativeCall,
    request: &EngineRequest,
) -> Result<EngineResponse, HandleError> {
    let fields = Fields::of(request);
    let (Some(from), Some(to)) = (fields.said("from"), fields.said("to")) else {
        return invalid("both 'from' and 'to' path must be specified as a string");
    };
    let parse = |raw: &str| {
        MountPath::parse(raw).map_err(|err| HandleError::Invalid(format!("path {raw:?}: {err}")))
    };
    let (from, to) = (parse(from)?, parse(to)?);
    let table = call.core.mounts_in(&call.txn).await?;
    let reserved = |path: &MountPath| match path.as_str().strip_prefix("auth/") {
        Some(rest) => rest == "token/",
        None => RESERVED
            .iter()
            .any(|reserved| path.as_str().starts_with(reserved)),
    };
    if reserved(&from) {
        return invalid(format!("cannot remount {:?}", from.as_str()));
    }
    if reserved(&to) {
        return invalid(format!("cannot remount to destination {to}"));
    }
    let Some(mount) = table.get(&from) else {
        return invalid(format!("no matching mount at {:?}", from.as_str()));
    };
    if mount.record.auth != to.as_str().starts_with("auth/") {
        return invalid("cannot move a secrets engine to an auth path, or the other way round");
    }
    let in_the_way = table.iter().filter(|other| other.id != mount.id);
    let in_the_way = in_the_way.filter_map(|other| MountPath::parse(&other.record.path).ok());
    if from == to || in_the_way.into_iter().any(|other| other.overlaps(&to)) {
        return invalid(format!("path already in use at {:?}", to.as_str()));
    }
    let mut record = mount.record.clone();
    record.path = to.to_string();
    mount::write(&call.txn, &record).await?;

    let id = random::uuid(&*call.core.random)?;
    remember_move(call, &id, &from, &to).await?;
    let mut response = data(&json!({ "migration_id": id }))?;
    response.warnings.push(
        "Mount move has been queued. Progress will be reported in Vault's server log, \
         tagged with the returned migration_id"
            .into(),
    );
    Ok(response)
}

/// The move is done when its commit is; clients still ask how it went.
async fn remember_move(
    call: &NativeCall,
    id: &str,
    from: &MountPath,
    to: &MountPath,
) -> Result<(), HandleError> {
    let system = storage::system(&call.txn).await?;
    let known = storage::list_all(&system, REMOUNTS).await?;
    let too_many = known.len().saturating_sub(limits::MAX_REMOUNT_RECORDS - 1);
    for old in known.iter().take(too_many) {
        system
            .delete(&format!("{REMOUNTS}{old}"))
            .await
            .map_err(from_view)?;
    }
    let record = to_json(&(from.as_str(), to.as_str()))?;
    system
        .put(&format!("{REMOUNTS}{id}"), &record)
        .await
        .map_err(from_view)
}

async fn move_status(call: &NativeCall, id: &str) -> Result<EngineResponse, HandleError> {
    // Ours are UUIDs: anything else names no record, and might be no key.
    if id.len() != 36 || !id.is_ascii() {
        return nothing();
    }
    let system = storage::system(&call.txn).await?;
    let Some(value) = system
        .get(&format!("{REMOUNTS}{id}"))
        .await
        .map_err(from_view)?
    else {
        return nothing();
    };
    let (from, to): (String, String) = parse_json(&value)?;
    data(&json!({
        "migration_id": id,
        "migration_info": { "source_mount": from, "target_mount": to, "status": "success" },
    }))
}

/// Where a mount of this kind is, with `auth/` before an auth method's own path.
fn full_path(kind: EngineKind, asked: &str) -> Result<MountPath, host_logical::PathError> {
    match kind {
        EngineKind::Auth => {
            MountPath::parse(asked).and_then(|path| MountPath::parse(&format!("auth/{path}")))
        }
        EngineKind::Secrets => MountPath::parse(asked),
    }
}

fn with_slash(asked: &str) -> String {
    format!("{}/", asked.trim_matches('/'))
}

fn engine_failed(record: &MountRecord, source: EngineError) -> HandleError {
    match source {
        EngineError::Refused(refusal) => refusal.into(),
        EngineError::Busy { retry_after } => HandleError::Busy { retry_after },
        source => HandleError::Engine {
            mount: record.path.clone(),
            source,
        },
    }
}

/// `kv_4d3c2b1a`, or `auth_userpass_4d3c2b1a`.
fn accessor(core: &Core, kind: EngineKind, engine: &str) -> Result<String, HandleError> {
    let tail = hex::encode(random::bytes(&*core.random, 4)?);
    Ok(match kind {
        EngineKind::Auth => format!("auth_{engine}_{tail}"),
        EngineKind::Secrets => format!("{engine}_{tail}"),
    })
}

impl Core {
    /// The table as `txn` sees it, for a call that changes it: its generation is in what the
    /// call has read, so of two changes at once one runs again.
    async fn mounts_in(
        &self,
        txn: &host_barrier::Transaction,
    ) -> Result<std::sync::Arc<MountTable>, HandleError> {
        let known = self.mounts().await?;
        MountTable::load(txn, &*self.engines, &self.settings, Some(&known)).await
    }

    /// What a new server has: the four mounts that are part of it.
    pub(crate) async fn write_first_mounts(
        &self,
        txn: &host_barrier::Transaction,
    ) -> Result<(), HandleError> {
        let headers = |name: &str| MountConfig {
            passthrough_request_headers: vec![name.to_owned()],
            ..MountConfig::default()
        };
        let plain = MountConfig::default;
        let first = [
            (
                "cubbyhole/",
                "cubbyhole",
                "per-token private secret storage",
                plain(),
            ),
            (
                "identity/",
                "identity",
                "identity store",
                headers("Authorization"),
            ),
            (
                "sys/",
                "system",
                "system endpoints used for control, policy and debugging",
                headers("Accept"),
            ),
            ("auth/token/", "token", "token based credentials", plain()),
        ];
        for (path, engine, description, config) in first {
            let kind = match path.starts_with("auth/") {
                true => EngineKind::Auth,
                false => EngineKind::Secrets,
            };
            let record = MountRecord {
                path: path.to_owned(),
                auth: kind == EngineKind::Auth,
                engine: engine.to_owned(),
                description: description.to_owned(),
                accessor: accessor(self, kind, engine)?,
                uuid: random::uuid(&*self.random)?,
                config,
                options: None,
                local: engine == "cubbyhole",
                seal_wrap: engine == "system",
                external_entropy_access: false,
                storage_version: 1,
            };
            mount::write(txn, &record).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(sent: Value) -> Result<(String, Option<BTreeMap<String, String>>), String> {
        let sent = sent.as_object().cloned().unwrap_or_default();
        engine_and_options(&Fields(&sent), &Map::new()).map_err(|err| err.to_string())
    }

    #[test]
    fn kv_goes_by_several_names() {
        let version = |v: &str| Some(BTreeMap::from([("version".to_owned(), v.to_owned())]));
        let cases = [
            (json!({"type": "kv"}), Some(BTreeMap::new())),
            (json!({"type": "kv", "options": null}), None),
            (
                json!({"type": "kv", "options": {"version": 2}}),
                version("2"),
            ),
            (json!({"type": "kv-v2"}), version("2")),
            (json!({"type": "kv-v1", "options": null}), version("1")),
            (
                json!({"type": "plugin", "plugin_name": "kv"}),
                Some(BTreeMap::new()),
            ),
        ];
        for (sent, options) in cases {
            assert_eq!(
                engine(sent.clone()),
                Ok(("kv".to_owned(), options)),
                "{sent}"
            );
        }
        assert!(engine(json!({})).is_err());
        assert!(engine(json!({"type": "aws", "options": {"version": "2"}})).is_err());
    }
}
