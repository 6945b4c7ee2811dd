//! What careless and hostile clients send: a clear answer, and a server that goes on.

use serde_json::json;

use crate::support::TestVault;

/// Sends a request line and headers by hand; the status and body of the answer.
fn raw(vault: &TestVault, token: &str, method: &str, target: &str, body: &str) -> (u16, String) {
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Vault-Token: {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = vault.raw(request.as_bytes());
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    (status, body.unwrap_or_default())
}

#[test]
fn odd_paths_are_refused_and_never_reach_another_mount() {
    let vault = TestVault::start();
    let keys = vault.initialize(1, 1);
    vault.unseal(&keys);
    let root = vault.client(&keys.root);
    root.post("sys/mounts/secret", json!({"type": "kv-v2"}));
    root.put("secret/data/a", json!({"data": {"k": "v"}}));
    let cases = [
        (
            "/v1/secret/data/../../sys/mounts",
            400,
            "relative paths not supported",
        ),
        (
            "/v1/secret/data/%2e%2e/%2e%2e/sys/mounts",
            400,
            "relative paths not supported",
        ),
        ("/v1/secret/data/.", 400, "relative paths not supported"),
        ("/v1/secret/data/a%00b", 400, ""),
        ("/v1/secret/data/%ff%fe", 400, ""),
        ("/v1/secret/data/a%0Ab", 400, ""),
        ("/v1//secret//data//a", 200, "\"k\":\"v\""),
        ("/v1/secret/data/%61", 200, "\"k\":\"v\""),
        ("/v1/secret/data/%2561", 404, ""),
        ("/v2/secret/data/a", 404, "{\"errors\":[]}"),
        ("/", 404, ""),
    ];
    for (target, status, says) in cases {
        let (got, body) = raw(&vault, &keys.root, "GET", target, "");
        assert_eq!(got, status, "{target}: {body}");
        assert!(body.contains(says), "{target}: {body}");
    }
    assert_eq!(root.get("secret/data/a").status, 200);
}

#[test]
fn bodies_that_are_no_objects_are_refused_and_change_nothing() {
    let (_vault, root) = TestVault::with_kv();
    for body in ["{", "[1]", "\"text\"", "12", "{\"data\":}", "{'data': 1}"] {
        let refused = root.send("PUT", "secret/data/a", Some(body));
        assert_eq!(refused.status, 400, "{body}");
        assert!(
            refused.error().starts_with("error parsing JSON"),
            "{body}: {refused:?}"
        );
        assert!(
            !refused.error().contains("text"),
            "it repeats what was sent: {refused:?}"
        );
    }
    assert_eq!(root.get("secret/data/a").status, 404);
    // Empty and null mean that nothing was sent.
    for body in ["", "null"] {
        let refused = root.send("PUT", "secret/data/a", Some(body));
        assert_eq!(
            (refused.status, refused.error()),
            (400, "no data provided"),
            "{body:?}"
        );
    }
    let deep = format!(
        "{{\"data\":{}1{}}}",
        "{\"a\":".repeat(10_000),
        "}".repeat(10_000)
    );
    assert_eq!(root.send("PUT", "secret/data/a", Some(&deep)).status, 400);
}

#[test]
fn wrong_types_name_the_field_and_not_its_value() {
    let (_vault, root) = TestVault::with_kv();
    let refused = root.put("secret/data/a", json!({"data": "hunter2"}));
    assert_eq!(refused.status, 400);
    assert!(
        refused
            .error()
            .contains("error converting input for field \"data\""),
        "{refused:?}"
    );
    assert!(!refused.text.contains("hunter2"));
    let refused = root.get("secret/data/a?version=abc");
    assert_eq!(refused.status, 400);
    assert!(
        refused
            .error()
            .starts_with("Field validation failed: error converting input for field \"version\""),
        "{refused:?}"
    );
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let (vault, root) = TestVault::with_kv();
    let request = format!(
        "PUT /v1/secret/data/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Vault-Token: x\r\nContent-Length: {}\r\n\r\n",
        64 << 20
    );
    let answer = vault.raw(request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("http: request body too large"), "{answer}");
    assert_eq!(root.get("sys/mounts").status, 200);
}

#[test]
fn a_value_that_storage_does_not_take_is_a_clear_refusal() {
    let (_vault, root) = TestVault::with_kv();
    assert_eq!(
        root.put(
            "secret/data/mib",
            json!({"data": {"k": "x".repeat(1 << 20)}})
        )
        .status,
        200
    );
    let refused = root.put(
        "secret/data/huge",
        json!({"data": {"k": "x".repeat(12 << 20)}}),
    );
    assert_eq!(
        refused.status,
        400,
        "{}",
        &refused.text[..refused.text.len().min(300)]
    );
    // More than an engine's memory is meant for: refused as such, not as a failure of the server.
    let refused = root.put(
        "secret/data/huge",
        json!({"data": {"k": "x".repeat(25 << 20)}}),
    );
    assert_eq!(refused.status, 400);
    assert!(refused.error().contains("too large"), "{refused:?}");
    assert_eq!(root.get("secret/data/huge").status, 404);
    let long = "a".repeat(1500);
    assert_eq!(
        root.put(&format!("secret/data/{long}"), json!({"data": {}}))
            .status,
        400
    );
}

#[test]
fn a_refusal_of_an_engine_keeps_its_lines() {
    let (_vault, root) = TestVault::with_kv();
    let refused = root.put("secret/metadata/a", json!({"custom_metadata": {"": "x"}}));
    assert_eq!(refused.status, 400);
    assert!(
        refused
            .error()
            .starts_with("1 error occurred:\n\t* custom_metadata validation failed"),
        "{refused:?}"
    );
}

#[test]
fn methods_that_nobody_knows_are_405() {
    let (vault, _root) = TestVault::with_kv();
    let (status, body) = raw(&vault, "x", "BREW", "/v1/secret/data/a", "");
    assert_eq!((status, body.trim_end()), (405, "{\"errors\":[]}"));
}

#[test]
fn patches_need_their_content_type() {
    let (_vault, root) = TestVault::with_kv();
    root.put("secret/data/a", json!({"data": {"k": "v"}}));
    let wrong = root.with_header("Content-Type", "application/json").send(
        "PATCH",
        "secret/data/a",
        Some("{\"data\":{}}"),
    );
    assert_eq!(wrong.status, 415);
    let with_charset = root
        .with_header(
            "Content-Type",
            "application/merge-patch+json; charset=utf-8",
        )
        .send("PATCH", "secret/data/a", Some("{\"data\":{\"l\":1}}"));
    assert_eq!(with_charset.status, 200, "{with_charset:?}");
}

#[test]
fn namespaces_are_refused_rather_than_ignored() {
    let (_vault, root) = TestVault::with_kv();
    assert_eq!(
        root.with_header("X-Vault-Namespace", "root")
            .get("sys/mounts")
            .status,
        200
    );
    assert_eq!(
        root.with_header("X-Vault-Namespace", "team-a")
            .get("sys/mounts")
            .status,
        404
    );
}

#[test]
fn writes_to_a_folder_are_refused() {
    let (_vault, root) = TestVault::with_kv();
    let refused = root.put("secret/data/a/", json!({"data": {}}));
    assert_eq!(
        (refused.status, refused.error()),
        (400, "cannot write to a path ending in '/'")
    );
}
