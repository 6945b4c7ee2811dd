//! Directories: which names there are, kept so that writers rarely meet.
//!
//! Each name has an entry (`Dirent`) in its directory's range, with the name sealed in it. Each directory
//! that has names has a stamp, an empty record that is put again whenever a name in it appears or vanishes. A
//! directory's own name is an entry of its parent, with a `/` at its end, as long as the directory has names.
//! There are no counters: a counter would be read and written by everybody.
//!
//! The law, in every committed state:
//! - a value has an entry, and an entry without `/` has a value;
//! - an entry with `/` is there if and only if that directory has an entry;
//! - so from any entry all directories up to the root have theirs.
//!
//! How it is kept, and what the commit checks for it:
//!
//! **Putting a value.** If the name has an entry, that entry is checked, and only the value is written:
//! overwriting changes no directory. If not, the entry is ensured (put if there is still none) and the stamp
//! put, and so for each directory above, until one that has an entry; that one is checked. Nothing of this
//! needs "was absent" to hold: had the name appeared meanwhile, it would be right all the same. So creators in
//! one directory do not conflict, not even if they create the directory; and as an entry that is there keeps
//! its revision, they are not in the way of those who have checked it.
//!
//! **Deleting a value.** If the name has no entry, that absence is checked (in a serial order the other's put
//! might come first). If it has one: the value and the entry go, the stamp is put. Was it the last? Another
//! entry that stays is looked for, the next one in the range, around its end. If this transaction made one,
//! good. If the snapshot has one, that one is checked: as long as it is there, the directory is not empty,
//! whoever else deletes or creates. If there is none, the stamp is checked, so that nobody may have created
//! or deleted anything here meanwhile; then the stamp goes as well as the directory's own entry in its
//! parent, for which the same is asked again. A creator that came too late finds the directory's entry, which
//! it checked, gone. So deletions conflict only where they would empty a directory.
//!
//! **Listing.** One range is read, and the stamp is checked for all of it: whatever name appears or vanishes
//! changes the stamp. No entry is checked by itself.
//!
//! A transaction's own writes come before its snapshot in all of this.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::BarrierError;
use crate::keyring::MountKeys;
use crate::names::{self, KeyRange, MountId, StoreKey, Table};
use crate::store::Revision;
use crate::transaction::{Inner, Seen, State, Write};
use crate::view::{Page, ViewError};
use crate::{limits, lock};

/// The names of a directory in this transaction, in byte order: all, or the first stretch after a name.
pub(crate) struct Listing {
    /// Names up to here were left out.
    after: Option<String>,
    names: Vec<String>,
    /// There are more than are held.
    more: bool,
}

/// Which entry keeps a directory from being empty.
enum Sibling {
    /// One that this transaction puts.
    Own,
    /// One of the snapshot.
    Stored(StoreKey, Revision),
    None,
}

/// One mount's directories in one transaction. Whoever makes one holds `Inner::structure`.
pub(crate) struct Directories<'t> {
    pub(crate) inner: &'t Inner,
    pub(crate) keys: &'t MountKeys,
    pub(crate) mount: MountId,
}

