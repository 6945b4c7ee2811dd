//! Policies over HTTP; the rules themselves are tested beside the code.

use serde_json::json;

use crate::support::{Client, TestVault};

fn token_with(root: &Client, policy: &str) -> Client {
    let written = root.put("sys/policies/acl/tested", json!({"policy": policy}));
    assert_eq!(written.status, 204, "{written:?}");
    let made = root.post("auth/token/create", json!({"policies": ["tested"]}));
    root.with_token(made.body["auth"]["client_token"].as_str().expect("a token"))
}

#[test]
fn a_policy_reads_back_as_it_was_written() {
    let (_vault, root) = TestVault::ready();
    let text = "# mine\npath \"secret/*\" {\n  capabilities = [\"read\"] }\n";
    assert_eq!(
        root.put("sys/policies/acl/dev", json!({"policy": text}))
            .status,
        204
    );
    assert_eq!(
        root.get("sys/policies/acl/dev").data(),
        &json!({"name": "dev", "policy": text})
    );
    assert_eq!(root.get("sys/policy/dev").body["rules"], text);
    assert_eq!(
        root.get("sys/policies/acl?list=true").data()["keys"],
        json!(["default", "dev", "root"])
    );
    assert_eq!(root.delete("sys/policies/acl/dev").status, 204);
    assert_eq!(root.get("sys/policies/acl/dev").status, 404);
    let upper = root.put("sys/policies/acl/DEV", json!({"policy": text}));
    assert_eq!(
        upper.body["warnings"],
        json!(["policy name was converted to dev"])
    );
}

#[test]
fn what_cannot_be_a_policy_says_why() {
    let (_vault, root) = TestVault::ready();
    let allow = "path \"a\" { capabilities = [\"read\"] }";
    let cases = [
        ("x", json!({}), "'policy' parameter not supplied or empty"),
        (
            "x",
            json!({"policy": "path \"a\" { capabilities = [\"fly\"] }"}),
            "failed to parse policy: path \"a\": invalid capability \"fly\"",
        ),
        (
            "root",
            json!({"policy": allow}),
            "cannot update \"root\" policy",
        ),
        (
            "response-wrapping",
            json!({"policy": allow}),
            "cannot update \"response-wrapping\" policy",
        ),
    ];
    for (name, body, says) in cases {
        let refused = root.put(&format!("sys/policies/acl/{name}"), body);
        assert_eq!((refused.status, refused.error()), (400, says));
    }
    assert_eq!(
        root.delete("sys/policies/acl/root").error(),
        "cannot delete \"root\" policy"
    );
    assert_eq!(
        root.delete("sys/policies/acl/default").error(),
        "cannot delete default policy"
    );
    // The default policy can be edited.
    assert_eq!(
        root.put("sys/policies/acl/default", json!({"policy": allow}))
            .status,
        204
    );
}

#[test]
fn creating_and_updating_are_told_apart() {
    let (_vault, root) = TestVault::with_kv();
    let creator = token_with(
        &root,
        "path \"secret/data/*\" { capabilities = [\"create\"] }",
    );
    assert_eq!(
        creator.put("secret/data/new", json!({"data": {}})).status,
        200
    );
    assert_eq!(
        creator.put("secret/data/new", json!({"data": {}})).status,
        403
    );
    let updater = token_with(
        &root,
        "path \"secret/data/*\" { capabilities = [\"update\"] }",
    );
    assert_eq!(
        updater.put("secret/data/new", json!({"data": {}})).status,
        200
    );
    assert_eq!(
        updater.put("secret/data/newer", json!({"data": {}})).status,
        403
    );
}

#[test]
fn a_change_of_policy_is_in_force_with_the_next_request() {
    let (_vault, root) = TestVault::with_kv();
    root.put("secret/data/a", json!({"data": {}}));
    let reader = token_with(
        &root,
        "path \"secret/data/*\" { capabilities = [\"read\"] }",
    );
    for _ in 0..20 {
        assert_eq!(reader.get("secret/data/a").status, 200);
        root.put(
            "sys/policies/acl/tested",
            json!({"policy": "path \"secret/data/*\" { capabilities = [\"deny\"] }"}),
        );
        assert_eq!(reader.get("secret/data/a").status, 403);
        root.put(
            "sys/policies/acl/tested",
            json!({"policy": "path \"secret/data/*\" { capabilities = [\"read\"] }"}),
        );
    }
}

#[test]
fn capabilities_are_shown_in_order() {
    let (_vault, root) = TestVault::with_kv();
    let token = token_with(
        &root,
        "path \"secret/data/app/x\" { capabilities = [\"update\", \"read\"] }",
    );
    let asked = token.post(
        "sys/capabilities-self",
        json!({"paths": ["secret/data/app/x", "sys/x"]}),
    );
    assert_eq!(asked.data()["secret/data/app/x"], json!(["read", "update"]));
    assert_eq!(asked.data()["sys/x"], json!(["deny"]));
    assert!(asked.data().get("capabilities").is_none());
    let one = token.post(
        "sys/capabilities-self",
        json!({"path": "secret/data/app/x"}),
    );
    assert_eq!(one.data()["capabilities"], json!(["read", "update"]));
    assert_eq!(
        root.post("sys/capabilities-self", json!({"path": "x"}))
            .data()["x"],
        json!(["root"])
    );
    assert_eq!(
        root.post("sys/capabilities-self", json!({})).error(),
        "paths must be supplied"
    );
}

#[test]
fn protected_paths_need_sudo_beside_the_capability() {
    let (_vault, root) = TestVault::ready();
    let without = token_with(&root, "path \"sys/seal\" { capabilities = [\"update\"] }");
    assert_eq!(without.put("sys/seal", json!({})).status, 403);
    let only_sudo = token_with(&root, "path \"sys/seal\" { capabilities = [\"sudo\"] }");
    assert_eq!(only_sudo.put("sys/seal", json!({})).status, 403);
    let with = token_with(
        &root,
        "path \"sys/seal\" { capabilities = [\"update\", \"sudo\"] }",
    );
    assert_eq!(with.put("sys/seal", json!({})).status, 204);
}

#[test]
fn a_deny_below_the_mount_does_not_hide_the_mount() {
    let (_vault, root) = TestVault::with_kv();
    let token = token_with(
        &root,
        "path \"secret/data/app\" { capabilities = [\"read\"] }",
    );
    assert_eq!(token.get("sys/internal/ui/mounts/secret/app").status, 200);
    let blind = token_with(&root, "path \"other/*\" { capabilities = [\"read\"] }");
    assert_eq!(blind.get("sys/internal/ui/mounts/secret/app").status, 403);
}
