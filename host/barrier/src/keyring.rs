//! The keys, from the root key down, while the barrier is unsealed.
//!
//! ```text
//! unseal key (shares, or static)   never stored
//!   wraps the root key             Seal record
//!     wraps the term's key         Keyring record
//!       wraps a mount's keys       MountKey record, one for each mount
//!         name key                 hashes names
//!         data key, generation n   seals values and names
//! ```
//!
//! Invariants
//! - There is one term at a time, and its key wraps the keys of every mount. [`rotate`] makes a new term,
//!   wraps every mount's keys anew and gives each a new generation, in one commit; with it the old term's key
//!   is gone, since nothing is left that it opens.
//! - A generation belongs to the term in which it was made and seals only while that lasts. Older ones open
//!   what they sealed. So what is counted for the term bounds what any one data key has sealed.
//! - Nothing here is read but through a transaction's snapshot: keys that were opened are cached by the
//!   revision of their record, so another node's rotation is seen like any other write.
//!
//! A wrapped key is bound to its record and carries commitments: see `wrap`.

#[cfg(test)]
mod fuzz;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use bytes::Bytes;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use zeroize::Zeroizing;

use crate::envelope::{DataKey, Nonces};
use crate::names::{KeyRange, MountId, NamesKey, StoreKey, Table};
use crate::random::{Random, RandomError};
use crate::seal::SealRecord;
use crate::store::{Record, Revision, Snapshot, Store, WriteBatch, WriteError, read_range};
use crate::wrap::{self, WrapError};
use crate::{BarrierError, limits, lock};

/// 32 secret bytes. No `Clone`, no `Debug` of the content; wiped when dropped. In a box, since each move of bytes
/// would leave a copy behind on a stack, which nobody wipes.
pub(crate) struct SecretKey(Box<Zeroizing<[u8; 32]>>);

impl SecretKey {
    pub(crate) fn random(random: &dyn Random) -> Result<Self, RandomError> {
        let mut key = Self::empty();
        random.fill(&mut **key.0)?;
        Ok(key)
    }

    /// Of a slice that was cut to 32 bytes.
    pub(crate) fn from_slice(bytes: &[u8]) -> Self {
        let mut key = Self::empty();
        key.0.copy_from_slice(bytes);
        key
    }

    fn empty() -> Self {
        Self(Box::new(Zeroizing::new([0; 32])))
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// HKDF-SHA-256. Different labels give independent keys.
    fn derive(&self, label: &[&str]) -> Self {
        derive_salted(self.expose(), &[], label)
    }

    pub(crate) fn into_inner(self) -> Zeroizing<[u8; 32]> {
        *self.0
    }
}

impl From<[u8; 32]> for SecretKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(Box::new(Zeroizing::new(bytes)))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

/// HKDF-SHA-256 with a salt.
pub(crate) fn derive_salted(secret: &[u8], salt: &[u8], label: &[&str]) -> SecretKey {
    let info: Vec<&[u8]> = label.iter().map(|part| part.as_bytes()).collect();
    let mut key = SecretKey::empty();
    Salt::new(HKDF_SHA256, salt)
        .extract(secret)
        .expand(&info, HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut **key.0))
        .expect("32 bytes are within HKDF's limit");
    key
}

/// The key that the unseal key opens. All others hang on it.
pub(crate) struct RootKey(SecretKey);

impl RootKey {
    pub(crate) fn new(key: SecretKey) -> Self {
        Self(key)
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    fn ring_key(&self) -> SecretKey {
        self.0.derive(&["coffer keyring"])
    }

    fn nonce_key(&self) -> SecretKey {
        self.0.derive(&["coffer nonces"])
    }
}

/// The current term: number, since when, and the key that wraps the mounts' keys.
struct Term {
    number: u32,
    since_millis: u64,
    key: SecretKey,
}

impl Term {
    const BYTES: usize = 4 + 8 + 32;

    fn seal(&self, random: &dyn Random, ring: &SecretKey) -> Result<Bytes, RandomError> {
        let mut content = Zeroizing::new(Vec::with_capacity(Self::BYTES));
        content.extend_from_slice(&self.number.to_be_bytes());
        content.extend_from_slice(&self.since_millis.to_be_bytes());
        content.extend_from_slice(self.key.expose());
        wrap::wrap(
            random,
            ring,
            &context(&StoreKey::only(Table::Keyring), 0),
            &content,
        )
        .map(Bytes::from)
    }

