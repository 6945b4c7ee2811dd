//! Random stories, told to the engine and to a model that is too simple to be wrong: a map of maps
//! in memory. Each begins with version 1 and is upgraded on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coffer_sdk::testing::{Reply, TestHost};
use coffer_sdk::time::Timestamp;
use coffer_sdk::{Operation, json};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value};

/// Keys beside folders, and keys that look like another key's version.
const PATHS: [&str; 4] = ["a", "a/1", "b", "a/1/2"];

#[derive(Clone, Debug)]
enum Step {
    Put {
        cas: Option<Cas>,
        data: Value,
    },
    Patch {
        cas: Option<Cas>,
        patch: Value,
    },
    Read {
        version: u64,
    },
    Subkeys {
        version: u64,
        depth: usize,
    },
    ReadMetadata,
    Delete,
    DeleteVersions(Vec<u64>),
    Undelete(Vec<u64>),
    Destroy(Vec<u64>),
    Remove,
    SetKey(Sent),
    PatchKey(Sent),
    SetMount(Sent),
    ReadMount,
    Wait {
        seconds: u64,
    },
    List {
        after: Option<&'static str>,
        limit: usize,
    },
}

/// What a write says it replaces.
#[derive(Clone, Copy, Debug)]
enum Cas {
    Number(u64),
    /// The right number, or its text.
    Current {
        text: bool,
    },
    /// As 0.
    Null,
}

#[derive(Clone, Debug, Default)]
struct Settings {
    max_versions: u64,
    cas_required: bool,
    delete_version_after: i64,
}

/// Fields that were sent; `Some(None)` is a null.
#[derive(Clone, Debug, Default)]
struct Sent {
    max_versions: Option<Option<u64>>,
    cas_required: Option<Option<bool>>,
    delete_version_after: Option<Option<i64>>,
    custom_metadata: Option<Option<Texts>>,
}

/// Custom metadata, in which a patch may hold nulls.
type Texts = BTreeMap<&'static str, Option<&'static str>>;

fn step() -> impl Strategy<Value = Step> {
    let cas = || {
        let cas = prop_oneof![
            (0..4_u64).prop_map(Cas::Number),
            any::<bool>().prop_map(|text| Cas::Current { text }),
            Just(Cas::Null),
        ];
        prop::option::weighted(0.35, cas)
    };
    let numbers = || vec(0..6_u64, 1..3);
    prop_oneof![
        8 => (cas(), data()).prop_map(|(cas, data)| Step::Put { cas, data }),
        4 => (cas(), object()).prop_map(|(cas, patch)| Step::Patch { cas, patch }),
        4 => (0..6_u64).prop_map(|version| Step::Read { version }),
        2 => (0..6_u64, 0..4_usize).prop_map(|(version, depth)| Step::Subkeys { version, depth }),
        2 => Just(Step::ReadMetadata),
        2 => Just(Step::Delete),
        2 => numbers().prop_map(Step::DeleteVersions),
        2 => numbers().prop_map(Step::Undelete),
        1 => numbers().prop_map(Step::Destroy),
        1 => Just(Step::Remove),
        2 => sent(0, false).prop_map(Step::SetKey),
        1 => sent(0, true).prop_map(Step::PatchKey),
        1 => sent(-1, false).prop_map(Step::SetMount),
        1 => Just(Step::ReadMount),
        2 => (0..4_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => (prop::option::of(prop::sample::select(vec!["1", "a", "a/", "z"])), 0..3_usize)
            .prop_map(|(after, limit)| Step::List { after, limit }),
    ]
}

/// A secret: mostly an object, but null is data too.
fn data() -> impl Strategy<Value = Value> {
    prop_oneof![9 => object(), 1 => Just(Value::Null)]
}

/// An object with objects in it, and few names, so that patches meet what they change.
fn object() -> impl Strategy<Value = Value> {
    let name = || prop::sample::select(vec!["x", "y", "z"]).prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(Value::Null),
        (0..9_u8).prop_map(Value::from),
        Just(json!([{"x": null}])),
    ];
    let value = leaf.prop_recursive(3, 9, 3, move |inner| {
        btree_map(name(), inner, 0..3).prop_map(|members| json!(members))
    });
    btree_map(name(), value, 0..4).prop_map(|members| json!(members))
}

/// A value, or a null where there may be one.
fn or_null<T: std::fmt::Debug>(
    value: impl Strategy<Value = T>,
    nulls: bool,
) -> impl Strategy<Value = Option<T>> {
    (value, prop::bool::weighted(0.3))
        .prop_map(move |(value, null)| (!nulls || !null).then_some(value))
}

