//! Looking inside a secret's JSON without losing a digit of it.
//!
//! Only objects are taken apart, and only those that must be; all other text is copied as it
//! stands. So a number stays as it was written, and a patch costs what it touches.

use std::collections::BTreeMap;

use coffer_sdk::Error;
use serde_json::value::RawValue;

use crate::limits;

/// RFC 7396: null removes, objects merge, all else replaces.
pub(crate) fn merge_patch(target: &[u8], patch: &str) -> Result<Vec<u8>, Error> {
    let target = std::str::from_utf8(target).map_err(|_| damaged())?;
    let mut merged = Vec::with_capacity(target.len() + patch.len());
    merge_into(&mut merged, Some(target), patch, limits::DEPTH)?;
    Ok(merged)
}

/// The keys of a secret with null for each leaf. Objects are leaves at `depth`, where it is not 0,
/// and where they are empty.
pub(crate) fn subkeys(data: &[u8], depth: usize) -> Result<Vec<u8>, Error> {
    let data = std::str::from_utf8(data).map_err(|_| damaged())?;
    let mut keys = Vec::new();
    match depth {
        0 => keys_into(&mut keys, data, limits::DEPTH, Beyond::IsRefused)?,
        depth => {
            let levels = depth.min(limits::DEPTH);
            keys_into(&mut keys, data, levels, Beyond::IsLeaf)?;
        }
    }
    Ok(keys)
}

fn merge_into(
    merged: &mut Vec<u8>,
    target: Option<&str>,
    patch: &str,
    levels: usize,
) -> Result<(), Error> {
    let Some(patch) = members(patch)? else {
        merged.extend_from_slice(patch.as_bytes());
        return Ok(());
    };
    let levels = levels.checked_sub(1).ok_or_else(too_deep)?;
    let target = target.map_or(Ok(None), members)?.unwrap_or_default();
    // For each name what was there, and what is to be merged into that.
    let mut kept: BTreeMap<&str, (Option<&str>, Option<&str>)> = target
        .iter()
        .map(|(name, old)| (name.as_str(), (Some(old.get()), None)))
        .collect();
    for (name, new) in &patch {
        match new.get() {
            "null" => kept.remove(name.as_str()),
            new => {
                let old = target.get(name).map(|old| old.get());
                kept.insert(name, (old, Some(new)))
            }
        };
    }
    write_object(merged, kept, |merged, (old, new)| match (old, new) {
        (old, Some(new)) => merge_into(merged, old, new, levels),
        (old, None) => {
            merged.extend_from_slice(old.unwrap_or_default().as_bytes());
            Ok(())
        }
    })
}

/// What becomes of an object that is nested deeper than wanted.
#[derive(Clone, Copy)]
enum Beyond {
    IsLeaf,
    IsRefused,
}

fn keys_into(keys: &mut Vec<u8>, value: &str, levels: usize, beyond: Beyond) -> Result<(), Error> {
    let Some(members) = members(value)?.filter(|members| !members.is_empty()) else {
        keys.extend_from_slice(b"null");
        return Ok(());
    };
    let Some(levels) = levels.checked_sub(1) else {
        keys.extend_from_slice(b"null");
        return match beyond {
            Beyond::IsLeaf => Ok(()),
            Beyond::IsRefused => Err(too_deep()),
        };
    };
    let members = members.iter().map(|(name, value)| (name.as_str(), value));
    write_object(keys, members, |keys, value| {
        keys_into(keys, value.get(), levels, beyond)
    })
}

