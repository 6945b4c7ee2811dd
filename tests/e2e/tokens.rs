//! Tokens: who made whom, for how long, how often.

use serde_json::{Value, json};

use crate::support::{Answer, Client, TestVault, wait_until};

fn create(client: &Client, body: Value) -> (String, Answer) {
    let made = client.post("auth/token/create", body);
    let token = made.body["auth"]["client_token"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (token, made)
}

#[test]
fn a_token_is_what_it_was_asked_to_be() {
    let (_vault, root) = TestVault::ready();
    root.put(
        "sys/policies/acl/dev",
        json!({"policy": "path \"x\" { capabilities = [\"read\"] }"}),
    );
    // As the command line sends it: zero and empty mean that nothing was given.
    let (_, made) = create(
        &root,
        json!({
            "policies": ["dev"], "ttl": "0s", "explicit_max_ttl": "0s", "period": "0s", "display_name": "",
            "num_uses": 0, "renewable": true, "type": "service", "entity_alias": ""
        }),
    );
    assert_eq!(made.status, 200, "{made:?}");
    let auth = &made.body["auth"];
    assert!(
        auth["client_token"]
            .as_str()
            .is_some_and(|token| token.starts_with("hvs.") && token.len() == 28)
    );
    assert_eq!(auth["policies"], json!(["default", "dev"]));
    assert_eq!(auth["token_policies"], json!(["default", "dev"]));
    assert_eq!(auth["lease_duration"], 2_764_800);
    assert_eq!(auth["renewable"], true);
    assert_eq!(auth["orphan"], false);
    assert!(auth["metadata"].is_null());
    let (_, made) = create(&root, json!({"policies": ["none-such"]}));
    assert_eq!(
        made.body["warnings"],
        json!(["Policy \"none-such\" does not exist"])
    );
}

#[test]
fn a_child_ends_with_its_parent_and_an_orphan_does_not() {
    let (_vault, root) = TestVault::ready();
    let (parent, _) = create(&root, json!({"policies": ["root"], "ttl": "1h"}));
    let as_parent = root.with_token(&parent);
    let (child, _) = create(&as_parent, json!({"ttl": "1h"}));
    let (grandchild, _) = create(&root.with_token(&child), json!({"ttl": "1h"}));
    let orphan = as_parent.post("auth/token/create-orphan", json!({"ttl": "1h"}));
    let orphan = orphan.body["auth"]["client_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    assert_eq!(
        root.post("auth/token/revoke", json!({"token": parent}))
            .status,
        204
    );
    for token in [&parent, &child, &grandchild] {
        assert_eq!(
            root.with_token(token).get("auth/token/lookup-self").status,
            403
        );
    }
    assert_eq!(
        root.with_token(&orphan)
            .get("auth/token/lookup-self")
            .status,
        200
    );
}

#[test]
fn revoking_a_token_alone_leaves_its_children() {
    let (_vault, root) = TestVault::ready();
    let (parent, _) = create(&root, json!({"policies": ["root"], "ttl": "1h"}));
    let (child, _) = create(&root.with_token(&parent), json!({"ttl": "1h"}));
    assert_eq!(
        root.post("auth/token/revoke-orphan", json!({"token": parent}))
            .status,
        204
    );
    assert_eq!(
        root.with_token(&parent)
            .get("auth/token/lookup-self")
            .status,
        403
    );
    let child = root.with_token(&child).get("auth/token/lookup-self");
    assert_eq!(child.data()["orphan"], true);
}

#[test]
fn uses_are_spent_by_refusals_too() {
    let (_vault, root) = TestVault::ready();
    let (token, made) = create(&root, json!({"policies": ["default"], "num_uses": 3}));
    assert_eq!(made.body["auth"]["num_uses"], 3);
    let client = root.with_token(&token);
    assert_eq!(client.get("sys/mounts").status, 403);
    assert_eq!(client.get("auth/token/lookup-self").data()["num_uses"], 1);
    assert_eq!(client.get("auth/token/lookup-self").data()["num_uses"], -1);
    let spent = client.get("auth/token/lookup-self");
    assert!(spent.error().contains("invalid token"), "{spent:?}");
    let (_, refused) = create(
        &root.with_token(&create(&root, json!({"num_uses": 5})).0),
        json!({}),
    );
    assert_eq!(
        refused.error(),
        "restricted use token cannot generate child tokens"
    );
}

#[test]
fn of_many_uses_at_once_one_gets_the_last() {
    let (_vault, root) = TestVault::ready();
    let (token, _) = create(
        &root,
        json!({"policies": ["root"], "ttl": "1h", "num_uses": 1}),
    );
    let client = root.with_token(&token);
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let uses: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| client.get("sys/mounts").status))
            .collect();
        uses.into_iter()
            .map(|uses| uses.join().expect("no panic"))
            .collect()
    });
    assert_eq!(
        answers.iter().filter(|status| **status == 200).count(),
        1,
        "{answers:?}"
    );
    assert!(
        answers.iter().all(|status| matches!(status, 200 | 403)),
        "{answers:?}"
    );
}

