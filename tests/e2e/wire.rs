//! What every answer has: the envelope, the headers, the words of refusals. The transcripts are
//! the contract's (`95`); what differs from one run to the next is left out.

use serde_json::json;

use crate::support::TestVault;

#[test]
fn a_new_server_says_so_and_nothing_more() {
    let vault = TestVault::start();
    let nobody = vault.client("");
    let status = nobody.get("sys/seal-status");
    assert_eq!(status.status, 200);
    assert_eq!(status.body["initialized"], false);
    assert_eq!(status.body["sealed"], true);
    assert_eq!(status.body["storage_type"], "redb");
    assert_eq!(nobody.get("sys/init").body, json!({"initialized": false}));
    assert_eq!(nobody.get("sys/health").status, 501);
    assert_eq!(nobody.get("sys/mounts").status, 503);
    let unseal = nobody.put("sys/unseal", json!({"key": "00".repeat(32)}));
    assert_eq!(
        (unseal.status, unseal.error()),
        (400, "Vault is not initialized")
    );
}

#[test]
fn the_first_minutes_of_a_server() {
    let vault = TestVault::start();
    let keys = vault.initialize(1, 1);
    let nobody = vault.client("");
    let again = nobody.put(
        "sys/init",
        json!({"secret_shares": 1, "secret_threshold": 1}),
    );
    assert_eq!(
        (again.status, again.error()),
        (400, "Vault is already initialized")
    );
    let root = vault.client(&keys.root);
    let sealed = root.get("sys/mounts");
    assert_eq!((sealed.status, sealed.error()), (503, "Vault is sealed"));
    vault.unseal(&keys);

    let health = nobody.get("sys/health");
    assert_eq!(health.status, 200);
    for (name, value) in [("initialized", true), ("sealed", false), ("standby", false)] {
        assert_eq!(health.body[name], value, "{name}");
    }
    assert_eq!(health.body["performance_standby"], false);

    let me = root.get("auth/token/lookup-self");
    let me = me.data();
    assert_eq!(me["id"], keys.root.as_str());
    assert_eq!(me["policies"], json!(["root"]));
    assert_eq!(me["ttl"], 0);
    assert!(me["expire_time"].is_null());
    assert_eq!(me["path"], "auth/token/root");
    assert_eq!(me["display_name"], "root");
    assert_eq!(me["orphan"], true);
    assert_eq!(me["type"], "service");
}

#[test]
fn every_answer_has_all_keys_and_the_headers_that_clients_look_for() {
    let (_vault, root) = TestVault::with_kv();
    let answer = root.put("secret/data/a", json!({"data": {"k": "v"}}));
    let keys: Vec<_> = answer
        .body
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect();
    for key in [
        "request_id",
        "lease_id",
        "renewable",
        "lease_duration",
        "data",
        "wrap_info",
        "warnings",
        "auth",
    ] {
        assert!(
            keys.iter().any(|known| known == key),
            "{key} is missing: {keys:?}"
        );
    }
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.text.ends_with('\n'));
    let refused = root.get("secret/data/none");
    assert_eq!(
        (refused.status, refused.text.trim_end()),
        (404, r#"{"errors":[]}"#)
    );
    assert_eq!(refused.header("content-type"), "application/json");
    assert_eq!(refused.header("cache-control"), "no-store");
}

