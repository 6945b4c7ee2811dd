//! `data` and `subkeys`: reading and writing versions.

use std::collections::BTreeMap;

use coffer_sdk::{Answer, Error, Host, Request, Response};
use serde_json::value::RawValue;

use super::VersionMetadata;
use crate::key::Key;
use crate::record::{Record, State, Version};
use crate::settings::{InEffect, Settings};
use crate::{merge, v2};

pub(super) fn read(host: &Host, request: &Request) -> Answer {
    show(host, request, "data", Ok)
}

pub(super) fn subkeys(host: &Host, request: &Request) -> Answer {
    let depth = request.optional::<i64>("depth")?.unwrap_or(0);
    let depth = usize::try_from(depth).unwrap_or(0);
    show(host, request, "subkeys", |data| {
        merge::subkeys(&data, depth)
    })
}

pub(super) fn write(host: &Host, request: &Request) -> Answer {
    let key = Key::to_write(request)?;
    let data = request.raw("data").ok_or_else(no_data)?;
    let (mount, record) = v2::load(host, &key)?;
    let record = record.unwrap_or_else(|| Record::new(host.now()));
    check_cas(request, &mount, &record)?;
    add_version(host, &key, &mount, record, data.into())
}

pub(super) fn patch(host: &Host, request: &Request) -> Answer {
    let key = Key::to_write(request)?;
    let patch = request
        .raw("data")
        .filter(|data| *data != "null")
        .ok_or_else(no_data)?;
    let (mount, record) = v2::load(host, &key)?;
    let Some(record) = record else {
        return Ok(Response::empty().status(404));
    };
    check_cas(request, &mount, &record)?;
    let Some(latest) = record.version(record.current) else {
        return Ok(Response::empty().status(404));
    };
    if !latest.state.is_live(host.now()) {
        let metadata = VersionMetadata::new(&record, record.current, latest);
        return Ok(Response::data(metadata).status(404));
    }
    let data = record.data(host, &key, record.current)?;
    let merged = merge::merge_patch(&data, patch)?;
    add_version(host, &key, &mount, record, merged)
}

/// Deletes the latest version. What is not there, or no longer, is no error.
pub(super) fn delete(host: &Host, request: &Request) -> Answer {
    let Some(key) = Key::find(request)? else {
        return Ok(Response::empty());
    };
    let Some(mut record) = Record::load(host, &key)? else {
        return Ok(Response::empty());
    };
    let now = host.now();
    let current = record.current;
    if let Some(latest) = record.version_mut(current)
        && latest.state.is_live(now)
    {
        latest.state = State::DeletedAt(now);
        record.save(host, &key)?;
    }
    Ok(Response::empty())
}

/// Answers with a version's data, after `view`, under `name`, and its metadata. What is deleted or
/// destroyed is a 404 with the metadata, and null in place of the data.
fn show(
    host: &Host,
    request: &Request,
    name: &str,
    view: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, Error>,
) -> Answer {
    let key = Key::find(request)?.ok_or(Error::NotFound)?;
    let record = Record::load(host, &key)?.ok_or(Error::NotFound)?;
    let number = match request.optional::<i64>("version")? {
        Some(number @ 1..) => number.unsigned_abs(),
        _ => record.current,
    };
    let version = record.version(number).ok_or(Error::NotFound)?;
    let live = version.state.is_live(host.now());
    let metadata = serde_json::to_vec(&VersionMetadata::new(&record, number, version))
        .map_err(|error| Error::internal(format!("cannot serialize metadata: {error}")))?;
    let data = if live {
        view(record.data(host, &key, number)?)?
    } else {
        b"null".to_vec()
    };
    let parts: [&[u8]; 7] = [
        b"{\"",
        name.as_bytes(),
        b"\":",
        &data,
        b",\"metadata\":",
        &metadata,
        b"}",
    ];
    let response = Response::json(parts.concat());
    Ok(if live { response } else { response.status(404) })
}

fn add_version(
    host: &Host,
    key: &Key<'_>,
    mount: &Settings,
    mut record: Record,
    data: Vec<u8>,
) -> Answer {
    let now = host.now();
    let settings = InEffect {
        mount,
        key: &record.settings,
    };
    let max_versions = settings.max_versions();
    let version = Version {
        created: now,
        state: settings.fresh_state(now),
    };
    let displaced = record.push(version.clone(), data, max_versions)?;
    if let Some((number, data)) = displaced.archived {
        host.storage().put(&key.version(number), &data)?;
    }
    for number in displaced.trimmed {
        host.storage().delete(&key.version(number))?;
    }
    record.save(host, key)?;
    let metadata = VersionMetadata::new(&record, record.current, &version);
    Ok(Response::data(metadata))
}

/// Check-and-set: `options.cas` must be the current version, where it is given or demanded.
fn check_cas(request: &Request, mount: &Settings, record: &Record) -> Result<(), Error> {
    let options: Option<BTreeMap<String, &RawValue>> = request.optional("options")?;
    let given = options.as_ref().and_then(|options| options.get("cas"));
    let settings = InEffect {
        mount,
        key: &record.settings,
    };
    match given.map(|cas| parse_cas(cas.get())) {
        Some(None) => Err(Error::invalid("error parsing check-and-set parameter")),
        Some(Some(cas)) if cas != i128::from(record.current) => Err(Error::invalid(
            "check-and-set parameter did not match the current version",
        )),
        None if settings.cas_required() => Err(Error::invalid(
            "check-and-set parameter required for this call",
        )),
        Some(Some(_)) | None => Ok(()),
    }
}

/// A whole number, or its text; null and no text are 0, as with Vault.
fn parse_cas(json: &str) -> Option<i128> {
    if json.starts_with('"') {
        let text: String = serde_json::from_str(json).ok()?;
        return if text.is_empty() {
            Some(0)
        } else {
            text.parse().ok()
        };
    }
    if json == "null" {
        return Some(0);
    }
    json.parse().ok()
}

fn no_data() -> Error {
    Error::invalid("no data provided")
}
