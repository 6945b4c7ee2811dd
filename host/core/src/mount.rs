//! The mount table: which engine serves which path, and how.
//!
//! On disk one record a mount, under `mounts/<uuid>` in the host's own records, and one number,
//! `mount-generation`, that every change of the table moves: whoever changes the table has read
//! it, so two changes at once cannot both commit.
//!
//! Invariants
//! - No mount lies above or below another.
//! - A mount keeps its uuid, its accessor and its records when it moves.
//! - The records of a mount are sealed with a key of its own; disabling it destroys the key in
//!   the same commit that takes it off the table.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use host_barrier::{MountId, RecordStamp, Transaction, View};
use host_logical::{Description, Engine, EngineError, EngineKind, Engines, Mount, MountPath};

use crate::Settings;
use crate::builtin::Native;
use crate::error::HandleError;
use crate::pattern::Routes;
use crate::storage::{self, from_view, to_json};

/// The record that moves with every change of the table.
pub(crate) const GENERATION: &str = "mount-generation";
const RECORDS: &str = "mounts/";

/// A mount as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MountRecord {
    /// With a trailing `/`; those of auth methods begin with `auth/`.
    pub(crate) path: String,
    /// Secrets or auth.
    pub(crate) auth: bool,
    /// The engine's name, such as `kv`.
    #[serde(rename = "type")]
    pub(crate) engine: String,
    /// For people.
    pub(crate) description: String,
    /// `<type>_<8 hex>`.
    pub(crate) accessor: String,
    /// Names the mount for good; also, without its dashes, the name of its records.
    pub(crate) uuid: String,
    /// As tuned.
    pub(crate) config: MountConfig,
    /// None and empty are told apart, since clients do.
    pub(crate) options: Option<BTreeMap<String, String>>,
    /// Not replicated; kept for clients that ask.
    pub(crate) local: bool,
    /// Kept for clients that ask: here everything is sealed.
    pub(crate) seal_wrap: bool,
    /// Kept for clients that ask.
    pub(crate) external_entropy_access: bool,
    /// Layout of the engine's records.
    pub(crate) storage_version: u32,
}

/// What tuning sets. A TTL of 0 is the system's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MountConfig {
    pub(crate) default_lease_ttl: u64,
    pub(crate) max_lease_ttl: u64,
    pub(crate) force_no_cache: bool,
    pub(crate) listing_visibility: String,
    pub(crate) passthrough_request_headers: Vec<String>,
    pub(crate) allowed_response_headers: Vec<String>,
    pub(crate) audit_non_hmac_request_keys: Vec<String>,
    pub(crate) audit_non_hmac_response_keys: Vec<String>,
    pub(crate) token_type: String,
}

impl MountRecord {
    /// Whether it serves logins.
    pub(crate) fn kind(&self) -> EngineKind {
        if self.auth {
            EngineKind::Auth
        } else {
            EngineKind::Secrets
        }
    }

    /// The name of its records. The bytes of the uuid, which is ours; anything else is damage.
    pub(crate) fn mount_id(&self) -> Result<MountId, HandleError> {
        MountId::parse(&self.uuid.replace('-', ""))
            .ok_or_else(|| HandleError::Internal("a mount record has a damaged uuid".into()))
    }

    /// As its engine sees it, with the times in effect.
    pub(crate) fn seen_by_engine(&self, settings: &Settings) -> Mount {
        let (default_lease_ttl, max_lease_ttl) = self.effective_ttls(settings);
        Mount {
            path: self.path.clone(),
            accessor: self.accessor.clone(),
            default_lease_ttl,
            max_lease_ttl,
            options: self.options.clone().unwrap_or_default(),
        }
    }

    /// Default and maximum in force.
    pub(crate) fn effective_ttls(&self, settings: &Settings) -> (u64, u64) {
        let max = match self.config.max_lease_ttl {
            0 => settings.max_lease_ttl,
            max => max,
        };
        let default = match self.config.default_lease_ttl {
            0 => settings.default_lease_ttl.min(max),
            default => default,
        };
        (default, max)
    }
}

/// A mount, ready to serve.
pub(crate) struct MountEntry {
    pub(crate) record: MountRecord,
    pub(crate) id: MountId,
    pub(crate) stamp: RecordStamp,
    pub(crate) serves: Serves,
    pub(crate) seen: Arc<Mount>,
    described: OnceCell<Arc<Described>>,
}

/// Who answers on a mount.
#[derive(Clone)]
pub(crate) enum Serves {
    /// Part of the host.
    Native(Native),
    /// A component.
    Component(Arc<dyn Engine>),
    /// An engine that the catalog does not have (any more): the mount stays, its calls say so.
    Missing,
}

/// A description with its patterns compiled.
pub(crate) struct Described {
    pub(crate) description: Arc<Description>,
    pub(crate) routes: Routes,
}

impl Described {
    pub(crate) fn new(description: Arc<Description>) -> Result<Self, EngineError> {
        let routes = Routes::new(&description)
            .map_err(|err| EngineError::Load(format!("its description has a bad path: {err}")))?;
        Ok(Self {
            description,
            routes,
        })
    }
}

impl MountEntry {
    /// What the engine serves with the mount's options. Asked once, then remembered.
    pub(crate) async fn described(&self) -> Result<Arc<Described>, HandleError> {
        let found = self.described.get_or_try_init(|| async {
            match &self.serves {
                Serves::Native(native) => Ok(native.described()),
                Serves::Component(engine) => {
                    let description = engine.describe(&self.seen.options).await?;
                    Ok(Arc::new(Described::new(description)?))
                }
                Serves::Missing => Err(self.missing()),
            }
        });
        found.await.cloned().map_err(|source| self.failed(source))
    }