#[test]
fn refusals_have_the_words_that_clients_match_on() {
    let (_vault, root) = TestVault::with_kv();
    root.put(
        "sys/policies/acl/dev",
        json!({"policy": r#"path "secret/data/app/*" { capabilities = ["read"] }"#}),
    );
    let dev = root.post("auth/token/create", json!({"policies": ["dev"]}));
    let dev = root.with_token(dev.body["auth"]["client_token"].as_str().expect("a token"));

    let nothing = dev.get("secret/data/app/x");
    assert_eq!(
        (nothing.status, nothing.text.trim_end()),
        (404, r#"{"errors":[]}"#)
    );
    let denied = dev.put("secret/data/app/x", json!({"data": {}}));
    assert_eq!(
        (denied.status, denied.error()),
        (403, "1 error occurred:\n\t* permission denied\n\n")
    );
    let unmounted = dev.get("nope/x");
    assert_eq!(
        (unmounted.status, unmounted.error()),
        (403, "1 error occurred:\n\t* permission denied\n\n")
    );
    let nobody = root.with_token("").get("secret/data/app/x");
    assert_eq!((nobody.status, nobody.error()), (403, "permission denied"));
    let garbage = root.with_token("garbage").get("secret/data/app/x");
    assert_eq!(
        (garbage.status, garbage.error()),
        (
            403,
            "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"
        )
    );
    let preflight = dev.get("sys/internal/ui/mounts/other");
    assert_eq!(
        (preflight.status, preflight.error()),
        (
            403,
            "preflight capability check returned 403, please ensure client's policies grant access to path \"other/\""
        )
    );
    let unmounted = root.get("nope/x");
    assert_eq!(
        (unmounted.status, unmounted.error()),
        (
            404,
            "no handler for route \"nope/x\". route entry not found."
        )
    );
    let unknown = root.get("sys/unknown");
    assert_eq!(
        (unknown.status, unknown.error()),
        (404, "1 error occurred:\n\t* unsupported path\n\n")
    );
    let unsupported = root.delete("sys/mounts");
    assert_eq!(
        (unsupported.status, unsupported.error()),
        (405, "1 error occurred:\n\t* unsupported operation\n\n")
    );
}

#[test]
fn old_clients_find_system_data_at_the_top() {
    let (_vault, root) = TestVault::with_kv();
    let policies = root.get("sys/policy");
    assert_eq!(policies.body["keys"], json!(["default", "root"]));
    assert_eq!(
        policies.body["data"]["policies"],
        json!(["default", "root"])
    );
    let mounts = root.get("sys/mounts");
    assert_eq!(mounts.body["secret/"]["type"], "kv");
    assert_eq!(mounts.body["data"]["secret/"], mounts.body["secret/"]);
    // And only there: a secret may hold a key named `data` or `errors`.
    let secret = root.put("secret/data/x", json!({"data": {"errors": ["mine"]}}));
    assert!(secret.body.get("version").is_none());
}

#[test]
fn help_and_openapi_come_from_what_engines_say() {
    let (_vault, root) = TestVault::with_kv();
    let help = root.get("secret/data/app?help=1");
    assert_eq!(help.status, 200);
    assert!(
        help.body["help"]
            .as_str()
            .is_some_and(|help| help.contains("DESCRIPTION")),
        "{help:?}"
    );
    assert!(help.body.get("request_id").is_none());
    let document = root.get("sys/internal/specs/openapi");
    assert_eq!(
        document.body["openapi"]
            .as_str()
            .map(|version| &version[..2]),
        Some("3.")
    );
    assert!(
        document.body["paths"]
            .as_object()
            .is_some_and(|paths| paths.keys().any(|path| path.starts_with("/secret/data/")))
    );
    let stranger = root.with_token("").get("sys/internal/specs/openapi");
    assert!(
        stranger.body["paths"]
            .as_object()
            .is_some_and(|paths| paths.keys().all(|path| !path.starts_with("/secret/")))
    );
}

#[test]
fn no_secret_reaches_the_log() {
    let vault = TestVault::start_with("log_level = \"trace\"");
    let keys = vault.initialize(1, 1);
    vault.unseal(&keys);
    let root = vault.client(&keys.root);
    root.post(
        "sys/mounts/secret",
        json!({"type": "kv", "options": {"version": "2"}}),
    );
    let canary = "canary-7f3a9c";
    root.put(
        "secret/data/canary-name-51ab",
        json!({"data": {"k": canary}}),
    );
    root.get("secret/data/canary-name-51ab");
    root.put("secret/data/canary-name-51ab", json!({"data": canary}));
    root.send("PUT", "secret/data/x", Some(&format!("{{\"{canary}")));
    root.with_token(&format!("hvs.{canary}"))
        .get("secret/data/x");
    root.put("cubbyhole/x", json!({"k": canary}));
    let log = vault.log();
    assert!(!log.is_empty());
    for secret in [canary, "canary-name-51ab", &keys.root, &keys.shares[0]] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}
