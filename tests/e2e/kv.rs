//! KV over HTTP: a component in its sandbox behind the whole pipeline. The engine's own rules are
//! tested beside its code; here is what only the whole can show.

use serde_json::{Value, json};

use crate::support::TestVault;

#[test]
fn the_life_of_a_versioned_secret() {
    let (_vault, root) = TestVault::with_kv();
    let first = root.put(
        "secret/data/app",
        json!({"data": {"a": "1"}, "options": {}}),
    );
    assert_eq!(first.data()["version"], 1);
    assert_eq!(first.data()["deletion_time"], "");
    assert_eq!(first.data()["destroyed"], false);
    assert!(first.data()["custom_metadata"].is_null());
    assert!(
        first.data()["created_time"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z'))
    );

    let stale = root.put(
        "secret/data/app",
        json!({"data": {"a": "2"}, "options": {"cas": 0}}),
    );
    assert_eq!(
        (stale.status, stale.error()),
        (
            400,
            "check-and-set parameter did not match the current version"
        )
    );
    let second = root.put(
        "secret/data/app",
        json!({"data": {"a": "2"}, "options": {"cas": 1}}),
    );
    assert_eq!(second.data()["version"], 2);
    let third = root.patch(
        "secret/data/app",
        json!({"data": {"b": "x", "a": null}, "options": {}}),
    );
    assert_eq!(third.data()["version"], 3);
    let read = root.get("secret/data/app");
    assert_eq!(read.data()["data"], json!({"b": "x"}));
    assert_eq!(read.data()["metadata"]["version"], 3);
    assert_eq!(
        root.get("secret/data/app?version=1").data()["data"],
        json!({"a": "1"})
    );

    assert_eq!(root.delete("secret/data/app").status, 204);
    let deleted = root.get("secret/data/app");
    assert_eq!(deleted.status, 404);
    assert!(deleted.body["data"]["data"].is_null());
    assert_ne!(deleted.body["data"]["metadata"]["deletion_time"], "");
    assert!(deleted.body["request_id"].is_string());
    assert_eq!(
        root.put("secret/undelete/app", json!({"versions": ["3"]}))
            .status,
        204
    );
    assert_eq!(root.get("secret/data/app").status, 200);
    assert_eq!(
        root.put("secret/destroy/app", json!({"versions": ["1"]}))
            .status,
        204
    );
    let destroyed = root.get("secret/data/app?version=1");
    assert_eq!(
        (
            destroyed.status,
            &destroyed.body["data"]["metadata"]["destroyed"]
        ),
        (404, &json!(true))
    );

    let set = json!({"max_versions": 5, "custom_metadata": {"owner": "ops"}});
    assert_eq!(root.put("secret/metadata/app", set).status, 204);
    let patched = json!({"custom_metadata": {"owner": null, "team": "a"}});
    assert_eq!(root.patch("secret/metadata/app", patched).status, 204);
    let metadata = root.get("secret/metadata/app");
    assert_eq!(metadata.data()["current_version"], 3);
    assert_eq!(metadata.data()["custom_metadata"], json!({"team": "a"}));
    assert_eq!(metadata.data()["delete_version_after"], "0s");
    assert_eq!(metadata.data()["versions"]["1"]["destroyed"], true);
    for listed in [
        root.list("secret/metadata"),
        root.get("secret/metadata?list=true"),
        root.get("secret/metadata/?list=True"),
    ] {
        assert_eq!(listed.data()["keys"], json!(["app"]));
    }
    let nothing = root.list("secret/metadata/none");
    assert_eq!(
        (nothing.status, nothing.text.trim_end()),
        (404, "{\"errors\":[]}")
    );
    assert_eq!(root.delete("secret/metadata/app").status, 204);
    assert_eq!(root.get("secret/data/app").status, 404);
}

#[test]
fn a_path_of_version_1_under_version_2_is_explained() {
    let (_vault, root) = TestVault::with_kv();
    let wrong = root.get("secret/app");
    assert_eq!(wrong.status, 404);
    let warning = wrong.body["warnings"][0].as_str().unwrap_or_default();
    assert!(
        warning.starts_with("Invalid path for a versioned K/V secrets engine."),
        "{wrong:?}"
    );
    assert!(wrong.body["data"].is_null());
}

#[test]
fn version_1_keeps_what_it_is_given() {
    let (_vault, root) = TestVault::ready();
    root.post(
        "sys/mounts/kv",
        json!({"type": "kv", "options": {"version": "1"}}),
    );
    assert_eq!(
        root.put("kv/a/b", json!({"k": "v", "ttl": "30m"})).status,
        204
    );
    let read = root.get("kv/a/b");
    assert_eq!(read.data(), &json!({"k": "v", "ttl": "30m"}));
    assert_eq!(read.body["lease_duration"], 1800);
    assert_eq!(read.body["renewable"], false);
    root.put("kv/a", json!({"k": "w"}));
    assert_eq!(root.get("kv/a").body["lease_duration"], 2_764_800);
    assert_eq!(root.get("kv/?list=true").data()["keys"], json!(["a", "a/"]));
    assert_eq!(root.put("kv/x", json!({})).error(), "missing data fields");
    assert_eq!(root.patch("kv/a", json!({"k": "x"})).status, 405);
    assert_eq!(root.delete("kv/a").status, 204);
    assert_eq!(root.get("kv/a").status, 404);
}

#[test]
fn values_come_back_digit_by_digit() {
    let (_vault, root) = TestVault::with_kv();
    root.post("sys/mounts/kv", json!({"type": "kv"}));
    let odd = r#"{"big":9007199254740993,"point":1.0,"tiny":1e-400,"text":"ключ \u0000 \"","empty":"","none":null,"list":[[],{},[1,[2]]],"a.b":true}"#;
    root.send("PUT", "kv/odd", Some(odd));
    root.send(
        "PUT",
        "secret/data/odd",
        Some(&format!("{{\"data\":{odd}}}")),
    );
    for path in ["kv/odd", "secret/data/odd"] {
        let text = root.get(path).text;
        for piece in [
            "9007199254740993",
            "1.0",
            "1e-400",
            "\"a.b\":true",
            "[[],{},[1,[2]]]",
        ] {
            assert!(text.contains(piece), "{path}: {piece} is not in {text}");
        }
        let data: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            data.pointer("/data/text")
                .or(data.pointer("/data/data/text")),
            Some(&json!("ключ \u{0} \""))
        );
    }
}

