//! `kill -9`, again and again: what was acknowledged is there, what was not is there wholly or not at
//! all, and nothing else is there.
//!
//! Eight clients write, each to objects of its own, and to one secret together. Each holds what its
//! objects must look like, and, of the one request that was under way when the server died, what they may look like
//! instead. After each restart every object is read and must be one of the two; what it is, is what it
//! must be from then on. So a write that once showed can never go away again.
//!
//! `COFFER_KILLS` says how often (100); `COFFER_KILL_SEED` repeats the choices of a run, though not its timing.
//!
//! A killed process loses nothing that it handed to the system: what a power cut does is shown under
//! the store's own tests, with a simulated disk.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{Answer, Client, TestVault, say};

const CLIENTS: usize = 8;
/// Of each kind, for each client: few, so that they meet every kind of change often.
const OBJECTS: u64 = 3;
/// As many versions as KV keeps.
const KEPT_VERSIONS: usize = 10;

#[test]
fn a_killed_server_keeps_what_it_acknowledged_and_nothing_else() {
    let kills = setting("COFFER_KILLS").unwrap_or(100);
    let seed = setting("COFFER_KILL_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(0, |now| now.as_nanos() as u64)
    });
    say(&format!(
        "kill: COFFER_KILL_SEED={seed} COFFER_KILLS={kills}"
    ));

    let mut vault = TestVault::start_with(&format!(
        "seal \"static\" {{ current_key = \"{}\" }}",
        "5a".repeat(32)
    ));
    let made = vault.client("").put("sys/init", json!({}));
    let root = made.body["root_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let client = vault.client(&root);
    let mount = json!({"type": "kv", "options": {"version": "2"}});
    assert_eq!(client.post("sys/mounts/secret", mount).status, 204);

    let mut random = Random(seed);
    let mut workers: Vec<_> = (0..CLIENTS)
        .map(|number| Worker::new(number, Random(random.next())))
        .collect();
    let mut shared = Shared::default();
    let (mut acknowledged, mut unknown) = (0, 0);
    for kill in 0..kills {
        let client = vault.client(&root);
        let after = Duration::from_millis(1 + random.below(500));
        std::thread::scope(|scope| {
            for worker in &mut workers {
                let client = client.clone();
                scope.spawn(move || while worker.step(&client) {});
            }
            std::thread::sleep(after);
            vault.kill();
        });
        if random.below(4) == 0 {
            vault.run_and_kill_after(Duration::from_millis(1 + random.below(60)));
        }
        vault.run();
        let client = vault.client(&root);
        std::thread::scope(|scope| {
            for worker in &mut workers {
                let client = client.clone();
                scope.spawn(move || worker.settle(&client));
            }
        });
        shared.settle(&client, &mut workers);
        nothing_foreign(&client, &workers);
        acknowledged += workers
            .iter()
            .map(|worker| worker.acknowledged)
            .sum::<u64>();
        unknown += workers.iter().map(|worker| worker.unknown).sum::<u64>();
        for worker in &mut workers {
            (worker.acknowledged, worker.unknown) = (0, 0);
        }
        assert!(
            kill < 20 || unknown > 0,
            "the kills hit no request: what is unknown is not tried"
        );
    }
    say(&format!(
        "kill: {acknowledged} writes acknowledged and found, {unknown} cut short, {} versions of the shared secret",
        shared.version
    ));
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

/// What a client changes. One of each kind and number is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    /// Looks like `[[version, value], ...]`, the value null where that version was deleted.
    Secret(u64),
    /// Looks like its id.
    Token(u64),
    /// Looks like its text.
    Policy(u64),
    /// Looks like `[description, value of the one record in it]`.
    Mount(u64),
    /// Looks like its number.
    Term,
}

struct Worker {
    number: usize,
    random: Random,
    /// What each object looks like; absent is null.
    objects: BTreeMap<Object, Value>,
    /// The request that was not answered, and what its object looks like if it was done.
    pending: Option<(Object, Value)>,
    /// Versions of the shared secret that this client was told of, and the value it does not know of.
    shared: BTreeMap<u64, String>,
    shared_pending: Option<String>,
    acknowledged: u64,
    unknown: u64,
    /// Tokens that a revocation put out of force without being answered.
    half_revoked: usize,
}

