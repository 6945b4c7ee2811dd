//! `config`: the settings of the mount.

use coffer_sdk::{Answer, Error, Host, Request, Response, json};

use crate::settings::Settings;

/// Where the mount's settings are stored.
pub(super) const KEY: &str = "config";

pub(super) fn read(host: &Host, _: &Request) -> Answer {
    let settings = load(host)?;
    Ok(Response::data(json!({
        "cas_required": settings.cas_required,
        "delete_version_after": settings.delete_version_after_text(),
        "max_versions": settings.max_versions,
    })))
}

pub(super) fn write(host: &Host, request: &Request) -> Answer {
    let mut settings = load(host)?;
    if settings.update(request)? {
        host.storage().put_json(KEY, &settings)?;
    }
    Ok(Response::empty())
}

pub(super) fn load(host: &Host) -> Result<Settings, Error> {
    match host.storage().get(KEY)? {
        Some(stored) => parse(&stored),
        None => Ok(Settings::default()),
    }
}

pub(super) fn parse(stored: &[u8]) -> Result<Settings, Error> {
    serde_json::from_slice(stored)
        .map_err(|_| Error::internal("the settings of the mount are damaged"))
}
