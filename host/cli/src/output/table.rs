//! Vault's tables: columns four blanks apart, a dashed line under the header, `n/a` for an empty cell.

use serde_json::{Map, Value};

use crate::duration::GoDuration;
use crate::secret::{Auth, Secret, WrapInfo};

/// A table with a header.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let underline = header.iter().map(|title| "-".repeat(title.len())).collect();
    let header = header.iter().map(|title| (*title).to_owned()).collect();
    let all: Vec<&Vec<String>> = [&header, &underline].into_iter().chain(rows).collect();
    align(&all)
}

/// A table without a header.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    align(&rows.iter().collect::<Vec<_>>())
}

fn align(rows: &[&Vec<String>]) -> String {
    let cell = |text: &str| match text.trim() {
        "" => "n/a".to_owned(),
        text => text.to_owned(),
    };
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|text| cell(text)).collect())
        .collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let last = row.len().saturating_sub(1);
        let cells = row.iter().zip(&widths).enumerate();
        cells
            .map(|(n, (text, width))| {
                if n == last {
                    text.clone()
                } else {
                    format!("{text:<width$}    ")
                }
            })
            .collect::<String>()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A title between equal signs, as wide as what stands under it.
pub(crate) fn title(title: &str, width: usize) -> String {
    let signs = match width.saturating_sub(title.len() + 2) {
        0 => 4,
        signs => signs + signs % 2,
    };
    let side = "=".repeat(signs / 2);
    format!("{side} {title} {side}")
}

/// A title over the table of `map`.
pub(crate) fn title_for_map(text: &str, map: &Map<String, Value>) -> String {
    let longest_key = map.keys().map(String::len).max().unwrap_or(0);
    title(text, longest_key + "    Value".len())
}

/// `map` as rows, sorted by key.
pub(crate) fn map_rows(map: &Map<String, Value>) -> Vec<Vec<String>> {
    let mut rows: Vec<(&String, &Value)> = map.iter().collect();
    rows.sort_by_key(|(key, _)| *key);
    rows.into_iter()
        .map(|(key, value)| row(key, &field_text(key, value)))
        .collect()
}

/// An answer as rows: lease, token, wrapping, data.
pub(crate) fn secret_rows(secret: &Secret) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    if secret.lease_duration > 0 {
        let duration = seconds(secret.lease_duration);
        if secret.lease_id.is_empty() {
            // A lease nobody can renew or revoke: KV says with it when to read again.
            rows.push(row("refresh_interval", &duration));
        } else {
            rows.push(row("lease_id", &secret.lease_id));
            rows.push(row("lease_duration", &duration));
            rows.push(row("lease_renewable", &secret.renewable.to_string()));
        }
    }
    if let Some(auth) = &secret.auth {
        auth_rows(&mut rows, auth);
    }
    if let Some(wrap_info) = &secret.wrap_info {
        wrap_rows(&mut rows, wrap_info);
    }
    rows.extend(map_rows(secret.data.as_ref().unwrap_or(&Map::new())));
    rows
}

fn auth_rows(rows: &mut Vec<Vec<String>>, auth: &Auth) {
    if let Some(requirement) = &auth.mfa_requirement {
        // No token yet: what is missing is all that matters.
        rows.push(row(
            "mfa_request_id",
            requirement["mfa_request_id"].as_str().unwrap_or_default(),
        ));
        for (name, constraint) in requirement["mfa_constraints"]
            .as_object()
            .into_iter()
            .flatten()
        {
            for method in constraint["any"].as_array().into_iter().flatten() {
                let kind = method["type"].as_str().unwrap_or_default();
                rows.push(row(
                    &format!("mfa_constraint_{name}_{kind}_id"),
                    &go_text(&method["id"]),
                ));
                let passcode = method["uses_passcode"].as_bool().unwrap_or(false);
                rows.push(row(
                    &format!("mfa_constraint_{name}_{kind}_uses_passcode"),
                    &passcode.to_string(),
                ));
            }
        }
        return;
    }
    rows.push(row("token", auth.client_token.expose()));
    rows.push(row("token_accessor", &auth.accessor));
    let duration = if auth.lease_duration == 0 {
        "∞".to_owned()
    } else {
        seconds(auth.lease_duration)
    };
    rows.push(row("token_duration", &duration));
    rows.push(row("token_renewable", &auth.renewable.to_string()));
    rows.push(row("token_policies", &quoted(&auth.token_policies)));
    rows.push(row("identity_policies", &quoted(&auth.identity_policies)));
    rows.push(row("policies", &quoted(&auth.policies)));
    for (key, value) in auth.metadata.iter().flatten() {
        rows.push(row(&format!("token_meta_{key}"), value));
    }
}

