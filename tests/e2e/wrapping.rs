//! Response wrapping: one reader, once.

use std::sync::Barrier;
use std::thread;

use serde_json::json;

use crate::support::{Answer, Client, TestVault, wait_until};

const GONE: &str = "wrapping token is not valid or does not exist";

fn with_secret() -> (TestVault, Client) {
    let (vault, root) = TestVault::with_kv();
    let written = root.put("secret/data/app", json!({"data": {"password": "hunter2"}}));
    assert_eq!(written.status, 200, "{written:?}");
    (vault, root)
}

fn wrapping(client: &Client) -> Client {
    client.with_header("X-Vault-Wrap-TTL", "60")
}

fn token_of(wrapped: &Answer) -> String {
    assert_eq!(wrapped.status, 200, "{wrapped:?}");
    let token = wrapped.body["wrap_info"]["token"].as_str();
    token.expect("a wrapping token").to_owned()
}

#[test]
fn a_wrapped_answer_says_where_it_lies_and_nothing_else() {
    let (_vault, root) = with_secret();
    let wrapped = wrapping(&root).get("secret/data/app");
    let info = &wrapped.body["wrap_info"];
    assert_eq!(wrapped.status, 200, "{wrapped:?}");
    assert_eq!(
        (&info["ttl"], &info["creation_path"]),
        (&json!(60), &json!("secret/data/app"))
    );
    assert!(
        info["accessor"]
            .as_str()
            .is_some_and(|text| text.len() == 24)
    );
    assert!(
        info["creation_time"]
            .as_str()
            .is_some_and(|text| text.ends_with('Z'))
    );
    assert!(info.get("wrapped_accessor").is_none());
    for empty in ["data", "auth", "warnings"] {
        assert!(wrapped.body[empty].is_null(), "{wrapped:?}");
    }
    assert!(!wrapped.body.to_string().contains("hunter2"));
}

