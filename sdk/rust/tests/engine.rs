//! An engine that uses all of the SDK, on the fake host.

use std::time::Duration;

use coffer_sdk::testing::TestHost;
use coffer_sdk::{
    Answer, Engine, Error, Field, Host, Lease, LogLevel, Mount, Operation, Options, Path, Request,
    Response, json,
};

static ENGINE: Engine = Engine::secrets("notes", "Keeps notes.")
    .initialize(initialize)
    .paths(&[
        Path::new("notes", "All notes.").list("List notes.", list),
        Path::new("notes/{name}", "A note.")
            .fields(&[
                Field::lowercase_text("name", "Its name."),
                Field::text("text", "What it says.").required(),
                Field::seconds("ttl", "How long it is good.").default("60"),
                Field::text("kind", "Of what kind.").allowed(&["memo", "letter"]),
                Field::text("password", "Opens it.").secret(),
            ])
            .exists(exists)
            .read("Read a note.", read)
            .returns(Operation::Read, &[Field::text("text", "What it says.")])
            .write("Write a note.", write)
            .delete("Delete a note.", delete),
        Path::new("free", "Anything.")
            .free_form()
            .write("Echo.", echo),
        Path::new("fail/{how}", "Fails, having written.").write("Fail.", fail),
        Path::new("token", "Makes a token.").read("Make one.", token),
        Path::new("pem", "A file.").read("Read it.", pem),
        Path::new("dice/{sides}", "A die.")
            .fields(&[Field::integer("sides", "How many.")])
            .read("Roll it.", dice),
    ]);

coffer_sdk::export!(ENGINE);

fn initialize(host: &Host, from: Option<u32>, mount: &Mount) -> Result<(), Error> {
    host.storage().put_json("mounted", &from)?;
    match mount.options.get("mood") {
        Some("bad") => Err(Error::invalid("not in this mood")),
        _ => Ok(()),
    }
}

fn key(request: &Request) -> Result<String, Error> {
    Ok(format!("notes/{}", request.text("name")?))
}

fn exists(host: &Host, request: &Request) -> Result<bool, Error> {
    Ok(host.storage().get(&key(request)?)?.is_some())
}

fn list(host: &Host, _: &Request) -> Answer {
    let page = host.storage().list("notes/", None, 0)?;
    Ok(Response::data(json!({ "keys": page.keys })))
}

fn read(host: &Host, request: &Request) -> Answer {
    let sealed = host.storage().get(&format!("{}.key", key(request)?))?;
    let text: String = match host.storage().get_json(&key(request)?)? {
        Some(text) => text,
        None => return Ok(Response::empty()),
    };
    let response = Response::data(json!({ "text": text }));
    match sealed {
        None => Ok(response),
        Some(sealed) => {
            let password = host.secrets().unseal(&sealed, "notes")?;
            Ok(response.secret("/password", password))
        }
    }
}

fn write(host: &Host, request: &Request) -> Answer {
    let ttl = request.optional("ttl")?.unwrap_or(60);
    host.storage()
        .put_json(&key(request)?, &request.text("text")?)?;
    if let Some(password) = request.secret("password") {
        let sealed = host.secrets().seal(password, "notes");
        host.storage()
            .put(&format!("{}.key", key(request)?), &sealed)?;
    }
    let done = format!("{:?}", request.operation).to_lowercase();
    Ok(Response::data(json!({ "done": done })).refresh_after(Duration::from_secs(ttl)))
}

fn delete(host: &Host, request: &Request) -> Answer {
    host.storage().delete(&key(request)?)?;
    Ok(Response::empty().warning("it is gone"))
}

fn echo(_: &Host, request: &Request) -> Answer {
    Ok(Response::json(request.body()))
}

fn fail(host: &Host, request: &Request) -> Answer {
    host.storage().put("half", b"done")?;
    match request.param("how") {
        "denied" => Err(Error::PermissionDenied("not you".into())),
        "internal" => Err(Error::internal("a bug")),
        "kept" => Ok(Response::empty().status(409)),
        "key" => Ok(host
            .storage()
            .put("a//b", b"")
            .map(|()| Response::empty())?),
        other => Err(Error::invalid(format!("cannot fail {other}"))),
    }
}

fn token(host: &Host, _: &Request) -> Answer {
    let secrets = host.secrets();
    let token = secrets.generate_token(24);
    assert_eq!(token.length(), 24);
    let prefixed = secrets.concat(&[&secrets.from_bytes(b"t."), &token]);
    let hex = secrets.encode(&prefixed, "hex")?;
    host.log(LogLevel::Info, "made", &[("length".into(), "24".into())]);
    let lease = Lease {
        ttl: Some(Duration::from_secs(30)),
        max_ttl: None,
        renewable: false,
        kind: "token".into(),
        internal: json!({}),
    };
    Ok(Response::data(json!({ "tokens": {} }))
        .secret("/tokens/plain", prefixed)
        .secret("/tokens/hex", hex)
        .lease(lease))
}

fn pem(_: &Host, _: &Request) -> Answer {
    Ok(Response::raw("application/x-pem-file", "-----BEGIN"))
}

fn dice(host: &Host, request: &Request) -> Answer {
    let sides = request.integer("sides")?;
    let side = host.random_below(sides.unsigned_abs());
    Ok(Response::data(json!({ "side": side })))
}

fn mount() -> TestHost {
    TestHost::new(&ENGINE)
}

#[test]
fn create_and_update_are_told_apart_where_the_engine_can() {
    let mut host = mount();
    let mut done = || host.write("notes/a", json!({"text": "x"})).data["done"].clone();
    assert_eq!(done(), "create");
    assert_eq!(done(), "update");
}

