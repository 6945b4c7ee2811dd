//! The meaning of a policy text: which keys there are, and the rules that they make.

use serde_json::Value as Json;

use super::hcl::{self, Item, Value};
use super::limits::{MAX_POLICY_BYTES, MAX_RULES, MAX_SEGMENTS};
use super::pattern::PathTemplate;
use super::rule::{Parameters, Permissions, Rule};
use super::{Capabilities, PolicyError, UnknownKey};
use crate::duration::{DurationError, GoDuration};

const TOP_KEYS: [&str; 2] = ["name", "path"];

const RULE_KEYS: [&str; 14] = [
    "allowed_parameters",
    "capabilities",
    "comment",
    "control_group",
    "denied_parameters",
    "expiration",
    "list_scan_response_keys_filter_path",
    "max_wrapping_ttl",
    "mfa_methods",
    "min_wrapping_ttl",
    "pagination_limit",
    "policy",
    "required_parameters",
    "subscribe_event_types",
];

/// Keys that narrow a rule in ways that this server cannot enforce: a second factor, approvals, an end, filtered lists.
/// Vault's free edition ignores the first two, which gives away what the author meant to protect.
const UNENFORCEABLE_KEYS: [&str; 5] = [
    "control_group",
    "expiration",
    "list_scan_response_keys_filter_path",
    "mfa_methods",
    "pagination_limit",
];

/// Reads the rules of a policy, in the order in which they are written.
pub(super) fn rules(text: &str) -> Result<Vec<Rule>, PolicyError> {
    if text.len() > MAX_POLICY_BYTES {
        return Err(PolicyError::TooLarge);
    }
    let items = hcl::read(text)?;
    refuse_unknown_keys(text, None, &items, &TOP_KEYS)?;

    let mut blocks: Vec<(String, Value)> = Vec::new();
    for item in items.into_iter().filter(|item| item.keys[0] == "path") {
        let mut labels = item.keys.into_iter().skip(1);
        match (labels.next(), labels.next()) {
            (Some(path), None) => blocks.push((path, item.value)),
            // `path = { "a" = {…} }`, which is also how JSON has it.
            (None, _) => {
                let entries = objects(item.value).ok_or(PolicyError::PathShape)?;
                for mut entry in entries.into_iter().flatten() {
                    let (1, Some(path)) = (entry.keys.len(), entry.keys.pop()) else {
                        return Err(PolicyError::PathShape);
                    };
                    blocks.push((path, entry.value));
                }
            }
            (Some(_), Some(_)) => return Err(PolicyError::PathShape),
        }
    }

    let mut rules = Vec::new();
    for (path, value) in blocks {
        let bodies = objects(value).ok_or_else(|| kind(&path, "value", "an object"))?;
        for items in bodies {
            if rules.len() == MAX_RULES {
                return Err(PolicyError::TooManyRules);
            }
            rules.push(rule(text, &path, items)?);
        }
    }
    Ok(rules)
}

fn rule(text: &str, path: &str, items: Vec<Item>) -> Result<Rule, PolicyError> {
    let template = PathTemplate::parse(path).map_err(|_| PolicyError::Template)?;
    refuse_unknown_keys(text, Some(path), &items, &RULE_KEYS)?;
    if path.contains("+*") {
        return Err(PolicyError::Wildcards {
            path: path.to_owned(),
        });
    }
    if path.split('/').count() > MAX_SEGMENTS {
        return Err(PolicyError::Segments {
            path: path.to_owned(),
        });
    }

    let mut permissions = Permissions::default();
    let mut unenforceable = Vec::new();
    for item in items {
        let Item {
            mut keys, value, ..
        } = item;
        let (1, Some(key)) = (keys.len(), keys.pop()) else {
            return Err(kind(path, "value", "keys with a value each"));
        };
        let granted = &mut permissions.capabilities;
        match key.as_str() {
            "policy" => *granted = *granted | old_policy(path, value)?,
            "capabilities" => {
                for word in texts(path, "capabilities", value)? {
                    let Some(capability) = Capabilities::from_word(&word) else {
                        let path = path.to_owned();
                        return Err(PolicyError::Capability { path, word });
                    };
                    *granted = *granted | capability;
                }
            }
            "allowed_parameters" => {
                let key = "allowed_parameters";
                parameters(path, key, value, &mut permissions.allowed_parameters)?;
            }
            "denied_parameters" => {
                let key = "denied_parameters";
                parameters(path, key, value, &mut permissions.denied_parameters)?;
            }
            "required_parameters" => {
                let names = texts(path, "required_parameters", value)?;
                let names = names.into_iter().map(|name| name.to_lowercase());
                permissions.required_parameters.extend(names);
            }
            "min_wrapping_ttl" => {
                permissions.min_wrapping_ttl = wrapping_ttl("min_wrapping_ttl", value)?;
            }
            "max_wrapping_ttl" => {
                permissions.max_wrapping_ttl = wrapping_ttl("max_wrapping_ttl", value)?;
            }
            other => {
                let demand = UNENFORCEABLE_KEYS.iter().find(|key| **key == other);
                // A block may stand twice, and is warned of once.
                let is_new = |key: &&&'static str| !unenforceable.contains(*key);
                unenforceable.extend(demand.filter(is_new).filter(|_| demands_something(value)));
            }
        }
    }

    if let (Some(min), Some(max)) = (permissions.min_wrapping_ttl, permissions.max_wrapping_ttl)
        && max < min
    {
        return Err(PolicyError::WrappingRange);
    }
    if permissions.denies() || !unenforceable.is_empty() {
        permissions = Permissions::deny();
    }
    Ok(Rule {
        path: template,
        permissions,
        unenforceable,
    })
}

