//! The pipeline as a whole, on sealed storage in memory and an engine without wasm: what holds
//! whichever engine runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio::sync::Barrier as Meeting;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use host_barrier::{Barrier, StorageConfig, SystemRandomness};
use host_logical::{
    Call, Description, Engine, EngineError, EngineKind, EngineRequest, EngineResponse, Engines,
    FieldType, Imports, Mount, Operation, OperationHelp, Options, PathDescription, PathTrait, Peer,
    Refusal, RequestId, RequestPath, SecretBytes, Secrets, SecretsError,
};

use crate::{
    Body, ClientToken, Clock, Core, Custody, HandleError, Initialize, KeySource, Parts, Request,
    Response, SealKind, Settings,
};

/// How many random cases: as many as CI has time for, times `COFFER_TEST_FACTOR`.
pub(crate) fn cases(in_ci: u32) -> u32 {
    let factor = std::env::var("COFFER_TEST_FACTOR").map_or(1, |factor| {
        factor.parse().expect("COFFER_TEST_FACTOR is a number")
    });
    in_ci * factor
}

/// An engine that counts: `counter/{name}` reads a number and, on a write, adds one to it.
struct Counting {
    runs: Arc<AtomicUsize>,
    /// Where two calls meet between their reading and their writing.
    meeting: Option<Arc<Meeting>>,
}

struct CountingCall {
    imports: Imports,
    runs: Arc<AtomicUsize>,
    meeting: Option<Arc<Meeting>>,
}

fn path(pattern: &str, operations: &[Operation], traits: &[PathTrait]) -> PathDescription {
    let field = host_logical::Field {
        name: "by".into(),
        field_type: FieldType::Integer,
        description: String::new(),
        required: false,
        default: None,
        allowed: Vec::new(),
        secret: false,
    };
    let operations = operations.iter().map(|operation| OperationHelp {
        operation: *operation,
        summary: String::new(),
        returns: Vec::new(),
    });
    PathDescription {
        pattern: pattern.into(),
        traits: traits.to_vec(),
        operations: operations.collect(),
        fields: vec![field],
        help: String::new(),
        login_name: None,
    }
}

#[async_trait]
impl Engine for Counting {
    async fn describe(&self, _: &Options) -> Result<Arc<Description>, EngineError> {
        use Operation::{Delete, Read, Update};
        Ok(Arc::new(Description {
            name: "counting".into(),
            version: "1.0.0".into(),
            kind: EngineKind::Secrets,
            help: String::new(),
            paths: vec![
                path(
                    "counter/{name}",
                    &[Read, Update, Delete],
                    &[PathTrait::ExistenceCheck],
                ),
                path("refuse/{name}", &[Update], &[]),
                path("open", &[Read], &[PathTrait::Unauthenticated]),
                path("secret", &[Read], &[]),
                path("gone", &[Update], &[]),
                path("slow/{millis}/{name}", &[Update], &[]),
            ],
            storage_version: 1,
        }))
    }

    async fn open(&self, imports: Imports) -> Result<Box<dyn Call>, EngineError> {
        let (runs, meeting) = (self.runs.clone(), self.meeting.clone());
        Ok(Box::new(CountingCall {
            imports,
            runs,
            meeting,
        }))
    }
}

impl CountingCall {
    async fn value(&self, name: &str) -> Result<Option<u64>, EngineError> {
        let value = self.imports.storage.get(name).await.map_err(host)?;
        Ok(value.and_then(|value| String::from_utf8(value).ok()?.parse().ok()))
    }
}

fn host(err: host_logical::StorageError) -> EngineError {
    EngineError::Host(Box::new(err))
}

fn answer(data: &Value) -> EngineResponse {
    let data = serde_json::value::to_raw_value(data).ok();
    EngineResponse {
        data,
        ..EngineResponse::default()
    }
}

#[async_trait]
impl Call for CountingCall {
    async fn initialize(&mut self, _: Option<u32>, _: &Mount) -> Result<(), EngineError> {
        self.imports.storage.put("made", b"1").await.map_err(host)
    }

