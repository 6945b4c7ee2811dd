//! What is read at every request and rarely changes: the mount table, and policies merged for
//! a token. Kept until the barrier says that the records behind them have changed, which it
//! says before the change is acknowledged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use host_barrier::{Barrier, MountId, Revision, Watch};

use crate::Core;
use crate::error::HandleError;
use crate::limits;
use crate::mount::{self, MountTable};
use crate::policy::Acl;
use crate::policy_store;
use crate::storage::from_barrier;

/// Empty while sealed.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Option<Kept>>);

struct Kept {
    mounts: Watch,
    table: Option<(Revision, Arc<MountTable>)>,
    policies: Watch,
    acls: HashMap<Vec<String>, Arc<Acl>>,
    acls_as_of: Revision,
}

impl Cache {
    /// Begins to keep and to watch: the barrier is open.
    pub(crate) async fn open(&self, barrier: &Barrier) -> Result<(), HandleError> {
        let watch = async |key| {
            barrier
                .watch_record(MountId::SYSTEM, key)
                .await
                .map_err(from_barrier)
        };
        let mounts = watch(mount::GENERATION).await?;
        let policies = watch(policy_store::GENERATION).await?;
        let acls_as_of = policies.revision();
        *self.lock() = Some(Kept {
            mounts,
            table: None,
            policies,
            acls: HashMap::new(),
            acls_as_of,
        });
        Ok(())
    }

    /// Forgets everything: the barrier is sealed.
    pub(crate) fn clear(&self) {
        *self.lock() = None;
    }

    /// Never held across an await. A panic while it is held leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// The mount table as it is now. It may be newer than the snapshot of a call: a mount that
    /// the snapshot does not know yet shows when its view is opened, and the call runs again.
    pub(crate) async fn mounts(&self) -> Result<Arc<MountTable>, HandleError> {
        let known = match &*self.cache.lock() {
            None => return Err(HandleError::Sealed),
            Some(kept) => match &kept.table {
                Some((loaded, table)) if kept.mounts.revision() <= *loaded => {
                    return Ok(table.clone());
                }
                stale => stale.as_ref().map(|(_, table)| table.clone()),
            },
        };
        // Read apart from the call: the table is not part of what the call has read.
        let txn = self.barrier.begin().await.map_err(from_barrier)?;
        let table = MountTable::load(&txn, &*self.engines, &self.settings, known.as_ref()).await?;
        if let Some(kept) = &mut *self.cache.lock()
            && kept
                .table
                .as_ref()
                .is_none_or(|(loaded, _)| *loaded < txn.revision())
        {
            kept.table = Some((txn.revision(), table.clone()));
        }
        Ok(table)
    }

    /// The policies of these names, merged. Those that do not exist grant nothing.
    pub(crate) async fn acl(&self, policies: &[String]) -> Result<Arc<Acl>, HandleError> {
        if policies
            .iter()
            .any(|name| name == crate::policy::PolicyName::ROOT)
        {
            return Ok(self.root_acl.clone());
        }
        if let Some(kept) = &mut *self.cache.lock() {
            if kept.policies.revision() > kept.acls_as_of {
                kept.acls.clear();
                kept.acls_as_of = kept.policies.revision();
            }
            if let Some(acl) = kept.acls.get(policies) {
                return Ok(acl.clone());
            }
        }
        let txn = self.barrier.begin().await.map_err(from_barrier)?;
        let mut parsed = Vec::with_capacity(policies.len());
        for name in policies {
            match policy_store::read_parsed(&txn, name).await? {
                policy_store::Kept::Parsed(policy) => parsed.push(policy),
                policy_store::Kept::Missing => {}
                policy_store::Kept::Unreadable => return Ok(Arc::new(Acl::new([], None))),
            }
        }
        let acl = Arc::new(Acl::new(&parsed, None));
        // Kept only if no policy changed since the snapshot it was read from.
        if let Some(kept) = &mut *self.cache.lock()
            && kept.policies.revision() <= txn.revision()
        {
            if kept.acls.len() >= limits::MAX_CACHED_ACLS {
                kept.acls.clear();
            }
            kept.acls.insert(policies.to_vec(), acl.clone());
        }
        Ok(acl)
    }
}