#[test]
fn what_the_path_captured_is_of_the_fields_type() {
    let mut host = mount();
    host.write("notes/ANN", json!({"text": "x"}));
    assert_eq!(host.read("notes/ann").data["text"], "x");
    assert_eq!(host.list("notes").data["keys"], json!(["ann"]));
    assert_eq!(host.read("dice/six").status, 400);
}

#[test]
fn a_field_that_must_be_there_is_asked_for() {
    let reply = mount().write("notes/a", json!({"text": null}));
    assert_eq!((reply.status, reply.error.as_str()), (400, "missing text"));
}

#[test]
fn a_call_that_fails_leaves_nothing_and_an_answer_keeps_whatever_its_status() {
    let mut host = mount();
    for (how, status, error) in [
        ("denied", 403, "not you"),
        ("internal", 500, "a bug"),
        ("well", 400, "cannot fail well"),
        ("key", 400, "key segment \"\""),
    ] {
        let reply = host.write(&format!("fail/{how}"), json!({}));
        assert_eq!((reply.status, reply.error.as_str()), (status, error));
        assert!(!host.stored().contains_key("half"));
    }
    assert_eq!(host.write("fail/kept", json!({})).status, 409);
    assert!(host.stored().contains_key("half"));
}

#[test]
fn a_secret_passes_through_without_being_read() {
    let mut host = mount();
    host.write("notes/a", json!({"text": "x", "password": "hunter2"}));
    let reply = host.read("notes/a");
    assert_eq!(reply.data, json!({"text": "x", "password": "hunter2"}));
    assert_eq!(reply.text, r#"{"text":"x"}"#, "the engine did not have it");
}

#[test]
fn secrets_are_made_joined_and_encoded_by_the_host() {
    let mut host = mount();
    let reply = host.read("token");
    assert_eq!(reply.lease_duration, 30);
    let plain = reply.data["tokens"]["plain"].as_str().unwrap();
    assert!(plain.starts_with("t.") && plain.len() == 26);
    let hex = reply.data["tokens"]["hex"].as_str().unwrap();
    assert_eq!(hex.len(), 52);
    assert_eq!(host.logged(), ["Info made length=24"]);
    assert_ne!(host.read("token").data, reply.data);
}

#[test]
fn an_answer_has_the_usual_status() {
    let mut host = mount();
    assert_eq!(host.read("notes/none").status, 404);
    let reply = host.delete("notes/none");
    assert_eq!(
        (reply.status, reply.warnings),
        (200, vec!["it is gone".into()])
    );
    assert_eq!(host.read("nowhere").error, "unsupported path");
    assert_eq!(host.patch("notes/a", json!({})).status, 405);
    assert_eq!(host.read("pem").status, 200);
    let reply = host.write("notes/a", json!({"text": "x", "ttl": 5}));
    assert_eq!(reply.lease_duration, 5);
}

#[test]
fn only_free_form_paths_get_undeclared_fields() {
    let mut host = mount();
    let reply = host.write("free", json!({"b": 1, "a": null}));
    assert_eq!(reply.text, r#"{"b":1,"a":null}"#);
    let reply = host.write("notes/a", json!({"text": "x", "other": 1}));
    assert_eq!(reply.status, 200);
}

#[test]
#[should_panic(expected = "the host hands \"ttl\" on as Seconds, not as \"1h\"")]
fn a_test_that_sends_what_the_host_would_not_is_told() {
    mount().write("notes/a", json!({"text": "x", "ttl": "1h"}));
}

#[test]
fn a_refused_tune_leaves_the_mount_as_it_was() {
    let mut host = mount();
    assert_eq!(host.stored()["mounted"], b"null");
    host.tune(&[("mood", "bad")]).unwrap_err();
    assert_eq!(host.stored()["mounted"], b"null");
    host.tune(&[("mood", "good")]).unwrap();
    assert_eq!(host.stored()["mounted"], b"1");
}

#[test]
fn chance_is_even_and_the_same_in_every_run() {
    let rolls = || {
        let mut host = mount();
        (0..600)
            .map(|_| host.read("dice/6").data["side"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let first = rolls();
    assert_eq!(first, rolls());
    for side in 0..6 {
        let count = first.iter().filter(|roll| **roll == side).count();
        assert!((60..140).contains(&count), "{side} came {count} times");
    }
    assert_eq!(mount().read("dice/0").data["side"], 0);
}

#[test]
fn an_engine_may_depend_on_the_mounts_options() {
    static OTHER: Engine = Engine::secrets("other", "").paths(&[]);
    fn by_mood(options: &Options) -> &'static Engine {
        match options.get("mood") {
            Some("bad") => &OTHER,
            _ => &ENGINE,
        }
    }
    let mut host = TestHost::new(&by_mood);
    assert_eq!(host.read("pem").status, 200);
    host.tune(&[("mood", "bad")]).unwrap();
    assert_eq!(host.read("pem").status, 404);
}

#[test]
fn the_interface_can_be_pinned() {
    let interface = mount().interface();
    let note = interface.split("\"notes/{name}\"").nth(1).unwrap();
    let lines: Vec<&str> = note.lines().take(10).collect();
    assert_eq!(
        lines,
        [
            " [\"existence check\"]: A note.",
            "  Read [\"text\"]: Read a note.",
            "  Update []: Write a note.",
            "  Delete []: Delete a note.",
            "  name LowercaseText: Its name.",
            "  text Text, required: What it says.",
            "  ttl Seconds, default 60: How long it is good.",
            "  kind Text, one of [\"memo\", \"letter\"]: Of what kind.",
            "  password Text, secret: Opens it.",
            "\"free\" [\"free form\"]: Anything.",
        ]
    );
}
