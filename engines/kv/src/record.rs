//! The record of a key: its settings, its versions, and the data of the latest.
//!
//! On disk a line of JSON that says everything but the data, then the data's JSON text as the
//! client wrote it. A record without the second part has no data: its latest version is destroyed,
//! or there is none yet.
//!
//! Invariants
//! - The versions listed are consecutive and end with `current`; they begin with `oldest`, or with
//!   1 where `oldest` is still 0.
//! - `latest` is the data of `current`. That of each older version listed lies under
//!   [`Key::version`], unless it is destroyed.

use std::collections::BTreeMap;

use coffer_sdk::time::Timestamp;
use coffer_sdk::{Error, Host};
use serde::{Deserialize, Serialize};

use crate::key::Key;
use crate::settings::Settings;

/// Everything about a key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    /// The number of the latest version; 0 if nothing was ever written.
    pub(crate) current: u64,
    /// As Vault shows it: 0 until the key has as many versions as it may keep.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) oldest: u64,
    pub(crate) versions: Vec<Version>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) settings: Settings,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) custom_metadata: BTreeMap<String, String>,
    /// Seconds after which to read again, from the data's `ttl`. Written and read by version 1.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) refresh_after: Option<u64>,
    /// JSON text.
    #[serde(skip)]
    latest: Option<Vec<u8>>,
}

/// One version of a key, without its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) created: Timestamp,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) state: State,
}

/// Live -> (time passes, or a delete) deleted -> (undelete) live. Destroyed is for good.
///
/// A delete holds at once and on every node, whatever the clocks there say; only what is due by
/// the clock asks the clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    #[default]
    Live,
    DeletesAt(Timestamp),
    DeletedAt(Timestamp),
    /// With the deletion time that it had.
    Destroyed(Option<Timestamp>),
}

impl State {
    /// Past or to come.
    pub(crate) fn deletion_time(&self) -> Option<Timestamp> {
        match self {
            Self::Live => None,
            Self::DeletesAt(time) | Self::DeletedAt(time) => Some(*time),
            Self::Destroyed(time) => *time,
        }
    }

    /// Whether the data may be read.
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        match self {
            Self::Live => true,
            Self::DeletesAt(time) => now < *time,
            Self::DeletedAt(_) | Self::Destroyed(_) => false,
        }
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        matches!(self, Self::Destroyed(_))
    }
}

/// What a new version pushes out of the record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Displaced {
    /// The version that was the latest, to be kept on its own.
    pub(crate) archived: Option<(u64, Vec<u8>)>,
    /// Versions that are no longer kept.
    pub(crate) trimmed: Vec<u64>,
}

impl Record {
    /// A key without a version.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            created: now,
            updated: now,
            current: 0,
            oldest: 0,
            versions: Vec::new(),
            settings: Settings::default(),
            custom_metadata: BTreeMap::new(),
            refresh_after: None,
            latest: None,
        }
    }

    /// A key with one version, as version 1 of the engine writes it.
    pub(crate) fn single(now: Timestamp, data: Vec<u8>, refresh_after: Option<u64>) -> Self {
        let only = Version {
            created: now,
            state: State::Live,
        };
        Self {
            current: 1,
            versions: vec![only],
            refresh_after,
            latest: Some(data),
            ..Self::new(now)
        }
    }

    /// The record of a key, if there is one.
    pub(crate) fn load(host: &Host, key: &Key<'_>) -> Result<Option<Self>, Error> {
        let stored = host.storage().get(&key.record())?;
        stored.map(Self::parse).transpose()
    }

    /// Reads what [`save`](Self::save) wrote.
    pub(crate) fn parse(mut stored: Vec<u8>) -> Result<Self, Error> {
        // The first part is compact JSON, in which a newline is always escaped.
        let latest = match stored.iter().position(|byte| *byte == b'\n') {
            Some(newline) => {
                let data = stored.split_off(newline + 1);
                stored.truncate(newline);
                Some(data)
            }
            None => None,
        };
        let record: Self =
            serde_json::from_slice(&stored).map_err(|_| damaged("it does not parse"))?;
        let count = record.versions.len() as u64;
        let first = match count {
            0 => 0,
            _ => record.oldest.max(1),
        };
        if first.checked_add(count.saturating_sub(1)) != Some(record.current) {
            return Err(damaged("its versions are not consecutive"));
        }
        Ok(Self { latest, ..record })
    }

    /// Writes the record of a key.
    pub(crate) fn save(&self, host: &Host, key: &Key<'_>) -> Result<(), Error> {
        let mut stored = serde_json::to_vec(self)
            .map_err(|error| Error::internal(format!("cannot serialize a record: {error}")))?;
        if let Some(latest) = &self.latest {
            stored.push(b'\n');
            stored.extend_from_slice(latest);
        }
        Ok(host.storage().put(&key.record(), &stored)?)
    }

    /// Adds the latest version and lets go of what exceeds `max_versions`.
    pub(crate) fn push(
        &mut self,
        version: Version,
        data: Vec<u8>,
        max_versions: u64,
    ) -> Result<Displaced, Error> {
        let (previous, previous_data) = (self.current, self.latest.replace(data));
        let first = self.first_kept();
        self.current = previous
            .checked_add(1)
            .ok_or_else(|| Error::internal("a key has no more version numbers"))?;
        self.updated = version.created;
        self.refresh_after = None;
        self.versions.push(version);
        // As Vault: counted from `oldest`, so that a limit that was raised lets go of nothing.
        if self.current - self.oldest >= max_versions {
            self.oldest = self.current - max_versions + 1;
        }
        let kept_from = self.oldest.max(1);
        let gone = usize::try_from(kept_from - first).unwrap_or(usize::MAX);
        self.versions.drain(..gone.min(self.versions.len()));
        Ok(Displaced {
            archived: previous_data
                .filter(|_| previous >= kept_from)
                .map(|data| (previous, data)),
            trimmed: (first..kept_from)
                .filter(|number| *number != previous)
                .collect(),
        })
    }

    /// Numbers and versions, from the oldest.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u64, &Version)> {
        (self.first_kept()..).zip(&self.versions)
    }

    /// A version, if it is kept.
    pub(crate) fn version(&self, number: u64) -> Option<&Version> {
        self.versions.get(self.index(number)?)
    }

    /// A version to change, if it is kept.
    pub(crate) fn version_mut(&mut self, number: u64) -> Option<&mut Version> {
        let index = self.index(number)?;
        self.versions.get_mut(index)
    }

    /// The JSON text of a version that is kept and not destroyed.
    pub(crate) fn data(&self, host: &Host, key: &Key<'_>, number: u64) -> Result<Vec<u8>, Error> {
        let data = if number == self.current {
            self.latest.clone()
        } else {
            host.storage().get(&key.version(number))?
        };
        data.ok_or_else(|| damaged("the data of a version is missing"))
    }

    /// The JSON text of the latest version, if it may be read.
    pub(crate) fn into_live_data(self, now: Timestamp) -> Option<Vec<u8>> {
        let latest = self.versions.last()?;
        if latest.state.is_live(now) {
            self.latest
        } else {
            None
        }
    }

    /// Destroys a version, for good. Nothing happens to one that is not there.
    pub(crate) fn destroy(&mut self, host: &Host, key: &Key<'_>, number: u64) -> Result<(), Error> {
        let Some(version) = self.version_mut(number) else {
            return Ok(());
        };
        if version.state.is_destroyed() {
            return Ok(());
        }
        version.state = State::Destroyed(version.state.deletion_time());
        if number == self.current {
            self.latest = None;
        } else {
            host.storage().delete(&key.version(number))?;
        }
        Ok(())
    }

    /// Removes a key with all its versions.
    pub(crate) fn remove(self, host: &Host, key: &Key<'_>) -> Result<(), Error> {
        for (number, version) in self.numbered() {
            if number != self.current && !version.state.is_destroyed() {
                host.storage().delete(&key.version(number))?;
            }
        }
        Ok(host.storage().delete(&key.record())?)
    }

    fn first_kept(&self) -> u64 {
        self.current + 1 - self.versions.len() as u64
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first_kept())?).ok()
    }
}