#[test]
fn names_may_hold_what_people_write() {
    let (_vault, root) = TestVault::with_kv();
    for (path, name) in [
        ("a%20b", "a b"),
        ("a%2Bb", "a+b"),
        ("50%25", "50%"),
        ("what%3F", "what?"),
        ("%23one", "#one"),
        ("%D0%BA", "к"),
    ] {
        assert_eq!(
            root.put(
                &format!("secret/data/odd/{path}"),
                json!({"data": {"n": name}})
            )
            .status,
            200,
            "{path}"
        );
        assert_eq!(
            root.get(&format!("secret/data/odd/{path}")).data()["data"]["n"],
            name
        );
        let keys = root.list("secret/metadata/odd");
        assert!(
            keys.data()["keys"]
                .as_array()
                .is_some_and(|keys| keys.contains(&json!(name))),
            "{name}: {keys:?}"
        );
    }
}

#[test]
fn of_concurrent_check_and_set_writes_one_wins() {
    let (_vault, root) = TestVault::with_kv();
    for round in 0..5 {
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let writes: Vec<_> = (0..16)
                .map(|n| {
                    let root = &root;
                    let body = json!({"data": {"n": n}, "options": {"cas": round}});
                    scope.spawn(move || root.put("secret/data/hot", body).status)
                })
                .collect();
            writes
                .into_iter()
                .map(|write| write.join().expect("no panic"))
                .collect()
        });
        assert_eq!(
            statuses.iter().filter(|status| **status == 200).count(),
            1,
            "{statuses:?}"
        );
        assert!(
            statuses.iter().all(|status| matches!(status, 200 | 400)),
            "{statuses:?}"
        );
    }
}

#[test]
fn concurrent_writes_without_check_are_all_kept_as_versions() {
    let (_vault, root) = TestVault::with_kv();
    root.put("secret/metadata/busy", json!({"max_versions": 100}));
    std::thread::scope(|scope| {
        for n in 0..32 {
            let root = &root;
            scope.spawn(move || {
                let put = root.put("secret/data/busy", json!({"data": {"n": n}}));
                assert_eq!(put.status, 200, "{put:?}");
            });
        }
    });
    assert_eq!(
        root.get("secret/metadata/busy").data()["current_version"],
        32
    );
}

#[test]
fn unknown_fields_are_named_in_a_warning() {
    let (_vault, root) = TestVault::with_kv();
    let put = root.put("secret/data/a", json!({"data": {}, "foo": 1, "bar": 2}));
    assert_eq!(
        put.body["warnings"],
        json!(["Endpoint ignored these unrecognized parameters: [bar foo]"])
    );
    // Terraform sends a top-level `cas`, which must not count.
    let put = root.put(
        "secret/data/a",
        json!({"data": {}, "options": {}, "cas": 0}),
    );
    assert_eq!(put.data()["version"], 2);
}
