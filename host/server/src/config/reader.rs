//! Takes known keys out of a table, each with its type, until none is left.

use std::time::Duration;

use host_core::GoDuration;

use super::{ConfigError, Entry, Place, Value};

/// A table that is being read.
pub(super) struct Reader {
    /// What it is, for messages: `listener "tcp"`.
    what: String,
    entries: Vec<Entry>,
}

/// Keys that may stand in a table more than once.
const REPEATABLE: &[&str] = &[
    "listener",
    "storage",
    "backend",
    "seal",
    "telemetry",
    "service_registration",
];

impl Reader {
    pub(super) fn new(what: &str, entries: Vec<Entry>) -> Self {
        Self {
            what: what.to_owned(),
            entries,
        }
    }

    fn take(&mut self, key: &str) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(at)).filter(|entry| !matches!(entry.value, Value::Null))
    }

    /// A text; numbers and switches are texts too, as Vault takes them.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<(Place, String)>, ConfigError> {
        let Some(entry) = self.take(key) else {
            return Ok(None);
        };
        match entry.value {
            Value::Text(text) | Value::Number(text) => Ok(Some((entry.place, text))),
            other => Err(expected(&entry.place, key, "a text", &other)),
        }
    }

    /// True or false; `1` and `"true"` do as well.
    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, ConfigError> {
        let Some(entry) = self.take(key) else {
            return Ok(None);
        };
        let flag = match &entry.value {
            Value::Bool(flag) => Some(*flag),
            Value::Text(text) | Value::Number(text) => crate::request::switch(text),
            _ => None,
        };
        match flag {
            Some(flag) => Ok(Some(flag)),
            None => Err(ConfigError::wrong(
                &entry.place,
                format!("{key} is neither true nor false"),
            )),
        }
    }

    /// A span of time in whole seconds.
    pub(super) fn seconds(&mut self, key: &str) -> Result<Option<(Place, u64)>, ConfigError> {
        let Some((place, text)) = self.text(key)? else {
            return Ok(None);
        };
        match GoDuration::parse(&text).and_then(Duration::try_from) {
            Ok(duration) => Ok(Some((place, duration.as_secs()))),
            Err(err) => Err(ConfigError::wrong(&place, format!("{key}: {err}"))),
        }
    }

    /// Takes a key that would change something if it were set, and says whether it is.
    pub(super) fn is_set(&mut self, key: &str) -> Option<(Place, bool)> {
        let entry = self.take(key)?;
        let set = match &entry.value {
            Value::Null | Value::Bool(false) => false,
            Value::Text(text) | Value::Number(text) => {
                !text.is_empty() && crate::request::switch(text) != Some(false)
            }
            Value::List(items) => !items.is_empty(),
            Value::Bool(true) | Value::Table(_) => true,
        };
        Some((entry.place, set))
    }

    /// All stanzas under any of `keys`: their names, where they stand and what is in them.
    pub(super) fn stanzas(
        &mut self,
        keys: &[&str],
    ) -> Result<Vec<(String, Place, Vec<Entry>)>, ConfigError> {
        let (mine, rest) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|entry| keys.contains(&entry.key.as_str()));
        self.entries = rest;
        let mut stanzas = Vec::new();
        for Entry { key, place, value } in mine {
            for (place, value) in each(place, value) {
                let Value::Table(named) = value else {
                    return Err(unnamed(&place, &key));
                };
                for Entry {
                    key: name,
                    place,
                    value,
                } in named
                {
                    for (place, value) in each(place, value) {
                        let Value::Table(entries) = value else {
                            return Err(unnamed(&place, &key));
                        };
                        stanzas.push((name.clone(), place, entries));
                    }
                }
            }
        }
        Ok(stanzas)
    }

    /// Takes keys that have no effect, with a note for each.
    pub(super) fn pass_over(&mut self, keys: &[&str], notes: &mut Vec<String>) {
        self.entries.retain(|entry| {
            let known = keys.contains(&entry.key.as_str());
            if known {
                notes.push(format!(
                    "{}: {} has no effect in this server",
                    entry.place, entry.key
                ));
            }
            !known
        });
    }

    /// What is left is a mistake; `known` are the keys that could have been meant.
    pub(super) fn finish(self, known: &[&str]) -> Result<(), ConfigError> {
        let Some(entry) = self.entries.first() else {
            return Ok(());
        };
        let key = &entry.key;
        if known.contains(&key.as_str()) && !REPEATABLE.contains(&key.as_str()) {
            let problem = format!("{key} stands twice in {}: keep one of them", self.what);
            return Err(ConfigError::wrong(&entry.place, problem));
        }
        let near = known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(known, key), known))
            .filter(|(distance, known)| *distance <= 2.max(known.len() / 4))
            .min();
        let hint = match near {
            Some((_, known)) => format!("did you mean {known}?"),
            None => format!("it takes {}", list(known)),
        };
        let problem = format!("{} takes no {key}: {hint}", self.what);
        Err(ConfigError::wrong(&entry.place, problem))
    }
}

/// A list of stanzas counts as each of them.
fn each(place: Place, value: Value) -> Vec<(Place, Value)> {
    match value {
        Value::List(items) => items,
        value => vec![(place, value)],
    }
}

fn unnamed(place: &Place, key: &str) -> ConfigError {
    let example = match key {
        "listener" => "listener \"tcp\" { ... }",
        "seal" => "seal \"static\" { ... }",
        _ => "storage \"redb\" { ... }",
    };
    ConfigError::wrong(place, format!("{key} is a block with a name: {example}"))
}

fn expected(place: &Place, key: &str, wanted: &str, got: &Value) -> ConfigError {
    ConfigError::wrong(place, format!("{key} is {wanted}, not {}", got.kind()))
}

fn list(known: &[&str]) -> String {
    match known {
        [] => "nothing".to_owned(),
        known => known.join(", "),
    }
}