/// Says what is wrong and not what is stored: this goes to a log.
fn damaged(what: &str) -> Error {
    Error::internal(format!("the record of a key is damaged: {what}"))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a version under each limit in turn; says what is listed and `oldest` in the end.
    fn check(limits: &[u64], kept: std::ops::RangeInclusive<u64>, oldest: u64) {
        let now = Timestamp::default();
        let mut record = Record::new(now);
        let mut archive = std::collections::BTreeSet::new();
        for (number, max_versions) in (1..).zip(limits) {
            let version = Version {
                created: now,
                state: State::Live,
            };
            let displaced = record.push(version, b"{}".to_vec(), *max_versions).unwrap();
            archive.extend(displaced.archived.map(|(number, _)| number));
            for trimmed in &displaced.trimmed {
                assert!(archive.remove(trimmed), "{limits:?}: {trimmed} at {number}");
            }
        }
        let listed: Vec<u64> = record.numbered().map(|(number, _)| number).collect();
        assert_eq!(listed, kept.clone().collect::<Vec<_>>(), "{limits:?}");
        assert_eq!(record.oldest, oldest, "{limits:?}");
        // What is listed but for the latest is archived, and nothing else.
        archive.insert(record.current);
        assert_eq!(archive, kept.collect(), "{limits:?}");
    }

    #[test]
    fn the_newest_versions_stay_and_oldest_moves_as_in_vault() {
        check(&[10], 1..=1, 0);
        check(&[2, 2], 1..=2, 1);
        check(&[2, 2, 2], 2..=3, 2);
        check(&[1], 1..=1, 1);
        check(&[1, 1], 2..=2, 2);
        check(&[10; 9], 1..=9, 0);
        check(&[10; 10], 1..=10, 1);
        check(&[10; 11], 2..=11, 2);
    }

    #[test]
    fn a_limit_that_is_lowered_lets_go_of_many_and_one_that_is_raised_of_none() {
        check(&[10, 10, 10, 10, 2], 4..=5, 4);
        check(&[2, 2, 2, 5, 5], 2..=5, 2);
        check(&[2, 2, 2, 5, 5, 5, 5], 3..=7, 3);
        check(&[5, 5, 5, 1], 4..=4, 4);
    }

    #[test]
    fn a_damaged_record_is_an_error_and_no_panic() {
        let gap = r#"{"created":0,"updated":0,"current":3,"versions":[{"created":0}]}"#;
        let excess = r#"{"created":0,"updated":0,"current":0,"versions":[{"created":0}]}"#;
        for stored in ["", "\n", "{}", "{\n}", "[]\n{}", "\u{0}", gap, excess] {
            let error = Record::parse(stored.into()).unwrap_err();
            assert!(matches!(error, Error::Internal(_)), "{stored:?}");
        }
    }
}
