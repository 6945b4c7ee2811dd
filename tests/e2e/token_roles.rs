//! Roles of the token method, and tokens bound to networks.

use serde_json::{Value, json};

use crate::support::{Answer, Client, TestVault};

fn with_role(role: Value) -> (TestVault, Client) {
    let (vault, root) = TestVault::ready();
    let written = root.post("auth/token/roles/app", role);
    assert_eq!(written.status, 204, "{written:?}");
    (vault, root)
}

/// A token that may do no more than use the role.
fn operator(root: &Client) -> Client {
    let policy = r#"path "auth/token/create/app" { capabilities = ["update"] }"#;
    root.put("sys/policies/acl/operator", json!({ "policy": policy }));
    let made = root.post("auth/token/create", json!({"policies": ["operator"]}));
    user(root, &made)
}

fn user(root: &Client, made: &Answer) -> Client {
    assert_eq!(made.status, 200, "{made:?}");
    root.with_token(made.body["auth"]["client_token"].as_str().expect("a token"))
}

#[test]
fn a_role_is_written_in_parts_read_whole_listed_and_deleted() {
    let (_vault, root) = with_role(json!({"allowed_policies": "b,a", "token_period": "1h"}));
    root.post(
        "auth/token/roles/app",
        json!({"orphan": true, "path_suffix": "ci"}),
    );
    let read = root.get("auth/token/roles/app");
    assert_eq!(
        read.data(),
        &json!({
            "name": "app", "orphan": true, "renewable": true, "path_suffix": "ci",
            "allowed_policies": ["a", "b"], "disallowed_policies": [], "allowed_policies_glob": [],
            "disallowed_policies_glob": [], "allowed_entity_aliases": [], "period": 3600, "token_period": 3600,
            "explicit_max_ttl": 0, "token_explicit_max_ttl": 0, "token_num_uses": 0, "token_type": "default-service",
            "token_bound_cidrs": [], "token_no_default_policy": false,
        })
    );
    assert_eq!(root.list("auth/token/roles").data()["keys"], json!(["app"]));
    assert_eq!(root.delete("auth/token/roles/app").status, 204);
    assert_eq!(root.get("auth/token/roles/app").status, 404);
    assert_eq!(root.list("auth/token/roles").status, 404);
}

#[test]
fn what_makes_no_sense_in_a_role_is_refused_and_changes_nothing() {
    let (_vault, root) = with_role(json!({"allowed_policies": ["a"]}));
    let before = root.get("auth/token/roles/app");
    for (bad, said) in [
        (
            json!({"token_num_uses": -1}),
            "'token_num_uses' cannot be negative",
        ),
        (
            json!({"path_suffix": "a/b"}),
            "given role path suffix contains invalid characters",
        ),
        (
            json!({"path_suffix": ".."}),
            "given role path suffix contains invalid characters",
        ),
        (
            json!({"token_bound_cidrs": ["10.0.0.0/33"]}),
            "error parsing address \"10.0.0.0/33\"",
        ),
        (
            json!({"token_type": "batch"}),
            "batch tokens are not offered",
        ),
        (
            json!({"token_type": "odd"}),
            "invalid 'token_type' value \"odd\"",
        ),
    ] {
        let refused = root.post("auth/token/roles/app", bad.clone());
        assert_eq!(refused.status, 400, "{bad}: {refused:?}");
        assert!(refused.error().starts_with(said), "{bad}: {refused:?}");
    }
    assert_eq!(root.get("auth/token/roles/app").data(), before.data());
}

#[test]
fn a_role_lets_others_make_what_they_could_not() {
    let (_vault, root) = with_role(json!({
        "allowed_policies": ["a", "b"], "orphan": true, "token_period": "2h", "path_suffix": "ci",
        "token_num_uses": 5,
    }));
    let operator = operator(&root);
    let made = operator.post(
        "auth/token/create/app",
        json!({"policies": ["a"], "num_uses": 9}),
    );
    let auth = &made.body["auth"];
    assert_eq!(auth["policies"], json!(["a", "default"]));
    assert_eq!(
        (&auth["orphan"], &auth["num_uses"]),
        (&json!(true), &json!(5))
    );
    assert_eq!(auth["lease_duration"], 7200);
    let token = auth["client_token"].as_str().expect("a token");
    let shown = root.post("auth/token/lookup", json!({ "token": token }));
    let shown = shown.data();
    assert_eq!(
        (&shown["role"], &shown["period"]),
        (&json!("app"), &json!(7200))
    );
    assert_eq!(shown["path"], "auth/token/create/app/ci");

    let refused = operator.post("auth/token/create/app", json!({"policies": ["zz"]}));
    assert_eq!(
        (refused.status, refused.error()),
        (
            400,
            "token policies ([\"default\" \"zz\"]) must be subset of the role's allowed policies ([\"a\" \"b\" \"default\"]) or glob policies ([])"
        )
    );
    let unknown = root.post("auth/token/create/none", json!({}));
    assert_eq!(
        (unknown.status, unknown.error()),
        (400, "unknown role none")
    );
}

#[test]
fn no_role_gives_root_to_who_is_not_root() {
    let (_vault, root) = with_role(json!({"allowed_policies_glob": ["*"]}));
    let operator = operator(&root);
    for asked in [json!(["root"]), json!(["root", "a"]), json!(["ROOT "])] {
        let refused = operator.post("auth/token/create/app", json!({ "policies": asked }));
        assert_eq!(
            (refused.status, refused.error()),
            (
                400,
                "root tokens may not be created without parent token being root"
            )
        );
    }
}

#[test]
fn a_role_bounds_how_long_and_is_asked_again_at_each_renewal() {
    let (_vault, root) = with_role(json!({"token_explicit_max_ttl": "10m", "token_period": "5m"}));
    let made = root.post(
        "auth/token/create/app",
        json!({"policies": ["default"], "explicit_max_ttl": "20m"}),
    );
    assert_eq!(
        made.body["warnings"][0],
        "Explicit max TTL specified both during creation call and in role; using the lesser value of 600 seconds"
    );
    let token = user(&root, &made);
    root.post("auth/token/roles/app", json!({"token_period": "1m"}));
    let renewed = token.post("auth/token/renew-self", json!({}));
    assert_eq!(renewed.body["auth"]["lease_duration"], 60);
    root.delete("auth/token/roles/app");
    let refused = token.post("auth/token/renew-self", json!({}));
    assert_eq!(
        (refused.status, refused.error()),
        (
            400,
            "original token role \"app\" could not be found, not renewing"
        )
    );
    assert_eq!(token.get("auth/token/lookup-self").status, 200);
}

#[test]
fn a_token_is_used_from_its_networks_only() {
    let (_vault, root) = with_role(json!({"token_bound_cidrs": ["127.0.0.0/8", "::1"]}));
    let made = root.post("auth/token/create/app", json!({"policies": ["default"]}));
    let here = user(&root, &made);
    let shown = here.get("auth/token/lookup-self");
    assert_eq!(shown.data()["bound_cidrs"], json!(["127.0.0.0/8", "::1"]));

    root.post("auth/token/roles/app", json!({"bound_cidrs": "10.0.0.0/8"}));
    let made = root.post(
        "auth/token/create/app",
        json!({"policies": ["default"], "num_uses": 1}),
    );
    let elsewhere = user(&root, &made);
    for _ in 0..2 {
        // Nor is a use of it spent.
        let refused = elsewhere.get("auth/token/lookup-self");
        assert_eq!(
            (refused.status, refused.error()),
            (403, "1 error occurred:\n\t* permission denied\n\n")
        );
    }
}