impl Worker {
    fn new(number: usize, random: Random) -> Self {
        let mut objects = BTreeMap::new();
        for n in 0..OBJECTS {
            for object in [Object::Secret(n), Object::Token(n), Object::Policy(n)] {
                objects.insert(object, Value::Null);
            }
        }
        // Mounts and terms touch every record's keys, so one client's are enough.
        if number == 0 {
            objects.insert(Object::Mount(0), Value::Null);
            objects.insert(Object::Mount(1), Value::Null);
            objects.insert(Object::Term, json!(1));
        }
        Self {
            number,
            random,
            objects,
            pending: None,
            shared: BTreeMap::new(),
            shared_pending: None,
            acknowledged: 0,
            unknown: 0,
            half_revoked: 0,
        }
    }

    /// One write, sent and recorded. False when the server is gone.
    fn step(&mut self, client: &Client) -> bool {
        let n = self.random.below(OBJECTS);
        let admin = self.number == 0;
        match self.random.below(16) {
            0 => self.write_shared(client),
            1 | 2 => self.change_token(client, Object::Token(n)),
            3 | 4 => self.change_policy(client, Object::Policy(n)),
            5 if admin => self.change_mount(client, Object::Mount(n % 2)),
            6 if admin && n == 0 => self.rotate(client),
            _ => self.change_secret(client, Object::Secret(n)),
        }
    }

    fn name(&self, object: Object) -> String {
        let w = self.number;
        match object {
            Object::Secret(n) => format!("w{w}/k{n}"),
            Object::Policy(n) => format!("w{w}-p{n}"),
            Object::Mount(n) => format!("m{n}"),
            Object::Token(_) | Object::Term => unreachable!("these have no name"),
        }
    }

    /// A value that nobody else writes and that was never written before, of any size up to some pages.
    fn value(&mut self) -> String {
        let size = match self.random.below(8) {
            0 => self.random.below(20_000),
            _ => self.random.below(200),
        };
        let unique = self.random.next();
        format!(
            "w{} {unique:016x} {}",
            self.number,
            "x".repeat(size as usize)
        )
    }

    fn change_secret(&mut self, client: &Client, object: Object) -> bool {
        let name = self.name(object);
        let mut versions = match &self.objects[&object] {
            Value::Array(versions) => versions.clone(),
            _ => Vec::new(),
        };
        let latest = versions
            .last()
            .map_or(0, |last| last[0].as_u64().expect("a number"));
        match self.random.below(10) {
            0 if latest > 0 => {
                let path = format!("secret/metadata/{name}");
                self.send(client, object, Value::Null, "DELETE", &path, None)
                    .is_some()
            }
            1 | 2 if latest > 0 => {
                versions.last_mut().expect("there is one")[1] = Value::Null;
                let path = format!("secret/data/{name}");
                self.send(client, object, versions.into(), "DELETE", &path, None)
                    .is_some()
            }
            _ => {
                let value = self.value();
                versions.push(json!([latest + 1, value]));
                if versions.len() > KEPT_VERSIONS {
                    versions.remove(0);
                }
                let path = format!("secret/data/{name}");
                let body = json!({"data": {"value": value}});
                let answer = self.send(client, object, versions.into(), "PUT", &path, Some(body));
                if let Some(answer) = &answer {
                    assert_eq!(answer.data()["version"], latest + 1, "{}", answer.text);
                }
                answer.is_some()
            }
        }
    }

    fn change_token(&mut self, client: &Client, object: Object) -> bool {
        match self.objects[&object].clone() {
            Value::String(id) => {
                let body = json!({"token": id});
                self.send(
                    client,
                    object,
                    Value::Null,
                    "PUT",
                    "auth/token/revoke",
                    Some(body),
                )
                .is_some()
            }
            _ => {
                let id = format!("w{}-{:016x}", self.number, self.random.next());
                let body = json!({"id": id, "policies": ["default"], "no_parent": true});
                self.send(
                    client,
                    object,
                    json!(id),
                    "PUT",
                    "auth/token/create",
                    Some(body),
                )
                .is_some()
            }
        }
    }

    fn change_policy(&mut self, client: &Client, object: Object) -> bool {
        let path = format!("sys/policies/acl/{}", self.name(object));
        if !self.objects[&object].is_null() && self.random.below(3) == 0 {
            return self
                .send(client, object, Value::Null, "DELETE", &path, None)
                .is_some();
        }
        let text = format!(
            "path \"secret/data/{:016x}\" {{ capabilities = [\"read\"] }}",
            self.random.next()
        );
        let body = json!({"policy": text});
        self.send(client, object, json!(text), "PUT", &path, Some(body))
            .is_some()
    }

