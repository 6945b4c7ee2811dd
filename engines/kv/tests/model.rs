//! Random stories, told to the engine and to a model that is too simple to be wrong: a map of maps
//! in memory. Each begins with version 1 and is upgraded on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coffer_sdk::testing::{Reply, TestHost};
use coffer_sdk::time::Timestamp;
use coffer_sdk::{Operation, json};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value};

/// Keys beside folders, and keys that look like another key's version.
const PATHS: [&str; 4] = ["a", "a/1", "b", "a/1/2"];

#[derive(Clone, Debug)]
enum Step {
    Put { cas: Option<u64> },
    Patch { cas: Option<u64> },
    Read { version: u64 },
    ReadMetadata,
    Delete,
    DeleteVersions(Vec<u64>),
    Undelete(Vec<u64>),
    Destroy(Vec<u64>),
    Remove,
    SetKey(Settings),
    SetMount(Settings),
    Wait { seconds: u64 },
    List,
}

#[derive(Clone, Debug, Default)]
struct Settings {
    max_versions: u64,
    cas_required: bool,
    delete_version_after: i64,
}

fn step() -> impl Strategy<Value = Step> {
    let cas = || prop_oneof![3 => Just(None), 1 => (0..4_u64).prop_map(Some)];
    let numbers = || vec(0..6_u64, 1..3);
    let settings = |least| {
        (0..4_u64, prop::bool::weighted(0.2), least..4_i64).prop_map(
            |(max_versions, cas_required, delete_version_after)| Settings {
                max_versions,
                cas_required,
                delete_version_after,
            },
        )
    };
    prop_oneof![
        8 => cas().prop_map(|cas| Step::Put { cas }),
        3 => cas().prop_map(|cas| Step::Patch { cas }),
        4 => (0..6_u64).prop_map(|version| Step::Read { version }),
        2 => Just(Step::ReadMetadata),
        2 => Just(Step::Delete),
        2 => numbers().prop_map(Step::DeleteVersions),
        2 => numbers().prop_map(Step::Undelete),
        1 => numbers().prop_map(Step::Destroy),
        1 => Just(Step::Remove),
        1 => settings(0).prop_map(Step::SetKey),
        1 => settings(-1).prop_map(Step::SetMount),
        2 => (0..4_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::List),
    ]
}