    fn open(ring: &SecretKey, record: &[u8]) -> Result<Self, WrapError> {
        let content = wrap::unwrap(ring, &context(&StoreKey::only(Table::Keyring), 0), record)?;
        let (number, rest) = content.split_first_chunk().ok_or(WrapError::Malformed)?;
        let (since, key) = rest.split_first_chunk().ok_or(WrapError::Malformed)?;
        if key.len() != 32 {
            return Err(WrapError::Malformed);
        }
        Ok(Self {
            number: u32::from_be_bytes(*number),
            since_millis: u64::from_be_bytes(*since),
            key: SecretKey::from_slice(key),
        })
    }

    /// The record that says up to where encryptions are reserved.
    fn seal_use(&self, random: &dyn Random, reserved: u64) -> Result<Bytes, RandomError> {
        let at = StoreKey::term_use(self.number);
        wrap::wrap(
            random,
            &self.key,
            &context(&at, self.number),
            &reserved.to_be_bytes(),
        )
        .map(Bytes::from)
    }

    fn open_use(&self, record: &[u8]) -> Result<u64, WrapError> {
        let content = wrap::unwrap(
            &self.key,
            &context(&StoreKey::term_use(self.number), self.number),
            record,
        )?;
        Ok(u64::from_be_bytes(
            content
                .as_slice()
                .try_into()
                .map_err(|_| WrapError::Malformed)?,
        ))
    }
}

/// The keys of a mount as they are wrapped: only while a record is made or read.
///
/// ```text
/// term 4 | wrapped ( name key 32 | (generation 4 | key 32)* )
/// ```
struct MountSecrets {
    names: SecretKey,
    /// In ascending order, never empty; the last one seals.
    generations: Vec<(u32, SecretKey)>,
}

impl MountSecrets {
    fn new(random: &dyn Random) -> Result<Self, RandomError> {
        Ok(Self {
            names: SecretKey::random(random)?,
            generations: vec![(1, SecretKey::random(random)?)],
        })
    }

    fn add_generation(&mut self, random: &dyn Random) -> Result<(), RandomError> {
        let (last, _) = self.generations.last().expect("never empty");
        self.generations
            .push((last + 1, SecretKey::random(random)?));
        Ok(())
    }

    fn seal(&self, random: &dyn Random, term: &Term, mount: MountId) -> Result<Bytes, RandomError> {
        let mut content = Zeroizing::new(Vec::with_capacity(32 + 36 * self.generations.len()));
        content.extend_from_slice(self.names.expose());
        for (generation, key) in &self.generations {
            content.extend_from_slice(&generation.to_be_bytes());
            content.extend_from_slice(key.expose());
        }
        let context = context(&StoreKey::mount_key(mount), term.number);
        let mut record = term.number.to_be_bytes().to_vec();
        record.extend_from_slice(&wrap::wrap(random, &term.key, &context, &content)?);
        Ok(record.into())
    }

