//! Cubbyhole: what only one token can read, and what goes with it.

use serde_json::{Value, json};

use host_logical::{Description, EngineKind, EngineRequest, EngineResponse, Operation, PathTrait};

use super::describe::{Describe, engine, path};
use super::{NativeCall, data, done, invalid, nothing};
use crate::error::HandleError;
use crate::storage::{self, from_view, parse_json, to_json};
use crate::token::cubbyhole_prefix;

pub(super) fn description() -> Description {
    let operations = [
        Operation::Read,
        Operation::Create,
        Operation::Update,
        Operation::Delete,
        Operation::List,
    ];
    let help = "Secrets that only the token can read which wrote them. They go when it goes.";
    let all = path("{path...}", help, &operations)
        .with(PathTrait::FreeForm)
        .with(PathTrait::ExistenceCheck);
    engine("cubbyhole", EngineKind::Secrets, help, vec![all])
}

pub(super) async fn exists(
    call: &NativeCall,
    request: &EngineRequest,
) -> Result<bool, HandleError> {
    let system = storage::system(&call.txn).await?;
    let key = key(call, request)?;
    Ok(system.get(&key).await.map_err(refused_key)?.is_some())
}

pub(super) async fn handle(
    call: &NativeCall,
    request: &EngineRequest,
) -> Result<EngineResponse, HandleError> {
    let system = storage::system(&call.txn).await?;
    let key = key(call, request)?;
    match request.operation {
        Operation::List => {
            let folder = if key.ends_with('/') {
                key
            } else {
                format!("{key}/")
            };
            let keys = system
                .list(&folder, None, 0)
                .await
                .map_err(refused_key)?
                .keys;
            data(&json!({ "keys": keys }))
        }
        _ if request.path.is_empty() => invalid("missing path"),
        Operation::Create | Operation::Update if request.data.is_empty() => {
            invalid("missing data fields")
        }
        Operation::Create | Operation::Update => {
            system
                .put(&key, &to_json(&request.data)?)
                .await
                .map_err(refused_key)?;
            done()
        }
        Operation::Delete => {
            system.delete(&key).await.map_err(refused_key)?;
            done()
        }
        _ => match system.get(&key).await.map_err(refused_key)? {
            Some(value) => data(&parse_json::<Value>(&value)?),
            None => nothing(),
        },
    }
}

fn key(call: &NativeCall, request: &EngineRequest) -> Result<String, HandleError> {
    Ok(format!(
        "{}{}",
        cubbyhole_prefix(&call.token()?.hash),
        request.path
    ))
}

/// A path that storage does not take is the client's to mend.
fn refused_key(err: host_barrier::ViewError) -> HandleError {
    match err {
        host_barrier::ViewError::InvalidKey(reason) => {
            HandleError::Invalid(format!("this path cannot hold a secret: {reason}"))
        }
        host_barrier::ViewError::TooLarge(limit) => {
            HandleError::Invalid(format!("a secret is at most {limit} bytes"))
        }
        err => from_view(err),
    }
}
