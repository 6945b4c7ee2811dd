//! Hostile guests on a whole server: what clients see of them over HTTP, and what of theirs reaches
//! the disk. Those that the runtime alone can tell are in `host/runtime/tests/hostile`, and so is
//! what `H33` and so on are.

#[path = "../../host/runtime/tests/support/guest.rs"]
#[expect(dead_code, reason = "a part of what guests can do is enough here")]
mod guest;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use host_barrier::{Barrier, Random, StorageConfig, SystemRandomness};
use host_core::{Clock, Core, Custody, KeySource, Parts, SealKind, Settings, SystemClock};
use host_keys::MountSecrets;
use host_logical::{EngineKind, Secrets};
use host_runtime::{EngineHost, RuntimeConfig};
use host_server::Surface;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use guest::Guest;

/// The result of `put`, `get` and others is at 640: the case, then what it is.
const INVALID_KEY: &str =
    "(i32.and (i32.load8_u (i32.const 640)) (i32.eqz (i32.load8_u (i32.const 648))))";
const TOO_LARGE: &str =
    "(i32.and (i32.load8_u (i32.const 640)) (i32.eq (i32.load8_u (i32.const 648)) (i32.const 1)))";

fn unless(condition: &str) -> String {
    format!("(if (i32.eqz {condition}) (then (unreachable)))")
}

/// Does `then` where the request's path begins with this letter.
fn on(letter: char, then: &str) -> String {
    let letter = u32::from(letter);
    format!(
        "(if (i32.eq (i32.load8_u (i32.load offset={{request.path}} (local.get $request))) (i32.const {letter}))
            (then {then}))"
    )
}

/// Answers text 0 as its data.
const ANSWERS: &str = "(i32.store8 (i32.const {reply.data}) (i32.const 1))
    (i32.store offset=4 (i32.const {reply.data}) (i32.const {text.0}))
    (i32.store offset=8 (i32.const {reply.data}) (i32.const {text.0.len}))";

/// Writes so many records, `aaaaa`, `baaaa` and on.
fn writes(count: u32) -> String {
    let letter = |index: u32| {
        format!(
            "(i32.store8 (i32.const {}) (i32.add (i32.const 97)
                (i32.and (i32.shr_u (local.get $i) (i32.const {})) (i32.const 15))))",
            704 + index,
            4 * index
        )
    };
    let key: String = (0..5).map(letter).collect();
    format!(
        "(local.set $i (i32.const 0))
        (loop $l {key}
            (call $put (i32.const 704) (i32.const 5) (i32.const 0) (i32.const 1) (i32.const 640))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const {count}))))"
    )
}