fn write_object<'m, V>(
    out: &mut Vec<u8>,
    members: impl IntoIterator<Item = (&'m str, V)>,
    mut write_value: impl FnMut(&mut Vec<u8>, V) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut before = b'{';
    for (name, value) in members {
        out.push(before);
        serde_json::to_writer(&mut *out, name).map_err(|_| damaged())?;
        out.push(b':');
        write_value(out, value)?;
        before = b',';
    }
    if before == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

/// The members of an object; none if `json` is something else.
fn members(json: &str) -> Result<Option<BTreeMap<String, &RawValue>>, Error> {
    if !json.trim_start().starts_with('{') {
        return Ok(None);
    }
    serde_json::from_str(json).map(Some).map_err(|_| damaged())
}

/// What the host hands over and what is stored is JSON.
fn damaged() -> Error {
    Error::internal("a secret's data is no JSON")
}

fn too_deep() -> Error {
    Error::invalid(format!(
        "the data is nested more than {} levels deep",
        limits::DEPTH
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, patch: &str, wanted: &str) {
        let merged = merge_patch(target.as_bytes(), patch).unwrap();
        assert_eq!(
            String::from_utf8(merged).unwrap(),
            wanted,
            "{target} + {patch}"
        );
    }

    /// The examples of RFC 7396, appendix A, as far as a patch is an object.
    #[test]
    fn a_patch_merges_as_rfc_7396_says() {
        check(r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#);
        check(r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#);
        check(r#"{"a":"b"}"#, r#"{"a":null}"#, "{}");
        check(r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#);
        check(r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#);
        check(r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#);
        check(
            r#"{"a":{"b":"c"}}"#,
            r#"{"a":{"b":"d","c":null}}"#,
            r#"{"a":{"b":"d"}}"#,
        );
        check(r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#);
        check(r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#);
        check(r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#);
        check("null", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#);
    }

    #[test]
    fn what_a_patch_does_not_touch_stays_to_the_digit() {
        check(
            r#"{ "n" : 9007199254740993, "f":1.0, "t": [1e400 , "\u00e9"], "$serde_json::private::Number":"1" }"#,
            r#"{"g":0.10}"#,
            r#"{"$serde_json::private::Number":"1","f":1.0,"g":0.10,"n":9007199254740993,"t":[1e400 , "\u00e9"]}"#,
        );
        check(r#"{"a":1,"a":2}"#, r#"{"a":null}"#, "{}");
        check(r#"{"\u0061\"":1}"#, r#"{"a\"":2}"#, r#"{"a\"":2}"#);
    }

    #[test]
    fn subkeys_are_the_names_without_the_values() {
        let check = |data: &str, depth, wanted: &str| {
            let keys = subkeys(data.as_bytes(), depth).unwrap();
            assert_eq!(String::from_utf8(keys).unwrap(), wanted, "{data} {depth}");
        };
        let data = r#"{"user":"x","nested":{"a":1,"b":{"c":[{"d":1}]}},"none":{}}"#;
        check(
            data,
            0,
            r#"{"nested":{"a":null,"b":{"c":null}},"none":null,"user":null}"#,
        );
        check(data, 1, r#"{"nested":null,"none":null,"user":null}"#);
        check(
            data,
            2,
            r#"{"nested":{"a":null,"b":null},"none":null,"user":null}"#,
        );
        check("{}", 0, "null");
        check("null", 0, "null");
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_and_no_overflow() {
        let nested = |levels| {
            let (open, close) = (r#"{"a":"#.repeat(levels), "}".repeat(levels));
            format!("{open}1{close}")
        };
        let deepest = nested(limits::DEPTH);
        assert!(merge_patch(b"{}", &deepest).is_ok());
        assert!(subkeys(deepest.as_bytes(), 0).is_ok());
        let deeper = nested(limits::DEPTH + 1);
        assert_eq!(merge_patch(b"{}", &deeper).unwrap_err(), too_deep());
        assert_eq!(subkeys(deeper.as_bytes(), 0).unwrap_err(), too_deep());
        assert!(subkeys(deeper.as_bytes(), 3).is_ok());
        // What lies deep is carried along, whatever its depth.
        assert!(merge_patch(deeper.as_bytes(), r#"{"b":2}"#).is_ok());
    }
}