fn wrap_rows(rows: &mut Vec<Vec<String>>, wrap_info: &WrapInfo) {
    rows.push(row("wrapping_token:", wrap_info.token.expose()));
    rows.push(row("wrapping_accessor:", &wrap_info.accessor));
    rows.push(row("wrapping_token_ttl:", &seconds(wrap_info.ttl)));
    rows.push(row(
        "wrapping_token_creation_time:",
        &go_time(&wrap_info.creation_time),
    ));
    rows.push(row(
        "wrapping_token_creation_path:",
        &wrap_info.creation_path,
    ));
    if !wrap_info.wrapped_accessor.is_empty() {
        rows.push(row("wrapped_accessor:", &wrap_info.wrapped_accessor));
    }
}

/// A list with what its engine says about each key: a column for each thing that is said about any.
pub(crate) fn detailed_list(
    keys: &[Value],
    info: &Map<String, Value>,
) -> (Vec<String>, Vec<Vec<String>>) {
    let mut keys: Vec<String> = keys.iter().map(go_text).collect();
    keys.sort();
    let listed = info.iter().filter(|(key, _)| keys.contains(key));
    let mut header: Vec<String> = listed
        .filter_map(|(_, about)| about.as_object())
        .flat_map(Map::keys)
        .cloned()
        .collect();
    header.sort();
    header.dedup();
    let rows = keys
        .iter()
        .map(|key| {
            let about = info.get(key).and_then(Value::as_object);
            let cell = |title: &String| {
                about
                    .and_then(|about| about.get(title))
                    .map(|value| field_text(title, value))
            };
            let cells = header.iter().map(|title| cell(title).unwrap_or_default());
            std::iter::once(key.clone()).chain(cells).collect()
        })
        .collect();
    header.insert(0, "Keys".to_owned());
    (header, rows)
}

/// `value` as Go's `%v` prints it: `<nil>`, `[a b]`, `map[k:v]`; texts and numbers as they are.
pub(crate) fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!(
            "[{}]",
            list.iter().map(go_text).collect::<Vec<_>>().join(" ")
        ),
        Value::Object(map) => {
            let mut pairs: Vec<(&String, &Value)> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| *key);
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("{key}:{}", go_text(value)))
                .collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

/// A moment as Go prints it: `2026-01-02 03:04:05.1 +0000 UTC`. What is no RFC 3339 stays as it is.
fn go_time(rfc3339: &str) -> String {
    let parts = || {
        let (date, time) = rfc3339.split_once('T')?;
        let zone_at = time.find(['Z', '+', '-'])?;
        let (clock, zone) = time.split_at(zone_at);
        let clock = if clock.contains('.') {
            clock.trim_end_matches('0').trim_end_matches('.')
        } else {
            clock
        };
        Some(match zone {
            "Z" => format!("{date} {clock} +0000 UTC"),
            zone => format!("{date} {clock} {0} {0}", zone.replace(':', "")),
        })
    };
    parts().unwrap_or_else(|| rfc3339.to_owned())
}

fn row(key: &str, value: &str) -> Vec<String> {
    vec![key.to_owned(), value.to_owned()]
}

/// A number of seconds under a key that speaks of time is shown as a duration.
fn field_text(key: &str, value: &Value) -> String {
    let is_time = matches!(key, "period" | "ttl" | "duration" | "lease_max" | "ttl_max")
        || ["_period", "_ttl", "_duration"]
            .iter()
            .any(|ending| key.ends_with(ending));
    match value.as_i64() {
        Some(number) if is_time => seconds(number),
        _ => go_text(value),
    }
}

fn seconds(number: i64) -> String {
    GoDuration::from_seconds(number).short()
}