#[test]
fn what_a_guest_wrote_before_it_failed_was_never_written_h33() {
    let looks = format!(
        "(call $get (i32.const 704) (i32.const 5) (i32.const 640)) (if (i32.load8_u (i32.const 648)) (then {ANSWERS})) (return (i32.const {{reply}}))"
    );
    let body = [
        on('l', &format!("(i32.store (i32.const 704) (i32.const 0x61616161)) (i32.store8 (i32.const 708) (i32.const 97)) {looks}")),
        on('t', &format!("{} (unreachable)", writes(50_000))),
        on('m', &writes(1_000_000)),
        on('n', &format!("{} (return (i32.const 1025))", writes(10))),
        on('r', &format!("{} (i32.store8 (i32.const {{reply}}) (i32.const 1)) (i32.store8 (i32.const {{error}}) (i32.const 2))", writes(10))),
        on('k', &format!("{} {ANSWERS}", writes(10))),
    ]
    .concat();
    let server = Server::with("writes", &Guest::new(&body).text(br#"{"there":true}"#));
    for (path, status) in [
        ("traps", 500),
        ("million", 500),
        ("nonsense", 500),
        ("refuses", 404),
    ] {
        assert_eq!(server.get(&format!("writes/{path}")).0, status, "{path}");
        assert_eq!(
            server.get("writes/look").0,
            404,
            "what was written when it {path}"
        );
        server.still_serves();
    }
    // It would have been seen.
    assert_eq!(server.get("writes/keeps").0, 200);
    assert_eq!(server.get("writes/look").0, 200);
}

#[test]
fn no_key_leaves_its_mount_h34() {
    let long = "a".repeat(64 << 10);
    let bad = [
        "..",
        ".",
        "../sys/mounts",
        "a/../../b",
        "a/./b",
        "a//b",
        "/a",
        "a/",
        "/",
        "",
        "a\0b",
        "\u{7f}",
        "a\n",
        &long,
    ];
    let texts = |guest: Guest| {
        bad.iter()
            .fold(guest, |guest, key| guest.text(key.as_bytes()))
    };
    let mut body = String::new();
    for index in 1..=bad.len() {
        let key = format!("(i32.const {{text.{index}}}) (i32.const {{text.{index}.len}})");
        let refused = unless(INVALID_KEY);
        body += &format!(
            "(call $put {key} (i32.const 0) (i32.const 1) (i32.const 640)) {refused}
            (call $get {key} (i32.const 640)) {refused}
            (call $delete {key} (i32.const 640)) {refused}"
        );
    }
    // Longer than the page of texts: the guest's memory begins larger.
    let guest = Guest::new(&(body + ANSWERS)).text(b"{}");
    let server = Server::with("keys", &texts(guest).heap(4 * 65_536));
    assert_eq!(server.get("keys/all").0, 200, "a key was taken");
    server.still_serves();
}

#[test]
fn no_value_and_no_write_set_is_larger_than_its_limit_h35() {
    let put = |bytes: u32| {
        format!(
            "(i32.store8 (i32.const 704) (i32.add (i32.load8_u (i32.const 704)) (i32.const 1)))
            (call $put (i32.const 704) (i32.const 1) (i32.const 0) (i32.const {bytes}) (i32.const 640))"
        )
    };
    let body = [
        "(i32.store8 (i32.const 704) (i32.const 97)) (drop (memory.grow (i32.const 200)))",
        &put((8 << 20) + 1),
        &unless(TOO_LARGE),
        &put(8 << 20),
        &unless("(i32.eqz (i32.load8_u (i32.const 640)))"),
        &put(8 << 20),
        &unless(TOO_LARGE),
        ANSWERS,
    ]
    .concat();
    let server = Server::with("large", &Guest::new(&body).text(b"{}"));
    assert_eq!(server.get("large/all").0, 200);
    server.still_serves();
}

/// One that reads as much as it may in one crossing holds its thread for that long; others are served.
#[test]
fn many_keys_asked_for_at_once_are_so_many_calls_h36() {
    let asks = |count: u32| {
        format!(
            "(drop (memory.grow (i32.const 20)))
            (local.set $i (i32.const 0))
            (loop $l
                (i32.store offset=131072 (local.get $i) (i32.const {{text.1}}))
                (i32.store offset=131076 (local.get $i) (i32.const 1))
                (local.set $i (i32.add (local.get $i) (i32.const 8)))
                (br_if $l (i32.lt_u (local.get $i) (i32.const {}))))
            (call $get-many (i32.const 131072) (i32.const {count}) (i32.const 640)) {ANSWERS}",
            8 * count
        )
    };
    let body = on('m', &asks(100_000)) + &on('s', &asks(10_000));
    let guest = Guest::new(&body).text(b"{}").text(b"k");
    let server = Server::with("many", &guest);
    assert_eq!(server.get("many/many").0, 500);
    assert_eq!(server.get("many/some").0, 200);
    server.still_serves();
}

/// A number in a record of its own, which every call reads, holds for a while and writes: all who run
/// at the same time conflict, but one.
#[test]
fn a_storm_of_conflicts_loses_no_write_and_harms_nobody_h37() {
    // As four letters, in text 1.
    let letter = |index: u32| {
        format!(
            "(i32.store8 offset={} (i32.const {{text.1}}) (i32.add (i32.const 97)
                (i32.and (i32.shr_u (local.get $i) (i32.const {})) (i32.const 15))))",
            6 + index,
            12 - 4 * index
        )
    };
    let letters: String = (0..4).map(letter).collect();
    let answers = ANSWERS.replace("text.0", "text.1");
    let key = "(i32.const {text.0}) (i32.const {text.0.len})";
    let body = [
        &format!(
            "(call $get {key} (i32.const 640))
            (if (i32.load8_u (i32.const 648))
                (then (local.set $i (i32.load (i32.load (i32.const 652))))))"
        ),
        &on(
            'a',
            &format!(
                "(call $sleep (i32.const 2))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (i32.store (i32.const 704) (local.get $i))
                (call $put {key} (i32.const 704) (i32.const 4) (i32.const 640))"
            ),
        ),
        &letters,
        &answers,
    ]
    .map(String::as_str)
    .concat();
    let guest = Guest::new(&body).text(b"count").text(br#"{"n":"????"}"#);
    let server = Server::with("storm", &guest);

    // Each on a path of its own: who waits in line for a path is in nobody's way.
    let add = &|n: u32| -> Vec<u16> {
        let path = format!("storm/add-{n}");
        (0..20).map(|_| server.get(&path).0).collect()
    };
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let storm: Vec<_> = (0..8).map(|n| scope.spawn(move || add(n))).collect();
        while !storm.iter().all(|it| it.is_finished()) {
            server.still_serves();
        }
        let told = storm.into_iter().map(|it| it.join().expect("no hang"));
        told.flatten().collect()
    });
    let count = |status: u16| statuses.iter().filter(|it| **it == status).count();
    let (added, lost) = (count(200), count(503));
    assert_eq!(added + lost, statuses.len(), "{statuses:?}");
    // Those who lost were told so after so many tries, and nothing of theirs was written.
    assert!(added > 0 && lost > 0, "{statuses:?}");
    let (_, body) = server.get("storm/look");
    let letters = body["data"]["n"].as_str().expect("letters");
    let told = letters
        .bytes()
        .fold(0, |n, it| n * 16 + usize::from(it - b'a'));
    assert_eq!(told, added);
    server.still_serves();
}

