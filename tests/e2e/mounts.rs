//! Mounts: what is where, moved, tuned, taken away.

use serde_json::json;

use crate::support::TestVault;

#[test]
fn a_new_server_has_what_every_server_has() {
    let (_vault, root) = TestVault::ready();
    let mounts = root.get("sys/mounts");
    let mounts = mounts.data().as_object().expect("an object");
    let shown: Vec<_> = mounts
        .iter()
        .map(|(path, mount)| {
            (
                path.as_str(),
                mount["description"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("cubbyhole/", "per-token private secret storage"),
            ("identity/", "identity store"),
            (
                "sys/",
                "system endpoints used for control, policy and debugging"
            ),
        ]
    );
    assert_eq!(root.get("sys/auth").data()["token/"]["type"], "token");
}

#[test]
fn a_mount_is_shown_as_vault_shows_it() {
    let (_vault, root) = TestVault::ready();
    let body = json!({
        "type": "kv", "description": "", "options": {"version": "2"}, "local": false, "seal_wrap": false,
        "external_entropy_access": false,
        "config": {"options": null, "default_lease_ttl": "0s", "max_lease_ttl": "0s", "force_no_cache": false}
    });
    assert_eq!(root.post("sys/mounts/secret", body.clone()).status, 204);
    let again = root.post("sys/mounts/secret", body);
    assert_eq!(
        (again.status, again.error()),
        (400, "path is already in use at secret/")
    );
    let shown = root.get("sys/mounts/secret");
    let shown = shown.data();
    assert_eq!(shown["type"], "kv");
    assert_eq!(shown["options"], json!({"version": "2"}));
    assert!(
        shown["accessor"]
            .as_str()
            .is_some_and(|a| a.starts_with("kv_") && a.len() == 11)
    );
    assert_eq!(shown["config"]["default_lease_ttl"], 0);
    let preflight = root.get("sys/internal/ui/mounts/secret/app");
    assert_eq!(preflight.data()["path"], "secret/");
    assert_eq!(preflight.data()["options"]["version"], "2");
    let missing = root.get("sys/mounts/none");
    assert_eq!(
        (missing.status, missing.error()),
        (400, "No secret engine mount at none/")
    );
    let missing = root.get("sys/auth/none");
    assert_eq!(
        (missing.status, missing.error()),
        (400, "No auth engine at none/")
    );
}

#[test]
fn no_mount_lies_above_or_below_another() {
    let (_vault, root) = TestVault::ready();
    assert_eq!(
        root.post("sys/mounts/a/b", json!({"type": "kv"})).status,
        204
    );
    for path in ["a", "a/b/c", "a/b"] {
        let refused = root.post(&format!("sys/mounts/{path}"), json!({"type": "kv"}));
        assert_eq!(
            (refused.status, refused.error()),
            (400, "path is already in use at a/b/"),
            "{path}"
        );
    }
    assert_eq!(
        root.post("sys/mounts/ab", json!({"type": "kv"})).status,
        204
    );
}

#[test]
fn what_cannot_be_mounted_says_why() {
    let (_vault, root) = TestVault::ready();
    let cases = [
        ("x", json!({}), "backend type must be specified as a string"),
        (
            "x",
            json!({"type": "foo"}),
            "plugin not found in the catalog: foo",
        ),
        (
            "x",
            json!({"type": "system"}),
            "mount type of \"system\" is not mountable",
        ),
        ("sys", json!({"type": "kv"}), "cannot mount \"sys/\""),
        ("auth/x", json!({"type": "kv"}), "cannot mount \"auth/x/\""),
        (
            "x",
            json!({"type": "kv", "config": {"default_lease_ttl": "2h", "max_lease_ttl": "1h"}}),
            "given default lease TTL greater than given max lease TTL",
        ),
        (
            "x",
            json!({"type": "kv", "config": {"default_lease_ttl": "9999h"}}),
            "given default lease TTL greater than system max lease TTL of 2764800",
        ),
    ];
    for (path, body, says) in cases {
        let refused = root.post(&format!("sys/mounts/{path}"), body.clone());
        assert_eq!((refused.status, refused.error()), (400, says), "{body}");
    }
}

#[test]
fn a_disabled_mount_takes_its_secrets_with_it() {
    let (_vault, root) = TestVault::with_kv();
    root.put("secret/data/a", json!({"data": {"k": "v"}}));
    assert_eq!(root.delete("sys/mounts/secret").status, 204);
    assert_eq!(root.delete("sys/mounts/secret").status, 204);
    assert_eq!(root.get("secret/data/a").status, 404);
    assert_eq!(
        root.post("sys/mounts/secret", json!({"type": "kv-v2"}))
            .status,
        204
    );
    assert_eq!(root.get("secret/data/a").status, 404);
    assert_eq!(root.list("secret/metadata").status, 404);
}

#[test]
fn a_moved_mount_keeps_all_that_it_has() {
    let (_vault, root) = TestVault::with_kv();
    root.put("secret/data/a", json!({"data": {"k": "v"}}));
    let accessor = root.get("sys/mounts/secret").data()["accessor"].clone();
    let moved = root.post(
        "sys/remount",
        json!({"from": "secret", "to": "team/secret"}),
    );
    let id = moved.data()["migration_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let status = root.get(&format!("sys/remount/status/{id}"));
    assert_eq!(status.data()["migration_info"]["status"], "success");
    assert_eq!(root.get("team/secret/data/a").data()["data"]["k"], "v");
    assert_eq!(
        root.get("sys/mounts/team/secret").data()["accessor"],
        accessor
    );
    assert_eq!(root.get("secret/data/a").status, 404);
    let cases = [
        (
            json!({"from": "none", "to": "x"}),
            "no matching mount at \"none/\"",
        ),
        (json!({"from": "sys", "to": "x"}), "cannot remount \"sys/\""),
        (
            json!({"from": "team/secret"}),
            "both 'from' and 'to' path must be specified as a string",
        ),
    ];
    for (body, says) in cases {
        let refused = root.post("sys/remount", body);
        assert_eq!((refused.status, refused.error()), (400, says));
    }
}

#[test]
fn tuning_changes_what_is_sent_and_leaves_the_rest() {
    let (_vault, root) = TestVault::with_kv();
    let tune = |body| root.post("sys/mounts/secret/tune", body);
    assert_eq!(
        tune(json!({"default_lease_ttl": "1h", "max_lease_ttl": "2h", "description": "mine"}))
            .status,
        204
    );
    assert_eq!(
        tune(json!({"default_lease_ttl": "", "max_lease_ttl": "", "options": null})).status,
        204
    );
    let tuned = root.get("sys/mounts/secret/tune");
    assert_eq!(tuned.data()["default_lease_ttl"], 3600);
    assert_eq!(tuned.data()["max_lease_ttl"], 7200);
    assert_eq!(tuned.data()["description"], "mine");
    let refused = tune(json!({"default_lease_ttl": "10h"}));
    assert_eq!(
        refused.error(),
        "backend max lease TTL of 7200 would be less than backend default lease TTL of 36000"
    );
    assert_eq!(
        tune(json!({"default_lease_ttl": "system", "max_lease_ttl": "system"})).status,
        204
    );
    assert_eq!(
        root.get("sys/mounts/secret/tune").data()["max_lease_ttl"],
        2_764_800
    );
    let missing = root.post("sys/mounts/none/tune", json!({"description": "x"}));
    assert_eq!(
        missing.error(),
        "tune of path \"none/\" failed: no mount entry found"
    );
}

#[test]
fn a_kv_mount_is_upgraded_in_place_and_never_back() {
    let (_vault, root) = TestVault::ready();
    root.post("sys/mounts/kv", json!({"type": "kv"}));
    root.put("kv/a", json!({"k": 1.0}));
    let upgraded = root.post("sys/mounts/kv/tune", json!({"options": {"version": "2"}}));
    assert!(matches!(upgraded.status, 200 | 204), "{upgraded:?}");
    let read = root.get("kv/data/a");
    assert_eq!(read.data()["data"], json!({"k": 1.0}));
    assert_eq!(read.data()["metadata"]["version"], 1);
    let refused = root.post("sys/mounts/kv/tune", json!({"options": {"version": "1"}}));
    assert_eq!(refused.error(), "cannot downgrade mount from version 2");
}

#[test]
fn two_at_once_at_one_path_and_one_comes_through() {
    let (_vault, root) = TestVault::ready();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| root.post("sys/mounts/kv", json!({"type": "kv"})).status))
            .collect();
        tries
            .into_iter()
            .map(|tries| tries.join().expect("no panic"))
            .collect()
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 204).count(),
        1,
        "{statuses:?}"
    );
}