/// Names as Go's `%q` prints a list of them.
fn quoted(names: &Option<Vec<String>>) -> String {
    let names: Vec<String> = names
        .iter()
        .flatten()
        .map(|name| format!("{name:?}"))
        .collect();
    format!("[{}]", names.join(" "))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn check(answer: Value, expected: Expect) {
        let secret = Secret::parse(answer.to_string().as_bytes())
            .unwrap()
            .unwrap();
        expected.assert_eq(&table(&["Key", "Value"], &secret_rows(&secret)));
    }

    #[test]
    fn kv_version_1_shows_when_to_read_again() {
        check(
            json!({ "request_id": "r", "lease_id": "", "lease_duration": 2_764_800, "renewable": false, "data": { "b": "2", "a": "" } }),
            expect![[r#"
                Key                 Value
                ---                 -----
                refresh_interval    768h
                a                   n/a
                b                   2"#]],
        );
    }

    #[test]
    fn a_leased_secret_shows_its_lease_first() {
        check(
            json!({
                "request_id": "r", "lease_id": "aws/creds/deploy/x", "lease_duration": 3600, "renewable": true,
                "data": { "access_key": "AKIA", "ttl": 90, "max_ttl": 0, "ttl_text": "5", "session_token": null },
            }),
            expect![[r#"
                Key                Value
                ---                -----
                lease_id           aws/creds/deploy/x
                lease_duration     1h
                lease_renewable    true
                access_key         AKIA
                max_ttl            0s
                session_token      <nil>
                ttl                1m30s
                ttl_text           5"#]],
        );
    }

    #[test]
    fn a_token_shows_its_policies_quoted_and_its_metadata() {
        check(
            json!({
                "request_id": "r", "auth": {
                    "client_token": "hvs.A", "accessor": "acc", "policies": ["default", "dev"], "token_policies": ["default", "dev"],
                    "metadata": { "username": "alice" }, "lease_duration": 2_764_800, "renewable": true,
                },
            }),
            expect![[r#"
                Key                    Value
                ---                    -----
                token                  hvs.A
                token_accessor         acc
                token_duration         768h
                token_renewable        true
                token_policies         ["default" "dev"]
                identity_policies      []
                policies               ["default" "dev"]
                token_meta_username    alice"#]],
        );
    }

    #[test]
    fn a_root_token_lasts_for_ever() {
        let auth = json!({ "client_token": "hvs.R", "accessor": "acc", "policies": ["root"], "lease_duration": 0 });
        check(
            json!({ "request_id": "r", "auth": auth }),
            expect![[r#"
                Key                  Value
                ---                  -----
                token                hvs.R
                token_accessor       acc
                token_duration       ∞
                token_renewable      false
                token_policies       []
                identity_policies    []
                policies             ["root"]"#]],
        );
    }

    #[test]
    fn a_wrapped_answer_shows_its_wrapping() {
        check(
            json!({
                "request_id": "", "wrap_info": {
                    "token": "hvs.W", "accessor": "acc", "ttl": 300, "creation_time": "2026-01-02T03:04:05.120Z", "creation_path": "secret/data/foo",
                },
            }),
            expect![[r#"
                Key                              Value
                ---                              -----
                wrapping_token:                  hvs.W
                wrapping_accessor:               acc
                wrapping_token_ttl:              5m
                wrapping_token_creation_time:    2026-01-02 03:04:05.12 +0000 UTC
                wrapping_token_creation_path:    secret/data/foo"#]],
        );
    }

    #[test]
    fn values_print_as_go_prints_them() {
        let value: Value = serde_json::from_str(
            r#"{"b":[1,"x",null],"a":{"z":1.0,"y":9007199254740993},"c":true}"#,
        )
        .unwrap();
        assert_eq!(
            go_text(&value),
            "map[a:map[y:9007199254740993 z:1.0] b:[1 x <nil>] c:true]"
        );
    }

    #[test]
    fn times_print_as_go_prints_them() {
        assert_eq!(
            go_time("2026-01-02T03:04:05Z"),
            "2026-01-02 03:04:05 +0000 UTC"
        );
        assert_eq!(
            go_time("2026-01-02T03:04:05.100+02:00"),
            "2026-01-02 03:04:05.1 +0200 +0200"
        );
        assert_eq!(go_time("soon"), "soon");
    }

    #[test]
    fn titles_are_as_wide_as_their_tables() {
        assert_eq!(
            title("Secret Path", "secret/data/creds".len()),
            "== Secret Path =="
        );
        assert_eq!(
            title("Secret Path", "secret/data/a/much/longer/path".len()),
            "========= Secret Path ========="
        );
        assert_eq!(title("Data", 3), "== Data ==");
    }

    #[test]
    fn columns_count_characters_not_bytes() {
        let rows = [["ключ", "1"], ["k", "2"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(columns(&rows), "ключ    1\nk       2");
    }

    #[test]
    fn a_detailed_list_has_a_column_for_each_thing_said() {
        let info = json!({ "a": { "ttl": 60, "name": "one" }, "hidden": { "other": 1 }, "b": { "name": "two" } });
        let (header, rows) = detailed_list(&[json!("b"), json!("a")], info.as_object().unwrap());
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        expect![[r#"
            Keys    name    ttl
            ----    ----    ---
            a       one     1m
            b       two     n/a"#]]
        .assert_eq(&table(&header, &rows));
    }
}
