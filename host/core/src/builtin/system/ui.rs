//! What clients ask about themselves: capabilities, and the internals that command lines and
//! pages use to find their way.

use std::sync::Arc;

use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};

use host_logical::{
    EngineRequest, EngineResponse, FieldType, MountPath, Operation, PathDescription, PathTrait,
};

use super::super::describe::{Describe, path};
use super::super::{Fields, NativeCall, data, done, invalid, param};
use super::{mounts, text_field};
use crate::error::HandleError;
use crate::mount::MountEntry;
use crate::openapi;
use crate::policy::Acl;
use crate::{limits, storage};

pub(super) fn paths() -> Vec<PathDescription> {
    use Operation::{Read, Update};
    let ask = |pattern: &str, help: &str| {
        let asked = path(pattern, help, &[Update]).field(
            "paths",
            FieldType::CommaList,
            "The paths asked about.",
        );
        text_field(asked, "path", "One path asked about.")
    };
    vec![
        text_field(
            ask("capabilities", "What a token may do."),
            "token",
            "The token.",
        ),
        text_field(
            ask("capabilities-self", "What the asking token may do."),
            "token",
            "Ignored.",
        ),
        text_field(
            ask(
                "capabilities-accessor",
                "What the token behind an accessor may do.",
            ),
            "accessor",
            "The accessor.",
        ),
        path(
            "internal/ui/mounts",
            "The mounts that the asking token sees.",
            &[Read],
        )
        .with(PathTrait::Unauthenticated),
        path(
            "internal/ui/mounts/{path...}",
            "The mount that serves a path.",
            &[Read],
        )
        .with(PathTrait::Unauthenticated),
        path(
            "internal/ui/resultant-acl",
            "The policies of the asking token, merged.",
            &[Read],
        ),
        path(
            "internal/specs/openapi",
            "This server's API as OpenAPI.",
            &[Read],
        )
        .with(PathTrait::Unauthenticated),
    ]
}

pub(super) async fn handle(
    call: &NativeCall,
    pattern: &str,
    request: &EngineRequest,
) -> Result<EngineResponse, HandleError> {
    let fields = Fields::of(request);
    match pattern {
        "capabilities-self" => capabilities(&fields, &call.acl),
        "capabilities" => {
            let Some(token) = fields.said("token") else {
                return invalid("no token found");
            };
            let found = call
                .core
                .tokens
                .in_force(&call.txn, token, call.now())
                .await?;
            match found.filter(|token| !token.record.is_spent()) {
                Some(token) => {
                    capabilities(&fields, &*call.core.acl(&token.record.policies).await?)
                }
                None => Err(HandleError::InvalidListed("invalid token".into())),
            }
        }
        "capabilities-accessor" => {
            let Some(accessor) = fields.said("accessor") else {
                return invalid("missing accessor");
            };
            match call
                .core
                .tokens
                .by_accessor(&call.txn, accessor, call.now())
                .await?
            {
                Some(token) => {
                    capabilities(&fields, &*call.core.acl(&token.record.policies).await?)
                }
                None => Err(HandleError::InvalidListed("invalid accessor".into())),
            }
        }
        "internal/ui/resultant-acl" => resultant(&call.acl),
        "internal/ui/mounts" => visible_mounts(call).await,
        "internal/ui/mounts/{path...}" => preflight(call, param(request, "path")).await,
        _ => specification(call).await,
    }
}

fn capabilities(fields: &Fields<'_>, acl: &Acl) -> Result<EngineResponse, HandleError> {
    let mut paths = fields.texts("paths").unwrap_or_default();
    paths.extend(fields.said("path").map(str::to_owned));
    paths.dedup();
    if paths.is_empty() {
        return invalid("paths must be supplied");
    }
    if paths.len() > limits::MAX_CAPABILITY_PATHS {
        return invalid(format!(
            "at most {} paths at a time",
            limits::MAX_CAPABILITY_PATHS
        ));
    }
    let mut answer = Map::new();
    for path in &paths {
        let asked = path.trim_start_matches('/');
        let asked = asked.strip_prefix("v1/").unwrap_or(asked);
        answer.insert(path.clone(), json!(acl.capabilities(asked).names()));
    }
    if let [only] = paths.as_slice() {
        let same = answer.get(only).cloned().unwrap_or_default();
        answer.insert("capabilities".to_owned(), same);
    }
    data(&Value::Object(answer))
}