    async fn exists(&mut self, request: &EngineRequest) -> Result<bool, EngineError> {
        Ok(self.value(&request.params[0].1).await?.is_some())
    }

    async fn handle(&mut self, request: EngineRequest) -> Result<EngineResponse, EngineError> {
        let earlier = self.runs.fetch_add(1, Ordering::SeqCst);
        let name = request
            .params
            .first()
            .map(|(_, name)| name.clone())
            .unwrap_or_default();
        match (request.path.as_str(), request.operation) {
            ("open", _) => Ok(answer(&json!({ "open": true }))),
            ("secret", _) => Ok(EngineResponse {
                secrets: vec![("/pin".into(), SecretBytes::new(b"1234".to_vec()))],
                ..answer(&json!({}))
            }),
            ("gone", _) => Ok(EngineResponse {
                status: Some(404),
                warnings: vec!["it is gone".into()],
                ..EngineResponse::default()
            }),
            (path, _) if path.starts_with("refuse/") => {
                self.imports.storage.put(&name, b"1").await.map_err(host)?;
                Err(Refusal::InvalidRequest("no".into()).into())
            }
            (path, _) if path.starts_with("slow/") => {
                let key = &request.params[1].1;
                let value = self.value(key).await?.unwrap_or(0);
                let millis = name.parse().unwrap();
                let ambient = &self.imports.ambient;
                ambient.sleep(Duration::from_millis(millis)).await;
                let text = (value + 1).to_string();
                let storage = &self.imports.storage;
                storage.put(key, text.as_bytes()).await.map_err(host)?;
                Ok(answer(&json!({ "value": value + 1 })))
            }
            (_, Operation::Read) => match self.value(&name).await? {
                Some(value) => Ok(answer(&json!({ "value": value }))),
                None => Ok(EngineResponse::default()),
            },
            (_, Operation::Delete) => {
                self.imports.storage.delete(&name).await.map_err(host)?;
                Ok(EngineResponse::default())
            }
            _ => {
                let value = self.value(&name).await?.unwrap_or(0);
                if let Some(meeting) = self.meeting.take()
                    && earlier < 2
                {
                    meeting.wait().await;
                }
                let text = (value + 1).to_string();
                self.imports
                    .storage
                    .put(&name, text.as_bytes())
                    .await
                    .map_err(host)?;
                Ok(answer(&json!({ "value": value + 1 })))
            }
        }
    }
}

/// A catalog of that one engine. The first two calls that write meet, if they are to.
struct Catalog {
    runs: Arc<AtomicUsize>,
    meeting: Option<Arc<Meeting>>,
}

#[async_trait]
impl Engines for Catalog {
    async fn engine(
        &self,
        _: EngineKind,
        name: &str,
    ) -> Result<Option<Arc<dyn Engine>>, EngineError> {
        let engine = Counting {
            runs: self.runs.clone(),
            meeting: self.meeting.clone(),
        };
        Ok((name == "counting").then(|| Arc::new(engine) as Arc<dyn Engine>))
    }

    fn names(&self, _: EngineKind) -> Vec<(String, String)> {
        vec![("counting".into(), "1.0.0".into())]
    }

    fn set_cache_key(&self, _: Option<[u8; 32]>) {}
}

struct NoCustody;

#[async_trait]
impl Secrets for NoCustody {
    async fn generate_password(&self, _: Option<&str>) -> Result<SecretBytes, SecretsError> {
        Err(SecretsError::DoesNotOpen)
    }
    fn generate_token(&self, _: u32) -> Result<SecretBytes, SecretsError> {
        Err(SecretsError::DoesNotOpen)
    }
    fn seal(&self, _: &SecretBytes, _: &str) -> Result<Vec<u8>, SecretsError> {
        Err(SecretsError::DoesNotOpen)
    }
    fn unseal(&self, _: &[u8], _: &str) -> Result<SecretBytes, SecretsError> {
        Err(SecretsError::DoesNotOpen)
    }
}

impl Custody for NoCustody {
    fn secrets(&self, _: KeySource) -> Arc<dyn Secrets> {
        Arc::new(NoCustody)
    }
}

/// A clock that tests move by hand.
pub(crate) struct HandClock(pub(crate) AtomicU64);

