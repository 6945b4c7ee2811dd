//! From the path that a person types to the path of KV's API.
//!
//! Version 2 puts `data/`, `metadata/` and so on behind the mount, version 1 nothing. Which one it is, and where the mount
//! ends, the server says: each `kv` command first asks `sys/internal/ui/mounts/<path>`.

use serde_json::Value;

use crate::client::{Call, Client};
use crate::failure::Failure;

/// A secret's place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KvPath {
    mount: String,
    /// Below the mount, as typed.
    rest: String,
    versioned: bool,
}

impl KvPath {
    /// Asks the server about `path`, or about `mount` if that was given apart.
    pub(crate) fn resolve(
        client: &mut Client,
        mount: Option<&str>,
        path: &str,
    ) -> Result<Self, Failure> {
        let path = path.trim().trim_matches('/');
        let asked = mount.map_or(path, |mount| mount.trim().trim_matches('/'));
        let call = Call::get(format!("sys/internal/ui/mounts/{asked}")).preliminary();
        let found = client.read(call).map_err(|err| err.alone())?;
        // A server that does not know the question knows version 1 only.
        let info = found.secret();
        let info = info.as_ref().and_then(|secret| secret.data.as_ref());
        let told = info
            .and_then(|info| info.get("path"))
            .and_then(Value::as_str);
        let version = info
            .and_then(|info| info.get("options"))
            .and_then(|options| options.get("version"));
        let versioned = version.and_then(Value::as_str) == Some("2");
        Ok(match mount {
            Some(mount) => Self {
                mount: told.unwrap_or(mount).to_owned(),
                rest: path.to_owned(),
                versioned,
            },
            None => Self::split(told.unwrap_or_default(), path, versioned),
        })
    }

    /// Cuts `mount` off `path`. The server may name the mount with a namespace in front that the person did not type.
    fn split(mount: &str, path: &str, versioned: bool) -> Self {
        let mut known = mount.trim_matches('/');
        loop {
            match path.strip_prefix(known) {
                Some(rest) if known.is_empty() || rest.is_empty() || rest.starts_with('/') => {
                    return Self {
                        mount: known.to_owned(),
                        rest: rest.trim_start_matches('/').to_owned(),
                        versioned,
                    };
                }
                _ => known = known.split_once('/').map_or("", |(_, shorter)| shorter),
            }
        }
    }

    pub(crate) fn is_versioned(&self) -> bool {
        self.versioned
    }

    /// The path of the API: under version 2 with `part` (`data`, `metadata`, ...) behind the mount.
    pub(crate) fn api(&self, part: &str) -> String {
        let part = if self.versioned { part } else { "" };
        let segments = [self.mount.as_str(), part, self.rest.as_str()];
        segments
            .iter()
            .flat_map(|text| text.split('/'))
            .filter(|segment| !segment.is_empty())
            .collect::<Vec<_>>()
            .join("/")
    }

    /// What to try if nothing was found: the API's path typed where the command wants the secret's.
    pub(crate) fn hint(&self) -> Option<String> {
        let rest = self
            .rest
            .strip_prefix("data/")
            .or_else(|| self.rest.strip_prefix("metadata/"))?;
        let path = format!("{}/{rest}", self.mount.trim_matches('/'));
        self.versioned.then(|| {
            format!(
                "kv commands put \"data/\" into the path themselves: try \"coffer kv get {path}\""
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mount: &str, typed: &str, version_1: &str, version_2: &str) {
        assert_eq!(KvPath::split(mount, typed, false).api("data"), version_1);
        assert_eq!(KvPath::split(mount, typed, true).api("data"), version_2);
    }

    #[test]
    fn version_2_puts_its_part_behind_the_mount() {
        check("secret/", "secret/app", "secret/app", "secret/data/app");
        check(
            "secret/",
            "secret/app/db",
            "secret/app/db",
            "secret/data/app/db",
        );
        check("secret/", "secret", "secret", "secret/data");
        check("team/kv/", "team/kv/app", "team/kv/app", "team/kv/data/app");
        check(
            "secret/",
            "secret/data/app",
            "secret/data/app",
            "secret/data/data/app",
        );
    }

    #[test]
    fn a_namespace_in_front_of_the_mount_need_not_be_typed() {
        check("ns1/secret/", "secret/app", "secret/app", "secret/data/app");
        check(
            "ns1/ns2/secret/",
            "secret/app",
            "secret/app",
            "secret/data/app",
        );
    }

    #[test]
    fn an_unknown_mount_leaves_the_path_as_typed() {
        check("", "old/app", "old/app", "data/old/app");
    }

    #[test]
    fn a_path_of_the_api_is_told_apart() {
        let hint = KvPath::split("secret/", "secret/data/app", true)
            .hint()
            .unwrap();
        assert!(hint.ends_with("try \"coffer kv get secret/app\""), "{hint}");
        assert_eq!(KvPath::split("secret/", "secret/app", true).hint(), None);
        assert_eq!(
            KvPath::split("secret/", "secret/data/app", false).hint(),
            None
        );
    }
}
