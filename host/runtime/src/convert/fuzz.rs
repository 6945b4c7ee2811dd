//! Whatever a guest answers, what the host goes on with is within limits and well formed.

use std::collections::BTreeSet;

use tests_fuzz::{Source, Verdict, fuzz};

use super::*;

const WORDS: &str = "\
    status header data secret warning lease auth raw display policy meta internal cidr \
    token-type service batch default 200 199 599 600 65535 Link /a /a/b ~0 ~1 ~ ~2 { } [ ] \" \
    \\\" \\\\ : , {\"a\": [[ null 1.10 1e999 \\ud800 \n \r \r\n \x7f";

/// The input is a recipe, a line for each part of the answer: guests answer in records, not in bytes.
#[test]
fn an_answer_that_is_taken_is_within_limits_and_well_formed() {
    let source = Source {
        target: "reply",
        seeds: Vec::new(),
        words: WORDS,
    };
    fuzz(source, |input| {
        let mut table = ResourceTable::new();
        let answer = answer(&mut table, input);
        let given = answer.secrets.len();
        let taken = response(&mut table, answer);
        if let Ok(taken) = &taken {
            assert_eq!(taken.secrets.len(), given);
            assert!(table.is_empty(), "each handle was given up");
            check(taken);
        } else if let Err(error) = &taken {
            assert!(
                matches!(error, EngineError::Malformed(_) | EngineError::OverLimit(_)),
                "{error}"
            );
        }
        Verdict::of(&taken)
    });
}

fn answer(table: &mut ResourceTable, recipe: &[u8]) -> wit::Response {
    let mut answer = wit::Response {
        status: None,
        headers: Vec::new(),
        data: None,
        secrets: Vec::new(),
        warnings: Vec::new(),
        lease: None,
        refresh_after: None,
        auth: None,
        raw: None,
    };
    for line in recipe.split(|byte| *byte == b'\n') {
        let at = line
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(line.len());
        let (part, rest) = line.split_at(at);
        let bytes = rest.get(1..).unwrap_or_default().to_vec();
        // Lifting has seen to it that texts are UTF-8.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let pair = |by: char| {
            text.split_once(by)
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
        };
        match part {
            b"status" => answer.status = text.parse().ok(),
            b"header" => answer.headers.extend(pair('=')),
            b"data" => answer.data = Some(bytes),
            b"warning" => answer.warnings.push(text),
            b"raw" => answer.raw = pair('=').map(|(kind, body)| (kind, body.into_bytes())),
            b"secret" => answer.secrets.extend(pair(' ').map(|(pointer, value)| {
                (
                    pointer,
                    table
                        .push(SecretBytes::new(value.into_bytes()))
                        .expect("there is room"),
                )
            })),
            b"lease" => {
                answer.lease = Some(wit::Lease {
                    ttl: text.len().try_into().ok(),
                    max_ttl: None,
                    renewable: true,
                    kind: "creds".to_owned(),
                    internal: bytes,
                })
            }
            b"auth" => answer.auth = Some(grant(text)),
            _ => {
                if let Some(auth) = &mut answer.auth {
                    match part {
                        b"policy" => auth.policies.push(text),
                        b"cidr" => auth.bound_cidrs.push(text),
                        b"meta" => auth.metadata.extend(pair('=')),
                        b"internal" => auth.internal = bytes,
                        b"token-type" => auth.token_type = text,
                        _ => {}
                    }
                }
            }
        }
    }
    answer
}

fn grant(alias: String) -> wit::AuthGrant {
    wit::AuthGrant {
        display_name: alias.clone(),
        alias,
        alias_metadata: Vec::new(),
        group_aliases: Vec::new(),
        metadata: Vec::new(),
        policies: Vec::new(),
        no_default_policy: false,
        ttl: None,
        max_ttl: None,
        explicit_max_ttl: None,
        period: None,
        num_uses: 0,
        bound_cidrs: Vec::new(),
        token_type: "service".to_owned(),
        renewable: true,
        internal: b"{}".to_vec(),
    }
}

fn check(taken: &EngineResponse) {
    assert!(
        taken
            .status
            .is_none_or(|status| (200..600).contains(&status))
    );
    assert!(taken.headers.len() <= limits::HEADERS && taken.warnings.len() <= limits::WARNINGS);
    for (name, value) in &taken.headers {
        assert!(
            !name.is_empty() && !name.contains([' ', ':', '\r', '\n']) && name.is_ascii(),
            "{name:?}"
        );
        assert!(
            !value.contains(|c: char| c != '\t' && (c.is_control() || !c.is_ascii())),
            "{value:?}"
        );
        assert!(name.len() + value.len() <= limits::HEADER_BYTES);
    }
    if let Some(raw) = &taken.raw {
        assert!(!raw.content_type.contains(['\r', '\n', '\0']));
    }
    let mut pointers = BTreeSet::new();
    for (pointer, secret) in &taken.secrets {
        assert!(
            pointer.starts_with('/') && pointers.insert(pointer),
            "{pointer:?}"
        );
        assert!(std::str::from_utf8(secret.expose()).is_ok());
    }
    assert!(taken.secrets.is_empty() || taken.data.is_some());
    if let Some(data) = &taken.data {
        let value: serde_json::Value = serde_json::from_str(data.get()).expect("JSON");
        assert!(value.is_object() && depth(&value) <= limits::JSON_DEPTH);
    }
    let kept = taken
        .lease
        .iter()
        .map(|lease| &lease.internal)
        .chain(taken.auth.iter().map(|auth| &auth.internal));
    for internal in kept {
        let value: serde_json::Value = serde_json::from_slice(internal).expect("JSON");
        assert!(depth(&value) <= limits::JSON_DEPTH && internal.len() <= limits::INTERNAL_BYTES);
    }
}

fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

// ---- What was found ----------------------------------------------------------------------------

/// serde_json takes it where it only looks, so it was passed on to where it is read, and to clients.
#[test]
fn half_a_surrogate_pair_is_no_json() {
    for (text, is_json) in [
        (r#"{"a":"\ud83d\ude00"}"#, true),
        (r#"{"a":"\\ud83d"}"#, true),
        (r#"{"a":"\ud83d"}"#, false),
        (r#"{"\ude00\ud83d":1}"#, false),
        (r#"{"a":"\ud83d\ud83d\ude00"}"#, false),
    ] {
        assert_eq!(check_json(text.as_bytes()).is_ok(), is_json, "{text}");
    }
}