impl Clock for HandClock {
    fn now_millis(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub(crate) struct TestCore {
    pub(crate) core: Arc<Core>,
    pub(crate) clock: Arc<HandClock>,
    runs: Arc<AtomicUsize>,
    pub(crate) root: String,
}

impl TestCore {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    async fn start_with(meeting: Option<Arc<Meeting>>) -> Self {
        let mut vault = Self::fresh(meeting).await;
        let wanted = Initialize {
            unseal: Some((1, 1)),
            recovery: None,
        };
        let made = vault.core.initialize(wanted).await.unwrap();
        vault.core.unseal(&made.shares[0].to_hex()).await.unwrap();
        vault.root = made.root_token.to_string();
        vault
            .write("sys/mounts/c", json!({"type": "counting"}))
            .await
            .unwrap();
        vault
    }

    /// Not initialised.
    async fn fresh(meeting: Option<Arc<Meeting>>) -> Self {
        let random = Arc::new(SystemRandomness::new());
        let barrier = Barrier::open(StorageConfig::Memory, random.clone())
            .await
            .unwrap();
        let clock = Arc::new(HandClock(AtomicU64::new(1_767_225_600_000)));
        let runs = Arc::new(AtomicUsize::new(0));
        let core = Core::new(Parts {
            barrier,
            engines: Arc::new(Catalog {
                runs: runs.clone(),
                meeting,
            }),
            custody: Arc::new(NoCustody),
            clock: clock.clone(),
            random,
            settings: Settings {
                default_lease_ttl: Settings::LEASE_TTL,
                max_lease_ttl: Settings::LEASE_TTL,
                seal: SealKind::Shamir,
                version: "1.0.0",
            },
        });
        Self {
            core,
            clock,
            runs,
            root: String::new(),
        }
    }

    pub(crate) async fn send(
        &self,
        token: &str,
        operation: Operation,
        path: &str,
        data: Value,
    ) -> Result<Response, HandleError> {
        let request = self.request(token, operation, path, data);
        self.core.handle(request).await
    }

    fn request(&self, token: &str, operation: Operation, path: &str, data: Value) -> Request {
        let data: Map<String, Value> = data.as_object().cloned().unwrap_or_default();
        Request {
            id: RequestId::from_random([7; 16]),
            operation,
            path: RequestPath::parse(path.as_bytes()).unwrap(),
            data,
            raw: None,
            token: ClientToken::parse(token),
            wrap_ttl: None,
            headers: Vec::new(),
            peer: Peer::default(),
            held: None,
        }
    }

    async fn read(&self, path: &str) -> Result<Value, HandleError> {
        self.send(&self.root, Operation::Read, path, json!({}))
            .await
            .map(data)
    }

    async fn write(&self, path: &str, data: Value) -> Result<Response, HandleError> {
        self.send(&self.root, Operation::Update, path, data).await
    }

    /// A token with this policy.
    async fn token(&self, policy: &str, more: Value) -> String {
        self.write("sys/policies/acl/tested", json!({"policy": policy}))
            .await
            .unwrap();
        let mut body = json!({"policies": ["tested"]});
        for (name, value) in more.as_object().cloned().unwrap_or_default() {
            body[name] = value;
        }
        let made = self.write("auth/token/create", body).await.unwrap();
        match made.body {
            Body::Envelope(envelope) => envelope.auth.unwrap().client_token.to_string(),
            body => panic!("no token: {body:?}"),
        }
    }
}

fn data(response: Response) -> Value {
    match response.body {
        Body::Envelope(envelope) => envelope
            .data
            .map(|data| serde_json::from_str(data.get()).unwrap())
            .unwrap_or_default(),
        _ => Value::Null,
    }
}

#[tokio::test]
async fn what_an_engine_wrote_is_kept_if_it_answers_and_not_if_it_refuses() {
    let vault = TestCore::start().await;
    vault.write("c/counter/a", json!({})).await.unwrap();
    assert_eq!(
        vault.read("c/counter/a").await.unwrap(),
        json!({"value": 1})
    );
    let refused = vault.write("c/refuse/b", json!({})).await;
    assert!(matches!(
        refused,
        Err(HandleError::Refused { refusal: Refusal::InvalidRequest(text), plain: false }) if text == "no"
    ));
    assert!(matches!(
        vault.read("c/counter/b").await,
        Err(HandleError::Refused {
            refusal: Refusal::NotFound,
            ..
        })
    ));
    // What it wrote when it was mounted is there.
    assert_eq!(
        vault.read("c/counter/made").await.unwrap(),
        json!({"value": 1})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_reads_have_changed_runs_again() {
    let vault = TestCore::start_with(Some(Arc::new(Meeting::new(2)))).await;
    // Both have read before either writes: one must lose, and count again.
    let (one, two) = tokio::join!(
        vault.write("c/counter/a", json!({})),
        vault.write("c/counter/a", json!({}))
    );
    // The one that lost meets nobody when it runs again.
    let mut values = [
        data(one.unwrap())["value"].clone(),
        data(two.unwrap())["value"].clone(),
    ];
    values.sort_by_key(|value| value.as_u64());
    assert_eq!(values, [json!(1), json!(2)]);
    assert_eq!(vault.runs.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn nothing_reaches_an_engine_without_a_policy_that_allows_it() {
    let vault = TestCore::start().await;
    let token = vault
        .token(
            "path \"c/counter/mine\" { capabilities = [\"read\"] }",
            json!({}),
        )
        .await;
    let before = vault.runs.load(Ordering::SeqCst);
    for (operation, path) in [
        (Operation::Read, "c/counter/yours"),
        (Operation::Update, "c/counter/mine"),
        (Operation::Delete, "c/counter/mine"),
        (Operation::Read, "c/secret"),
        (Operation::Read, "none/at/all"),
    ] {
        let refused = vault.send(&token, operation, path, json!({})).await;
        assert!(
            matches!(refused, Err(HandleError::Denied)),
            "{operation:?} {path}"
        );
    }
    let nobody = vault
        .send("", Operation::Read, "c/counter/mine", json!({}))
        .await;
    assert!(matches!(nobody, Err(HandleError::NoToken)));
    let stranger = vault
        .send("hvs.x", Operation::Read, "c/counter/mine", json!({}))
        .await;
    assert!(matches!(stranger, Err(HandleError::InvalidToken)));
    assert_eq!(vault.runs.load(Ordering::SeqCst), before);
    // An open path asks nobody, and a bad token does not close it.
    assert!(
        vault
            .send("hvs.x", Operation::Read, "c/open", json!({}))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn existence_decides_between_creating_and_updating() {
    let vault = TestCore::start().await;
    let creator = vault
        .token(
            "path \"c/counter/*\" { capabilities = [\"create\"] }",
            json!({}),
        )
        .await;
    assert!(
        vault
            .send(&creator, Operation::Update, "c/counter/a", json!({}))
            .await
            .is_ok()
    );
    let again = vault
        .send(&creator, Operation::Update, "c/counter/a", json!({}))
        .await;
    assert!(matches!(again, Err(HandleError::Denied)));
}

#[tokio::test]
async fn a_secret_is_put_where_the_engine_points() {
    let vault = TestCore::start().await;
    assert_eq!(
        vault.read("c/secret").await.unwrap(),
        json!({"pin": "1234"})
    );
}

/// node-vault sends a policy's name in the body as well as in the path: the answer was a 200 that
/// only warned of it, where Vault's clients know a 204.
#[tokio::test]
async fn a_field_that_nobody_reads_is_warned_of_where_there_is_an_answer() {
    let vault = TestCore::start().await;
    let warnings = |response: Response| match response.body {
        Body::Envelope(envelope) => envelope.warnings,
        _ => Vec::new(),
    };
    let extra = json!({"by": 1, "zzz": 1});
    let answered = vault.write("c/counter/a", extra.clone()).await.unwrap();
    assert_eq!(
        warnings(answered),
        ["Endpoint ignored these unrecognized parameters: [zzz]"]
    );
    let made = vault
        .write("auth/token/create", extra.clone())
        .await
        .unwrap();
    assert_eq!(
        warnings(made),
        ["Endpoint ignored these unrecognized parameters: [by zzz]"]
    );

    let policy = json!({"name": "tested", "policy": "path \"a\" { capabilities = [\"read\"] }"});
    let written = vault.write("sys/policy/tested", policy).await.unwrap();
    assert!(matches!(written.body, Body::Empty), "{written:?}");
    let nothing = vault
        .send(
            &vault.root,
            Operation::Read,
            "c/counter/none",
            extra.clone(),
        )
        .await;
    assert!(matches!(
        nothing,
        Err(HandleError::Refused {
            refusal: Refusal::NotFound,
            ..
        })
    ));
    // A status of its own comes with warnings of its own.
    assert_eq!(
        warnings(vault.write("c/gone", extra).await.unwrap()),
        ["it is gone"]
    );
}

/// The document is all of the answer. Its envelope is empty, which was taken for nothing: a 404.
#[tokio::test]
async fn the_api_is_described_outside_the_envelope() {
    let vault = TestCore::start().await;
    let path = "sys/internal/specs/openapi";
    let described = vault
        .send(&vault.root, Operation::Read, path, json!({}))
        .await
        .unwrap();
    let Body::Bare(document) = described.body else {
        panic!("{:?}", described.body)
    };
    let document: Value = serde_json::from_str(document.get()).unwrap();
    assert!(
        document["paths"]["/c/counter/{name}"].is_object(),
        "{document}"
    );
}

/// Whatever was sent: there is no key yet that it could be a share of.
#[tokio::test]
async fn before_it_is_initialised_there_is_nothing_to_unseal() {
    let vault = TestCore::fresh(None).await;
    for share in ["00".repeat(33), "00".to_owned(), "no share!".to_owned()] {
        let refused = vault
            .core
            .unseal(&share)
            .await
            .expect_err("nothing to unseal");
        assert_eq!(refused.to_string(), "Vault is not initialized");
    }
}

#[tokio::test]
async fn a_token_ends_at_its_time_and_its_children_with_it() {
    let vault = TestCore::start().await;
    let policy = "path \"auth/token/*\" { capabilities = [\"create\", \"update\", \"read\"] }";
    let parent = vault.token(policy, json!({"ttl": "1h"})).await;
    let made = vault
        .send(
            &parent,
            Operation::Update,
            "auth/token/create",
            json!({"ttl": "24h"}),
        )
        .await;
    let child = match made.unwrap().body {
        Body::Envelope(envelope) => envelope.auth.unwrap().client_token.to_string(),
        body => panic!("{body:?}"),
    };
    let lookup = |token: &str| {
        let token = token.to_owned();
        let vault = &vault;
        async move {
            vault
                .send(&token, Operation::Read, "auth/token/lookup-self", json!({}))
                .await
                .is_ok()
        }
    };
    vault.clock.0.fetch_add(3_599_999, Ordering::SeqCst);
    assert!(lookup(&parent).await && lookup(&child).await);
    vault.clock.0.fetch_add(1, Ordering::SeqCst);
    assert!(!lookup(&parent).await);
    assert!(!lookup(&child).await, "a child outlives its parent");
}

#[tokio::test]
async fn a_clock_that_jumps_extends_nothing() {
    let vault = TestCore::start().await;
    let policy = "path \"auth/token/*\" { capabilities = [\"update\", \"read\"] }";
    let token = vault.token(policy, json!({"ttl": "1h"})).await;
    let start = vault.clock.now_millis();
    let lookup = || vault.send(&token, Operation::Read, "auth/token/lookup-self", json!({}));
    // A year back: no longer than it was granted, counted from its issue.
    vault
        .clock
        .0
        .store(start - 365 * 86_400_000, Ordering::SeqCst);
    vault
        .send(
            &token,
            Operation::Update,
            "auth/token/renew-self",
            json!({}),
        )
        .await
        .unwrap();
    assert!(lookup().await.is_ok());
    vault
        .clock
        .0
        .store(start + 365 * 86_400_000, Ordering::SeqCst);
    assert!(matches!(lookup().await, Err(HandleError::InvalidToken)));
}

#[tokio::test]
async fn sealed_means_that_nothing_answers() {
    let vault = TestCore::start().await;
    vault.core.seal().await.unwrap();
    assert!(matches!(
        vault.read("c/counter/a").await,
        Err(HandleError::Sealed)
    ));
    assert!(matches!(vault.read("none").await, Err(HandleError::Sealed)));
}

#[tokio::test]
async fn a_slash_at_the_end_gets_past_no_rule() {
    let vault = TestCore::start().await;
    let policy = r#"
        path "c/*" { capabilities = ["read"] }
        path "c/counter/a" { capabilities = ["deny"] }
        path "sys/*" { capabilities = ["read", "delete", "list"] }
        path "sys/key-status" { capabilities = ["deny"] }
        path "sys/mounts/c" { capabilities = ["deny"] }
        path "sys/policies/acl" { capabilities = ["list"] }
    "#;
    let token = vault.token(policy, json!({})).await;
    vault.write("c/counter/a", json!({})).await.unwrap();
    vault.write("c/counter/b", json!({})).await.unwrap();
    use Operation::{Delete, List, Read};
    for (operation, path, allowed) in [
        (Read, "c/counter/a/", false),
        (Read, "c/counter/b/", true),
        (Read, "sys/key-status/", false),
        (Read, "sys/mounts/c/", false),
        (Delete, "sys/mounts/c/", false),
        (Read, "sys/mounts/", true),
        (List, "sys/policies/acl/", true),
    ] {
        let answer = vault.send(&token, operation, path, json!({})).await;
        match allowed {
            true => assert!(answer.is_ok(), "{operation:?} {path}: {answer:?}"),
            false => assert!(
                matches!(answer, Err(HandleError::Denied)),
                "{operation:?} {path}: {answer:?}"
            ),
        }
    }
}

#[tokio::test]
async fn a_policy_spelled_otherwise_is_the_same_policy() {
    let vault = TestCore::start().await;
    let policy = r#"
        path "sys/policies/acl/*" { capabilities = ["read", "update", "delete"] }
        path "sys/policies/acl/admin" { capabilities = ["deny"] }
    "#;
    let token = vault.token(policy, json!({})).await;
    let text = json!({"policy": "path \"x\" { capabilities = [\"read\"] }"});
    vault
        .write("sys/policies/acl/admin", text.clone())
        .await
        .unwrap();
    for operation in [Operation::Read, Operation::Update, Operation::Delete] {
        for name in ["admin", "ADMIN", "Admin "] {
            let path = format!("sys/policies/acl/{name}");
            let answer = vault.send(&token, operation, &path, text.clone()).await;
            assert!(
                matches!(answer, Err(HandleError::Denied)),
                "{operation:?} {path}: {answer:?}"
            );
        }
    }
    vault
        .send(&token, Operation::Update, "sys/policies/acl/Other", text)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_family_of_tokens_ends_at_once_and_is_not_endless() {
    let vault = TestCore::start().await;
    let policy = "path \"auth/token/*\" { capabilities = [\"update\", \"read\"] }";
    let first = vault.token(policy, json!({})).await;
    let child = async |token: &str| {
        let made = vault
            .send(token, Operation::Update, "auth/token/create", json!({}))
            .await?;
        match made.body {
            Body::Envelope(envelope) => {
                Ok::<_, HandleError>(envelope.auth.unwrap().client_token.to_string())
            }
            body => panic!("no token: {body:?}"),
        }
    };
    let mut last = first.clone();
    let stopped = loop {
        match child(&last).await {
            Ok(token) => last = token,
            Err(err) => break format!("{err:?}"),
        }
    };
    assert!(stopped.contains("256 ancestors"), "{stopped}");
    // More of a family than one transaction takes.
    for _ in 0..300 {
        child(&first).await.unwrap();
    }
    vault
        .write("auth/token/revoke", json!({"token": first}))
        .await
        .unwrap();
    let lookup = vault.send(&last, Operation::Read, "auth/token/lookup-self", json!({}));
    assert!(matches!(lookup.await, Err(HandleError::InvalidToken)));
    let left = vault
        .send(
            &vault.root,
            Operation::List,
            "auth/token/accessors/",
            json!({}),
        )
        .await;
    assert_eq!(data(left.unwrap())["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_that_makes_children_all_the_time_can_be_revoked() {
    let vault = Arc::new(TestCore::start().await);
    let policy = "path \"auth/token/create\" { capabilities = [\"update\"] }";
    let token = vault.token(policy, json!({})).await;
    let busy: Vec<_> = (0..8)
        .map(|_| {
            let (vault, token) = (vault.clone(), token.clone());
            tokio::spawn(async move {
                let create = "auth/token/create";
                let mut made = 0;
                while made < 5_000 {
                    match vault
                        .send(&token, Operation::Update, create, json!({}))
                        .await
                    {
                        Err(HandleError::InvalidToken) => return true,
                        _ => made += 1,
                    }
                }
                false
            })
        })
        .collect();
    tokio::task::yield_now().await;
    vault
        .write("auth/token/revoke", json!({"token": token}))
        .await
        .unwrap();
    for busy in busy {
        assert!(busy.await.unwrap(), "it went on making children");
    }
}

#[tokio::test]
async fn renewing_gives_no_use_back() {
    let vault = TestCore::start().await;
    let policy = "path \"auth/token/*\" { capabilities = [\"update\", \"read\"] }";
    let token = vault
        .token(policy, json!({"num_uses": 20, "ttl": "1h"}))
        .await;
    let (core, served) = (&vault, AtomicUsize::new(0));
    let uses = (0..60).map(|at| {
        let (token, served) = (&token, &served);
        async move {
            let (operation, path) = match at % 2 {
                0 => (Operation::Update, "auth/token/renew-self"),
                _ => (Operation::Read, "auth/token/lookup-self"),
            };
            if core.send(token, operation, path, json!({})).await.is_ok() {
                served.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let uses: Vec<_> = uses.collect();
    let mut uses: Vec<_> = uses.into_iter().map(Box::pin).collect();
    // All of them a step at a time, so that they meet.
    std::future::poll_fn(|context| {
        uses.retain_mut(|one| one.as_mut().poll(context).is_pending());
        match uses.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    assert!(
        served.load(Ordering::SeqCst) <= 20,
        "{served:?} of 20 were served"
    );
}

#[tokio::test]
async fn what_ended_with_its_ancestor_stays_ended() {
    let vault = TestCore::start().await;
    let policy = "path \"auth/token/*\" { capabilities = [\"update\", \"read\", \"sudo\"] }";
    let parent = vault.token(policy, json!({"ttl": "1h"})).await;
    let made = |token: String| {
        let vault = &vault;
        async move {
            let body = json!({"ttl": "24h"});
            let made = vault
                .send(&token, Operation::Update, "auth/token/create", body)
                .await;
            match made.unwrap().body {
                Body::Envelope(envelope) => envelope.auth.unwrap().client_token.to_string(),
                body => panic!("{body:?}"),
            }
        }
    };
    let child = made(parent).await;
    let grandchild = made(child.clone()).await;
    vault.clock.0.fetch_add(3_600_000, Ordering::SeqCst);
    for path in ["lookup", "renew", "revoke-orphan"] {
        let answer = vault
            .write(&format!("auth/token/{path}"), json!({"token": child}))
            .await;
        assert!(answer.is_err(), "{path}: {answer:?}");
    }
    let lookup = vault.send(
        &grandchild,
        Operation::Read,
        "auth/token/lookup-self",
        json!({}),
    );
    assert!(matches!(lookup.await, Err(HandleError::InvalidToken)));
}

#[tokio::test]
async fn a_name_that_is_none_of_ours_is_not_found_however_long() {
    let vault = TestCore::start().await;
    let long = "x".repeat(1500);
    let accessor = json!({"accessor": long});
    let found = vault.write("auth/token/lookup-accessor", accessor).await;
    assert!(matches!(found, Err(HandleError::InvalidListed(_))));
    let found = vault.read(&format!("sys/remount/status/{long}")).await;
    assert!(matches!(
        found,
        Err(HandleError::Refused {
            refusal: Refusal::NotFound,
            ..
        })
    ));
    let made = vault
        .write("auth/token/create", json!({"display_name": long}))
        .await;
    assert!(matches!(
        made,
        Err(HandleError::Refused {
            refusal: Refusal::InvalidRequest(_),
            ..
        })
    ));
}

#[tokio::test(start_paused = true)]
async fn of_many_writers_of_one_key_each_gets_its_turn() {
    let vault = Arc::new(TestCore::start().await);
    let mut writers = JoinSet::new();
    for _ in 0..16 {
        let vault = vault.clone();
        writers.spawn(async move { vault.write("c/slow/20/a", json!({})).await.map(data) });
    }
    let mut values: Vec<_> = writers
        .join_all()
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    values.sort_by_key(|value| value["value"].as_u64());
    let expected: Vec<_> = (1..=16).map(|n| json!({ "value": n })).collect();
    assert_eq!(values, expected);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_slow_call_is_who_writes_to_its_path_and_may() {
    let vault = Arc::new(TestCore::start().await);
    let stranger = vault
        .token("path \"c/open\" { capabilities = [\"read\"] }", json!({}))
        .await;
    let slow = Duration::from_secs(50);
    let path = |n: usize| format!("c/slow/{}/{n}", slow.as_millis());
    let mut writers = JoinSet::new();
    for n in (0..300).flat_map(|n| [n, n]) {
        let (vault, path) = (vault.clone(), path(n));
        writers.spawn(async move { vault.write(&path, json!({})).await.map(drop) });
    }
    // Of each pair one has lost by then, and runs again in its turn.
    sleep(slow + slow / 2).await;

    let at_once = Duration::from_secs(1);
    let began = Instant::now();
    for n in 0..100 {
        let path = format!("c/counter/other{n}");
        vault.write(&path, json!({})).await.unwrap();
    }
    let policy = json!({"policy": "# none"});
    vault.write("sys/policies/acl/p", policy).await.unwrap();
    vault.write("cubbyhole/a", json!({"a": 1})).await.unwrap();
    let refused = vault
        .send(&stranger, Operation::Update, &path(0), json!({}))
        .await;
    assert!(matches!(refused, Err(HandleError::Denied)));
    assert!(began.elapsed() < at_once, "{:?}", began.elapsed());

    // Who may write waits, but not for ever: then it runs, loses to the slow one, and runs again.
    let waiting = {
        let (vault, path) = (vault.clone(), path(0));
        tokio::spawn(async move { vault.write(&path, json!({})).await.map(data) })
    };
    let value = waiting.await.unwrap().unwrap();
    assert_eq!(value, json!({"value": 3}));
    let took = began.elapsed();
    assert!(took >= slow / 2, "{took:?}");

    let sealing = {
        let vault = vault.clone();
        tokio::spawn(async move { vault.write("sys/seal", json!({})).await.map(drop) })
    };
    let began = Instant::now();
    while !matches!(vault.read("c/open").await, Err(HandleError::Sealed)) {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(began.elapsed() < at_once, "{:?}", began.elapsed());
    sealing.await.unwrap().unwrap();
    assert!(writers.join_all().await.into_iter().all(|end| end.is_ok()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_writers_of_the_hosts_own_records_each_gets_through() {
    let vault = Arc::new(TestCore::start().await);
    let mut writers = JoinSet::new();
    for n in 0..64 {
        let vault = vault.clone();
        writers.spawn(async move {
            let path = format!("sys/policies/acl/p{}", n % 4);
            vault
                .write(&path, json!({"policy": "# none"}))
                .await
                .map(drop)
        });
    }
    for end in writers.join_all().await {
        end.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_request_holds_is_held_until_its_call_has_ended() {
    let vault = TestCore::start().await;
    let held = Arc::new(());
    let mut request = vault.request(&vault.root, Operation::Update, "c/slow/50000/a", json!({}));
    request.held = Some(Box::new(held.clone()));
    let gone = timeout(Duration::from_secs(1), vault.core.handle(request));
    assert!(gone.await.is_err(), "its client goes away");
    sleep(Duration::from_secs(48)).await;
    assert_eq!(Arc::strong_count(&held), 2);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(Arc::strong_count(&held), 1);
}