    /// What a call on a mount without engine answers.
    pub(crate) fn missing(&self) -> EngineError {
        EngineError::Load(format!(
            "no engine named {:?} is in the catalog",
            self.record.engine
        ))
    }

    /// An engine's failure, with the mount's name on it.
    pub(crate) fn failed(&self, source: EngineError) -> HandleError {
        match source {
            EngineError::Refused(refusal) => refusal.into(),
            EngineError::Busy { retry_after } => HandleError::Busy { retry_after },
            source => HandleError::Engine {
                mount: self.record.path.clone(),
                source,
            },
        }
    }
}

/// All mounts at one moment.
pub(crate) struct MountTable {
    generation: u64,
    by_path: BTreeMap<String, Arc<MountEntry>>,
}

impl MountTable {
    /// Reads the table as `txn` sees it. What has not changed since `known` is taken from there,
    /// so that an engine's limit on calls at a time outlives changes elsewhere.
    pub(crate) async fn load(
        txn: &Transaction,
        engines: &dyn Engines,
        settings: &Settings,
        known: Option<&Arc<MountTable>>,
    ) -> Result<Arc<MountTable>, HandleError> {
        let system = storage::system(txn).await?;
        let generation = read_generation(&system).await?;
        if let Some(known) = known.filter(|known| known.generation == generation) {
            return Ok(known.clone());
        }
        let mut by_path = BTreeMap::new();
        for uuid in storage::list_all(&system, RECORDS).await? {
            let (value, stamp) = system
                .get_stamped(&format!("{RECORDS}{uuid}"))
                .await
                .map_err(from_view)?;
            let Some(value) = value else { continue };
            let record: MountRecord = storage::parse_json(&value)?;
            let seen = Arc::new(record.seen_by_engine(settings));
            let old = known.and_then(|known| known.by_uuid(&record.uuid));
            let serves = match Native::named(&record.engine) {
                Some(native) => Serves::Native(native),
                None => match old.map(|old| &old.serves) {
                    Some(Serves::Component(engine)) => Serves::Component(engine.clone()),
                    _ => match engines.engine(record.kind(), &record.engine).await {
                        Ok(Some(engine)) => Serves::Component(engine),
                        Ok(None) => Serves::Missing,
                        Err(err) => {
                            tracing::error!(mount = record.path, error = %storage::chain(&err), "an engine cannot be loaded; its mount does not serve");
                            Serves::Missing
                        }
                    },
                },
            };
            let id = record.mount_id()?;
            let path = record.path.clone();
            let entry = MountEntry {
                record,
                id,
                stamp,
                serves,
                seen,
                described: OnceCell::new(),
            };
            by_path.insert(path, Arc::new(entry));
        }
        Ok(Arc::new(MountTable {
            generation,
            by_path,
        }))
    }

    /// The mount that serves `path`. Since none lies under another, the first prefix is the longest.
    pub(crate) fn find(&self, path: &str) -> Option<&Arc<MountEntry>> {
        let ends = path.match_indices('/').map(|(at, _)| at + 1);
        ends.filter_map(|end| self.by_path.get(&path[..end]))
            .next()
            .or_else(|| {
                // A LIST of the mount itself may come without its slash.
                self.by_path.get(&format!("{path}/"))
            })
    }

    /// The mount at exactly this path.
    pub(crate) fn get(&self, path: &MountPath) -> Option<&Arc<MountEntry>> {
        self.by_path.get(path.as_str())
    }

    /// The mount that stands in the way of one at `path`.
    pub(crate) fn in_the_way(&self, path: &MountPath) -> Option<&Arc<MountEntry>> {
        self.by_path
            .values()
            .find(|entry| MountPath::parse(&entry.record.path).is_ok_and(|it| it.overlaps(path)))
    }

    /// In the order of their paths.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<MountEntry>> {
        self.by_path.values()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_path.len()
    }

    fn by_uuid(&self, uuid: &str) -> Option<&Arc<MountEntry>> {
        self.by_path
            .values()
            .find(|entry| entry.record.uuid == uuid)
    }
}

/// Adds or replaces a mount's record in `txn`.
pub(crate) async fn write(txn: &Transaction, record: &MountRecord) -> Result<(), HandleError> {
    let system = storage::system(txn).await?;
    move_generation(&system).await?;
    let key = format!("{RECORDS}{}", record.uuid);
    system.put(&key, &to_json(record)?).await.map_err(from_view)
}

/// Takes a mount's record away in `txn`.
pub(crate) async fn remove(txn: &Transaction, record: &MountRecord) -> Result<(), HandleError> {
    let system = storage::system(txn).await?;
    move_generation(&system).await?;
    system
        .delete(&format!("{RECORDS}{}", record.uuid))
        .await
        .map_err(from_view)
}

async fn read_generation(system: &View) -> Result<u64, HandleError> {
    match system.get(GENERATION).await.map_err(from_view)? {
        Some(value) => storage::parse_json(&value),
        None => Ok(0),
    }
}

async fn move_generation(system: &View) -> Result<(), HandleError> {
    let generation = read_generation(system).await?.saturating_add(1);
    system
        .put(GENERATION, &to_json(&generation)?)
        .await
        .map_err(from_view)
}