proptest! {
    #[test]
    fn the_engine_answers_as_the_model_does(
        before in vec((0..PATHS.len(), 0..4_u8), 0..12),
        story in vec((0..PATHS.len(), step()), 0..60),
    ) {
        let mut kv = TestHost::new(&engines_kv::engine);
        let mut model = Model::new(kv.now());
        for (written, (path, what)) in (0..).zip(before) {
            model.version_1(&mut kv, PATHS[path], what, written)?;
        }
        kv.tune(&[("version", "2")]).unwrap();
        for (written, (path, step)) in (1000..).zip(story) {
            model.version_2(&mut kv, PATHS[path], &step, written)?;
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
    data: Option<Map<String, Value>>,
}

impl Version {
    fn is_live(&self, now: Timestamp) -> bool {
        self.data.is_some() && self.deletion.is_none_or(|time| now < time)
    }

    fn metadata(&self, number: u64) -> Value {
        json!({
            "created_time": self.created.to_string(),
            "custom_metadata": null,
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
                    data: data.as_object().cloned(),
                };
                key.versions.insert(1, version);
                self.keys.insert(path, key);
            }
            2 => {
                let stored = self.keys.get(path).map(|key| key.versions[&1].data.clone());
                match stored.flatten() {
                    Some(data) => same(kv.read(path), 200, Value::Object(data))?,
                    None => same(kv.read(path), 404, Value::Null)?,
                }
            }
            _ => {
                same(kv.delete(path), 204, Value::Null)?;
                self.keys.remove(path);
            }
        }
        Ok(())
    }

    fn version_2(
        &mut self,
        kv: &mut TestHost,
        path: &'static str,
        step: &Step,
        written: u64,
    ) -> Checked {
        let now = self.now;
        match step {
            Step::Wait { seconds } => {
                kv.advance(Duration::from_secs(*seconds));
                self.now = kv.now();
            }
            Step::SetMount(settings) => {
                self.mount = Some(settings.clone());
                same(kv.write("config", settings.json()), 204, Value::Null)?;
            }
            Step::SetKey(settings) => {
                let key = self.keys.entry(path).or_insert_with(|| Key::new(now));
                key.settings = settings.clone();
                let mandated = self.mount.as_ref().is_some_and(|mount| mount.cas_required);
                let warned = mandated && !settings.cas_required;
                let status = if warned { 200 } else { 204 };
                let reply = kv.write(&format!("metadata/{path}"), settings.json());
                same(reply, status, Value::Null)?;
            }
            Step::Put { cas } => {
                let data = json!({ "n": written });
                let reply = kv.write(&format!("data/{path}"), body(&data, *cas));
                let key = self.keys.get(path).cloned();
                let key = key.unwrap_or_else(|| Key::new(now));
                self.write(path, key, data, *cas, reply)?;
            }
            Step::Patch { cas } => {
                let patch = json!({ "p": written, "n": null });
                let reply = kv.patch(&format!("data/{path}"), body(&patch, *cas));
                let Some(key) = self.keys.get(path).cloned() else {
                    return same(reply, 404, Value::Null);
                };
                if !self.cas_holds(&key, *cas) {
                    return same(reply, 400, Value::Null);
                }
                let Some(latest) = key.versions.get(&key.current) else {
                    return same(reply, 404, Value::Null);
                };
                if !latest.is_live(now) {
                    return same(reply, 404, latest.metadata(key.current));
                }
                let mut merged = latest.data.clone().unwrap_or_default();
                merged.remove("n");
                merged.insert("p".into(), json!(written));
                self.write(path, key, Value::Object(merged), *cas, reply)?;
            }
            Step::Read { version } => {
                let query = json!({ "version": version });
                let reply = kv.call(Operation::Read, &format!("data/{path}"), query);
                let key = self.keys.get(path);
                let number = match version {
                    0 => key.map_or(0, |key| key.current),
                    number => *number,
                };
                let Some(version) = key.and_then(|key| key.versions.get(&number)) else {
                    return same(reply, 404, Value::Null);
                };
                let live = version.is_live(now);
                let data = version.data.clone().filter(|_| live);
                let (status, metadata) = (if live { 200 } else { 404 }, version.metadata(number));
                same(reply, status, json!({"data": data, "metadata": metadata}))?;
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
            Step::List => {
                let names: BTreeSet<String> = self
                    .keys
                    .keys()
                    .map(|path| match path.split_once('/') {
                        Some((folder, _)) => format!("{folder}/"),
                        None => (*path).to_owned(),
                    })
                    .collect();
                let reply = kv.list("metadata");
                if names.is_empty() {
                    same(reply, 404, Value::Null)?;
                } else {
                    same(reply, 200, json!({ "keys": names }))?;
                }
            }
        }
        Ok(())
    }

    fn write(
        &mut self,
        path: &'static str,
        mut key: Key,
        data: Value,
        cas: Option<u64>,
        reply: Reply,
    ) -> Checked {
        if !self.cas_holds(&key, cas) {
            return same(reply, 400, Value::Null);
        }
        let version = Version {
            created: self.now,
            deletion: self.deletion(&key),
            data: data.as_object().cloned(),
        };
        key.current += 1;
        key.updated = self.now;
        same(reply, 200, version.metadata(key.current))?;
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

    fn cas_holds(&self, key: &Key, cas: Option<u64>) -> bool {
        let mandated = self.mount.as_ref().is_some_and(|mount| mount.cas_required);
        match cas {
            Some(cas) => cas == key.current,
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
            created: now,
            updated: now,
            current: 0,
            oldest: 0,
            versions: BTreeMap::new(),
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
            "custom_metadata": null,
            "delete_version_after": format!("{}s", self.settings.delete_version_after),
            "max_versions": self.settings.max_versions,
            "oldest_version": self.oldest,
            "updated_time": self.updated.to_string(),
            "versions": versions.collect::<Map<_, _>>(),
        })
    }
}

impl Settings {
    fn json(&self) -> Value {
        json!({
            "max_versions": self.max_versions,
            "cas_required": self.cas_required,
            "delete_version_after": self.delete_version_after,
        })
    }
}

fn body(data: &Value, cas: Option<u64>) -> Value {
    match cas {
        Some(cas) => json!({"data": data, "options": {"cas": cas}}),
        None => json!({"data": data}),
    }
}