#[test]
fn an_accessor_shows_and_ends_a_token_without_being_it() {
    let (_vault, root) = TestVault::ready();
    let (token, made) = create(
        &root,
        json!({"policies": ["default"], "meta": {"app": "web"}, "display_name": "a b/c!"}),
    );
    let accessor = made.body["auth"]["accessor"]
        .as_str()
        .expect("an accessor")
        .to_owned();
    let shown = root.post("auth/token/lookup-accessor", json!({"accessor": accessor}));
    assert_eq!(shown.data()["id"], "");
    assert_eq!(shown.data()["display_name"], "token-a-b-c");
    assert_eq!(shown.data()["meta"], json!({"app": "web"}));
    let listed = root.list("auth/token/accessors");
    assert!(
        listed.data()["keys"]
            .as_array()
            .is_some_and(|keys| keys.contains(&json!(accessor)))
    );
    assert_eq!(
        root.post("auth/token/revoke-accessor", json!({"accessor": accessor}))
            .status,
        204
    );
    assert_eq!(
        root.with_token(&token).get("auth/token/lookup-self").status,
        403
    );
    let gone = root.post("auth/token/lookup-accessor", json!({"accessor": accessor}));
    assert_eq!(
        (gone.status, gone.error()),
        (400, "1 error occurred:\n\t* invalid accessor\n\n")
    );
}

#[test]
fn renewing_moves_the_end_but_not_past_the_maximum() {
    let (_vault, root) = TestVault::ready();
    let (token, _) = create(
        &root,
        json!({"policies": ["default"], "ttl": "1h", "explicit_max_ttl": "2h"}),
    );
    let client = root.with_token(&token);
    let renewed = client.put("auth/token/renew-self", json!({"increment": 1800}));
    assert_eq!(renewed.body["auth"]["lease_duration"], 1800);
    let capped = client.put("auth/token/renew-self", json!({"increment": "5h"}));
    assert!(
        capped.body["auth"]["lease_duration"]
            .as_u64()
            .is_some_and(|ttl| ttl <= 7200)
    );
    assert!(
        capped.body["warnings"][0]
            .as_str()
            .is_some_and(|w| w.contains("exceeded the effective max_ttl")),
        "{capped:?}"
    );
    let root_renewed = root.put("auth/token/renew-self", json!({}));
    assert_eq!(
        (root_renewed.status, root_renewed.error()),
        (400, "invalid lease ID")
    );
    let (fixed, _) = create(
        &root,
        json!({"policies": ["default"], "ttl": "1h", "renewable": false}),
    );
    let refused = root
        .with_token(&fixed)
        .put("auth/token/renew-self", json!({}));
    assert_eq!(refused.error(), "lease is not renewable");
}

#[test]
fn a_token_gives_no_more_than_it_has() {
    let (_vault, root) = TestVault::ready();
    root.put(
        "sys/policies/acl/maker",
        json!({"policy": "path \"auth/token/create\" { capabilities = [\"update\"] }"}),
    );
    let (maker, _) = create(&root, json!({"policies": ["maker"]}));
    let maker = root.with_token(&maker);
    let cases = [
        (
            json!({"policies": ["root"]}),
            "child policies must be subset of parent",
        ),
        (
            json!({"policies": ["Root "]}),
            "child policies must be subset of parent",
        ),
        (
            json!({"policies": ["other"]}),
            "child policies must be subset of parent",
        ),
        (
            json!({"no_parent": true}),
            "root or sudo privileges required to create orphan token",
        ),
        (
            json!({"id": "chosen"}),
            "root or sudo privileges required to specify token id",
        ),
        (
            json!({"period": "1h"}),
            "root or sudo privileges required to create periodic token",
        ),
        (json!({"num_uses": -1}), "number of uses cannot be negative"),
    ];
    for (body, says) in cases {
        let (_, refused) = create(&maker, body.clone());
        assert_eq!((refused.status, refused.error()), (400, says), "{body}");
    }
    let (_, child) = create(&maker, json!({}));
    assert_eq!(child.body["auth"]["policies"], json!(["default", "maker"]));
}

#[test]
fn a_cubbyhole_is_seen_by_its_token_alone_and_goes_with_it() {
    let (_vault, root) = TestVault::ready();
    let (token, _) = create(&root, json!({"policies": ["default"]}));
    let client = root.with_token(&token);
    assert_eq!(client.put("cubbyhole/a/b", json!({"k": 1.0})).status, 204);
    assert_eq!(client.get("cubbyhole/a/b").data(), &json!({"k": 1.0}));
    assert_eq!(client.list("cubbyhole/").data()["keys"], json!(["a/"]));
    assert_eq!(root.get("cubbyhole/a/b").status, 404);
    assert_eq!(client.delete("cubbyhole/a/b").status, 204);
    assert_eq!(client.get("cubbyhole/a/b").status, 404);
}

#[test]
fn unknown_tokens_are_told_apart_as_vault_does() {
    let (_vault, root) = TestVault::ready();
    let unknown = root.post("auth/token/lookup", json!({"token": "hvs.unknown"}));
    assert_eq!((unknown.status, unknown.error()), (403, "bad token"));
    assert_eq!(
        root.post("auth/token/revoke", json!({"token": "hvs.unknown"}))
            .status,
        204
    );
    let renewed = root.post("auth/token/renew", json!({"token": "hvs.unknown"}));
    assert_eq!((renewed.status, renewed.error()), (400, "token not found"));
}

#[test]
fn an_expired_token_leaves_nothing_behind() {
    let mut vault = TestVault::start();
    let keys = vault.initialize(1, 1);
    vault.unseal(&keys);
    let root = vault.client(&keys.root);
    for ttl in ["1s", "2s", "3s"] {
        create(&root, json!({"policies": ["default"], "ttl": ttl}));
    }
    // Also one that expires while nobody is there.
    vault.kill_and_restart();
    vault.unseal(&keys);
    let root = vault.client(&keys.root);
    wait_until("their accessors are gone", || {
        let accessors = root.list("auth/token/accessors");
        accessors.data()["keys"].as_array().map(Vec::len) == Some(1)
    });
}