impl Directories<'_> {
    /// Makes sure that `path`, which is to have a value, has its entry.
    pub(crate) async fn add(&self, path: &str) -> Result<(), ViewError> {
        let mut path = path;
        loop {
            let entry = self.keys.names.dirent(self.mount, path);
            match self.inner.look(&entry).await? {
                Seen::Own(Some(_)) => return Ok(()),
                Seen::Stored(Some(record)) => {
                    lock(&self.inner.state).remember(entry, Some(record.revision));
                    return Ok(());
                }
                Seen::Own(None) | Seen::Stored(None) => {}
            }
            let directory = names::parent(path);
            {
                let mut state = lock(&self.inner.state);
                state.admit(names::segment(path).len())?;
                state.write(
                    entry,
                    Write::Name(names::segment(path).as_bytes().to_vec().into()),
                );
                self.put_stamp(&mut state, directory);
            }
            if directory.is_empty() {
                return Ok(());
            }
            path = directory;
        }
    }

    /// Takes away the entry of `path`, whose value goes, and of every directory that this empties.
    /// `false` if there was none.
    pub(crate) async fn remove(&self, path: &str) -> Result<bool, ViewError> {
        let entry = self.keys.names.dirent(self.mount, path);
        match self.inner.look(&entry).await? {
            Seen::Own(None) => return Ok(false),
            Seen::Stored(None) => {
                lock(&self.inner.state).remember_read(entry, None)?;
                return Ok(false);
            }
            Seen::Own(Some(_)) | Seen::Stored(Some(_)) => {}
        }
        let mut path = path;
        loop {
            let entry = self.keys.names.dirent(self.mount, path);
            let directory = names::parent(path);
            let sibling = self.sibling(entry).await?;
            let stamp = self.keys.names.stamp(self.mount, directory);
            let stamped = match sibling {
                Sibling::None => self
                    .inner
                    .snapshot
                    .get(&stamp)
                    .await
                    .map_err(BarrierError::from)?,
                Sibling::Own | Sibling::Stored(..) => None,
            };
            let mut state = lock(&self.inner.state);
            state.admit(0)?;
            state.write(entry, Write::Delete);
            match sibling {
                Sibling::Own => {
                    self.put_stamp(&mut state, directory);
                    return Ok(true);
                }
                Sibling::Stored(sibling, revision) => {
                    state.remember(sibling, Some(revision));
                    self.put_stamp(&mut state, directory);
                    return Ok(true);
                }
                Sibling::None => {
                    state.remember(stamp, stamped.map(|record| record.revision));
                    state.write(stamp, Write::Delete);
                    self.forget_listing(&mut state, directory);
                }
            }
            if directory.is_empty() {
                return Ok(true);
            }
            path = directory;
        }
    }

    /// Some other entry of the directory that `entry` is in.
    async fn sibling(&self, entry: StoreKey) -> Result<Sibling, ViewError> {
        let directory = KeyRange::directory(entry);
        let own = lock(&self.inner.state)
            .writes
            .range(directory.first..=directory.last)
            .any(|(key, write)| *key != entry && !matches!(write, Write::Delete));
        if own {
            return Ok(Sibling::Own);
        }
        // The next one first: whoever empties a directory in its order finds it in one step.
        for part in [directory.after(entry), Some(directory.up_to(entry))] {
            let mut rest = part;
            let mut step = 2;
            while let Some(range) = rest {
                let records = self
                    .inner
                    .snapshot
                    .range(range, step)
                    .await
                    .map_err(BarrierError::from)?;
                let state = lock(&self.inner.state);
                let stays = records
                    .iter()
                    .find(|(key, _)| *key != entry && !state.writes.contains_key(key));
                if let Some((key, record)) = stays {
                    return Ok(Sibling::Stored(*key, record.revision));
                }
                rest = match records.last() {
                    Some((last, _)) if records.len() == step => range.after(*last),
                    _ => None,
                };
                step = (2 * step).min(limits::SCAN_RECORDS);
            }
        }
        Ok(Sibling::None)
    }

    /// A page of the names in `directory`.
    pub(crate) async fn list(
        &self,
        directory: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, ViewError> {
        let stamp = self.keys.names.stamp(self.mount, directory);
        let held = lock(&self.inner.state).listings.get(&stamp).cloned();
        let listing = match held.filter(|listing| listing.covers(after)) {
            Some(listing) => listing,
            None => {
                let listing = Arc::new(self.read(directory, after).await?);
                // The snapshot's stamp, whatever this transaction has done to it since.
                let record = self
                    .inner
                    .snapshot
                    .get(&stamp)
                    .await
                    .map_err(BarrierError::from)?;
                let mut state = lock(&self.inner.state);
                state.remember_read(stamp, record.map(|record| record.revision))?;
                state.listings.insert(stamp, listing.clone());
                listing
            }
        };
        Ok(listing.page(after, limit))
    }

    async fn read(&self, directory: &str, after: Option<&str>) -> Result<Listing, ViewError> {
        let range =
            KeyRange::directory(self.keys.names.within(Table::Dirent, self.mount, directory));
        let mut listing = Listing {
            after: after.map(str::to_owned),
            names: Vec::new(),
            more: false,
        };
        let mut own = HashSet::new();
        for (key, write) in lock(&self.inner.state)
            .writes
            .range(range.first..=range.last)
        {
            own.insert(*key);
            if let Write::Name(name) = write {
                listing.add(name)?;
            }
        }
        let mut rest = Some(range);
        while let Some(range) = rest {
            let records = self
                .inner
                .snapshot
                .range(range, limits::SCAN_RECORDS)
                .await
                .map_err(BarrierError::from)?;
            for (key, record) in records.iter().filter(|(key, _)| !own.contains(key)) {
                listing.add(&self.inner.open(self.keys, key, record)?)?;
            }
            rest = match records.last() {
                Some((last, _)) if records.len() == limits::SCAN_RECORDS => range.after(*last),
                _ => None,
            };
            if rest.is_some() {
                // Opening that many names takes a millisecond or two: others have waited.
                tokio::task::yield_now().await;
            }
        }
        listing.finish();
        Ok(listing)
    }

    fn put_stamp(&self, state: &mut State, directory: &str) {
        state.write(
            self.keys.names.stamp(self.mount, directory),
            Write::Plain(Bytes::new()),
        );
        self.forget_listing(state, directory);
    }

    fn forget_listing(&self, state: &mut State, directory: &str) {
        state
            .listings
            .remove(&self.keys.names.stamp(self.mount, directory));
    }
}