fn refuse_unknown_keys(
    text: &str,
    path: Option<&str>,
    items: &[Item],
    known: &[&str],
) -> Result<(), PolicyError> {
    let unknown: Vec<UnknownKey> = items
        .iter()
        .filter(|item| !known.contains(&item.keys[0].as_str()))
        .map(|item| UnknownKey {
            path: path.map(str::to_owned),
            key: item.keys[0].clone(),
            line: item.line(text),
        })
        .collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(PolicyError::UnknownKeys(unknown))
    }
}

/// The four words of before capabilities.
fn old_policy(path: &str, value: Value) -> Result<Capabilities, PolicyError> {
    let Value::Scalar(Json::String(word)) = value else {
        return Err(kind(path, "policy", "a string"));
    };
    let read = Capabilities::READ | Capabilities::LIST;
    let write = read | Capabilities::CREATE | Capabilities::UPDATE | Capabilities::DELETE;
    match word.as_str() {
        "" => Ok(Capabilities::NONE),
        "deny" => Ok(Capabilities::DENY),
        "read" => Ok(read),
        "write" => Ok(write),
        "sudo" => Ok(write | Capabilities::SUDO),
        _ => Err(PolicyError::OldPolicy {
            path: path.to_owned(),
            word,
        }),
    }
}

/// Parameters with their values. A parameter that is written twice has the values of both.
fn parameters(
    path: &str,
    key: &'static str,
    value: Value,
    parameters: &mut Parameters,
) -> Result<(), PolicyError> {
    let entries = objects(value).ok_or_else(|| kind(path, key, "an object"))?;
    for entry in entries.into_iter().flatten() {
        let Value::List(values) = entry.value else {
            return Err(kind(path, key, "parameters with a list of values each"));
        };
        let values = values.into_iter().map(Value::into_json);
        let name = entry.keys.join(".").to_lowercase();
        parameters.entry(name).or_default().extend(values);
    }
    Ok(())
}

/// A wrapping TTL; zero and nothing mean that there is none.
fn wrapping_ttl(key: &'static str, value: Value) -> Result<Option<GoDuration>, PolicyError> {
    let none = GoDuration::default();
    let ttl = match value {
        Value::Scalar(Json::String(text)) => GoDuration::parse(&text),
        Value::Scalar(Json::Number(seconds)) => GoDuration::parse(&seconds.to_string()),
        _ => Err(DurationError::Syntax),
    };
    match ttl {
        Ok(ttl) if ttl >= none => Ok((ttl != none).then_some(ttl)),
        Ok(_) => Err(DurationError::Range),
        Err(problem) => Err(problem),
    }
    .map_err(|problem| PolicyError::Duration { key, problem })
}

/// Whether a value asks for anything: zero, and what is empty, does not.
fn demands_something(value: Value) -> bool {
    match value {
        Value::Scalar(Json::String(text)) => !text.is_empty(),
        Value::Scalar(Json::Number(number)) => number.as_i64() != Some(0),
        Value::Scalar(Json::Null) => false,
        Value::Scalar(_) => true,
        Value::List(values) => !values.is_empty(),
        Value::Object(items) => !items.is_empty(),
    }
}

/// An object, or a list of objects, which HCL takes for the same.
fn objects(value: Value) -> Option<Vec<Vec<Item>>> {
    let values = match value {
        Value::List(values) => values,
        value => vec![value],
    };
    let object = |value| match value {
        Value::Object(items) => Some(items),
        _ => None,
    };
    values.into_iter().map(object).collect()
}

fn texts(path: &str, key: &'static str, value: Value) -> Result<Vec<String>, PolicyError> {
    let Value::List(values) = value else {
        return Err(kind(path, key, "a list of strings"));
    };
    let text = |value| match value {
        Value::Scalar(Json::String(text)) => Ok(text),
        _ => Err(kind(path, key, "a list of strings")),
    };
    values.into_iter().map(text).collect()
}

fn kind(path: &str, key: &'static str, expected: &'static str) -> PolicyError {
    PolicyError::Kind {
        path: path.to_owned(),
        key,
        expected,
    }
}