/// One holds what it wrote, and then fails; others, who would keep what they find, look meanwhile.
#[test]
fn what_a_call_has_not_yet_committed_is_seen_by_no_other_h39() {
    let key = "(i32.const {text.1}) (i32.const {text.1.len})";
    let copy = "(i32.const {text.2}) (i32.const {text.2.len})";
    let holds = format!(
        "(call $put {key} (i32.const 0) (i32.const 1) (i32.const 640)) (call $sleep (i32.const 1000))"
    );
    let finds = |key: &str, then: &str| {
        format!(
            "(call $get {key} (i32.const 640))
            (if (i32.load8_u (i32.const 648)) (then {then} {ANSWERS}))"
        )
    };
    let keeps = format!("(call $put {copy} (i32.const 0) (i32.const 1) (i32.const 640))");
    let body = [
        on('t', &format!("{holds} (unreachable)")),
        on('h', &format!("{holds} {ANSWERS}")),
        on('c', &finds(key, &keeps)),
        on('l', &finds(copy, "")),
    ]
    .concat();
    let guest = Guest::new(&body).text(br#"{"there":true}"#);
    let server = Server::with("dirty", &guest.text(b"written").text(b"copy"));

    let mut looks = 0;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| server.get("dirty/traps").0);
        while !writer.is_finished() {
            assert_eq!(server.get("dirty/copies").0, 404);
            looks += 1;
        }
        assert_eq!(writer.join().expect("no hang"), 500);
    });
    assert!(looks > 1, "nobody looked meanwhile");
    assert_eq!(server.get("dirty/look").0, 404);
    // What is committed is seen, and may be kept.
    assert_eq!(server.get("dirty/holds").0, 200);
    assert_eq!(server.get("dirty/copies").0, 200);
    assert_eq!(server.get("dirty/look").0, 200);
    server.still_serves();
}