impl Listing {
    fn add(&mut self, name: &[u8]) -> Result<(), BarrierError> {
        let name = std::str::from_utf8(name)
            .map_err(|source| BarrierError::corrupt("a directory entry is not a name", source))?;
        if self.after.as_deref().is_some_and(|after| name <= after) {
            return Ok(());
        }
        self.names.push(name.to_owned());
        if self.names.len() >= 2 * limits::LISTING_NAMES {
            self.cut();
        }
        Ok(())
    }

    fn finish(&mut self) {
        if self.names.len() > limits::LISTING_NAMES {
            self.cut();
        }
        self.names.sort_unstable();
    }

    /// Keeps the first of them.
    fn cut(&mut self) {
        self.names.select_nth_unstable(limits::LISTING_NAMES);
        self.names.truncate(limits::LISTING_NAMES);
        self.more = true;
    }

    /// Whether the page after `after` can be cut from it.
    fn covers(&self, after: Option<&str>) -> bool {
        let begins_early_enough = match (&self.after, after) {
            (None, _) => true,
            (Some(left_out), Some(after)) => after >= left_out.as_str(),
            (Some(_), None) => false,
        };
        begins_early_enough && (!self.more || self.start(after) < self.names.len())
    }

    fn start(&self, after: Option<&str>) -> usize {
        after.map_or(0, |after| {
            self.names.partition_point(|name| name.as_str() <= after)
        })
    }

    fn page(&self, after: Option<&str>, limit: usize) -> Page {
        let limit = if limit == 0 {
            limits::PAGE_NAMES
        } else {
            limit.min(limits::PAGE_NAMES)
        };
        let rest = &self.names[self.start(after)..];
        let mut bytes = 0;
        let keys: Vec<String> = rest
            .iter()
            .take(limit)
            .take_while(|name| {
                bytes += name.len();
                bytes <= limits::PAGE_BYTES
            })
            .cloned()
            .collect();
        let next = if keys.len() < rest.len() || self.more {
            keys.last().cloned()
        } else {
            None
        };
        Page { keys, next }
    }
}