fn sent(least: i64, nulls: bool) -> impl Strategy<Value = Sent> {
    fn maybe<T: std::fmt::Debug>(
        value: impl Strategy<Value = T>,
        nulls: bool,
    ) -> impl Strategy<Value = Option<Option<T>>> {
        prop::option::weighted(0.6, or_null(value, nulls))
    }
    let text = or_null(prop::sample::select(vec!["text", "other"]), nulls);
    let texts = btree_map(prop::sample::select(vec!["one", "two"]), text, 0..3);
    (
        maybe(0..4_u64, nulls),
        maybe(prop::bool::weighted(0.2), nulls),
        maybe(least..4_i64, nulls),
        maybe(texts, nulls),
    )
        .prop_map(
            |(max_versions, cas_required, delete_version_after, custom_metadata)| Sent {
                max_versions,
                cas_required,
                delete_version_after,
                custom_metadata,
            },
        )
}

/// 10,000 stories in CI, times `COFFER_TEST_FACTOR`.
fn config() -> ProptestConfig {
    let factor = std::env::var("COFFER_TEST_FACTOR").map_or(1, |factor| {
        factor.parse().expect("COFFER_TEST_FACTOR is a number")
    });
    ProptestConfig {
        cases: 10_000 * factor,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_engine_answers_as_the_model_does(
        before in vec((0..PATHS.len(), 0..5_u8), 0..12),
        story in vec((0..PATHS.len(), step()), 0..60),
    ) {
        let mut kv = TestHost::new(&engines_kv::engine);
        let mut model = Model::new(kv.now());
        for (written, (path, what)) in (0..).zip(before) {
            model.version_1(&mut kv, PATHS[path], what, written)?;
        }
        kv.tune(&[("version", "2")]).unwrap();
        for (path, step) in story {
            model.version_2(&mut kv, PATHS[path], &step)?;
            model.check_storage(&kv)?;
        }
    }
}

struct Model {
    now: Timestamp,
    mount: Option<Settings>,
    keys: BTreeMap<&'static str, Key>,
}

#[derive(Clone)]
struct Key {
    settings: Settings,
    custom_metadata: BTreeMap<&'static str, &'static str>,
    created: Timestamp,
    updated: Timestamp,
    current: u64,
    oldest: u64,
    versions: BTreeMap<u64, Version>,
}

#[derive(Clone)]
struct Version {
    created: Timestamp,
    deletion: Option<Timestamp>,
    /// None once destroyed.
    data: Option<Value>,
}

impl Version {
    fn is_live(&self, now: Timestamp) -> bool {
        self.data.is_some() && self.deletion.is_none_or(|time| now < time)
    }

    fn metadata(&self, number: u64, key: &Key) -> Value {
        json!({
            "created_time": self.created.to_string(),
            "custom_metadata": key.custom_metadata_json(),
            "deletion_time": text(self.deletion),
            "destroyed": self.data.is_none(),
            "version": number,
        })
    }
}

fn text(time: Option<Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

type Checked = Result<(), TestCaseError>;

fn same(reply: Reply, status: u16, data: Value) -> Checked {
    prop_assert_eq!(
        (reply.status, reply.data),
        (status, data),
        "{}",
        reply.error
    );
    Ok(())
}

/// An empty listing is not found.
fn same_names(reply: Reply, names: Vec<String>) -> Checked {
    if names.is_empty() {
        same(reply, 404, Value::Null)
    } else {
        same(reply, 200, json!({ "keys": names }))
    }
}

impl Model {
    fn new(now: Timestamp) -> Self {
        Self {
            now,
            mount: None,
            keys: BTreeMap::new(),
        }
    }

    fn version_1(
        &mut self,
        kv: &mut TestHost,
        path: &'static str,
        what: u8,
        written: u64,
    ) -> Checked {
        match what {
            0 | 1 => {
                let data = json!({ "n": written });
                same(kv.write(path, data.clone()), 204, Value::Null)?;
                let mut key = Key::new(self.now);
                key.current = 1;
                let version = Version {
                    created: self.now,
                    deletion: None,
                    data: Some(data),
                };
                key.versions.insert(1, version);
                self.keys.insert(path, key);
            }
            2 => {
                let stored = self.keys.get(path).map(|key| key.versions[&1].data.clone());
                match stored.flatten() {
                    Some(data) => same(kv.read(path), 200, data)?,
                    None => same(kv.read(path), 404, Value::Null)?,
                }
            }
            3 => {
                same(kv.delete(path), 204, Value::Null)?;
                self.keys.remove(path);
            }
            _ => same_names(kv.list(""), self.names("", None, 0))?,
        }
        Ok(())
    }

    fn version_2(&mut self, kv: &mut TestHost, path: &'static str, step: &Step) -> Checked {
        let now = self.now;
        match step {
            Step::Wait { seconds } => {
                kv.advance(Duration::from_secs(*seconds));
                self.now = kv.now();
            }
            Step::SetMount(sent) => {
                if sent.settings() {
                    sent.apply(self.mount.get_or_insert_default());
                }
                same(kv.write("config", sent.json()), 204, Value::Null)?;
            }
            Step::ReadMount => {
                let settings = self.mount.clone().unwrap_or_default();
                let shown = json!({
                    "cas_required": settings.cas_required,
                    "delete_version_after": format!("{}s", settings.delete_version_after),
                    "max_versions": settings.max_versions,
                });
                same(kv.read("config"), 200, shown)?;
            }
            Step::SetKey(sent) => {
                if sent.settings() || sent.custom_metadata.is_some() {
                    let key = self.keys.entry(path).or_insert_with(|| Key::new(now));
                    sent.apply(&mut key.settings);
                    if let Some(Some(texts)) = &sent.custom_metadata {
                        key.custom_metadata.clear();
                        key.merge_texts(texts);
                    }
                }
                let reply = kv.write(&format!("metadata/{path}"), sent.json());
                same(reply, self.status_of_settings(sent), Value::Null)?;
            }
            Step::PatchKey(sent) => {
                let reply = kv.patch(&format!("metadata/{path}"), sent.json());
                let status = self.status_of_settings(sent);
                let Some(key) = self.keys.get_mut(path) else {
                    return same(reply, 404, Value::Null);
                };
                sent.apply(&mut key.settings);
                match &sent.custom_metadata {
                    None => {}
                    Some(None) => key.custom_metadata.clear(),
                    Some(Some(texts)) => key.merge_texts(texts),
                }
                same(reply, status, Value::Null)?;
            }
            Step::Put { cas, data } => {
                let key = self.keys.get(path).cloned();
                let key = key.unwrap_or_else(|| Key::new(now));
                let reply = kv.write(&format!("data/{path}"), body(data, *cas, &key));
                self.write(path, key, data.clone(), *cas, reply)?;
            }
            Step::Patch { cas, patch } => {
                let key = self.keys.get(path).cloned();
                let sent = body(patch, *cas, &key.clone().unwrap_or_else(|| Key::new(now)));
                let reply = kv.patch(&format!("data/{path}"), sent);
                let Some(key) = key else {
                    return same(reply, 404, Value::Null);
                };
                if !self.cas_holds(&key, *cas) {
                    return same(reply, 400, Value::Null);
                }
                let Some(latest) = key.versions.get(&key.current) else {
                    return same(reply, 404, Value::Null);
                };
                if !latest.is_live(now) {
                    return same(reply, 404, latest.metadata(key.current, &key));
                }
                let merged = merged(latest.data.as_ref(), patch);
                self.write(path, key, merged, *cas, reply)?;
            }
            Step::Read { version } => {
                let query = json!({ "version": version });
                let reply = kv.call(Operation::Read, &format!("data/{path}"), query);
                self.shown(path, *version, "data", Value::clone, reply)?;
            }
            Step::Subkeys { version, depth } => {
                let query = json!({ "version": version, "depth": depth });
                let reply = kv.call(Operation::Read, &format!("subkeys/{path}"), query);
                let levels = if *depth == 0 { usize::MAX } else { *depth };
                self.shown(
                    path,
                    *version,
                    "subkeys",
                    |data| names_in(data, levels),
                    reply,
                )?;
            }
            Step::ReadMetadata => {
                let reply = kv.read(&format!("metadata/{path}"));
                match self.keys.get(path) {
                    None => same(reply, 404, Value::Null)?,
                    Some(key) => same(reply, 200, key.json())?,
                }
            }
            Step::Delete => {
                same(kv.delete(&format!("data/{path}")), 204, Value::Null)?;
                let current = self.keys.get(path).map_or(0, |key| key.current);
                self.delete_versions(path, &[current]);
            }
            Step::DeleteVersions(numbers) => {
                let reply = kv.write(&format!("delete/{path}"), json!({ "versions": numbers }));
                same(reply, 204, Value::Null)?;
                self.delete_versions(path, numbers);
            }
            Step::Undelete(numbers) => {
                let reply = kv.write(&format!("undelete/{path}"), json!({ "versions": numbers }));
                same(reply, 204, Value::Null)?;
                let deletion = self.keys.get(path).and_then(|key| self.deletion(key));
                self.for_each(path, numbers, |version| {
                    if version.data.is_some() {
                        version.deletion = deletion;
                    }
                });
            }
            Step::Destroy(numbers) => {
                let reply = kv.write(&format!("destroy/{path}"), json!({ "versions": numbers }));
                same(reply, 204, Value::Null)?;
                self.for_each(path, numbers, |version| version.data = None);
            }
            Step::Remove => {
                same(kv.delete(&format!("metadata/{path}")), 204, Value::Null)?;
                self.keys.remove(path);
            }
            Step::List { after, limit } => {
                // The folder of that name, or the top.
                let folder = if path == "b" { "" } else { path };
                let query = json!({ "after": after.unwrap_or_default(), "limit": limit });
                let reply = kv.call(Operation::List, &format!("metadata/{folder}"), query);
                same_names(reply, self.names(folder, *after, *limit))?;
            }
        }
        Ok(())
    }

    /// A version, or what `view` makes of it, under `name`.
    fn shown(
        &self,
        path: &str,
        version: u64,
        name: &str,
        view: impl Fn(&Value) -> Value,
        reply: Reply,
    ) -> Checked {
        let Some(key) = self.keys.get(path) else {
            return same(reply, 404, Value::Null);
        };
        let number = if version == 0 { key.current } else { version };
        let Some(version) = key.versions.get(&number) else {
            return same(reply, 404, Value::Null);
        };
        let data = version.data.as_ref().filter(|_| version.is_live(self.now));
        let status = if data.is_some() { 200 } else { 404 };
        let metadata = version.metadata(number, key);
        same(
            reply,
            status,
            json!({name: data.map(view), "metadata": metadata}),
        )
    }

    /// The names in a folder.
    fn names(&self, folder: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let below = self
            .keys
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix));
        let names: BTreeSet<String> = below
            .map(|path| match path.split_once('/') {
                Some((folder, _)) => format!("{folder}/"),
                None => path.to_owned(),
            })
            .collect();
        let names = names
            .into_iter()
            .filter(|name| name.as_str() > after.unwrap_or_default());
        names
            .take(if limit == 0 { usize::MAX } else { limit })
            .collect()
    }

    /// 200 with a warning for who would be let off what the mount demands.
    fn status_of_settings(&self, sent: &Sent) -> u16 {
        let mandated = self.mount.as_ref().is_some_and(|mount| mount.cas_required);
        if mandated && sent.cas_required == Some(Some(false)) {
            200
        } else {
            204
        }
    }

    fn write(
        &mut self,
        path: &'static str,
        mut key: Key,
        data: Value,
        cas: Option<Cas>,
        reply: Reply,
    ) -> Checked {
        if !self.cas_holds(&key, cas) {
            return same(reply, 400, Value::Null);
        }
        let version = Version {
            created: self.now,
            deletion: self.deletion(&key),
            data: Some(data),
        };
        key.current += 1;
        key.updated = self.now;
        same(reply, 200, version.metadata(key.current, &key))?;
        key.versions.insert(key.current, version);
        let mount = self.mount.clone().unwrap_or_default();
        let max_versions = match mount.max_versions.max(key.settings.max_versions) {
            0 => 10,
            max_versions => max_versions,
        };
        if key.current - key.oldest >= max_versions {
            key.oldest = key.current - max_versions + 1;
            key.versions.retain(|number, _| *number >= key.oldest);
        }
        self.keys.insert(path, key);
        Ok(())
    }

    fn cas_holds(&self, key: &Key, cas: Option<Cas>) -> bool {
        let mandated = self.mount.as_ref().is_some_and(|mount| mount.cas_required);
        match cas {
            Some(Cas::Number(number)) => number == key.current,
            Some(Cas::Null) => key.current == 0,
            Some(Cas::Current { .. }) => true,
            None => !(mandated || key.settings.cas_required),
        }
    }

    fn deletion(&self, key: &Key) -> Option<Timestamp> {
        let mount = self.mount.clone().unwrap_or_default().delete_version_after;
        let times = [mount, key.settings.delete_version_after];
        let seconds = times.into_iter().filter(|seconds| *seconds > 0).min()?;
        (mount >= 0).then(|| self.now.plus(Duration::from_secs(seconds as u64)))
    }

    fn delete_versions(&mut self, path: &str, numbers: &[u64]) {
        let now = self.now;
        self.for_each(path, numbers, |version| {
            if version.is_live(now) {
                version.deletion = Some(now);
            }
        });
    }

    fn for_each(&mut self, path: &str, numbers: &[u64], change: impl Fn(&mut Version)) {
        let Some(key) = self.keys.get_mut(path) else {
            return;
        };
        for number in numbers {
            if let Some(version) = key.versions.get_mut(number) {
                change(version);
            }
        }
    }

    /// Nothing is stored but what the model knows of: a record for each key, and one for the data
    /// of each older version.
    fn check_storage(&self, kv: &TestHost) -> Checked {
        let older = |key: &Key| {
            let data = key
                .versions
                .iter()
                .filter(|(number, version)| **number != key.current && version.data.is_some());
            data.count()
        };
        let records: usize = self.keys.values().map(|key| 1 + older(key)).sum();
        let config = usize::from(self.mount.is_some());
        prop_assert_eq!(kv.stored().len(), records + config);
        Ok(())
    }
}

