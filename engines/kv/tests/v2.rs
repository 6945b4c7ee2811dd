//! Version 2, as its clients see it (`contract/30-kv.md`, sections 2 and 5).

use std::time::Duration;

use coffer_sdk::testing::{Reply, TestHost};
use coffer_sdk::{Operation, json};
use serde_json::Value;

fn mount() -> TestHost {
    TestHost::with_options(&engines_kv::engine, &[("version", "2")])
}

/// A mount with `versions` versions of the key `a`, each `{"n": <its number>}`.
fn mount_with(versions: u64) -> TestHost {
    let mut kv = mount();
    for number in 1..=versions {
        put(&mut kv, "a", json!({"n": number}));
    }
    kv
}

fn put(kv: &mut TestHost, path: &str, data: Value) -> Value {
    let reply = kv.write(&format!("data/{path}"), json!({ "data": data }));
    assert_eq!(reply.status, 200, "{}", reply.error);
    reply.data["version"].clone()
}

fn put_cas(kv: &mut TestHost, path: &str, cas: Value) -> Reply {
    kv.write(
        &format!("data/{path}"),
        json!({"options": {"cas": cas}, "data": {"k": 1}}),
    )
}

fn get(kv: &mut TestHost, path: &str, version: i64) -> Reply {
    kv.call(
        Operation::Read,
        &format!("data/{path}"),
        json!({ "version": version }),
    )
}

/// The status, and what the client is told beside it.
fn check(reply: Reply, status: u16, error: &str) {
    assert_eq!((reply.status, reply.error.as_str()), (status, error));
}

const MISMATCH: &str = "check-and-set parameter did not match the current version";

// data

#[test]
fn a_write_answers_with_its_version_and_a_read_with_both_parts() {
    let mut kv = mount();
    let reply = kv.write(
        "data/app",
        json!({"options": {"cas": 0}, "data": {"user": "x", "n": 1}}),
    );
    assert_eq!(reply.status, 200);
    let metadata = r#"{"created_time":"2026-01-01T00:00:00.000000000Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":1}"#;
    assert_eq!(reply.text, metadata);
    let reply = kv.read("data/app");
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.text,
        format!(r#"{{"data":{{"user":"x","n":1}},"metadata":{metadata}}}"#)
    );
    assert_eq!(reply.lease_duration, 0);
}

