//! Keys: made once, given back by people, gone when the server is sealed.

use serde_json::json;

use crate::support::TestVault;

#[test]
fn three_of_five_shares_open_a_server_and_two_do_not() {
    let vault = TestVault::start();
    let keys = vault.initialize(5, 3);
    let nobody = vault.client("");
    let first = nobody.put("sys/unseal", json!({"key": keys.shares[0]}));
    assert_eq!(first.body["progress"], 1);
    assert_ne!(first.body["nonce"], "");
    // The same share twice counts once.
    assert_eq!(
        nobody
            .put("sys/unseal", json!({"key": keys.shares[0]}))
            .body["progress"],
        1
    );
    let second = nobody.put("sys/unseal", json!({"key": keys.shares[4]}));
    assert_eq!(
        (&second.body["progress"], &second.body["sealed"]),
        (&json!(2), &json!(true))
    );
    let third = nobody.put("sys/unseal", json!({"key": keys.shares[2]}));
    assert_eq!(third.body["sealed"], false);
    assert!(third.body["cluster_id"].is_string());
}

#[test]
fn a_wrong_share_is_named_and_costs_nobody_elses() {
    let vault = TestVault::start();
    let keys = vault.initialize(3, 2);
    let other = TestVault::start().initialize(3, 2);
    let nobody = vault.client("");
    nobody.put("sys/unseal", json!({"key": keys.shares[0]}));
    let mut mistyped = keys.shares[1].clone().into_bytes();
    mistyped[10] = if mistyped[10] == b'A' { b'B' } else { b'A' };
    let mistyped = String::from_utf8(mistyped).expect("text");
    let cases = [
        (mistyped.as_str(), "mistyped"),
        (other.shares[1].as_str(), "another server"),
        ("not a key!", "must be a valid hex or base64 string"),
        ("00ff", "shorter than minimum 16 bytes"),
    ];
    for (share, says) in cases {
        let refused = nobody.put("sys/unseal", json!({"key": share}));
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.error().contains(says), "{refused:?}");
        assert_eq!(nobody.get("sys/seal-status").body["progress"], 1);
    }
    assert_eq!(
        nobody
            .put("sys/unseal", json!({"key": keys.shares[2]}))
            .body["sealed"],
        false
    );
}

#[test]
fn progress_can_be_given_up() {
    let vault = TestVault::start();
    let keys = vault.initialize(3, 2);
    let nobody = vault.client("");
    nobody.put("sys/unseal", json!({"key": keys.shares[0]}));
    let reset = nobody.put("sys/unseal", json!({"reset": true}));
    assert_eq!((reset.status, &reset.body["progress"]), (200, &json!(0)));
    let nothing = nobody.put("sys/unseal", json!({}));
    assert_eq!(nothing.status, 400);
    assert!(
        nothing.error().contains("'key' must be specified"),
        "{nothing:?}"
    );
}

#[test]
fn bad_numbers_of_shares_make_no_server() {
    let vault = TestVault::start();
    let nobody = vault.client("");
    let cases = [
        (0, 0, "shares must be at least one"),
        (256, 2, "shares must be less than 256"),
        (2, 3, "threshold cannot be larger than shares"),
        (
            3,
            1,
            "threshold must be greater than one for multiple shares",
        ),
    ];
    for (shares, threshold, says) in cases {
        let refused = nobody.put(
            "sys/init",
            json!({"secret_shares": shares, "secret_threshold": threshold}),
        );
        assert_eq!(refused.status, 400);
        assert!(refused.error().contains(says), "{refused:?}");
    }
    assert_eq!(nobody.get("sys/init").body["initialized"], false);
}

#[test]
fn a_sealed_server_serves_nothing_and_comes_back_whole() {
    let (vault, keys) = {
        let vault = TestVault::start();
        let keys = vault.initialize(1, 1);
        vault.unseal(&keys);
        (vault, keys)
    };
    let root = vault.client(&keys.root);
    root.post("sys/mounts/secret", json!({"type": "kv-v2"}));
    root.put("secret/data/a", json!({"data": {"k": "v"}}));
    assert_eq!(root.put("sys/seal", json!({})).status, 204);
    for path in [
        "secret/data/a",
        "sys/mounts",
        "auth/token/lookup-self",
        "nope",
        "secret/data/a?help=1",
        "sys/internal/specs/openapi",
    ] {
        let refused = root.get(path);
        assert_eq!(
            (refused.status, refused.error()),
            (503, "Vault is sealed"),
            "{path}"
        );
    }
    assert_eq!(root.get("sys/health").status, 503);
    assert_eq!(root.get("sys/health?sealedcode=204").status, 204);
    vault.unseal(&keys);
    assert_eq!(root.get("secret/data/a").data()["data"], json!({"k": "v"}));
}

#[test]
fn what_was_acknowledged_outlives_a_killed_server() {
    let mut vault = TestVault::start();
    let keys = vault.initialize(1, 1);
    vault.unseal(&keys);
    vault
        .client(&keys.root)
        .post("sys/mounts/secret", json!({"type": "kv-v2"}));
    for n in 0..20 {
        let put = vault
            .client(&keys.root)
            .put(&format!("secret/data/n{n}"), json!({"data": {"n": n}}));
        assert_eq!(put.status, 200);
    }
    vault.kill_and_restart();
    assert_eq!(vault.client("").get("sys/seal-status").body["sealed"], true);
    vault.unseal(&keys);
    let root = vault.client(&keys.root);
    for n in 0..20 {
        assert_eq!(
            root.get(&format!("secret/data/n{n}")).data()["data"]["n"],
            n
        );
    }
}

#[test]
fn a_key_in_the_configuration_unseals_without_people() {
    let mut vault = TestVault::start_with(&format!(
        "seal \"static\" {{ current_key = \"{}\" }}",
        "5a".repeat(32)
    ));
    let nobody = vault.client("");
    let made = nobody.put(
        "sys/init",
        json!({"recovery_shares": 3, "recovery_threshold": 2}),
    );
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(made.body["recovery_keys"].as_array().map(Vec::len), Some(3));
    assert_eq!(made.body["keys"], json!([]));
    assert_eq!(nobody.get("sys/seal-status").body["sealed"], false);
    let root = made.body["root_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    vault.kill_and_restart();
    assert_eq!(
        vault.client("").get("sys/seal-status").body["sealed"],
        false
    );
    assert_eq!(
        vault.client(&root).get("auth/token/lookup-self").status,
        200
    );
}

#[test]
fn rotating_the_key_leaves_everything_readable() {
    let (_vault, root) = TestVault::with_kv();
    root.put("secret/data/a", json!({"data": {"k": "v"}}));
    assert_eq!(root.get("sys/key-status").data()["term"], 1);
    assert_eq!(root.put("sys/rotate", json!({})).status, 204);
    assert_eq!(root.get("sys/key-status").data()["term"], 2);
    assert_eq!(root.get("secret/data/a").data()["data"]["k"], "v");
    root.put("secret/data/b", json!({"data": {"k": "w"}}));
    assert_eq!(root.get("secret/data/b").data()["data"]["k"], "w");
}

#[test]
fn the_last_use_of_a_token_may_seal() {
    let (vault, root) = TestVault::ready();
    let made = root.post(
        "auth/token/create",
        json!({"policies": ["root"], "ttl": "1h", "num_uses": 1}),
    );
    let once = root.with_token(made.body["auth"]["client_token"].as_str().expect("a token"));
    let sealed = once.put("sys/seal", json!({}));
    assert_eq!(sealed.status, 204, "{sealed:?}");
    assert_eq!(vault.client("").get("sys/seal-status").body["sealed"], true);
}
