//! The records of disabled mounts: without their key they are noise, and go behind the answer.
//!
//! `purge/<mount id>` in the host's own records says that some may be left. It is written by the commit that
//! destroys the key, and goes when the last of them is gone; a server that opens goes on with what it finds.

use std::sync::Arc;

use host_barrier::{MountId, Transaction};

use crate::Core;
use crate::error::HandleError;
use crate::storage::{self, chain, from_barrier, from_commit, from_view};

const RECORDS: &str = "purge/";

/// Remembers in `txn`, which destroys the mount's key, that its records are to go.
pub(crate) async fn remember(txn: &Transaction, mount: MountId) -> Result<(), HandleError> {
    let system = storage::system(txn).await?;
    let key = format!("{RECORDS}{mount}");
    system.put(&key, b"").await.map_err(from_view)
}

impl Core {
    /// Removes what is left of `mount`, which may take its time.
    pub(crate) fn purge(self: &Arc<Self>, mount: MountId) {
        let core = self.clone();
        tokio::spawn(async move {
            match core.purge_now(mount).await {
                // The next opening finds it.
                Ok(()) | Err(HandleError::Sealed) => {}
                Err(err) => {
                    tracing::warn!(error = %chain(&err), "records of a disabled mount are left in the file, without their key; the next start tries again");
                }
            }
        });
    }

    async fn purge_now(&self, mount: MountId) -> Result<(), HandleError> {
        self.barrier.purge(mount).await.map_err(from_barrier)?;
        let txn = self.barrier.begin().await.map_err(from_barrier)?;
        let system = storage::system(&txn).await?;
        let key = format!("{RECORDS}{mount}");
        system.delete(&key).await.map_err(from_view)?;
        txn.commit().await.map(drop).map_err(from_commit)
    }

    /// Goes on with what was cut short.
    pub(crate) async fn resume_purges(self: &Arc<Self>) -> Result<(), HandleError> {
        let txn = self.barrier.begin().await.map_err(from_barrier)?;
        let system = storage::system(&txn).await?;
        for name in storage::list_all(&system, RECORDS).await? {
            if let Some(mount) = MountId::parse(&name) {
                self.purge(mount);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use host_logical::Operation;

    use super::*;
    use crate::tests::TestCore;

    #[tokio::test]
    async fn a_purge_that_was_cut_short_is_gone_on_with() {
        let vault = TestCore::start().await;
        for n in 0..10 {
            let path = format!("c/counter/{n}");
            let written = vault.send(&vault.root, Operation::Update, &path, json!({}));
            written.await.unwrap();
        }
        let table = vault.core.mounts().await.unwrap();
        let mount = table.find("c/counter/1").unwrap();
        // All that disabling commits, and nothing of what follows.
        let txn = vault.core.barrier.begin().await.unwrap();
        crate::mount::remove(&txn, &mount.record).await.unwrap();
        txn.destroy_mount(mount.id).await.unwrap();
        remember(&txn, mount.id).await.unwrap();
        txn.commit().await.unwrap();

        vault.core.resume_purges().await.unwrap();
        let remembered = async || {
            let txn = vault.core.barrier.begin().await.unwrap();
            let system = storage::system(&txn).await.unwrap();
            storage::list_all(&system, RECORDS).await.unwrap()
        };
        for _ in 0..10_000 {
            if remembered().await.is_empty() {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert!(remembered().await.is_empty());
        assert_eq!(vault.core.barrier.purge(mount.id).await.unwrap(), 0);
    }
}
