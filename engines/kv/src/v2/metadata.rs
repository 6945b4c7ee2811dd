//! `metadata`: a key with its settings and its history, and the listing of keys.

use std::collections::BTreeMap;

use coffer_sdk::{Answer, Error, Field, Host, Request, Response};
use serde::Serialize;

use crate::key::Key;
use crate::listing::{self, Part};
use crate::record::Record;
use crate::settings::Settings;
use crate::{custom_metadata, v2};

pub(super) const RETURNS: &[Field] = &[
    v2::CAS_REQUIRED,
    Field::timestamp("created_time", "When the key was made."),
    Field::integer("current_version", "The number of the latest version."),
    v2::CUSTOM_METADATA,
    Field::text("delete_version_after", "A duration, such as `3h25m19s`."),
    v2::MAX_VERSIONS,
    Field::integer("oldest_version", "The oldest version that is kept."),
    Field::timestamp("updated_time", "When the latest version was written."),
    Field::object("versions", "About each version, by its number."),
];

pub(super) fn read(host: &Host, request: &Request) -> Answer {
    let key = Key::find(request)?.ok_or(Error::NotFound)?;
    let record = Record::load(host, &key)?.ok_or(Error::NotFound)?;
    let versions = record.numbered().map(|(number, version)| {
        let deletion_time = version.state.deletion_time();
        let summary = VersionSummary {
            created_time: version.created.to_string(),
            deletion_time: deletion_time.map_or_else(String::new, |time| time.to_string()),
            destroyed: version.state.is_destroyed(),
        };
        (number, summary)
    });
    Ok(Response::data(Metadata {
        cas_required: record.settings.cas_required,
        created_time: record.created.to_string(),
        current_version: record.current,
        custom_metadata: v2::some_custom_metadata(&record),
        delete_version_after: record.settings.delete_version_after_text(),
        max_versions: record.settings.max_versions,
        oldest_version: record.oldest,
        updated_time: record.updated.to_string(),
        versions: versions.collect(),
    }))
}

/// Sets what is given. Custom metadata is replaced as a whole.
pub(super) fn write(host: &Host, request: &Request) -> Answer {
    let key = Key::to_write(request)?;
    let (mount, record) = v2::load(host, &key)?;
    let mut record = record.unwrap_or_else(|| Record::new(host.now()));
    let mut any = record.settings.update(request)?;
    if let Some(texts) = custom_metadata::replacement(request)? {
        record.custom_metadata = texts;
        any = true;
    }
    if any {
        record.save(host, &key)?;
    }
    warn_of_cas(request, &mount)
}

/// Merges what is given. Null unsets.
pub(super) fn patch(host: &Host, request: &Request) -> Answer {
    let key = Key::to_write(request)?;
    let (mount, record) = v2::load(host, &key)?;
    let Some(mut record) = record else {
        return Ok(Response::empty().status(404));
    };
    record.settings.update(request)?;
    record.settings.reset_nulls(request);
    custom_metadata::patch(&mut record.custom_metadata, request)?;
    record.save(host, &key)?;
    warn_of_cas(request, &mount)
}

/// Removes all there is. A key that is not there is no error.
pub(super) fn delete(host: &Host, request: &Request) -> Answer {
    if let Some(key) = Key::find(request)?
        && let Some(record) = Record::load(host, &key)?
    {
        record.remove(host, &key)?;
    }
    Ok(Response::empty())
}

pub(super) fn list(host: &Host, request: &Request) -> Answer {
    let after: Option<String> = request.optional("after")?;
    let limit = request.optional::<i64>("limit")?.unwrap_or(0);
    let part = Part {
        after: after.filter(|name| !name.is_empty()),
        limit: u32::try_from(limit).ok().filter(|limit| *limit > 0),
    };
    listing::list(host, request.param("path"), part)
}

/// A key cannot be let off what its mount demands.
fn warn_of_cas(request: &Request, mount: &Settings) -> Answer {
    let response = Response::empty();
    if mount.cas_required && request.optional("cas_required")? == Some(false) {
        return Ok(response.warning(
            "\"cas_required\" set to false, but is mandated by backend config. This value will be ignored.",
        ));
    }
    Ok(response)
}

#[derive(Serialize)]
struct Metadata<'r> {
    cas_required: bool,
    created_time: String,
    current_version: u64,
    custom_metadata: Option<&'r BTreeMap<String, String>>,
    delete_version_after: String,
    max_versions: u32,
    oldest_version: u64,
    updated_time: String,
    versions: BTreeMap<u64, VersionSummary>,
}

#[derive(Serialize)]
struct VersionSummary {
    created_time: String,
    deletion_time: String,
    destroyed: bool,
}