impl Key {
    fn new(now: Timestamp) -> Self {
        Self {
            settings: Settings::default(),
            custom_metadata: BTreeMap::new(),
            created: now,
            updated: now,
            current: 0,
            oldest: 0,
            versions: BTreeMap::new(),
        }
    }

    fn merge_texts(&mut self, texts: &Texts) {
        for (name, text) in texts {
            match text {
                Some(text) => drop(self.custom_metadata.insert(name, text)),
                None => drop(self.custom_metadata.remove(name)),
            }
        }
    }

    fn custom_metadata_json(&self) -> Value {
        match self.custom_metadata.is_empty() {
            true => Value::Null,
            false => json!(self.custom_metadata),
        }
    }

    fn json(&self) -> Value {
        let versions = self.versions.iter().map(|(number, version)| {
            let summary = json!({
                "created_time": version.created.to_string(),
                "deletion_time": text(version.deletion),
                "destroyed": version.data.is_none(),
            });
            (number.to_string(), summary)
        });
        json!({
            "cas_required": self.settings.cas_required,
            "created_time": self.created.to_string(),
            "current_version": self.current,
            "custom_metadata": self.custom_metadata_json(),
            "delete_version_after": format!("{}s", self.settings.delete_version_after),
            "max_versions": self.settings.max_versions,
            "oldest_version": self.oldest,
            "updated_time": self.updated.to_string(),
            "versions": versions.collect::<Map<_, _>>(),
        })
    }
}