    fn change_mount(&mut self, client: &Client, object: Object) -> bool {
        let name = self.name(object);
        let path = format!("sys/mounts/{name}");
        if self.objects[&object].is_null() {
            let description = format!("{:016x}", self.random.next());
            let body = json!({"type": "kv", "description": description});
            let next = json!([description, null]);
            return self
                .send(client, object, next, "POST", &path, Some(body))
                .is_some();
        }
        if self.random.below(2) == 0 {
            return self
                .send(client, object, Value::Null, "DELETE", &path, None)
                .is_some();
        }
        let value = self.value();
        let mut next = self.objects[&object].clone();
        next[1] = json!(value);
        let body = json!({"value": value});
        self.send(
            client,
            object,
            next,
            "PUT",
            &format!("{name}/record"),
            Some(body),
        )
        .is_some()
    }

    fn rotate(&mut self, client: &Client) -> bool {
        let next = self.objects[&Object::Term].as_u64().expect("a number") + 1;
        self.send(client, Object::Term, json!(next), "PUT", "sys/rotate", None)
            .is_some()
    }

    fn write_shared(&mut self, client: &Client) -> bool {
        let value = self.value();
        let body = json!({"data": {"value": value}}).to_string();
        self.shared_pending = Some(value.clone());
        let Ok(answer) = client.try_send("PUT", "secret/data/shared", Some(&body)) else {
            self.unknown += 1;
            return false;
        };
        self.shared_pending = None;
        // The one secret that clients contend for: nothing was written, and it says so.
        if answer.status == 503 {
            return true;
        }
        self.acknowledged += 1;
        let version = answer.data()["version"].as_u64().expect("a number");
        let before = self.shared.insert(version, value);
        assert_eq!(before, None, "a version was given twice");
        true
    }

