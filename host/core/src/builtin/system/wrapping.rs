//! `sys/wrapping`: answers that are kept for one reader.

use serde_json::{Value, json};

use host_logical::{
    EngineRequest, EngineResponse, FieldType, Operation, PathDescription, PathTrait,
};

use super::super::describe::{Describe, path};
use super::super::{Fields, NativeCall, data, done, invalid};
use crate::clock::rfc3339;
use crate::error::HandleError;
use crate::wrapping::{self, Sent};

pub(super) fn paths() -> Vec<PathDescription> {
    let with_token = |pattern: &str, help: &str, operations: &[Operation]| {
        path(pattern, help, operations).field(
            "token",
            FieldType::Text,
            "The wrapping token; without it, the token of the request is the one.",
        )
    };
    vec![
        path(
            "wrapping/wrap",
            "Keeps what is sent for one reader, for as long as X-Vault-Wrap-TTL says.",
            &[Operation::Update],
        )
        .with(PathTrait::FreeForm),
        with_token(
            "wrapping/unwrap",
            "Gives out the answer that a wrapping token stands for, once.",
            &[Operation::Update],
        ),
        with_token(
            "wrapping/rewrap",
            "Moves an answer to a new wrapping token, which lasts as long again.",
            &[Operation::Update],
        ),
        with_token(
            "wrapping/lookup",
            "When and for what a wrapping token was made. It spends nothing.",
            &[Operation::Read, Operation::Update],
        )
        .with(PathTrait::Unauthenticated),
    ]
}

pub(super) fn serves(pattern: &str) -> bool {
    pattern.starts_with("wrapping/")
}

pub(super) async fn handle(
    call: &NativeCall,
    pattern: &str,
    request: &EngineRequest,
) -> Result<EngineResponse, HandleError> {
    if pattern == "wrapping/wrap" {
        return match call.wrap_ttl {
            Some(_) => data(&Value::Object(request.data.clone())),
            None => invalid("endpoint requires response wrapping to be used"),
        };
    }
    let sent = Sent::of(
        Fields::of(request).text("token"),
        call.client_token.as_ref(),
    )?;
    let (core, txn) = (&call.core, &call.txn);
    let whole = match pattern {
        "wrapping/lookup" => {
            let about = wrapping::find(core, txn, sent).await?.1.about;
            return data(&json!({
                "creation_path": about.creation_path,
                "creation_time": rfc3339(about.creation_millis),
                "creation_ttl": about.creation_ttl,
            }));
        }
        "wrapping/rewrap" => wrapping::rewrap(core, txn, sent, &request.id).await?,
        _ => wrapping::unwrap(core, txn, sent).await?,
    };
    call.say(|said| said.whole = Some(whole));
    done()
}