#[test]
fn it_is_unwrapped_once_by_its_own_token_or_by_another() {
    let (_vault, root) = with_secret();
    let plain = root.get("secret/data/app");
    let by_itself = |token: &str| {
        let client = root.with_token(token);
        client.send("PUT", "sys/wrapping/unwrap", Some("null"))
    };
    let by_another = |token: &str| root.put("sys/wrapping/unwrap", json!({ "token": token }));
    for unwrap in [&by_itself as &dyn Fn(&str) -> Answer, &by_another] {
        let token = token_of(&wrapping(&root).get("secret/data/app"));
        let inner = unwrap(&token);
        assert_eq!((inner.status, inner.data()), (200, plain.data()));
        assert_eq!(inner.body["mount_type"], "kv");
        assert!(inner.body["wrap_info"].is_null());
        for again in [by_itself(&token), by_another(&token)] {
            assert_eq!((again.status, again.error()), (400, GONE));
        }
        // Nothing is left of it.
        let accessors = root.list("auth/token/accessors");
        assert_eq!(accessors.data()["keys"].as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn of_many_at_once_one_gets_it() {
    let (_vault, root) = with_secret();
    for round in 0..10 {
        let token = token_of(&wrapping(&root).get("secret/data/app"));
        let start = Barrier::new(8);
        let answers: Vec<Answer> = thread::scope(|scope| {
            let clients: Vec<_> = (0..8)
                .map(|n| {
                    let (root, token, start) = (&root, &token, &start);
                    scope.spawn(move || {
                        start.wait();
                        match n % 2 {
                            0 => root.put("sys/wrapping/unwrap", json!({ "token": token })),
                            _ => root.with_token(token).put("sys/wrapping/unwrap", json!({})),
                        }
                    })
                })
                .collect();
            clients
                .into_iter()
                .map(|client| client.join().expect("an answer"))
                .collect()
        });
        let mut got = 0;
        for answer in answers {
            match answer.status {
                200 => got += 1,
                // Who spends its use as its own hears of it as of any token.
                400 | 403 => {}
                _ => panic!("{answer:?}"),
            }
        }
        assert_eq!(got, 1, "round {round}");
        let again = root.put("sys/wrapping/unwrap", json!({ "token": token }));
        assert_eq!(again.status, 400, "{again:?}");
    }
}

#[test]
fn a_login_is_wrapped_with_the_accessor_of_its_token() {
    let (_vault, root) = TestVault::ready();
    let wrapped = wrapping(&root).post("auth/token/create", json!({"ttl": "1h"}));
    let accessor = wrapped.body["wrap_info"]["wrapped_accessor"].clone();
    let inner = root.put("sys/wrapping/unwrap", json!({"token": token_of(&wrapped)}));
    let auth = &inner.body["auth"];
    assert_eq!(auth["accessor"], accessor);
    assert_eq!(auth["token_type"], "service");
    let made = root.with_token(auth["client_token"].as_str().expect("a token"));
    assert_eq!(made.get("auth/token/lookup-self").status, 200);
}

#[test]
fn whatever_is_sent_can_be_wrapped() {
    let (_vault, root) = TestVault::ready();
    let sent = json!({"a": 1.10, "token": "x", "b": {"c": [null, "é"]}});
    let refused = root.post("sys/wrapping/wrap", sent.clone());
    assert_eq!(
        (refused.status, refused.error()),
        (400, "endpoint requires response wrapping to be used")
    );
    let wrapped = wrapping(&root).post("sys/wrapping/wrap", sent.clone());
    assert_eq!(
        wrapped.body["wrap_info"]["creation_path"],
        "sys/wrapping/wrap"
    );
    let inner = root.put("sys/wrapping/unwrap", json!({"token": token_of(&wrapped)}));
    assert_eq!(inner.data(), &sent);
}

#[test]
fn looking_at_it_spends_nothing_and_shows_nothing() {
    let (vault, root) = with_secret();
    let token = token_of(&wrapping(&root).get("secret/data/app"));
    let nobody = vault.client("");
    for _ in 0..3 {
        let by_body = nobody.post("sys/wrapping/lookup", json!({ "token": token }));
        // As Vault Agent does.
        let by_header = root.with_token(&token).get("sys/wrapping/lookup");
        for looked in [by_body, by_header] {
            assert_eq!(looked.status, 200, "{looked:?}");
            let about = looked.data();
            assert_eq!(about["creation_path"], "secret/data/app");
            assert_eq!(about["creation_ttl"], 60);
            assert!(about["creation_time"].is_string());
        }
    }
    let empty = nobody.post("sys/wrapping/lookup", json!({}));
    let said = "error validating wrapping token: token is empty";
    assert_eq!((empty.status, empty.error()), (403, said));
    // Neither a made-up token nor one that wraps nothing.
    for token in ["hvs.x", root.token()] {
        let looked = nobody.post("sys/wrapping/lookup", json!({ "token": token }));
        assert_eq!((looked.status, looked.error()), (400, GONE));
        let unwrapped = root.with_token(token).put("sys/wrapping/unwrap", json!({}));
        assert_eq!((unwrapped.status, unwrapped.error()), (400, GONE));
    }
    let inner = root.put("sys/wrapping/unwrap", json!({ "token": token }));
    assert_eq!(inner.status, 200);
}

#[test]
fn rewrapping_moves_it_to_a_new_token() {
    let (_vault, root) = with_secret();
    let first = token_of(&wrapping(&root).get("secret/data/app"));
    let moved = root.put("sys/wrapping/rewrap", json!({ "token": first }));
    let info = &moved.body["wrap_info"];
    assert_eq!(
        (&info["ttl"], &info["creation_path"]),
        (&json!(60), &json!("secret/data/app"))
    );
    let gone = root.put("sys/wrapping/unwrap", json!({ "token": first }));
    assert_eq!((gone.status, gone.error()), (400, GONE));
    let inner = root.put("sys/wrapping/unwrap", json!({"token": token_of(&moved)}));
    assert_eq!(inner.data()["data"]["password"], "hunter2");
}

#[test]
fn a_wrapping_token_may_do_nothing_else_and_is_spent_by_trying() {
    let (_vault, root) = with_secret();
    let token = token_of(&wrapping(&root).get("secret/data/app"));
    let tried = root.with_token(&token).get("secret/data/app");
    assert_eq!(tried.status, 403);
    let gone = root.put("sys/wrapping/unwrap", json!({ "token": token }));
    assert_eq!((gone.status, gone.error()), (400, GONE));
}

#[test]
fn an_answer_with_a_status_keeps_it_and_what_says_nothing_is_not_wrapped() {
    let (_vault, root) = with_secret();
    // A deleted version is a 404 that says something.
    assert_eq!(root.delete("secret/data/app").status, 204);
    let plain = root.get("secret/data/app");
    assert_eq!(plain.status, 404);
    let wrapped = wrapping(&root).get("secret/data/app");
    let inner = root.put("sys/wrapping/unwrap", json!({"token": token_of(&wrapped)}));
    assert_eq!(
        (inner.status, &inner.body["data"]),
        (404, &plain.body["data"])
    );

    assert_eq!(wrapping(&root).get("secret/data/none").status, 404);
    assert_eq!(wrapping(&root).delete("secret/data/app").status, 204);
    let refused = wrapping(&root).get("no-such-mount/x");
    assert!(
        refused.body["wrap_info"].is_null() && refused.status == 404,
        "{refused:?}"
    );
}

#[test]
fn it_outlives_a_killed_server_and_not_its_time() {
    let mut vault = TestVault::start();
    let keys = vault.initialize(1, 1);
    vault.unseal(&keys);
    let root = vault.client(&keys.root);
    let kept = token_of(&wrapping(&root).post("sys/wrapping/wrap", json!({"x": 1})));
    let short = root.with_header("X-Vault-Wrap-TTL", "1s");
    let short = token_of(&short.post("sys/wrapping/wrap", json!({"y": 1})));
    vault.kill_and_restart();
    vault.unseal(&keys);
    let root = vault.client(&keys.root);
    wait_until("its time has come", || {
        root.post("sys/wrapping/lookup", json!({ "token": short }))
            .status
            == 400
    });
    let inner = root.put("sys/wrapping/unwrap", json!({ "token": kept }));
    assert_eq!((inner.status, inner.data()), (200, &json!({"x": 1})));
}

#[test]
fn how_long_must_be_a_duration() {
    let (_vault, root) = with_secret();
    for bad in ["-5", "soon"] {
        let refused = root
            .with_header("X-Vault-Wrap-TTL", bad)
            .get("secret/data/app");
        assert_eq!(refused.status, 400, "{bad}: {refused:?}");
        assert!(
            refused
                .error()
                .starts_with("error parsing X-Vault-Wrap-TTL header: ")
        );
    }
}

#[test]
fn a_policy_may_demand_it() {
    let (_vault, root) = with_secret();
    let policy = r#"path "secret/data/app" {
  capabilities     = ["read"]
  min_wrapping_ttl = "10s"
  max_wrapping_ttl = "90s"
}"#;
    root.put("sys/policies/acl/wrapped", json!({ "policy": policy }));
    let made = root.post("auth/token/create", json!({"policies": ["wrapped"]}));
    let app = root.with_token(made.body["auth"]["client_token"].as_str().expect("a token"));
    assert_eq!(app.get("secret/data/app").status, 403);
    for (ttl, status) in [("9", 403), ("10s", 200), ("90", 200), ("91", 403)] {
        let wrapped = app
            .with_header("X-Vault-Wrap-TTL", ttl)
            .get("secret/data/app");
        assert_eq!(wrapped.status, status, "{ttl}: {wrapped:?}");
    }
}
