//! Stories through the router, on a real core with real engines and a store in memory.

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::config::Config;
use crate::{open, router, wire};

/// A server without sockets.
struct Server {
    router: axum::Router,
}

/// An answer, read.
struct Answer {
    status: u16,
    headers: hyper::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|err| panic!("{err}: {}", self.text))
    }

    /// Status and errors, for a look.
    fn refusal(&self) -> String {
        format!("{} {}", self.status, self.text.trim_end())
    }
}

impl Server {
    async fn new(config: &str) -> Self {
        let config = Config::parse("test.hcl".as_ref(), config).expect("a configuration");
        Self {
            router: router(open(config).await.expect("a server")),
        }
    }

    async fn sealed() -> Self {
        Self::new("storage \"inmem\" {}\n").await
    }

    /// Initialised and unsealed, with its root token.
    async fn unsealed() -> (Self, String) {
        let server = Self::sealed().await;
        let init = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let made = server
            .call("PUT", "sys/init", &[], &init.to_string())
            .await
            .json();
        let unseal = json!({ "key": made["keys_base64"][0] });
        let view = server
            .call("PUT", "sys/unseal", &[], &unseal.to_string())
            .await
            .json();
        assert_eq!(view["sealed"], json!(false), "{view}");
        (
            server,
            made["root_token"].as_str().expect("a token").to_owned(),
        )
    }

    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/v1/{path}"))
            .header("host", "x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(
            request
                .body(Body::from(body.to_owned()))
                .expect("a request"),
        )
        .await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let (parts, body) = response.into_parts();
        assert_eq!(parts.headers["cache-control"], "no-store");
        let body = body.collect().await.expect("a body in memory").to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).expect("text"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_initialised_unsealed_and_serves_kv() {
    let server = Server::sealed().await;
    let status = async |path: &str| server.call("GET", path, &[], "").await;
    assert_eq!(status("sys/init").await.text, "{\"initialized\":false}\n");
    assert_eq!(status("sys/health").await.status, 501);
    let refused = server
        .call(
            "PUT",
            "sys/unseal",
            &[],
            r#"{"key":"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="}"#,
        )
        .await;
    assert_eq!(refused.status, 400, "{}", refused.text);

    let made = server
        .call(
            "POST",
            "sys/init",
            &[],
            r#"{"secret_shares":"3","secret_threshold":"2"}"#,
        )
        .await;
    assert_eq!(made.status, 200, "{}", made.text);
    let made = made.json();
    let again = server
        .call(
            "PUT",
            "sys/init",
            &[],
            r#"{"secret_shares":1,"secret_threshold":1}"#,
        )
        .await;
    assert_eq!(
        again.refusal(),
        r#"400 {"errors":["Vault is already initialized"]}"#
    );
    assert_eq!(status("sys/health").await.status, 503);
    assert_eq!(status("sys/health?sealedcode=204").await.status, 204);
    assert_eq!(
        status("sys/mounts").await.refusal(),
        r#"503 {"errors":["Vault is sealed"]}"#
    );
    assert_eq!(
        status("no/such/route").await.refusal(),
        r#"503 {"errors":["Vault is sealed"]}"#
    );

    for (form, progress) in [("keys", 1), ("keys_base64", 0)] {
        let share = &made[form][usize::try_from(1 - progress).expect("small")];
        let share = json!({ "key": share, "reset": false, "migrate": false });
        let view = server
            .call("PUT", "sys/unseal", &[], &share.to_string())
            .await
            .json();
        assert_eq!(view["progress"], json!(progress), "{view}");
        assert_eq!(view["sealed"], json!(progress == 1), "{view}");
    }
    let health = status("sys/health").await;
    assert_eq!(health.status, 200);
    assert_eq!(health.json()["version"], json!(wire::sys::API_VERSION));
    assert_eq!(health.json()["standby"], json!(false));

    let token = made["root_token"].as_str().expect("a token");
    let with_token = [("x-vault-token", token)];
    let mount = r#"{"type":"kv","options":{"version":"2"}}"#;
    let mounted = server
        .call("POST", "sys/mounts/secret", &with_token, mount)
        .await;
    assert_eq!((mounted.status, mounted.text.as_str()), (204, ""));
    let mounts = server
        .call("GET", "sys/mounts", &with_token, "")
        .await
        .json();
    assert_eq!(mounts["secret/"], mounts["data"]["secret/"]);
    assert_eq!(mounts["secret/"]["type"], json!("kv"));

    let written = server
        .call(
            "PUT",
            "secret/data/app",
            &with_token,
            r#"{"data":{"n":1.10,"s":"<&>"}}"#,
        )
        .await;
    assert_eq!(written.status, 200, "{}", written.text);
    let read = server
        .call("GET", "secret//data/%61pp", &with_token, "")
        .await;
    assert_eq!(read.headers["content-type"], "application/json");
    assert!(
        read.text.contains(r#""data":{"n":1.10,"s":"<&>"}"#),
        "{}",
        read.text
    );
    assert!(
        read.text.ends_with(",\"mount_type\":\"kv\"}\n"),
        "{}",
        read.text
    );

    for (method, path) in [
        ("LIST", "secret/metadata"),
        ("LIST", "secret/metadata/"),
        ("GET", "secret/metadata?list=true"),
        ("GET", "secret/metadata/?list=True"),
    ] {
        let listed = server.call(method, path, &with_token, "").await.json();
        assert_eq!(listed["data"]["keys"], json!(["app"]), "{method} {path}");
    }
    let gone = server
        .call("DELETE", "secret/data/app", &with_token, "")
        .await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    let gone = server.call("GET", "secret/data/app", &with_token, "").await;
    assert_eq!(
        (gone.status, &gone.json()["data"]["data"]),
        (404, &Value::Null)
    );
    let none = server
        .call("GET", "secret/data/none", &with_token, "")
        .await;
    assert_eq!(none.refusal(), r#"404 {"errors":[]}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_in_vaults_words() {
    let (server, root) = Server::unsealed().await;
    let check = async |headers: &[(&str, &str)], expected: &str| {
        let answer = server.call("GET", "sys/mounts", headers, "").await;
        assert_eq!(answer.refusal(), expected);
    };
    check(&[], r#"403 {"errors":["permission denied"]}"#).await;
    let invalid =
        r#"403 {"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}"#;
    check(&[("x-vault-token", "hvs.garbage")], invalid).await;
    check(&[("authorization", "Bearer hvs.garbage")], invalid).await;
    let bearer = format!("Bearer {root}");
    let answer = server
        .call("GET", "sys/mounts", &[("authorization", &bearer)], "")
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_are_refused_in_vaults_words() {
    let (server, root) = Server::unsealed().await;
    let token = ("x-vault-token", root.as_str());
    let check =
        async |method: &str, path: &str, headers: &[(&str, &str)], body: &str, expected: &str| {
            let headers = [&[token], headers].concat();
            let answer = server.call(method, path, &headers, body).await;
            assert_eq!(answer.refusal(), expected, "{method} {path}");
        };
    check(
        "GET",
        "nope/x",
        &[],
        "",
        r#"404 {"errors":["no handler for route \"nope/x\". route entry not found."]}"#,
    )
    .await;
    check("BREW", "sys/mounts", &[], "", r#"405 {"errors":[]}"#).await;
    check("OPTIONS", "sys/mounts", &[], "", r#"405 {"errors":[]}"#).await;
    check("DELETE", "sys/health", &[], "", r#"405 {"errors":[]}"#).await;
    check(
        "GET",
        "secret/%2e%2e/sys/mounts",
        &[],
        "",
        r#"400 {"errors":["relative paths not supported"]}"#,
    )
    .await;
    check(
        "GET",
        "secret/../sys/mounts",
        &[],
        "",
        r#"400 {"errors":["relative paths not supported"]}"#,
    )
    .await;
    check("GET", "secret/a%00b", &[], "", "400 ").await;
    check(
        "GET",
        "secret/%ff",
        &[],
        "",
        r#"400 {"errors":["path is not valid UTF-8"]}"#,
    )
    .await;
    check(
        "PUT",
        "cubbyhole/a/",
        &[],
        "{}",
        r#"400 {"errors":["cannot write to a path ending in '/'"]}"#,
    )
    .await;
    check(
        "GET",
        "cubbyhole/?list=perhaps",
        &[],
        "",
        r#"400 {"errors":["list must be true or false"]}"#,
    )
    .await;
    check(
        "PUT",
        "cubbyhole/a",
        &[],
        "[1]",
        r#"400 {"errors":["error parsing JSON: the body must be a JSON object"]}"#,
    )
    .await;
    check(
        "PUT",
        "cubbyhole/a",
        &[],
        "{\"a\":",
        r#"400 {"errors":["error parsing JSON: EOF while parsing a value at line 1 column 5"]}"#,
    )
    .await;
    check("PATCH", "cubbyhole/a", &[], "{}", r#"400 {"errors":["mime: no media type: PATCH requires Content-Type of application/merge-patch+json"]}"#).await;
    check("PATCH", "cubbyhole/a", &[("content-type", "application/json")], "{}", r#"415 {"errors":["PATCH requires Content-Type of application/merge-patch+json, provided application/json"]}"#).await;
    check(
        "GET",
        "cubbyhole/a",
        &[("x-vault-namespace", "team")],
        "",
        r#"404 {"errors":["namespace not found"]}"#,
    )
    .await;
    check(
        "GET",
        "cubbyhole/a",
        &[("x-vault-token", "twice")],
        "",
        r#"400 {"errors":["X-Vault-Token was sent more than once"]}"#,
    )
    .await;
    check(
        "GET",
        "sys/health?sealedcode=many",
        &[],
        "",
        r#"400 {"errors":["bad value for sealedcode: it must be a status code from 200 to 599"]}"#,
    )
    .await;
    check("PUT", "sys/unseal", &[], "{}", r#"400 {"errors":["'key' must be specified in request body as JSON, or 'reset' set to true"]}"#).await;
    check(
        "PUT",
        "sys/unseal",
        &[],
        r#"{"key":7}"#,
        r#"400 {"errors":["error parsing JSON: a field has the wrong type"]}"#,
    )
    .await;

    let large = "a".repeat(crate::limits::BODY_BYTES + 1);
    check(
        "PUT",
        "cubbyhole/a",
        &[],
        &large,
        r#"413 {"errors":["http: request body too large: at most 33554432 bytes are read"]}"#,
    )
    .await;

    for path in ["/", "/v1", "/v2/sys/health", "/ui/", "/metrics"] {
        let request = Request::get(path).header("host", "x");
        let request = request.body(Body::empty()).expect("a request");
        let answer = server.send(request).await;
        assert_eq!(answer.refusal(), r#"404 {"errors":[]}"#, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_namespace_that_was_sent_comes_back() {
    let server = Server::sealed().await;
    let answer = server
        .call("GET", "sys/health", &[("x-vault-namespace", "root")], "")
        .await;
    assert_eq!(answer.headers["x-vault-namespace"], "root");
    assert!(
        !answer.headers.contains_key("strict-transport-security"),
        "there is no TLS"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn health_has_the_same_code_for_head_and_a_body_for_get() {
    let server = Server::sealed().await;
    for method in ["GET", "HEAD"] {
        let answer = server.call(method, "sys/health", &[], "").await;
        assert_eq!(
            answer.status,
            StatusCode::NOT_IMPLEMENTED.as_u16(),
            "{method}"
        );
    }
    let health = server.call("GET", "sys/health", &[], "").await.json();
    assert_eq!(health["standby"], json!(true));
    assert_eq!(health["replication_dr_mode"], json!("unknown"));
    assert!(health.get("cluster_id").is_none());
    assert!(
        health.get("performance_standby").is_some(),
        "vaultrs needs it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_seal_opens_by_itself_and_has_no_shares() {
    let server = Server::new(
        "storage \"inmem\" {}\nseal \"static\" {\n current_key = \"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\"\n}\n",
    )
    .await;
    let made = server
        .call(
            "PUT",
            "sys/init",
            &[],
            r#"{"secret_shares":0,"secret_threshold":0}"#,
        )
        .await;
    assert_eq!(made.status, 200, "{}", made.text);
    assert_eq!(made.json()["keys"], json!([]));
    let status = server.call("GET", "sys/seal-status", &[], "").await.json();
    assert_eq!(
        (&status["sealed"], &status["type"]),
        (&json!(false), &json!("static"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_development_server_is_ready_at_once() {
    let config = Config::load_dev(&[], Some("127.0.0.1:0")).expect("a configuration");
    let surface = open(config).await.expect("a server");
    let dev = crate::dev::prepare(
        &surface,
        "http://127.0.0.1:8200".into(),
        Some("chosen".into()),
    )
    .await
    .expect("a development server");
    assert_eq!(*dev.root_token, "chosen");
    let server = Server {
        router: router(surface),
    };
    let token = [("x-vault-token", "chosen")];
    let mounts = server.call("GET", "sys/mounts", &token, "").await.json();
    assert_eq!(
        mounts["data"]["secret/"]["description"],
        json!("key/value secret storage")
    );
    assert_eq!(
        mounts["data"]["secret/"]["options"],
        json!({ "version": "2" })
    );
    let tokens = server
        .call("LIST", "auth/token/accessors", &token, "")
        .await;
    assert_eq!(
        tokens.json()["data"]["keys"].as_array().map(Vec::len),
        Some(1),
        "{}",
        tokens.text
    );
}