    fn open(term: &Term, mount: MountId, record: &[u8]) -> Result<Self, WrapError> {
        let (number, wrapped) = record.split_first_chunk().ok_or(WrapError::Malformed)?;
        if u32::from_be_bytes(*number) != term.number {
            return Err(WrapError::WrongKey);
        }
        let content = wrap::unwrap(
            &term.key,
            &context(&StoreKey::mount_key(mount), term.number),
            wrapped,
        )?;
        let (names, rest) = content
            .split_first_chunk::<32>()
            .ok_or(WrapError::Malformed)?;
        let chunks = rest.chunks_exact(36);
        if rest.is_empty() || !chunks.remainder().is_empty() {
            return Err(WrapError::Malformed);
        }
        let generations: Vec<_> = chunks
            .map(|chunk| {
                let (generation, key) = chunk.split_at(4);
                let generation = u32::from_be_bytes(generation.try_into().expect("cut to 4 bytes"));
                (generation, SecretKey::from_slice(key))
            })
            .collect();
        // The last one seals, and the next one must have a number of its own.
        let ascend = generations.is_sorted_by(|one, next| one.0 < next.0);
        if !ascend || generations.last().is_some_and(|last| last.0 == u32::MAX) {
            return Err(WrapError::Malformed);
        }
        Ok(Self {
            names: SecretKey::from_slice(names),
            generations,
        })
    }
}

/// The keys of one mount, ready for use.
pub(crate) struct MountKeys {
    /// The term whose allowance sealing with these keys uses up.
    pub(crate) term: u32,
    pub(crate) names: NamesKey,
    /// What keys for uses outside the barrier are derived from; as lasting as the mount.
    outside: SecretKey,
    generation: u32,
    data: BTreeMap<u32, DataKey>,
}

impl MountKeys {
    fn new(term: u32, secrets: &MountSecrets) -> Self {
        let (generation, _) = secrets.generations.last().expect("never empty");
        Self {
            term,
            names: NamesKey::new(&secrets.names.derive(&["coffer names"])),
            outside: secrets.names.derive(&["coffer outside"]),
            generation: *generation,
            data: secrets
                .generations
                .iter()
                .map(|(generation, key)| (*generation, DataKey::new(&key.derive(&["coffer data"]))))
                .collect(),
        }
    }

    /// A key for a use outside the barrier: the same for the same label, for as long as the mount lives.
    pub(crate) fn derive(&self, label: &str) -> SecretKey {
        self.outside.derive(&[label])
    }

    /// The generation that seals, and its key.
    pub(crate) fn sealing(&self) -> (u32, &DataKey) {
        (self.generation, &self.data[&self.generation])
    }

    /// The key that opens what `generation` sealed.
    pub(crate) fn opening(&self, generation: u32) -> Option<&DataKey> {
        self.data.get(&generation)
    }
}

/// The term as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// Its number, from 1.
    pub term: u32,
    /// When it began.
    pub install_time_millis: u64,
    /// What it has sealed; after a restart up to 2^16 more than that.
    pub encryptions: u64,
}

impl KeyStatus {
    /// Nine tenths of the term's allowance are used: whoever keeps the clock should rotate. At the end of it
    /// commits are refused.
    pub fn wants_rotation(&self) -> bool {
        self.encryptions >= limits::TERM_ENCRYPTIONS / 10 * 9
    }
}

/// What an unsealed barrier owns.
pub(crate) struct Unsealed {
    /// To return to when sealed.
    pub(crate) record: SealRecord,
    pub(crate) nonces: Nonces,
    /// Held shared by every [`KeyGuard`], and taken alone to seal.
    gate: Arc<RwLock<()>>,
    root: RootKey,
    random: Arc<dyn Random>,
    opened: Mutex<HashMap<MountId, (Revision, Arc<MountKeys>)>>,
    allowance: Mutex<Allowance>,
    /// One reservation at a time.
    reserving: tokio::sync::Mutex<()>,
}

/// The right to use the keys: whoever seals the barrier waits until the last one is gone.
pub(crate) struct KeyGuard {
    pub(crate) unsealed: Arc<Unsealed>,
    /// The last field: it goes when the keys have gone.
    _gate: OwnedRwLockReadGuard<()>,
}

/// The block of encryptions that this process has reserved and not used up.
#[derive(Default)]
struct Allowance {
    term: u32,
    used: u64,
    reserved: u64,
}

impl Allowance {
    fn take(&mut self, term: u32, count: u64) -> bool {
        let fits = self.term == term && self.reserved - self.used >= count;
        if fits {
            self.used += count;
        }
        fits
    }
}

/// What became of a wish to seal.
#[derive(Debug)]
pub(crate) enum ReserveError {
    /// The term's allowance is used up.
    Exhausted {
        term: u32,
    },
    /// The term ended meanwhile: the transaction is stale.
    Ended,
    Broken(BarrierError),
}

impl Unsealed {
    /// Opens the keyring with `root`, to see that they belong together.
    pub(crate) async fn open(
        record: SealRecord,
        root: RootKey,
        random: Arc<dyn Random>,
        snapshot: &dyn Snapshot,
    ) -> Result<Self, BarrierError> {
        let unsealed = Self {
            record,
            nonces: Nonces::new(&root.nonce_key(), random.clone()),
            gate: Arc::default(),
            root,
            random,
            opened: Mutex::default(),
            allowance: Mutex::default(),
            reserving: tokio::sync::Mutex::default(),
        };
        unsealed.term(snapshot).await?;
        Ok(unsealed)
    }