    /// Sends what makes `object` look like `next`. None when the server is gone.
    fn send(
        &mut self,
        client: &Client,
        object: Object,
        next: Value,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Option<Answer> {
        self.pending = Some((object, next));
        let body = body.map(|body| body.to_string());
        // Clients of one directory may get in each other's way, and are told to try again.
        let mut tries = 0;
        let answer = loop {
            match client.try_send(method, path, body.as_deref()) {
                Ok(answer) if answer.status == 503 && tries < 20 => tries += 1,
                Ok(answer) => break answer,
                Err(_) => {
                    self.unknown += 1;
                    return None;
                }
            }
        };
        let done = matches!(answer.status, 200 | 204);
        assert!(done, "{method} {path}: {} {}", answer.status, answer.text);
        let (object, next) = self.pending.take().expect("as above");
        self.objects.insert(object, next);
        self.acknowledged += 1;
        Some(answer)
    }

    /// Reads everything: it is what was acknowledged, or in one place what was asked for last.
    fn settle(&mut self, client: &Client) {
        let pending = self.pending.take();
        for object in self.objects.keys().copied().collect::<Vec<_>>() {
            let must = &self.objects[&object];
            let may = pending.as_ref().filter(|(of, _)| *of == object);
            let may = may.map_or(must, |(_, value)| value);
            let found = self.observe(client, object, [must, may]);
            assert!(
                found == *must || found == *may,
                "client {}, {object:?}: found\n{found}\nwhere there must be\n{must}\nor\n{may}",
                self.number
            );
            let revoked = matches!(object, Object::Token(_)) && found.is_null();
            if revoked && !must.is_null() {
                self.half_revoked += 1;
            }
            self.objects.insert(object, found);
        }
    }

    fn observe(&self, client: &Client, object: Object, expected: [&Value; 2]) -> Value {
        match object {
            Object::Secret(_) => observe_secret(client, &self.name(object)),
            Object::Token(_) => {
                let known = expected.iter().find_map(|id| id.as_str());
                let Some(id) = known else { return Value::Null };
                let answer = client.with_token(id).get("auth/token/lookup-self");
                match answer.status {
                    403 => Value::Null,
                    _ => answer.data()["id"].clone(),
                }
            }
            Object::Policy(_) => {
                let path = format!("sys/policies/acl/{}", self.name(object));
                found(client.get(&path), "policy")
            }
            Object::Mount(_) => {
                let name = self.name(object);
                let mounts = client.get("sys/mounts");
                match &mounts.data()[format!("{name}/")] {
                    Value::Null => Value::Null,
                    mount => {
                        let record = client.get(&format!("{name}/record"));
                        json!([mount["description"], found(record, "value")])
                    }
                }
            }
            Object::Term => client.get("sys/key-status").data()["term"].clone(),
        }
    }
}

fn found(answer: Answer, field: &str) -> Value {
    match answer.status {
        404 => Value::Null,
        _ => answer.data()[field].clone(),
    }
}

/// The versions that there are, with the values of the last three; older ones are as the metadata say.
fn observe_secret(client: &Client, name: &str) -> Value {
    let metadata = client.get(&format!("secret/metadata/{name}"));
    if metadata.status == 404 {
        return Value::Null;
    }
    let mut versions: Vec<_> = metadata.data()["versions"]
        .as_object()
        .expect("versions")
        .iter()
        .map(|(number, version)| (number.parse::<u64>().expect("a number"), version))
        .collect();
    versions.sort_by_key(|(number, _)| *number);
    let observed = versions.iter().map(|(number, version)| {
        let answer = client.get(&format!("secret/data/{name}?version={number}"));
        let deleted = version["deletion_time"] != "";
        assert_eq!(deleted, answer.status == 404, "{}", answer.text);
        match deleted {
            true => json!([number, null]),
            false => json!([number, answer.data()["data"]["value"]]),
        }
    });
    observed.collect()
}

/// The one secret that all clients write to.
#[derive(Default)]
struct Shared {
    version: u64,
}

impl Shared {
    /// Each new version is what one client was told, or what one asked for and was not answered.
    fn settle(&mut self, client: &Client, workers: &mut [Worker]) {
        let mut told = BTreeMap::new();
        let mut unknown = Vec::new();
        for worker in workers {
            for (version, value) in std::mem::take(&mut worker.shared) {
                assert!(version > self.version, "a version was given twice");
                assert_eq!(
                    told.insert(version, value),
                    None,
                    "a version was given twice"
                );
            }
            unknown.extend(worker.shared_pending.take());
        }
        let metadata = client.get("secret/metadata/shared");
        let latest = match metadata.status {
            404 => 0,
            _ => metadata.data()["current_version"]
                .as_u64()
                .expect("a number"),
        };
        let last_told = told.keys().last().copied().unwrap_or(self.version);
        assert!(
            latest >= last_told,
            "version {last_told} was told, {latest} is the last"
        );
        for version in self.version + 1..=latest {
            let kept = version + KEPT_VERSIONS as u64 > latest;
            let found = kept.then(|| {
                let answer = client.get(&format!("secret/data/shared?version={version}"));
                answer.data()["data"]["value"]
                    .as_str()
                    .expect("text")
                    .to_owned()
            });
            match (told.get(&version), found) {
                (Some(told), Some(found)) => assert_eq!(found, *told),
                (Some(_), None) => {}
                (None, Some(found)) => {
                    let at = unknown.iter().position(|value| *value == found);
                    unknown.remove(at.unwrap_or_else(|| panic!("nobody asked for {found}")));
                }
                (None, None) => {
                    unknown
                        .pop()
                        .unwrap_or_else(|| panic!("nobody asked for version {version}"));
                }
            }
        }
        self.version = latest;
    }
}

/// Every list shows what the clients have, and nothing else.
fn nothing_foreign(client: &Client, workers: &[Worker]) {
    let mut policies = vec!["default".to_owned(), "root".to_owned()];
    let mut folders = vec!["shared".to_owned()];
    let mut tokens = 1;
    for worker in workers {
        let mut secrets = Vec::new();
        for (object, value) in worker.objects.iter().filter(|(_, value)| !value.is_null()) {
            match object {
                Object::Secret(n) => secrets.push(format!("k{n}")),
                Object::Token(_) => tokens += 1,
                Object::Policy(_) => policies.push(worker.name(*object)),
                Object::Mount(_) if value[1].is_null() => {}
                Object::Mount(_) => {
                    let inside = client.list(&worker.name(*object));
                    assert_eq!(inside.data()["keys"], json!(["record"]));
                }
                Object::Term => {}
            }
        }
        let folder = format!("w{}/", worker.number);
        assert_eq!(keys(client, &format!("secret/metadata/{folder}")), secrets);
        if !secrets.is_empty() {
            folders.push(folder);
        }
    }
    policies.sort();
    let mut listed = keys(client, "sys/policies/acl");
    listed.sort();
    assert_eq!(listed, policies);
    let listed = keys(client, "secret/metadata");
    assert!(
        listed.iter().all(|name| folders.contains(name)),
        "{listed:?}"
    );
    // Of a token whose revocation was cut short, the accessor may be left.
    let half: usize = workers.iter().map(|worker| worker.half_revoked).sum();
    let accessors = keys(client, "auth/token/accessors").len();
    assert!(
        (tokens..=tokens + half).contains(&accessors),
        "{accessors} accessors of {tokens} tokens"
    );
}

fn keys(client: &Client, path: &str) -> Vec<String> {
    let answer = client.list(path);
    if answer.status == 404 {
        return Vec::new();
    }
    let keys = answer.data()["keys"].as_array().expect("keys").iter();
    keys.map(|key| key.as_str().expect("text").to_owned())
        .collect()
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