#[test]
fn any_json_comes_back_digit_by_digit() {
    let text =
        r#"{"big":9007199254740993,"one":1.0,"exp":1e+400,"deep":[[1,{"l":null}],{},""],"s":""}"#;
    let mut kv = mount();
    put(
        &mut kv,
        "a b/ключ/x.y%?#+",
        serde_json::from_str(text).unwrap(),
    );
    let reply = kv.read("data/a b/ключ/x.y%?#+");
    assert!(
        reply.text.starts_with(&format!(r#"{{"data":{text},"#)),
        "{}",
        reply.text
    );
    // As an older version too.
    put(&mut kv, "a b/ключ/x.y%?#+", json!({}));
    let reply = get(&mut kv, "a b/ключ/x.y%?#+", 1);
    assert!(reply.text.starts_with(&format!(r#"{{"data":{text},"#)));
}

#[test]
fn no_data_is_refused_and_empty_or_null_data_is_data() {
    let mut kv = mount();
    check(kv.write("data/a", json!({})), 400, "no data provided");
    check(
        kv.write("data/a", json!({"options": {"cas": 0}})),
        400,
        "no data provided",
    );
    check(
        kv.write("data/", json!({"data": {}})),
        400,
        "cannot write to a path ending in '/'",
    );
    for data in [json!({}), json!(null)] {
        put(&mut kv, "a", data.clone());
        let reply = kv.read("data/a");
        assert_eq!((reply.status, &reply.data["data"]), (200, &data));
    }
}

#[test]
fn what_is_missing_is_not_found() {
    let mut kv = mount();
    check(kv.read("data/a"), 404, "");
    check(kv.read("data/"), 404, "");
    check(kv.read("data/a/"), 404, "");
    check(kv.read("metadata/a"), 404, "");
    check(kv.read("subkeys/a"), 404, "");
    put(&mut kv, "a", json!({}));
    check(get(&mut kv, "a", 2), 404, "");
}

#[test]
fn versions_below_1_are_the_latest() {
    let mut kv = mount_with(3);
    for version in [0, -1, -9] {
        assert_eq!(get(&mut kv, "a", version).data["data"], json!({"n": 3}));
    }
    assert_eq!(get(&mut kv, "a", 2).data["data"], json!({"n": 2}));
    assert_eq!(get(&mut kv, "a", 2).data["metadata"]["version"], 2);
}

#[test]
fn a_list_of_data_is_no_operation() {
    let mut kv = mount_with(1);
    check(kv.list("data"), 405, "unsupported operation");
    check(kv.list("data/a"), 405, "unsupported operation");
}

// check-and-set

#[test]
fn cas_must_be_the_current_version() {
    let mut kv = mount();
    check(put_cas(&mut kv, "a", json!(1)), 400, MISMATCH);
    check(put_cas(&mut kv, "a", json!(0)), 200, "");
    check(put_cas(&mut kv, "a", json!(0)), 400, MISMATCH);
    check(put_cas(&mut kv, "a", json!("1")), 200, "");
    check(put_cas(&mut kv, "a", json!(-1)), 400, MISMATCH);
    check(put_cas(&mut kv, "a", json!(null)), 400, MISMATCH);
    check(put_cas(&mut kv, "b", json!(null)), 200, "");
    check(put_cas(&mut kv, "c", json!("")), 200, "");
    for odd in [json!("x"), json!(1.5), json!([]), json!({}), json!(true)] {
        check(
            put_cas(&mut kv, "a", odd),
            400,
            "error parsing check-and-set parameter",
        );
    }
    check(
        kv.write("data/a", json!({"options": null, "data": {}})),
        200,
        "",
    );
}

#[test]
fn cas_0_does_not_bring_back_what_is_deleted() {
    let mut kv = mount_with(2);
    kv.delete("data/a");
    check(put_cas(&mut kv, "a", json!(0)), 400, MISMATCH);
    check(kv.delete("metadata/a"), 204, "");
    let reply = put_cas(&mut kv, "a", json!(0));
    assert_eq!(reply.data["version"], 1);
}

#[test]
fn cas_is_required_by_the_mount_or_the_key() {
    const REQUIRED: &str = "check-and-set parameter required for this call";
    for path in ["config", "metadata/a"] {
        let mut kv = mount();
        check(kv.write(path, json!({"cas_required": true})), 204, "");
        check(kv.write("data/a", json!({"data": {}})), 400, REQUIRED);
        check(put_cas(&mut kv, "a", json!(0)), 200, "");
        check(kv.patch("data/a", json!({"data": {"x": 1}})), 400, REQUIRED);
        let patch = json!({"data": {"x": 1}, "options": {"cas": 1}});
        check(kv.patch("data/a", patch), 200, "");
    }
}

// max_versions

#[test]
fn only_the_newest_versions_stay() {
    let mut kv = mount();
    kv.write("metadata/a", json!({"max_versions": 2}));
    let oldest = |kv: &mut TestHost| kv.read("metadata/a").data["oldest_version"].clone();
    put(&mut kv, "a", json!({"n": 1}));
    assert_eq!(oldest(&mut kv), 0);
    put(&mut kv, "a", json!({"n": 2}));
    assert_eq!(oldest(&mut kv), 1);
    put(&mut kv, "a", json!({"n": 3}));
    assert_eq!(oldest(&mut kv), 2);
    check(get(&mut kv, "a", 1), 404, "");
    assert_eq!(get(&mut kv, "a", 2).data["data"], json!({"n": 2}));
    let versions = kv.read("metadata/a").data["versions"].clone();
    let numbers: Vec<&String> = versions.as_object().unwrap().keys().collect();
    assert_eq!(numbers, ["2", "3"]);
}

#[test]
fn ten_versions_stay_where_nothing_is_said() {
    let mut kv = mount_with(12);
    check(get(&mut kv, "a", 2), 404, "");
    assert_eq!(get(&mut kv, "a", 3).data["data"], json!({"n": 3}));
    // The record and nine older versions.
    assert_eq!(kv.stored().len(), 10);
}

#[test]
fn the_larger_limit_of_mount_and_key_counts() {
    let mut kv = mount();
    kv.write("config", json!({"max_versions": 3}));
    kv.write("metadata/a", json!({"max_versions": 2}));
    for number in 1..=4 {
        put(&mut kv, "a", json!({ "n": number }));
    }
    check(get(&mut kv, "a", 1), 404, "");
    check(get(&mut kv, "a", 2), 200, "");
}

#[test]
fn a_limit_that_is_lowered_takes_effect_at_the_next_write() {
    let mut kv = mount_with(6);
    kv.write("metadata/a", json!({"max_versions": 1}));
    check(get(&mut kv, "a", 1), 200, "");
    put(&mut kv, "a", json!({"n": 7}));
    check(get(&mut kv, "a", 6), 404, "");
    assert_eq!(kv.stored().len(), 1);
}

#[test]
fn a_limit_that_makes_no_sense_is_refused() {
    let mut kv = mount();
    for (path, versions) in [("config", -1), ("metadata/a", 16_385)] {
        check(
            kv.write(path, json!({ "max_versions": versions })),
            400,
            &format!("max_versions must be between 0 and 16384, not {versions}"),
        );
    }
}

// delete, undelete, destroy

#[test]
fn a_deleted_version_is_a_404_with_its_metadata() {
    let mut kv = mount_with(1);
    kv.advance(Duration::from_secs(1));
    check(kv.delete("data/a"), 204, "");
    let reply = kv.read("data/a");
    assert_eq!(reply.status, 404);
    assert_eq!(
        reply.data,
        json!({"data": null, "metadata": {
            "created_time": "2026-01-01T00:00:00.000000000Z", "custom_metadata": null,
            "deletion_time": "2026-01-01T00:00:01.000000000Z", "destroyed": false, "version": 1,
        }})
    );
    // Again, later: nothing changes.
    kv.advance(Duration::from_secs(1));
    check(kv.delete("data/a"), 204, "");
    assert_eq!(kv.read("data/a").data, reply.data);
    check(kv.delete("data/missing"), 204, "");
    check(kv.delete("data/"), 204, "");
    // The number goes on.
    assert_eq!(put(&mut kv, "a", json!({})), 2);
}

#[test]
fn a_delete_holds_at_once_and_when_the_clock_goes_back() {
    let mut kv = mount_with(1);
    let before = kv.now();
    kv.advance(Duration::from_secs(60));
    kv.delete("data/a");
    check(kv.read("data/a"), 404, "");
    kv.set_now(before);
    check(kv.read("data/a"), 404, "");
}

#[test]
fn versions_are_deleted_and_undeleted_by_number() {
    let mut kv = mount_with(3);
    check(
        kv.write("delete/a", json!({"versions": [1, 3, 9, -1, 0]})),
        204,
        "",
    );
    let live = |kv: &mut TestHost| [1, 2, 3].map(|version| get(kv, "a", version).status == 200);
    assert_eq!(live(&mut kv), [false, true, false]);
    check(kv.write("undelete/a", json!({"versions": [1, 9]})), 204, "");
    assert_eq!(live(&mut kv), [true, true, false]);
    let metadata = kv.read("metadata/a").data;
    assert_eq!(metadata["versions"]["1"]["deletion_time"], "");
    assert_ne!(metadata["versions"]["3"]["deletion_time"], "");
    assert_eq!(get(&mut kv, "a", 1).data["data"], json!({"n": 1}));
}

#[test]
fn a_destroyed_version_is_gone_for_good() {
    let mut kv = mount_with(3);
    kv.delete("data/a");
    let deletion_time = kv.read("data/a").data["metadata"]["deletion_time"].clone();
    let secrets = |kv: &TestHost| {
        let stored = kv.stored().into_values().flatten().collect::<Vec<u8>>();
        [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#]
            .map(|data| String::from_utf8_lossy(&stored).contains(data))
    };
    assert_eq!(secrets(&kv), [true, true, true]);
    check(
        kv.write("destroy/a", json!({"versions": [1, 3, 3, 9]})),
        204,
        "",
    );
    assert_eq!(secrets(&kv), [false, true, false]);

    let reply = get(&mut kv, "a", 3);
    assert_eq!(reply.status, 404);
    assert_eq!(reply.data["data"], Value::Null);
    assert_eq!(reply.data["metadata"]["destroyed"], true);
    assert_eq!(reply.data["metadata"]["deletion_time"], deletion_time);

    check(kv.write("undelete/a", json!({"versions": [1, 3]})), 204, "");
    assert_eq!(get(&mut kv, "a", 1).status, 404);
    assert_eq!(
        kv.read("metadata/a").data["versions"]["1"]["destroyed"],
        true
    );
    check(kv.delete("data/a"), 204, "");
    assert_eq!(put(&mut kv, "a", json!({"n": 4})), 4);
    assert_eq!(get(&mut kv, "a", 3).data["metadata"]["destroyed"], true);
}

#[test]
fn versions_must_be_given_and_a_missing_key_is_no_error() {
    let mut kv = mount_with(1);
    for (path, error) in [
        ("delete", "No version number provided"),
        ("undelete", "No version number provided"),
        ("destroy", "no version number provided"),
    ] {
        check(kv.write(&format!("{path}/a"), json!({})), 400, error);
        let none = json!({"versions": []});
        check(kv.write(&format!("{path}/a"), none), 400, error);
        let missing = format!("{path}/missing");
        check(kv.write(&missing, json!({"versions": [1]})), 204, "");
    }
    assert_eq!(kv.stored().len(), 1);
}

// delete_version_after

#[test]
fn a_version_is_deleted_by_itself_and_undelete_begins_anew() {
    let mut kv = mount();
    kv.write("metadata/a", json!({"delete_version_after": 1}));
    let reply = kv.write("data/a", json!({"data": {}}));
    assert_eq!(
        reply.data["deletion_time"],
        "2026-01-01T00:00:01.000000000Z"
    );
    // Still there, with the time to come.
    let reply = kv.read("data/a");
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.data["metadata"]["deletion_time"],
        "2026-01-01T00:00:01.000000000Z"
    );
    kv.advance(Duration::from_secs(2));
    check(kv.read("data/a"), 404, "");
    check(kv.delete("data/a"), 204, "");
    check(kv.write("undelete/a", json!({"versions": [1]})), 204, "");
    let reply = kv.read("data/a");
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.data["metadata"]["deletion_time"],
        "2026-01-01T00:00:03.000000000Z"
    );
    // Deleting what is due later makes it now.
    kv.delete("data/a");
    let reply = kv.read("data/a");
    assert_eq!(reply.status, 404);
    assert_eq!(
        reply.data["metadata"]["deletion_time"],
        "2026-01-01T00:00:02.000000000Z"
    );
}

#[test]
fn the_smaller_time_of_mount_and_key_counts_and_a_negative_one_turns_it_off() {
    let after = |mount_seconds: i64, key_seconds: i64| {
        let mut kv = mount();
        kv.write("config", json!({"delete_version_after": mount_seconds}));
        kv.write("metadata/a", json!({"delete_version_after": key_seconds}));
        put(&mut kv, "a", json!({}));
        kv.read("data/a").data["metadata"]["deletion_time"].clone()
    };
    assert_eq!(after(0, 0), "");
    assert_eq!(after(30, 0), "2026-01-01T00:00:30.000000000Z");
    assert_eq!(after(0, 20), "2026-01-01T00:00:20.000000000Z");
    assert_eq!(after(30, 20), "2026-01-01T00:00:20.000000000Z");
    assert_eq!(after(10, 20), "2026-01-01T00:00:10.000000000Z");
    assert_eq!(after(-5, 20), "");
}

// config

#[test]
fn the_config_has_defaults_and_only_given_fields_change() {
    let mut kv = mount();
    let show = |kv: &mut TestHost| kv.read("config").text;
    assert_eq!(
        show(&mut kv),
        r#"{"cas_required":false,"delete_version_after":"0s","max_versions":0}"#
    );
    check(kv.write("config", json!({"max_versions": 5})), 204, "");
    let changes = json!({"cas_required": true, "delete_version_after": 12_319});
    check(kv.write("config", changes), 204, "");
    check(kv.write("config", json!({"max_versions": null})), 204, "");
    assert_eq!(
        show(&mut kv),
        r#"{"cas_required":true,"delete_version_after":"3h25m19s","max_versions":5}"#
    );
    let changes = json!({"cas_required": false, "delete_version_after": -90, "max_versions": 0});
    kv.write("config", changes);
    assert_eq!(
        show(&mut kv),
        r#"{"cas_required":false,"delete_version_after":"-1s","max_versions":0}"#
    );
}

// patch

#[test]
fn a_patch_merges_into_the_latest_version() {
    let mut kv = mount();
    let text = r#"{"n":9007199254740993,"gone":1,"nested":{"a":1.0,"b":2},"list":[1,2]}"#;
    put(&mut kv, "a", serde_json::from_str(text).unwrap());
    let reply = kv.patch(
        "data/a",
        json!({"data": {"gone": null, "nested": {"b": {"c": 3}}, "list": [3], "new": "x"}}),
    );
    assert_eq!((reply.status, &reply.data["version"]), (200, &json!(2)));
    let reply = kv.read("data/a");
    let merged = r#"{"list":[3],"n":9007199254740993,"nested":{"a":1.0,"b":{"c":3}},"new":"x"}"#;
    assert!(
        reply.text.starts_with(&format!(r#"{{"data":{merged},"#)),
        "{}",
        reply.text
    );
    assert!(get(&mut kv, "a", 1).text.contains(text));
}

#[test]
fn a_patch_needs_data_and_something_to_merge_into() {
    let mut kv = mount();
    let patch = json!({"data": {"k": 1}});
    check(kv.patch("data/a", json!({})), 400, "no data provided");
    let null = json!({"data": null});
    check(kv.patch("data/a", null), 400, "no data provided");
    let reply = kv.patch("data/a", patch.clone());
    assert_eq!((reply.status, &reply.data), (404, &Value::Null));

    kv.write("metadata/only", json!({"max_versions": 1}));
    let reply = kv.patch("data/only", patch.clone());
    assert_eq!((reply.status, &reply.data), (404, &Value::Null));

    put(&mut kv, "a", json!({}));
    let wrong = json!({"data": {}, "options": {"cas": 2}});
    check(kv.patch("data/a", wrong), 400, MISMATCH);
    kv.delete("data/a");
    let reply = kv.patch("data/a", patch.clone());
    assert_eq!(reply.status, 404);
    assert_eq!(
        reply.data,
        json!({
            "created_time": "2026-01-01T00:00:00.000000000Z", "custom_metadata": null,
            "deletion_time": "2026-01-01T00:00:00.000000000Z", "destroyed": false, "version": 1,
        })
    );
    kv.write("destroy/a", json!({"versions": [1]}));
    let reply = kv.patch("data/a", patch);
    assert_eq!(
        (reply.status, &reply.data["destroyed"]),
        (404, &json!(true))
    );
}

#[test]
fn a_patch_that_is_nested_without_end_is_refused() {
    let mut kv = mount_with(1);
    let mut patch = json!(1);
    for _ in 0..101 {
        patch = json!({ "a": patch });
    }
    check(
        kv.patch("data/a", json!({ "data": patch })),
        400,
        "the data is nested more than 100 levels deep",
    );
}

// subkeys

#[test]
fn subkeys_are_the_names_without_the_values() {
    let mut kv = mount();
    put(
        &mut kv,
        "a",
        json!({"user": "x", "nested": {"a": 1, "deep": {"b": [{}]}}}),
    );
    let subkeys = |kv: &mut TestHost, query: Value| {
        let reply = kv.call(Operation::Read, "subkeys/a", query);
        assert_eq!(reply.data["metadata"]["version"], 1);
        (reply.status, reply.data["subkeys"].clone())
    };
    let all = json!({"user": null, "nested": {"a": null, "deep": {"b": null}}});
    assert_eq!(subkeys(&mut kv, json!({})), (200, all.clone()));
    assert_eq!(subkeys(&mut kv, json!({"depth": 0})), (200, all.clone()));
    assert_eq!(subkeys(&mut kv, json!({"depth": 9})), (200, all.clone()));
    assert_eq!(
        subkeys(&mut kv, json!({"depth": 1})),
        (200, json!({"user": null, "nested": null}))
    );
    put(&mut kv, "a", json!({}));
    assert_eq!(subkeys(&mut kv, json!({"version": 1})), (200, all));
    kv.write("delete/a", json!({"versions": [1]}));
    assert_eq!(subkeys(&mut kv, json!({"version": 1})), (404, Value::Null));
}

// metadata

#[test]
fn metadata_shows_the_key_and_its_history() {
    let mut kv = mount_with(1);
    kv.advance(Duration::from_millis(1500));
    put(&mut kv, "a", json!({}));
    kv.write(
        "metadata/a",
        json!({"cas_required": true, "delete_version_after": 90, "max_versions": 5,
               "custom_metadata": {"owner": "x"}}),
    );
    let (first, second) = (
        "2026-01-01T00:00:00.000000000Z",
        "2026-01-01T00:00:01.500000000Z",
    );
    let reply = kv.read("metadata/a");
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.data,
        json!({
            "cas_required": true, "created_time": first, "current_version": 2,
            "custom_metadata": {"owner": "x"}, "delete_version_after": "1m30s",
            "max_versions": 5, "oldest_version": 0, "updated_time": second,
            "versions": {
                "1": {"created_time": first, "deletion_time": "", "destroyed": false},
                "2": {"created_time": second, "deletion_time": "", "destroyed": false},
            },
        })
    );
    assert_eq!(
        kv.read("data/a").data["metadata"]["custom_metadata"],
        json!({"owner": "x"})
    );
}

#[test]
fn a_key_may_have_metadata_and_no_version() {
    let mut kv = mount();
    check(kv.write("metadata/a", json!({})), 204, "");
    check(kv.read("metadata/a"), 404, "");
    check(kv.write("metadata/a", json!({"max_versions": 4})), 204, "");
    let data = kv.read("metadata/a").data;
    assert_eq!(data["current_version"], 0);
    assert_eq!(data["versions"], json!({}));
    assert_eq!(data["custom_metadata"], Value::Null);
    check(kv.read("data/a"), 404, "");
    check(kv.delete("data/a"), 204, "");
    check(kv.write("destroy/a", json!({"versions": [0, 1]})), 204, "");
    assert_eq!(kv.list("metadata").data["keys"], json!(["a"]));
    check(put_cas(&mut kv, "a", json!(0)), 200, "");
    assert_eq!(kv.read("metadata/a").data["max_versions"], 4);
}

#[test]
fn custom_metadata_is_replaced_by_a_write_and_merged_by_a_patch() {
    let mut kv = mount();
    let set = |kv: &mut TestHost, texts: Value| {
        kv.write("metadata/a", json!({ "custom_metadata": texts }))
    };
    let show = |kv: &mut TestHost| kv.read("metadata/a").data["custom_metadata"].clone();
    let texts = json!({"a": "x", "n": 1.50, "t": true});
    check(set(&mut kv, texts), 204, "");
    assert_eq!(show(&mut kv), json!({"a": "x", "n": "1.5", "t": "1"}));
    let patch = json!({"custom_metadata": {"n": null, "b": "y"}});
    check(kv.patch("metadata/a", patch), 204, "");
    assert_eq!(show(&mut kv), json!({"a": "x", "t": "1", "b": "y"}));
    check(set(&mut kv, json!({"c": "z"})), 204, "");
    assert_eq!(show(&mut kv), json!({"c": "z"}));
    check(kv.write("metadata/a", json!({"max_versions": 2})), 204, "");
    assert_eq!(show(&mut kv), json!({"c": "z"}));
    check(set(&mut kv, json!({})), 204, "");
    assert_eq!(show(&mut kv), Value::Null);
    set(&mut kv, json!({"c": "z"}));
    check(
        kv.patch("metadata/a", json!({"custom_metadata": null})),
        204,
        "",
    );
    assert_eq!(show(&mut kv), Value::Null);
}

#[test]
fn custom_metadata_has_limits() {
    let mut kv = mount();
    let mut refused = |texts: Value| {
        let reply = kv.write("metadata/a", json!({ "custom_metadata": texts }));
        assert_eq!(reply.status, 400);
        reply.error
    };
    let one = |fault: &str| {
        format!("1 error occurred:\n\t* custom_metadata validation failed: {fault}\n\n")
    };
    let (long_key, long_value) = ("k".repeat(129), "v".repeat(513));
    assert_eq!(
        refused(json!({ long_key.as_str(): "v" })),
        one(&format!(
            "length of key {long_key:?} is 129 but must be 0 < len(key) <= 128"
        ))
    );
    assert_eq!(
        refused(json!({ "k": long_value })),
        one(r#"length of value for key "k" is 513 but must be 0 < len(value) <= 512"#)
    );
    assert_eq!(
        refused(json!({"": "v", "k": ""})),
        "2 errors occurred:\n\t* custom_metadata validation failed: length of key \"\" is 0 but \
         must be 0 < len(key) <= 128\n\t* custom_metadata validation failed: length of value for \
         key \"k\" is 0 but must be 0 < len(value) <= 512\n\n"
    );
    assert_eq!(
        refused(json!({"a\n": "v"})),
        one(r#"key "a\n" contains unprintable characters"#)
    );
    assert_eq!(
        refused(json!({"a": "\u{202e}"})),
        one(r#"value for key "a" contains unprintable characters"#)
    );
    assert_eq!(
        refused(json!({"a": {"b": 1}})),
        one(r#"value for key "a" is not a text"#)
    );
    let many: serde_json::Map<String, Value> =
        (0..65).map(|n| (format!("k{n}"), json!("v"))).collect();
    assert_eq!(
        refused(Value::Object(many.clone())),
        one("payload must contain at most 64 keys, provided 65")
    );
    // Nothing of it was kept; at the limits all is.
    check(kv.read("metadata/a"), 404, "");
    let mut many = many;
    many.remove("k0");
    many.insert("k1".into(), json!("v".repeat(512)));
    let reply = kv.write("metadata/a", json!({ "custom_metadata": many }));
    check(reply, 204, "");
    // A patch may not pass them either.
    let reply = kv.patch("metadata/a", json!({"custom_metadata": {"one more": "v"}}));
    assert_eq!(reply.status, 400);
}

#[test]
fn a_patch_of_metadata_unsets_with_null() {
    let mut kv = mount();
    let reply = kv.patch("metadata/a", json!({"max_versions": 1}));
    assert_eq!((reply.status, reply.data), (404, Value::Null));
    kv.write(
        "metadata/a",
        json!({"max_versions": 3, "cas_required": true, "delete_version_after": 5,
               "custom_metadata": {"k": "v"}}),
    );
    check(
        kv.patch("metadata/a", json!({"max_versions": null})),
        204,
        "",
    );
    let data = kv.read("metadata/a").data;
    assert_eq!(data["max_versions"], 0);
    assert_eq!(data["cas_required"], true);
    let nulls = json!({"cas_required": null, "delete_version_after": null});
    check(kv.patch("metadata/a", nulls), 204, "");
    let data = kv.read("metadata/a").data;
    assert_eq!(data["cas_required"], false);
    assert_eq!(data["delete_version_after"], "0s");
    assert_eq!(data["custom_metadata"], json!({"k": "v"}));
}

#[test]
fn a_key_cannot_be_let_off_what_its_mount_demands() {
    const WARNING: &str = "\"cas_required\" set to false, but is mandated by backend config. This value will be ignored.";
    let mut kv = mount();
    kv.write("config", json!({"cas_required": true}));
    let reply = kv.write("metadata/a", json!({"cas_required": false}));
    assert_eq!(
        (reply.status, reply.warnings),
        (200, vec![WARNING.to_owned()])
    );
    let reply = kv.patch("metadata/a", json!({"cas_required": false}));
    assert_eq!(
        (reply.status, reply.warnings),
        (200, vec![WARNING.to_owned()])
    );
    check(
        kv.write("metadata/a", json!({"cas_required": true})),
        204,
        "",
    );
}

#[test]
fn deleting_metadata_removes_all_there_is() {
    let mut kv = mount_with(5);
    put(&mut kv, "a/b", json!({}));
    put(&mut kv, "a/b", json!({}));
    kv.write("destroy/a", json!({"versions": [2, 5]}));
    check(kv.delete("metadata/a"), 204, "");
    check(kv.read("data/a"), 404, "");
    // What is left is the other key's.
    assert_eq!(kv.stored().len(), 2);
    check(kv.delete("metadata/a/b"), 204, "");
    assert!(kv.stored().is_empty());
    check(kv.delete("metadata/a/b"), 204, "");
    check(kv.delete("metadata/"), 204, "");
    check(
        kv.write("metadata/", json!({"max_versions": 1})),
        400,
        "cannot write to a path ending in '/'",
    );
}

// lists

#[test]
fn a_listing_has_keys_and_folders_and_what_is_deleted() {
    let mut kv = mount();
    for path in ["a", "a/b", "a/1", "b", "c/d"] {
        put(&mut kv, path, json!({}));
        put(&mut kv, path, json!({}));
    }
    kv.delete("data/b");
    kv.write("destroy/b", json!({"versions": [1, 2]}));
    let keys = |reply: Reply| reply.data["keys"].clone();
    assert_eq!(keys(kv.list("metadata/")), json!(["a", "a/", "b", "c/"]));
    assert_eq!(keys(kv.list("metadata")), json!(["a", "a/", "b", "c/"]));
    assert_eq!(keys(kv.list("metadata/a")), json!(["1", "b"]));
    check(kv.list("metadata/nothing"), 404, "");
    check(kv.list("metadata/b"), 404, "");
    assert_eq!(
        kv.list("metadata/a/../b").error,
        "key segment \"..\"",
        "storage refuses what is no key"
    );
}

#[test]
fn a_listing_comes_in_parts() {
    let mut kv = mount();
    for number in 0..9 {
        put(&mut kv, &format!("k{number}"), json!({}));
    }
    kv.page_limit(2);
    let mut part = |after: &str, limit: i64| {
        let query = json!({"after": after, "limit": limit});
        kv.call(Operation::List, "metadata/", query).data["keys"].clone()
    };
    assert_eq!(part("", 3), json!(["k0", "k1", "k2"]));
    assert_eq!(part("k2", 3), json!(["k3", "k4", "k5"]));
    assert_eq!(part("k5", 9), json!(["k6", "k7", "k8"]));
    assert_eq!(part("k6", 0), json!(["k7", "k8"]));
    assert_eq!(part("k6", -1), json!(["k7", "k8"]));
    assert_eq!(part("k8", 3), Value::Null);
}

// wrong paths

#[test]
fn a_path_of_version_1_is_answered_with_the_right_command() {
    let mut kv = mount();
    let calls = [
        (Operation::Read, "get"),
        (Operation::Update, "put"),
        (Operation::Patch, "patch"),
        (Operation::Delete, "delete"),
        (Operation::List, "list"),
    ];
    for (operation, command) in calls {
        let reply = kv.call(operation, "foo", json!({}));
        assert_eq!(reply.status, 404);
        assert_eq!(reply.data, Value::Null);
        assert_eq!(
            reply.warnings,
            [format!(
                "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If using the Vault CLI, use 'vault kv {command}' for this operation."
            )]
        );
    }
    for (operation, command) in [(Operation::Read, "get"), (Operation::List, "list")] {
        let reply = kv.call(operation, "", Value::Null);
        assert!(reply.warnings[0].contains(&format!("'vault kv {command}'")));
    }
}

#[test]
fn the_root_of_a_tree_is_only_for_lists() {
    let mut kv = mount();
    for root in [
        "data", "metadata", "delete", "undelete", "destroy", "subkeys",
    ] {
        for operation in [
            Operation::Read,
            Operation::Update,
            Operation::Patch,
            Operation::Delete,
        ] {
            let reply = kv.call(operation, root, json!({}));
            assert_eq!(reply.status, 404, "{operation:?} {root}");
            assert_eq!(
                reply.warnings,
                ["Non-listing operations on the root of a K/V v2 mount are not supported."]
            );
        }
    }
}

// cost

#[test]
fn a_read_of_the_latest_is_one_call_of_storage_and_of_an_older_version_two() {
    let mut kv = mount_with(3);
    kv.storage_calls();
    kv.read("data/a");
    assert_eq!(kv.storage_calls(), 1);
    get(&mut kv, "a", 2);
    assert_eq!(kv.storage_calls(), 2);
    kv.read("metadata/a");
    assert_eq!(kv.storage_calls(), 1);
    // One to tell an update from a create, one to read, two to write.
    put(&mut kv, "a", json!({}));
    assert_eq!(kv.storage_calls(), 4);
}

#[test]
fn a_secret_of_a_mebibyte_is_kept_and_one_beyond_storage_is_refused() {
    let mut kv = mount();
    let large = json!({"v": "x".repeat(1 << 20)});
    put(&mut kv, "a", large.clone());
    assert_eq!(kv.read("data/a").data["data"], large);
    let reply = kv.write("data/a", json!({"data": {"v": "x".repeat(8 << 20)}}));
    check(
        reply,
        400,
        "put failed due to value being too large; the limit is 8388608 bytes",
    );
    assert_eq!(kv.read("data/a").data["metadata"]["version"], 1);
}

#[test]
fn the_interface_says_what_clients_may_send() {
    let interface = mount().interface();
    for line in [
        r#""data/{path...}" ["existence check"]: The data of a secret."#,
        r#""metadata/{path...}" ["existence check"]: A key: its settings, its versions and its custom metadata."#,
        "  versions IntegerList: The numbers of the versions.",
        "  cas_required Boolean, default false: Whether each write must say which version it replaces.",
    ] {
        assert!(
            interface.lines().any(|found| found == line),
            "{line}\n{interface}"
        );
    }
}