    /// The right to use these keys; `None` once they are being dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<KeyGuard> {
        let gate = self.gate.clone().try_read_owned().ok()?;
        Some(KeyGuard {
            unsealed: self.clone(),
            _gate: gate,
        })
    }

    /// Waits for the last guard and drops the keys. The caller has seen to it that nobody enters any more.
    pub(crate) async fn close(self: Arc<Self>) {
        drop(self.gate.write().await);
    }

    /// A key for a purpose outside the barrier.
    pub(crate) fn derive(&self, label: &str) -> Zeroizing<[u8; 32]> {
        self.root
            .0
            .derive(&["coffer derived key: ", label])
            .into_inner()
    }

    /// The keys of `mount`, whose record this is in `snapshot`.
    pub(crate) async fn mount_keys(
        &self,
        mount: MountId,
        record: &Record,
        snapshot: &dyn Snapshot,
    ) -> Result<Arc<MountKeys>, BarrierError> {
        if let Some((revision, keys)) = lock(&self.opened).get(&mount)
            && *revision == record.revision
        {
            return Ok(keys.clone());
        }
        let (_, term) = self.term(snapshot).await?;
        let secrets = MountSecrets::open(&term, mount, &record.value)
            .map_err(|source| BarrierError::corrupt("the keys of a mount do not open", source))?;
        let keys = Arc::new(MountKeys::new(term.number, &secrets));
        let mut opened = lock(&self.opened);
        if opened.len() >= limits::CACHED_MOUNTS {
            opened.clear();
        }
        // An older snapshot must not push out what newer ones use.
        if opened
            .get(&mount)
            .is_none_or(|(revision, _)| *revision < record.revision)
        {
            opened.insert(mount, (record.revision, keys.clone()));
        }
        Ok(keys)
    }

    /// Forgets the keys of a destroyed mount.
    pub(crate) fn forget(&self, mount: MountId) {
        lock(&self.opened).remove(&mount);
    }

    /// New keys for `mount`, their record, and the revision of the keyring that they depend on.
    pub(crate) async fn create_mount(
        &self,
        mount: MountId,
        snapshot: &dyn Snapshot,
    ) -> Result<(Arc<MountKeys>, Bytes, Revision), BarrierError> {
        let (revision, term) = self.term(snapshot).await?;
        let secrets = MountSecrets::new(&*self.random)?;
        let record = secrets.seal(&*self.random, &term, mount)?;
        Ok((
            Arc::new(MountKeys::new(term.number, &secrets)),
            record,
            revision,
        ))
    }

    /// The right to seal `count` more values in `term`. Reserved on disk before it is given.
    pub(crate) async fn reserve(
        &self,
        store: &dyn Store,
        term: u32,
        count: u64,
    ) -> Result<(), ReserveError> {
        if lock(&self.allowance).take(term, count) {
            return Ok(());
        }
        let _one_at_a_time = self.reserving.lock().await;
        for _ in 0..limits::OWN_ATTEMPTS {
            if lock(&self.allowance).take(term, count) {
                return Ok(());
            }
            let snapshot = store
                .snapshot()
                .await
                .map_err(|err| ReserveError::Broken(err.into()))?;
            let (_, current) = self.term(&*snapshot).await.map_err(ReserveError::Broken)?;
            if current.number != term {
                return Err(ReserveError::Ended);
            }
            let (revision, used) = self
                .reserved(&current, &*snapshot)
                .await
                .map_err(ReserveError::Broken)?;
            let reserved = used + count.max(limits::ENCRYPTION_BLOCK);
            if reserved > limits::TERM_ENCRYPTIONS {
                return Err(ReserveError::Exhausted { term });
            }
            let at = StoreKey::term_use(term);
            let record = current
                .seal_use(&*self.random, reserved)
                .map_err(|source| ReserveError::Broken(source.into()))?;
            let batch = WriteBatch {
                checks: vec![(at, Some(revision))],
                writes: vec![(at, Some(record))],
                ..WriteBatch::default()
            };
            match store.commit(batch).await {
                Ok(_) => {
                    *lock(&self.allowance) = Allowance {
                        term,
                        used,
                        reserved,
                    }
                }
                Err(WriteError::Conflict(_)) => {}
                Err(err) => return Err(ReserveError::Broken(err.into())),
            }
        }
        Err(ReserveError::Broken(BarrierError::Contended))
    }

    /// The term in `snapshot`, as operators see it.
    pub(crate) async fn key_status(
        &self,
        snapshot: &dyn Snapshot,
    ) -> Result<KeyStatus, BarrierError> {
        let (_, term) = self.term(snapshot).await?;
        let (_, reserved) = self.reserved(&term, snapshot).await?;
        let allowance = lock(&self.allowance);
        let unused = if allowance.term == term.number {
            allowance.reserved - allowance.used
        } else {
            0
        };
        Ok(KeyStatus {
            term: term.number,
            install_time_millis: term.since_millis,
            encryptions: reserved.saturating_sub(unused),
        })
    }

    async fn term(&self, snapshot: &dyn Snapshot) -> Result<(Revision, Term), BarrierError> {
        let record = existing(
            snapshot,
            StoreKey::only(Table::Keyring),
            "the keyring is missing",
        )
        .await?;
        let term = Term::open(&self.root.ring_key(), &record.value)
            .map_err(|source| BarrierError::corrupt("the keyring does not open", source))?;
        Ok((record.revision, term))
    }

    async fn reserved(
        &self,
        term: &Term,
        snapshot: &dyn Snapshot,
    ) -> Result<(Revision, u64), BarrierError> {
        let what = "the count of encryptions is missing";
        let record = existing(snapshot, StoreKey::term_use(term.number), what).await?;
        let reserved = term.open_use(&record.value).map_err(|source| {
            BarrierError::corrupt("the count of encryptions does not open", source)
        })?;
        Ok((record.revision, reserved))
    }
}