/// A secrets engine makes no logins, and a lease that nobody keeps is none.
#[test]
fn what_an_engine_claims_beyond_its_kind_is_no_answer_h40() {
    let text = |place: &str, index: u32| {
        format!(
            "(i32.store (i32.const {{reply.{place}}}) (i32.const {{text.{index}}}))
            (i32.store offset=4 (i32.const {{reply.{place}}}) (i32.const {{text.{index}.len}}))"
        )
    };
    let some = |field: &str| format!("(i32.store8 (i32.const {{reply.{field}}}) (i32.const 1))");
    let auth = some("auth") + &text("auth.internal", 0) + &text("auth.token-type", 1);
    let lease = some("lease") + &text("lease.internal", 0);
    let body = [
        on('a', &(auth.clone() + ANSWERS)),
        on('l', &(lease.clone() + ANSWERS)),
        on('b', &(auth + &lease + ANSWERS)),
        on('o', ANSWERS),
    ]
    .concat();
    let server = Server::with("claims", &Guest::new(&body).text(b"{}").text(b"service"));
    for path in ["auth", "lease", "both"] {
        assert_eq!(server.get(&format!("claims/{path}")).0, 500, "{path}");
    }
    assert_eq!(server.get("claims/okay").0, 200);
    server.still_serves();
}

/// What went wrong inside is for the log; of what the engine says, nothing moves a cursor.
#[test]
fn a_client_is_told_what_is_meant_for_it_h45_h47() {
    const INTERNAL: u32 = 7;
    let refuses = |case: u32, text: u32| {
        format!(
            "(i32.store8 (i32.const {{reply}}) (i32.const 1))
            (i32.store8 (i32.const {{error}}) (i32.const {case}))
            (i32.store (i32.const {{error.text}}) (i32.const {{text.{text}}}))
            (i32.store offset=4 (i32.const {{error.text}}) (i32.const {{text.{text}.len}}))"
        )
    };
    let warns = "(i32.store (i32.const 640) (i32.const {text.2}))
        (i32.store (i32.const 644) (i32.const {text.2.len}))"
        .to_owned()
        + &Guest::reply_list("warnings", "640", "1");
    let header = "(i32.store (i32.const 640) (i32.const {text.3}))
        (i32.store (i32.const 644) (i32.const {text.3.len}))
        (i32.store (i32.const 648) (i32.const {text.3}))
        (i32.store (i32.const 652) (i32.const {text.3.len}))"
        .to_owned()
        + &Guest::reply_list("headers", "640", "1");
    let body = [
        on('i', &refuses(INTERNAL, 1)),
        on('r', &refuses(0, 2)),
        on('w', &warns),
        on('h', &format!("{header} {ANSWERS}")),
    ]
    .concat();
    let guest = Guest::new(&body)
        .text(b"{}")
        .text(b"hunter2")
        .text(b"\x1b[2Jgone")
        .text(b"x-evil");
    let server = Server::with("words", &guest);

    let (status, body) = server.get("words/internal");
    assert_eq!(status, 500);
    assert!(!body.to_string().contains("hunter2"), "{body}");
    let (status, body) = server.get("words/refuses");
    assert_eq!(
        (status, &body["errors"][0]),
        (400, &json!(r"\u{1b}[2Jgone"))
    );
    let (status, body) = server.get("words/warns");
    assert_eq!(
        (status, &body["warnings"][0]),
        (200, &json!(r"\u{1b}[2Jgone"))
    );
    assert!(
        server
            .headers("words/headers")
            .iter()
            .all(|name| name != "x-evil")
    );
    server.still_serves();
}

