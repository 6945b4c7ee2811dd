//! Who wants to know when a record changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::names::StoreKey;
use crate::store::Revision;
use crate::{limits, lock};

/// Tells when something it watches was last written: what a cache needs to know whether it is stale.
///
/// Subscribe first, then read and remember the revision of what was read: the copy is good as long as it is
/// not less than [`Watch::revision`]. A watch knows of a commit before whoever made it is answered.
#[derive(Clone, Debug)]
pub struct Watch(watch::Receiver<Revision>);

impl Watch {
    /// The latest revision at which something watched was written. In the beginning, the store's revision at
    /// that time.
    pub fn revision(&self) -> Revision {
        *self.0.borrow()
    }

    /// Waits for a revision that this watch has not returned here yet, and returns it.
    /// Waits for ever once the store is closed.
    pub async fn changed(&mut self) -> Revision {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        *self.0.borrow_and_update()
    }
}

/// The watchers of one store.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    /// The last commit that was told.
    latest: Revision,
    by_prefix: HashMap<Box<[u8]>, Vec<Arc<watch::Sender<Revision>>>>,
    /// How many prefixes there are of each length: a key is looked up once for each.
    lengths: BTreeMap<usize, usize>,
    sweep_at: usize,
}

impl Watchers {
    /// `latest` is the store's revision when it was opened.
    pub(crate) fn new(latest: Revision) -> Self {
        Self(Mutex::new(Registry {
            latest,
            sweep_at: limits::WATCHERS_BEFORE_SWEEP,
            ..Registry::default()
        }))
    }

    pub(crate) fn watch(&self, prefixes: &[&[u8]]) -> Watch {
        let mut registry = lock(&self.0);
        registry.sweep();
        let (sender, receiver) = watch::channel(registry.latest);
        let sender = Arc::new(sender);
        for prefix in prefixes {
            let senders = registry.by_prefix.entry((*prefix).into()).or_default();
            senders.push(sender.clone());
            if senders.len() == 1 {
                *registry.lengths.entry(prefix.len()).or_default() += 1;
            }
        }
        Watch(receiver)
    }

    /// The last commit that was told.
    pub(crate) fn latest(&self) -> Revision {
        lock(&self.0).latest
    }

    /// Tells every watcher that what it watches may have been written up to `revision`.
    pub(crate) fn tell_all(&self, revision: Revision) {
        let mut registry = lock(&self.0);
        registry.latest = registry.latest.max(revision);
        for sender in registry.by_prefix.values().flatten() {
            raise(sender, revision);
        }
    }

    /// Tells the watchers of `keys` that commit `revision` wrote them.
    pub(crate) fn tell<'k>(&self, revision: Revision, keys: impl Iterator<Item = &'k StoreKey>) {
        let mut registry = lock(&self.0);
        registry.latest = registry.latest.max(revision);
        if registry.by_prefix.is_empty() {
            return;
        }
        for key in keys {
            for length in registry.lengths.keys() {
                for sender in registry
                    .by_prefix
                    .get(&key.as_bytes()[..*length])
                    .into_iter()
                    .flatten()
                {
                    raise(sender, revision);
                }
            }
        }
    }
}

fn raise(sender: &watch::Sender<Revision>, revision: Revision) {
    sender.send_if_modified(|known| {
        let news = *known < revision;
        *known = revision.max(*known);
        news
    });
}

impl Registry {
    /// Forgets watchers that nobody holds any more, whenever their number has doubled.
    fn sweep(&mut self) {
        if self.by_prefix.len() < self.sweep_at {
            return;
        }
        self.by_prefix.retain(|_, senders| {
            senders.retain(|sender| sender.receiver_count() > 0);
            !senders.is_empty()
        });
        self.lengths.clear();
        for prefix in self.by_prefix.keys() {
            *self.lengths.entry(prefix.len()).or_default() += 1;
        }
        self.sweep_at = limits::WATCHERS_BEFORE_SWEEP.max(2 * self.by_prefix.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::key;

    #[test]
    fn watchers_that_nobody_holds_are_forgotten() {
        let watchers = Watchers::new(Revision(1));
        let kept = watchers.watch(&[key(1).as_bytes()]);
        for n in 0..limits::WATCHERS_BEFORE_SWEEP * 3 {
            watchers.watch(&[&n.to_be_bytes()]);
        }
        assert!(lock(&watchers.0).by_prefix.len() <= limits::WATCHERS_BEFORE_SWEEP);
        watchers.tell(Revision(2), [key(1)].iter());
        assert_eq!(kept.revision(), Revision(2));
    }
}
