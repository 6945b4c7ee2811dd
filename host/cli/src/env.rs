//! The environment, read once, so that nothing else depends on the process's.

use std::collections::BTreeMap;

/// Environment variables; an empty one counts as absent, as in Vault's client.
#[derive(Debug, Default)]
pub(crate) struct Env(BTreeMap<String, String>);

impl Env {
    /// The process's own. Variables that are not UTF-8 cannot be ours.
    pub(crate) fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// `VAULT_<name>`, else `BAO_<name>`: people come from both.
    pub(crate) fn vault(&self, name: &str) -> Option<&str> {
        self.get(&format!("VAULT_{name}"))
            .or_else(|| self.get(&format!("BAO_{name}")))
    }
}

impl FromIterator<(String, String)> for Env {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}
