//! A rule: a path and what may be done there, with which parameters, wrapped for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::pattern::PathTemplate;
use super::{Capabilities, PolicyName};
use crate::duration::GoDuration;

/// One `path` block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rule {
    pub(super) path: PathTemplate,
    pub(super) permissions: Permissions,
    /// The keys that demand what this server cannot enforce; with any of them, `permissions` deny.
    pub(super) unenforceable: Vec<&'static str>,
}

/// Parameters by lower-case name, each with the values meant. No values: any value. `*` is every parameter.
pub(super) type Parameters = BTreeMap<String, Vec<Value>>;

/// What a rule says, or several rules of the same pattern together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Permissions {
    pub(super) capabilities: Capabilities,
    pub(super) allowed_parameters: Parameters,
    pub(super) denied_parameters: Parameters,
    /// In lower case.
    pub(super) required_parameters: Vec<String>,
    pub(super) min_wrapping_ttl: Option<GoDuration>,
    pub(super) max_wrapping_ttl: Option<GoDuration>,
    /// Which policy brought which capabilities, for the audit. Empty until policies are merged.
    pub(super) grants: Vec<(PolicyName, Capabilities)>,
}

impl Permissions {
    pub(super) fn deny() -> Self {
        Self {
            capabilities: Capabilities::DENY,
            ..Self::default()
        }
    }

    pub(super) fn denies(&self) -> bool {
        self.capabilities.contains(Capabilities::DENY)
    }

    /// Adds what another rule of the same pattern says. Parameters and wrapping narrow what the other one gave, as in
    /// Vault: a rule without parameters and one with some allow together what the second allows.
    pub(super) fn merge(&mut self, other: Permissions) {
        if self.denies() {
            return;
        }
        if other.denies() {
            *self = other;
            return;
        }
        self.capabilities = self.capabilities | other.capabilities;
        self.grants.extend(other.grants);
        merge_parameters(&mut self.allowed_parameters, other.allowed_parameters);
        merge_parameters(&mut self.denied_parameters, other.denied_parameters);
        for name in other.required_parameters {
            if !self.required_parameters.contains(&name) {
                self.required_parameters.push(name);
            }
        }
        self.min_wrapping_ttl = smaller(self.min_wrapping_ttl, other.min_wrapping_ttl);
        self.max_wrapping_ttl = smaller(self.max_wrapping_ttl, other.max_wrapping_ttl);
    }

    /// Whether a response wrapped for `ttl`, or not at all, is within the limits. If merging has put the smallest over
    /// the largest, nothing is.
    pub(super) fn allow_wrapping(&self, ttl: Option<Duration>) -> bool {
        let seconds = |ttl: Duration| i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let ttl = ttl.map(|ttl| GoDuration::from_seconds(seconds(ttl)));
        let is_long_enough = |min| ttl.is_some_and(|ttl| ttl >= min);
        let is_short_enough = |max| ttl.is_some_and(|ttl| ttl <= max);
        self.min_wrapping_ttl.is_none_or(is_long_enough)
            && self.max_wrapping_ttl.is_none_or(is_short_enough)
    }

    /// Whether a request may carry `data`.
    pub(super) fn allow_parameters(&self, data: Option<&Map<String, Value>>) -> bool {
        let has = |name: &String| data.is_some_and(|data| data.contains_key(name));
        if !self.required_parameters.iter().all(has) {
            return false;
        }
        let Some(data) = data.filter(|data| !data.is_empty()) else {
            return true;
        };
        if self.denied_parameters.contains_key("*") {
            return false;
        }
        if self.denied_parameters.is_empty() && self.allowed_parameters.is_empty() {
            return true;
        }
        let allows_others =
            self.allowed_parameters.is_empty() || self.allowed_parameters.contains_key("*");
        data.iter().all(|(name, value)| {
            let name = name.to_lowercase();
            let is_denied = self
                .denied_parameters
                .get(&name)
                .is_some_and(|values| is_one_of(value, values));
            let is_allowed = match self.allowed_parameters.get(&name) {
                Some(values) => is_one_of(value, values),
                None => allows_others,
            };
            is_allowed && !is_denied
        })
    }
}

fn merge_parameters(into: &mut Parameters, other: Parameters) {
    for (name, values) in other {
        match into.get_mut(&name) {
            // No values mean any value, and any value stays any value.
            Some(known) if known.is_empty() || values.is_empty() => known.clear(),
            Some(known) => known.extend(values),
            None => {
                into.insert(name, values);
            }
        }
    }
}

fn smaller(one: Option<GoDuration>, other: Option<GoDuration>) -> Option<GoDuration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn is_one_of(value: &Value, values: &[Value]) -> bool {
    values.is_empty() || values.iter().any(|wanted| is_match(wanted, value))
}

fn is_match(wanted: &Value, value: &Value) -> bool {
    match (wanted, value) {
        (Value::String(glob), Value::String(text)) => is_glob_match(glob, text),
        // Numbers keep their text, so `0x10` and `16`, or `1` and `+1`, are compared as integers where they are ones.
        (Value::Number(wanted), Value::Number(value)) => {
            let integer = |number: &serde_json::Number| number.to_string().parse::<i128>();
            match (integer(wanted), integer(value)) {
                (Ok(wanted), Ok(value)) => wanted == value,
                _ => wanted == value,
            }
        }
        _ => wanted == value,
    }
}

/// `*` at the start, the end or both stands for anything; elsewhere it is literal.
fn is_glob_match(glob: &str, text: &str) -> bool {
    match (glob.strip_prefix('*'), glob.strip_suffix('*')) {
        (Some(""), _) => true,
        (Some(tail), Some(_)) => text.contains(tail.strip_suffix('*').unwrap_or(tail)),
        (Some(tail), None) => text.ends_with(tail),
        (None, Some(head)) => text.starts_with(head),
        (None, None) => glob == text,
    }
}