/// A server in this process, with one guest mounted, and KV beside it.
struct Server {
    base: String,
    token: String,
    _runtime: Runtime,
}

const SECRET: &str = "hunter3";

impl Server {
    fn with(name: &str, guest: &Guest) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (surface, engines) = runtime.block_on(open());
        let config = "listener \"tcp\" {\n address = \"127.0.0.1:0\"\n tls_disable = true\n}\nstorage \"inmem\" {}\n";
        let config = host_server::Config::parse(Path::new("test.hcl"), config).expect("it parses");
        let bound = runtime
            .block_on(host_server::bind(&config))
            .expect("a port");
        let base = format!("{}/v1/", bound[0].url());
        let router = host_server::router(surface);
        runtime.spawn(host_server::serve_router(
            router,
            bound,
            std::future::pending(),
        ));
        engines
            .register(EngineKind::Secrets, name, "1.0.0", guest.component())
            .expect("the guest is admitted");

        let mut server = Self {
            base,
            token: String::new(),
            _runtime: runtime,
        };
        let shares = json!({"secret_shares": 1, "secret_threshold": 1});
        let made = server.put("sys/init", shares);
        server.put("sys/unseal", json!({"key": made["keys"][0]}));
        server.token = made["root_token"].as_str().expect("a token").to_owned();
        for (path, engine) in [("secret", "kv"), (name, name)] {
            server.put(&format!("sys/mounts/{path}"), json!({"type": engine}));
        }
        server.put("secret/app", json!({"password": SECRET}));
        server
    }

    /// The mount next door.
    fn still_serves(&self) {
        let (status, body) = self.get("secret/app");
        assert_eq!((status, &body["data"]["password"]), (200, &json!(SECRET)));
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let mut answer = self.send("GET", path, String::new());
        let text = answer.body_mut().read_to_string().expect("a body");
        (
            answer.status().as_u16(),
            serde_json::from_str(&text).unwrap_or_default(),
        )
    }

    fn headers(&self, path: &str) -> Vec<String> {
        let answer = self.send("GET", path, String::new());
        answer.headers().keys().map(ToString::to_string).collect()
    }

    fn put(&self, path: &str, body: Value) -> Value {
        let mut answer = self.send("PUT", path, body.to_string());
        let text = answer.body_mut().read_to_string().expect("a body");
        assert!(answer.status().is_success(), "{path}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn send(&self, method: &str, path: &str, body: String) -> ureq::http::Response<ureq::Body> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(Duration::from_secs(120)))
            .build();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("X-Vault-Token", &self.token)
            .body(body)
            .expect("a request");
        ureq::Agent::new_with_config(config)
            .run(request)
            .expect("an answer")
    }
}

/// As the server's own wiring, with the catalog in our hands.
async fn open() -> (Surface, Arc<EngineHost>) {
    let random: Arc<dyn Random> = Arc::new(SystemRandomness::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let barrier = Barrier::open(StorageConfig::Memory, random.clone()).await;
    let engines = EngineHost::new(RuntimeConfig::default()).expect("a runtime starts");
    let core = Core::new(Parts {
        barrier: barrier.expect("memory opens"),
        engines: engines.clone(),
        custody: Arc::new(Keys(random.clone())),
        clock: clock.clone(),
        random: random.clone(),
        settings: Settings {
            default_lease_ttl: Settings::LEASE_TTL,
            max_lease_ttl: Settings::LEASE_TTL,
            seal: SealKind::Shamir,
            version: "1.0.0",
        },
    });
    let surface = Surface {
        core,
        clock,
        random,
    };
    (surface, engines)
}

struct Keys(Arc<dyn Random>);

impl Custody for Keys {
    fn secrets(&self, key: KeySource) -> Arc<dyn Secrets> {
        let random = self.0.clone();
        Arc::new(MountSecrets::new(
            key,
            Arc::new(move |buf| Ok(random.fill(buf)?)),
        ))
    }
}
