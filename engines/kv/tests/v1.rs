//! Version 1, as its clients see it (`contract/30-kv.md`, section 1).

use std::time::Duration;

use coffer_sdk::json;
use coffer_sdk::testing::{Reply, TestHost};
use serde_json::Value;

fn mount() -> TestHost {
    TestHost::new(&engines_kv::engine)
}

/// The status, and what the client is told beside it.
fn check(reply: Reply, status: u16, error: &str) {
    assert_eq!((reply.status, reply.error.as_str()), (status, error));
}

#[test]
fn a_secret_is_read_as_it_was_written_and_writing_replaces_all_of_it() {
    let mut kv = mount();
    check(kv.write("app/db", json!({"user": "x", "n": 1})), 204, "");
    let reply = kv.read("app/db");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.data, json!({"user": "x", "n": 1}));
    check(kv.write("app/db", json!({"other": null})), 204, "");
    assert_eq!(kv.read("app/db").data, json!({"other": null}));
}

#[test]
fn any_json_comes_back_digit_by_digit() {
    let text = r#"{"big":9007199254740993,"one":1.0,"exp":1e+400,"deep":{"l":[[],{},""]},"path":"a","empty":""}"#;
    let mut kv = mount();
    let data: Value = serde_json::from_str(text).unwrap();
    kv.write("a b/ключ/x.y", data);
    assert_eq!(kv.read("a b/ключ/x.y").text, text);
}

#[test]
fn what_is_missing_is_not_found_and_deleting_it_is_no_error() {
    let mut kv = mount();
    check(kv.read("nothing"), 404, "");
    check(kv.delete("nothing"), 204, "");
    check(kv.read(""), 404, "");
    check(kv.read("folder/"), 404, "");
    check(kv.delete("folder/"), 204, "");
    kv.write("a", json!({"k": 1}));
    check(kv.delete("a"), 204, "");
    check(kv.read("a"), 404, "");
    assert!(kv.stored().is_empty());
}

#[test]
fn a_write_without_fields_or_path_is_refused() {
    let mut kv = mount();
    check(kv.write("a", json!({})), 400, "missing data fields");
    check(kv.write("a", Value::Null), 400, "missing data fields");
    check(kv.write("", json!({"k": 1})), 400, "missing path");
    check(kv.patch("a", json!({"k": 1})), 405, "unsupported operation");
    assert!(kv.stored().is_empty());
}

#[test]
fn the_lease_duration_is_the_secrets_own_ttl_or_the_mounts() {
    let check = |data: Value, seconds| {
        let mut kv = mount();
        kv.write("a", data.clone());
        let reply = kv.read("a");
        assert_eq!(reply.lease_duration, seconds, "{data}");
        assert_eq!(reply.data, data);
    };
    check(json!({"k": 1}), 2_764_800);
    check(json!({"ttl": "30m"}), 1800);
    check(json!({"ttl": 90}), 90);
    check(json!({"ttl": "90"}), 90);
    check(json!({"ttl": "1d"}), 86_400);
    check(json!({"lease": "1h"}), 3600);
    check(json!({"lease": "1h", "ttl": "5m"}), 300);
    // Anything else there is data like any other.
    for odd in [json!("soon"), json!(-5), json!(1.5), json!([]), json!(null)] {
        check(json!({"ttl": odd}), 2_764_800);
    }
}

#[test]
fn a_listing_has_keys_and_folders_even_of_one_name() {
    let mut kv = mount();
    for path in ["b", "a", "a/x", "a/y/z", "c/d/e"] {
        kv.write(path, json!({"k": 1}));
    }
    let keys = |reply: Reply| reply.data["keys"].clone();
    assert_eq!(keys(kv.list("")), json!(["a", "a/", "b", "c/"]));
    assert_eq!(keys(kv.list("a")), json!(["x", "y/"]));
    assert_eq!(keys(kv.list("a/")), json!(["x", "y/"]));
    check(kv.list("b"), 404, "");
    check(kv.list("nothing"), 404, "");
    kv.delete("a/y/z");
    assert_eq!(keys(kv.list("a")), json!(["x"]));
}

#[test]
fn a_long_listing_comes_whole() {
    let mut kv = mount();
    for number in 0..25 {
        kv.write(&format!("k{number:02}"), json!({"k": 1}));
    }
    kv.page_limit(7);
    let reply = kv.list("");
    assert_eq!(reply.data["keys"].as_array().unwrap().len(), 25);
}

#[test]
fn a_path_that_storage_could_not_keep_is_refused() {
    let mut kv = mount();
    let data = json!({"k": 1});
    let segment = |part| format!("the path of a secret has no segment {part:?}");
    check(kv.write("a/./b", data.clone()), 400, &segment("."));
    check(kv.write("a/../b", data.clone()), 400, &segment(".."));
    check(kv.write("a//b", data.clone()), 400, &segment(""));
    check(kv.read("../b"), 400, &segment(".."));
    let long = "x".repeat(996);
    let reply = kv.write(&long, data.clone());
    check(reply, 400, "the path of a secret has at most 995 bytes");
    check(kv.write(&long[1..], data), 204, "");
}

#[test]
fn a_read_and_a_write_are_each_one_call_of_storage() {
    let mut kv = mount();
    kv.write("a", json!({"k": 1}));
    kv.storage_calls();
    kv.read("a");
    assert_eq!(kv.storage_calls(), 1);
    kv.write("a", json!({"k": 2}));
    // One to tell an update from a create.
    assert_eq!(kv.storage_calls(), 2);
}

#[test]
fn an_unknown_version_is_not_mounted() {
    let mut kv = mount();
    let error = kv.tune(&[("version", "3")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"unknown version "3" of the key/value engine: it is "1" or "2""#
    );
    kv.tune(&[("version", "")]).unwrap();
    kv.tune(&[("version", "1")]).unwrap();
}

#[test]
fn after_an_upgrade_all_that_was_stored_is_version_1() {
    let mut kv = mount();
    kv.write("app/db", json!({"user": "x", "ttl": "30m"}));
    let written = kv.now();
    let before = kv.stored();
    kv.advance(Duration::from_secs(60));
    kv.tune(&[("version", "2")]).unwrap();
    assert_eq!(kv.stored(), before, "an upgrade rewrites nothing");

    let reply = kv.read("data/app/db");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.lease_duration, 0);
    let metadata = json!({
        "created_time": written.to_string(), "custom_metadata": null, "deletion_time": "",
        "destroyed": false, "version": 1,
    });
    assert_eq!(
        reply.data,
        json!({"data": {"user": "x", "ttl": "30m"}, "metadata": metadata})
    );
    assert_eq!(kv.list("metadata/").data["keys"], json!(["app/"]));
    assert_eq!(kv.read("metadata/app/db").data["oldest_version"], 0);

    // The first write makes version 2, and both are there.
    let reply = kv.write(
        "data/app/db",
        json!({"options": {"cas": 1}, "data": {"user": "y"}}),
    );
    assert_eq!(reply.data["version"], 2);
    let old = kv.call(
        coffer_sdk::Operation::Read,
        "data/app/db",
        json!({"version": 1}),
    );
    assert_eq!(old.data["data"], json!({"user": "x", "ttl": "30m"}));
    assert_eq!(kv.read("data/app/db").data["data"], json!({"user": "y"}));
}

#[test]
fn the_interface_is_one_path_of_any_fields() {
    let interface = mount().interface();
    assert!(interface.contains(r#""{path...}" ["existence check", "free form"]"#));
}
