//! The system engine, always at `sys/`: how a server is run.
//!
//! The status routes that answer while sealed are the server's own; all here needs an open
//! barrier. Each file below serves one family of paths.

mod mounts;
mod policies;
mod tools;
mod ui;
mod wrapping;

use serde_json::json;

use host_logical::{
    Description, EngineKind, EngineRequest, EngineResponse, FieldType, Operation, PathDescription,
    PathTrait,
};

use super::describe::{Describe, engine, path};
use super::{AfterCommit, NativeCall, data, done};
use crate::clock::rfc3339;
use crate::error::HandleError;
use crate::storage::from_barrier;

pub(super) fn description() -> Description {
    use Operation::{Read, Update};
    let mut paths = vec![
        path(
            "seal",
            "Seals the server: every key leaves memory.",
            &[Update],
        )
        .with(PathTrait::Sudo),
        path("key-status", "The term of the encryption key.", &[Read]),
        path(
            "rotate",
            "Begins a new term of the encryption key.",
            &[Update],
        )
        .with(PathTrait::Sudo),
        path(
            "rotate/keyring",
            "Begins a new term of the encryption key.",
            &[Update],
        )
        .with(PathTrait::Sudo),
    ];
    paths.extend(mounts::paths());
    paths.extend(policies::paths());
    paths.extend(tools::paths());
    paths.extend(ui::paths());
    paths.extend(wrapping::paths());
    engine(
        "system",
        EngineKind::Secrets,
        "How this server is run: mounts, policies, seal.",
        paths,
    )
}

pub(super) async fn handle(
    call: &NativeCall,
    pattern: &str,
    request: &EngineRequest,
) -> Result<EngineResponse, HandleError> {
    match pattern {
        "seal" => {
            call.say(|said| said.after_commit.push(AfterCommit::Seal));
            done()
        }
        "key-status" => {
            let status = call.core.barrier.key_status().await.map_err(from_barrier)?;
            data(&json!({
                "term": status.term,
                "install_time": rfc3339(status.install_time_millis),
                "encryptions": status.encryptions,
            }))
        }
        "rotate" | "rotate/keyring" => {
            let status = call
                .core
                .barrier
                .rotate(call.now())
                .await
                .map_err(from_barrier)?;
            tracing::info!(term = status.term, "a new term of the encryption key began");
            done()
        }
        _ if mounts::serves(pattern) => mounts::handle(call, pattern, request).await,
        _ if policies::serves(pattern) => policies::handle(call, pattern, request).await,
        _ if tools::serves(pattern) => tools::handle(call, pattern, request),
        _ if wrapping::serves(pattern) => wrapping::handle(call, pattern, request).await,
        _ => ui::handle(call, pattern, request).await,
    }
}

/// A path with the field `paths`, for questions about capabilities.
fn text_field(path: PathDescription, name: &str, description: &str) -> PathDescription {
    path.field(name, FieldType::Text, description)
}