impl Sent {
    /// Whether any setting was sent.
    fn settings(&self) -> bool {
        self.max_versions.is_some()
            || self.cas_required.is_some()
            || self.delete_version_after.is_some()
    }

    /// A null unsets.
    fn apply(&self, settings: &mut Settings) {
        if let Some(sent) = self.max_versions {
            settings.max_versions = sent.unwrap_or_default();
        }
        if let Some(sent) = self.cas_required {
            settings.cas_required = sent.unwrap_or_default();
        }
        if let Some(sent) = self.delete_version_after {
            settings.delete_version_after = sent.unwrap_or_default();
        }
    }

    fn json(&self) -> Value {
        let fields = [
            ("max_versions", self.max_versions.map(|sent| json!(sent))),
            ("cas_required", self.cas_required.map(|sent| json!(sent))),
            (
                "delete_version_after",
                self.delete_version_after.map(|sent| json!(sent)),
            ),
            (
                "custom_metadata",
                self.custom_metadata.as_ref().map(|sent| json!(sent)),
            ),
        ];
        let sent = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(sent.collect())
    }
}

/// RFC 7396, as it is told there.
fn merged(target: Option<&Value>, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut merged = match target {
        Some(Value::Object(target)) => target.clone(),
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            merged.remove(name);
        } else {
            let value = self::merged(merged.get(name), value);
            merged.insert(name.clone(), value);
        }
    }
    Value::Object(merged)
}

/// Null for each leaf; what has no names, or lies deeper than `levels`, is one.
fn names_in(data: &Value, levels: usize) -> Value {
    match data {
        Value::Object(members) if levels > 0 && !members.is_empty() => members
            .iter()
            .map(|(name, value)| (name.clone(), names_in(value, levels - 1)))
            .collect(),
        _ => Value::Null,
    }
}

fn body(data: &Value, cas: Option<Cas>, key: &Key) -> Value {
    let cas = match cas {
        None => return json!({"data": data}),
        Some(Cas::Number(number)) => json!(number),
        Some(Cas::Current { text: false }) => json!(key.current),
        Some(Cas::Current { text: true }) => json!(key.current.to_string()),
        Some(Cas::Null) => Value::Null,
    };
    json!({"data": data, "options": {"cas": cas}})
}
