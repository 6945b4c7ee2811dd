//! Policies as they are kept: their text, under `policy/<name in hex>` in the host's own records, and
//! one number that moves with every change, for who keeps them merged.

use host_barrier::{Transaction, View};

use crate::error::HandleError;
use crate::policy::{DEFAULT_POLICY_TEXT, Policy, PolicyName, RESPONSE_WRAPPING_POLICY_TEXT};
use crate::storage::{self, chain, from_view, parse_json, to_json};

/// The record that moves with every change of a policy.
pub(crate) const GENERATION: &str = "policy-generation";
const RECORDS: &str = "policy/";

/// The text of a policy, as it was written.
pub(crate) async fn read(
    txn: &Transaction,
    name: &PolicyName,
) -> Result<Option<String>, HandleError> {
    if name.as_str() == PolicyName::RESPONSE_WRAPPING {
        return Ok(Some(RESPONSE_WRAPPING_POLICY_TEXT.to_owned()));
    }
    let system = storage::system(txn).await?;
    match system.get(&key(name)).await.map_err(from_view)? {
        Some(text) => String::from_utf8(text.to_vec())
            .map(Some)
            .map_err(HandleError::internal),
        None => Ok(None),
    }
}

/// A policy as it is kept.
pub(crate) enum Kept {
    /// Ready to be merged.
    Parsed(Policy),
    /// Not there: it grants nothing.
    Missing,
    /// It no longer parses, after a change of the parser. What it denied is not known, so nobody
    /// who has it is granted anything.
    Unreadable,
}

/// A policy, ready to be merged.
pub(crate) async fn read_parsed(txn: &Transaction, name: &str) -> Result<Kept, HandleError> {
    let Ok(name) = PolicyName::parse(name) else {
        return Ok(Kept::Missing);
    };
    let Some(text) = read(txn, &name).await? else {
        return Ok(Kept::Missing);
    };
    match Policy::parse(&name, &text) {
        Ok(policy) => Ok(Kept::Parsed(policy)),
        Err(err) => {
            tracing::error!(policy = name.as_str(), error = %chain(&err), "a stored policy does not parse: tokens that have it are granted nothing until it is written anew");
            Ok(Kept::Unreadable)
        }
    }
}

/// Writes a policy that was parsed before.
pub(crate) async fn write(
    txn: &Transaction,
    name: &PolicyName,
    text: &str,
) -> Result<(), HandleError> {
    let system = storage::system(txn).await?;
    move_generation(&system).await?;
    system
        .put(&key(name), text.as_bytes())
        .await
        .map_err(from_view)
}

/// Takes a policy away. Tokens that name it lose what it granted.
pub(crate) async fn delete(txn: &Transaction, name: &PolicyName) -> Result<(), HandleError> {
    let system = storage::system(txn).await?;
    move_generation(&system).await?;
    system.delete(&key(name)).await.map_err(from_view)
}

/// Names in order, `root` at the end although it has no record.
pub(crate) async fn names(txn: &Transaction) -> Result<Vec<String>, HandleError> {
    let keys = storage::list_all(&storage::system(txn).await?, RECORDS).await?;
    let decoded = keys.iter().map(|key| {
        let name = hex::decode(key).map_err(HandleError::internal)?;
        String::from_utf8(name).map_err(HandleError::internal)
    });
    let mut names = decoded.collect::<Result<Vec<_>, _>>()?;
    names.push(PolicyName::ROOT.to_owned());
    Ok(names)
}

/// Whether there is one.
pub(crate) async fn exists(txn: &Transaction, name: &PolicyName) -> Result<bool, HandleError> {
    Ok(name.as_str() == PolicyName::ROOT || read(txn, name).await?.is_some())
}

/// What a new server starts with.
pub(crate) async fn write_defaults(txn: &Transaction) -> Result<(), HandleError> {
    let name = PolicyName::parse(PolicyName::DEFAULT).map_err(HandleError::internal)?;
    write(txn, &name, DEFAULT_POLICY_TEXT).await
}

/// Names may hold slashes, which would make folders of them. Hex sorts as the names do.
fn key(name: &PolicyName) -> String {
    format!("{RECORDS}{}", hex::encode(name.as_str()))
}

async fn move_generation(system: &View) -> Result<(), HandleError> {
    let generation: u64 = match system.get(GENERATION).await.map_err(from_view)? {
        Some(value) => parse_json(&value)?,
        None => 0,
    };
    system
        .put(GENERATION, &to_json(&generation.saturating_add(1))?)
        .await
        .map_err(from_view)
}