/// The first records of a keyring: term 1 and the keys of the host's own mount.
pub(crate) fn first_records(
    random: &dyn Random,
    root: &RootKey,
    now_millis: u64,
) -> Result<Vec<(StoreKey, Option<Bytes>)>, RandomError> {
    let term = Term {
        number: 1,
        since_millis: now_millis,
        key: SecretKey::random(random)?,
    };
    Ok(vec![
        (
            StoreKey::only(Table::Keyring),
            Some(term.seal(random, &root.ring_key())?),
        ),
        (
            StoreKey::term_use(term.number),
            Some(term.seal_use(random, 0)?),
        ),
        (StoreKey::only(Table::MountKeyStamp), Some(Bytes::new())),
        (
            StoreKey::mount_key(MountId::SYSTEM),
            Some(MountSecrets::new(random)?.seal(random, &term, MountId::SYSTEM)?),
        ),
    ])
}

/// Begins a new term and gives every mount a new generation, in one commit.
pub(crate) async fn rotate(
    unsealed: &Unsealed,
    store: &dyn Store,
    now_millis: u64,
) -> Result<(), BarrierError> {
    for _ in 0..limits::OWN_ATTEMPTS {
        let snapshot = store.snapshot().await?;
        let batch = rotation(unsealed, &*snapshot, now_millis).await?;
        match store.commit(batch).await {
            Ok(_) => return Ok(()),
            Err(WriteError::Conflict(_)) => {}
            Err(err) => return Err(err.into()),
        }
    }
    Err(BarrierError::Contended)
}