fn resultant(acl: &Acl) -> Result<EngineResponse, HandleError> {
    if acl.is_root() {
        return data(&json!({ "root": true, "exact_paths": {}, "glob_paths": {} }));
    }
    let resultant = acl.resultant();
    let shown = |paths: &std::collections::BTreeMap<&str, crate::policy::Capabilities>| {
        let paths = paths.iter();
        let paths =
            paths.map(|(path, caps)| ((*path).to_owned(), json!({ "capabilities": caps.names() })));
        Value::Object(paths.collect())
    };
    data(&json!({
        "root": false,
        "exact_paths": shown(&resultant.exact_paths),
        "glob_paths": shown(&resultant.glob_paths),
    }))
}

/// The token that was sent, although the path needs none, and what it may do.
async fn sent_token(call: &NativeCall) -> Result<Option<Arc<Acl>>, HandleError> {
    let Some(sent) = &call.client_token else {
        return Ok(None);
    };
    let found = call
        .core
        .tokens
        .in_force(&call.txn, sent.expose(), call.now())
        .await?;
    match found.filter(|token| !token.record.is_spent()) {
        Some(token) => call.core.acl(&token.record.policies).await.map(Some),
        None => Err(HandleError::InvalidToken),
    }
}

/// Which mount serves a path: every `kv` command asks. The refusal is the same whether the
/// mount is not there or not for this token.
async fn preflight(call: &NativeCall, path: &str) -> Result<EngineResponse, HandleError> {
    let acl = sent_token(call).await?.ok_or(HandleError::NoToken)?;
    let table = call.core.mounts().await?;
    let found = table
        .find(path)
        .filter(|mount| acl.touches_below(&mount.record.path));
    match found {
        Some(mount) => {
            let mut shown = mounts::shown(&mount.record);
            shown.insert("path".to_owned(), json!(mount.record.path));
            data(&Value::Object(shown))
        }
        None => {
            let mut path = path.to_owned();
            if !path.ends_with('/') {
                path.push('/');
            }
            Err(HandleError::DeniedPlain(format!(
                "preflight capability check returned 403, please ensure client's policies grant access to path {path:?}"
            )))
        }
    }
}

/// Mounts by visibility: those shown to everybody without a token, those in reach with one.
async fn visible_mounts(call: &NativeCall) -> Result<EngineResponse, HandleError> {
    let acl = sent_token(call).await?;
    let table = call.core.mounts().await?;
    let (mut auth, mut secret) = (Map::new(), Map::new());
    for mount in table.iter() {
        let record = &mount.record;
        let open = record.config.listing_visibility == "unauth";
        let shown = match &acl {
            Some(acl) if open || acl.touches_below(&record.path) => mounts::shown(record),
            None if open => {
                let brief = json!({
                    "type": record.engine,
                    "description": record.description,
                    "options": record.options,
                });
                brief.as_object().cloned().unwrap_or_default()
            }
            _ => continue,
        };
        let (map, path) = match record.path.strip_prefix("auth/") {
            Some(path) => (&mut auth, path),
            None => (&mut secret, record.path.as_str()),
        };
        map.insert(path.to_owned(), Value::Object(shown));
    }
    data(&json!({ "auth": auth, "secret": secret }))
}

/// The API of all mounts in reach; without a token, of what every server has.
async fn specification(call: &NativeCall) -> Result<EngineResponse, HandleError> {
    let acl = sent_token(call).await?;
    let table = call.core.mounts().await?;
    let mut described = Vec::new();
    for mount in table.iter().filter(|mount| in_reach(mount, acl.as_deref())) {
        let path = MountPath::parse(&mount.record.path).map_err(HandleError::internal)?;
        match mount.described().await {
            Ok(found) => described.push((path, found.description.clone())),
            Err(err) => {
                tracing::warn!(mount = mount.record.path, error = %storage::chain(&err), "an engine does not describe itself; it is not in the OpenAPI document");
            }
        }
    }
    let document = openapi::document(&described, call.core.settings.version);
    let document = to_raw_value(&document).map_err(HandleError::internal)?;
    call.say(|said| said.bare = Some(document));
    done()
}

fn in_reach(mount: &MountEntry, acl: Option<&Acl>) -> bool {
    let native = matches!(mount.serves, crate::mount::Serves::Native(_));
    native || acl.is_some_and(|acl| acl.touches_below(&mount.record.path))
}
