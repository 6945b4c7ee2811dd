//! Custom metadata: a few short texts that a key carries, not secret.

use std::collections::BTreeMap;

use coffer_sdk::{Error, Request};
use serde_json::value::RawValue;

use crate::limits;

const FIELD: &str = "custom_metadata";

/// What was sent in place of what there is; none if nothing was sent.
pub(crate) fn replacement(request: &Request) -> Result<Option<BTreeMap<String, String>>, Error> {
    match request.optional(FIELD)? {
        None => Ok(None),
        Some(sent) => {
            let mut custom_metadata = BTreeMap::new();
            merge(&mut custom_metadata, sent, Null::IsEmpty)?;
            Ok(Some(custom_metadata))
        }
    }
}

/// Merges what was sent into what there is: null removes. False if nothing was sent.
pub(crate) fn patch(
    custom_metadata: &mut BTreeMap<String, String>,
    request: &Request,
) -> Result<bool, Error> {
    if request.raw(FIELD) == Some("null") {
        custom_metadata.clear();
        return Ok(true);
    }
    match request.optional(FIELD)? {
        None => Ok(false),
        Some(sent) => {
            merge(custom_metadata, sent, Null::Removes)?;
            Ok(true)
        }
    }
}

/// What a null in place of a text means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Null {
    Removes,
    IsEmpty,
}

fn merge(
    custom_metadata: &mut BTreeMap<String, String>,
    sent: BTreeMap<String, &RawValue>,
    null: Null,
) -> Result<(), Error> {
    let mut faults = Vec::new();
    for (key, value) in sent {
        match value.get() {
            "null" if null == Null::Removes => {
                custom_metadata.remove(&key);
            }
            json => match scalar_text(json) {
                Some(text) => {
                    custom_metadata.insert(key, text);
                }
                None => faults.push(format!("value for key {key:?} is not a text")),
            },
        }
    }
    check(custom_metadata, &mut faults);
    if faults.is_empty() {
        return Ok(());
    }
    let mut text = match faults.len() {
        1 => "1 error occurred:".to_owned(),
        several => format!("{several} errors occurred:"),
    };
    for fault in faults {
        text += &format!("\n\t* custom_metadata validation failed: {fault}");
    }
    Err(Error::invalid(text + "\n\n"))
}

/// A scalar as text, as Vault writes it: a number keeps its digits, true is 1.
fn scalar_text(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok(),
        b'{' | b'[' => None,
        b'n' => Some(String::new()),
        b't' => Some("1".to_owned()),
        b'f' => Some("0".to_owned()),
        _ => Some(json.to_owned()),
    }
}

fn check(custom_metadata: &BTreeMap<String, String>, faults: &mut Vec<String>) {
    let count = custom_metadata.len();
    if count > limits::CUSTOM_METADATA_KEYS {
        faults.push(format!(
            "payload must contain at most {} keys, provided {count}",
            limits::CUSTOM_METADATA_KEYS
        ));
        return;
    }
    for (key, value) in custom_metadata {
        let most = limits::CUSTOM_METADATA_KEY_BYTES;
        if key.is_empty() || key.len() > most {
            let length = key.len();
            faults.push(format!(
                "length of key {key:?} is {length} but must be 0 < len(key) <= {most}"
            ));
        }
        let most = limits::CUSTOM_METADATA_VALUE_BYTES;
        if value.is_empty() || value.len() > most {
            let length = value.len();
            faults.push(format!(
                "length of value for key {key:?} is {length} but must be 0 < len(value) <= {most}"
            ));
        }
        if !key.chars().all(is_printable) {
            faults.push(format!("key {key:?} contains unprintable characters"));
        }
        if !value.chars().all(is_printable) {
            faults.push(format!(
                "value for key {key:?} contains unprintable characters"
            ));
        }
    }
}

/// As Go's `unicode.IsPrint`, near enough: of white space only the blank, and nothing that steers
/// the text around it.
fn is_printable(c: char) -> bool {
    let steers = matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
    c == ' ' || !(c.is_control() || c.is_whitespace() || steers)
}