async fn rotation(
    unsealed: &Unsealed,
    snapshot: &dyn Snapshot,
    now_millis: u64,
) -> Result<WriteBatch, BarrierError> {
    let random = &*unsealed.random;
    let (keyring_revision, old) = unsealed.term(snapshot).await?;
    let new = Term {
        number: old.number + 1,
        since_millis: now_millis,
        key: SecretKey::random(random)?,
    };
    let stamp = StoreKey::only(Table::MountKeyStamp);
    let keyring = StoreKey::only(Table::Keyring);
    let mut batch = WriteBatch {
        // A mount that is created meanwhile is seen by the stamp, one that is destroyed by its own record
        // below.
        checks: vec![
            (keyring, Some(keyring_revision)),
            (
                stamp,
                snapshot.get(&stamp).await?.map(|record| record.revision),
            ),
        ],
        writes: vec![
            (keyring, Some(new.seal(random, &unsealed.root.ring_key())?)),
            (StoreKey::term_use(old.number), None),
            (
                StoreKey::term_use(new.number),
                Some(new.seal_use(random, 0)?),
            ),
        ],
        ..WriteBatch::default()
    };
    for (key, record) in read_range(snapshot, KeyRange::table(Table::MountKey)).await? {
        let mut secrets = MountSecrets::open(&old, key.mount(), &record.value)
            .map_err(|source| BarrierError::corrupt("the keys of a mount do not open", source))?;
        if secrets.generations.len() >= limits::GENERATIONS {
            return Err(BarrierError::TooManyGenerations(key.mount()));
        }
        secrets.add_generation(random)?;
        batch.checks.push((key, Some(record.revision)));
        batch
            .writes
            .push((key, Some(secrets.seal(random, &new, key.mount())?)));
    }
    Ok(batch)
}

async fn existing(
    snapshot: &dyn Snapshot,
    key: StoreKey,
    what: &'static str,
) -> Result<Record, BarrierError> {
    snapshot
        .get(&key)
        .await?
        .ok_or_else(|| BarrierError::missing(what))
}

/// What a wrapped key is bound to: the record it lies in and the term.
fn context(at: &StoreKey, term: u32) -> Vec<u8> {
    [
        b"coffer record ".as_slice(),
        at.as_bytes(),
        &term.to_be_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Counting;

    fn term(number: u32) -> Term {
        Term {
            number,
            since_millis: 77,
            key: SecretKey::from([number as u8; 32]),
        }
    }

    #[test]
    fn a_term_comes_back_as_it_was() {
        let ring = SecretKey::from([1; 32]);
        let record = term(9).seal(&Counting::new(), &ring).unwrap();
        let opened = Term::open(&ring, &record).unwrap();
        assert_eq!(
            (opened.number, opened.since_millis, opened.key.expose()),
            (9, 77, &[9; 32])
        );
        assert_eq!(
            Term::open(&SecretKey::from([2; 32]), &record).err(),
            Some(WrapError::WrongKey)
        );
    }

    #[test]
    fn the_keys_of_a_mount_open_in_its_record_and_its_term_only() {
        let random = Counting::new();
        let mount = MountId::from_bytes([7; 16]);
        let mut secrets = MountSecrets::new(&random).unwrap();
        secrets.add_generation(&random).unwrap();
        let record = secrets.seal(&random, &term(3), mount).unwrap();
        let opened = MountSecrets::open(&term(3), mount, &record).unwrap();
        assert_eq!(opened.names.expose(), secrets.names.expose());
        assert_eq!(
            opened
                .generations
                .iter()
                .map(|(number, _)| *number)
                .collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(
            MountSecrets::open(&term(4), mount, &record).err(),
            Some(WrapError::WrongKey)
        );
        assert_eq!(
            MountSecrets::open(&term(3), MountId::SYSTEM, &record).err(),
            Some(WrapError::Refused)
        );
        for length in 0..record.len() {
            assert!(
                MountSecrets::open(&term(3), mount, &record[..length]).is_err(),
                "cut to {length}"
            );
        }
    }

    #[test]
    fn the_count_belongs_to_its_term() {
        let record = term(3).seal_use(&Counting::new(), 1 << 20).unwrap();
        assert_eq!(term(3).open_use(&record).unwrap(), 1 << 20);
        assert_eq!(term(4).open_use(&record).err(), Some(WrapError::WrongKey));
    }

    #[test]
    fn labels_give_independent_keys() {
        let key = SecretKey::from([5; 32]);
        assert_ne!(key.derive(&["a"]).expose(), key.derive(&["b"]).expose());
        assert_ne!(key.derive(&["a"]).expose(), key.expose());
    }

    #[test]
    fn debug_of_a_key_is_its_name() {
        assert_eq!(format!("{:?}", SecretKey::from([5; 32])), "SecretKey");
    }
}
