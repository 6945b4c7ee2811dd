//! What may be set for a mount and for each key: how many versions stay, and for how long.

use std::time::Duration;

use coffer_sdk::time::{Timestamp, duration_text};
use coffer_sdk::{Error, Request};
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::record::State;

/// Settings of a mount or of one key. Where both are set, each rule says which counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// How many versions stay; 0 is unset. The larger of the two counts.
    pub(crate) max_versions: u32,
    /// Whether a write must say which version it replaces. Either demands it.
    pub(crate) cas_required: bool,
    /// Seconds after which a version is deleted; 0 is unset. The smaller of the two counts, and a
    /// negative one of the mount turns it off for all keys.
    pub(crate) delete_version_after: i64,
}

impl Settings {
    /// What `config` and `metadata` show.
    pub(crate) fn delete_version_after_text(&self) -> String {
        duration_text(self.delete_version_after)
    }

    /// Takes over the fields that were sent. False if there was none of them.
    pub(crate) fn update(&mut self, request: &Request) -> Result<bool, Error> {
        let max_versions = max_versions(request)?;
        let cas_required = request.optional("cas_required")?;
        let delete_version_after = request.optional::<i64>("delete_version_after")?;
        let any =
            max_versions.is_some() || cas_required.is_some() || delete_version_after.is_some();
        self.max_versions = max_versions.unwrap_or(self.max_versions);
        self.cas_required = cas_required.unwrap_or(self.cas_required);
        if let Some(seconds) = delete_version_after {
            // As Vault: a negative one is a switch, whatever its size.
            self.delete_version_after = seconds.max(-1);
        }
        Ok(any)
    }

    /// Unsets the fields that were sent as null.
    pub(crate) fn reset_nulls(&mut self, request: &Request) {
        let null = |name| request.raw(name) == Some("null");
        let unset = Self::default();
        if null("max_versions") {
            self.max_versions = unset.max_versions;
        }
        if null("cas_required") {
            self.cas_required = unset.cas_required;
        }
        if null("delete_version_after") {
            self.delete_version_after = unset.delete_version_after;
        }
    }
}

fn max_versions(request: &Request) -> Result<Option<u32>, Error> {
    let Some(wanted) = request.optional::<i64>("max_versions")? else {
        return Ok(None);
    };
    match u32::try_from(wanted) {
        Ok(versions) if versions <= limits::MAX_VERSIONS => Ok(Some(versions)),
        _ => Err(Error::invalid(format!(
            "max_versions must be between 0 and {}, not {wanted}",
            limits::MAX_VERSIONS
        ))),
    }
}

/// The settings that hold for a key: its own, in those of its mount.
pub(crate) struct InEffect<'a> {
    pub(crate) mount: &'a Settings,
    pub(crate) key: &'a Settings,
}

impl InEffect<'_> {
    /// How many versions stay.
    pub(crate) fn max_versions(&self) -> u64 {
        match self.mount.max_versions.max(self.key.max_versions) {
            0 => limits::DEFAULT_MAX_VERSIONS,
            versions => u64::from(versions),
        }
    }

    /// Whether a write must say which version it replaces.
    pub(crate) fn cas_required(&self) -> bool {
        self.mount.cas_required || self.key.cas_required
    }

    /// The state of a version that begins, or begins again, now.
    pub(crate) fn fresh_state(&self, now: Timestamp) -> State {
        let (mount, key) = (
            self.mount.delete_version_after,
            self.key.delete_version_after,
        );
        let seconds = match (mount, key) {
            (..0, _) | (0, 0) => return State::Live,
            (0, seconds) | (seconds, 0) => seconds,
            (mount, key) => mount.min(key),
        };
        State::DeletesAt(now.plus(Duration::from_secs(seconds.unsigned_abs())))
    }
}
