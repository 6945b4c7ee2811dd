//! The journal: what was committed since the data file was last made durable.
//!
//! A commit to redb writes pages all over the file and syncs twice. So commits become durable here first, one
//! after the other, by one write and one sync of all that came together (an *entry*); redb has them in memory
//! and makes them durable all at once, later: at a *checkpoint*, which begins a new *round* of the journal.
//!
//! ```text
//! block 0       magic, the store's id, the journal's length
//! block 1 ...   checksum | store's id | epoch | revision | batches | length | batches, 0s
//! ...           the next entry, in a block of its own
//! ```
//!
//! Invariants
//! - An entry is synced before the next one is begun: a crash leaves at most one that is not whole, the last,
//!   and nobody was answered for it.
//! - A round has an epoch, drawn at random, which its entries carry. The data file says in the commit of each
//!   checkpoint which one comes next: that commit is what voids the entries before it, in whatever state.
//! - An entry has blocks of its own, and no block is written twice in one round: no write that fails or is
//!   torn touches what was answered before.
//! - After a write that failed nothing is appended any more: a part of the disk may be bad.
//! - What is read was synced first, or readers would see what a power cut takes away again.
//! - Beside a data file that stands alone it is blank: nobody is shown what such a file has not, also if it is
//!   an older copy that was brought back.
//!
//! The file is as long as it will be from the beginning, and filled: a sync of a file that grows takes longer.
//!
//! Damage. Behind the last whole entry there may be a torn one, or what earlier rounds left; neither was
//! answered, or the data file has it. If a whole entry of this round comes after it, then it was answered,
//! and is damaged: that is refused. So is a data file which is older than the journal: some entry of another
//! round begins behind what there is by now (one that was voided may be the very next). Damage of the very
//! last entry looks like a torn one and cannot be told from it, nor can damage of all entries from one on, nor
//! a journal that is older than its data file.

use std::io;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use bytes::{Buf as _, BufMut as _, Bytes};
use redb::StorageBackend;

use crate::limits;
use crate::names::StoreKey;
use crate::random::{self, Random};
use crate::store::{Revision, WriteBatch};

/// The unit in which files are cached and disks write.
const BLOCK: usize = 4096;
const MAGIC: &[u8; 16] = b"coffer journal 1";
/// What is read or written at once of the whole file.
const PIECE: usize = 1 << 20;

type Checksum = [u8; SHA256_OUTPUT_LEN];
/// Checksum; store, epoch, revision; number of batches, length.
const ENTRY_HEAD: usize = SHA256_OUTPUT_LEN + 3 * 8 + 2 * 4;
/// The number of writes and of those that are ensured.
const BATCH_HEAD: usize = 2 * 4;
/// A key, and how long its value is.
const WRITE_HEAD: usize = StoreKey::BYTES + 4;
/// The length of the value that there is not, where a key is deleted.
const DELETED: u32 = u32::MAX;

/// See the module.
pub(super) struct Journal {
    backend: Box<dyn StorageBackend>,
    random: Arc<dyn Random>,
    store: u64,
    length: usize,
    epoch: u64,
    /// Where the next entry goes. The end, where none may follow.
    at: usize,
    /// A write has failed.
    broken: bool,
}

/// What was committed together.
pub(super) struct Entry {
    /// Of the first batch; each of the others has one more.
    pub(super) first: Revision,
    pub(super) batches: Vec<WriteBatch>,
}

impl Entry {
    pub(super) fn last(&self) -> Revision {
        Revision(self.first.0 + self.batches.len() as u64 - 1)
    }
}

/// Why a journal is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What it is, or has: not what belongs to the data file.
    #[error("{0}")]
    Unfit(&'static str),
}

/// Makes a blank journal for the store `store`: as long as `backend` is, or as is usual if that is empty.
pub(super) fn create(backend: &dyn StorageBackend, store: u64) -> io::Result<()> {
    let mut length = backend.len()?;
    if length == 0 {
        length = limits::JOURNAL_BYTES as u64;
        backend.set_len(length)?;
        let zeros = vec![0; PIECE];
        for at in (0..length).step_by(PIECE) {
            let rest = usize::try_from(length - at).unwrap_or(PIECE);
            backend.write(at, &zeros[..rest.min(PIECE)])?;
        }
    }
    let mut block = Vec::with_capacity(BLOCK);
    block.put_slice(MAGIC);
    block.put_u64(store);
    block.put_u64(length);
    block.resize(BLOCK, 0);
    backend.write(0, &block)?;
    backend.sync_data()
}

impl Journal {
    /// The journal that `backend` has, if it is that of the store `store`. Nothing can be appended before a
    /// round begins.
    pub(super) fn open(
        backend: Box<dyn StorageBackend>,
        store: u64,
        random: Arc<dyn Random>,
    ) -> Result<Self, JournalError> {
        let stored = backend.len()?;
        if stored < BLOCK as u64 {
            return Err(JournalError::Unfit("it is not a journal"));
        }
        let mut block = [0; BLOCK];
        backend.read(0, &mut block)?;
        let mut head = &block[..];
        let mut magic = [0; MAGIC.len()];
        head.copy_to_slice(&mut magic);
        let (owner, length) = (head.get_u64(), head.get_u64());
        if &magic != MAGIC {
            return Err(JournalError::Unfit("it is not a journal"));
        }
        if owner != store {
            return Err(JournalError::Unfit(
                "it is the journal of another data file",
            ));
        }
        if stored < length {
            return Err(JournalError::Unfit("it is not all of a journal"));
        }
        backend.sync_data()?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let length = length - length % BLOCK;
        Ok(Self {
            backend,
            random,
            store,
            length,
            epoch: 0,
            at: length,
            broken: false,
        })
    }

    /// The entries of the round `epoch`, which the data file began at `revision`. After that, nothing can be
    /// appended before another round begins.
    pub(super) fn read(
        &mut self,
        epoch: u64,
        revision: Revision,
    ) -> Result<Vec<Entry>, JournalError> {
        self.epoch = epoch;
        self.at = self.length;
        let mut bytes = vec![0; self.length];
        self.backend.read(0, &mut bytes)?;
        let bytes = Bytes::from(bytes);
        let whole = |at| RawEntry::at(&bytes, at, self.store);

        let mut entries = Vec::new();
        let mut newest = revision;
        let mut at = BLOCK;
        while let Some(raw) = whole(at).filter(|raw| raw.epoch == epoch) {
            let entry = raw.entry()?;
            // redb makes durable what it has in memory if it is closed without us: then it has some already.
            if entry.last() > newest {
                if entry.first.0 != newest.0 + 1 {
                    return Err(JournalError::Unfit(
                        "it does not go on where the data file ends",
                    ));
                }
                newest = entry.last();
                entries.push(entry);
            }
            at += blocks(ENTRY_HEAD + raw.batches.len());
        }
        for other in (at..self.length).step_by(BLOCK).filter_map(whole) {
            if other.epoch == epoch {
                return Err(JournalError::Unfit("it is damaged before its end"));
            }
            if other.first.0 > newest.0 + 1 {
                return Err(JournalError::Unfit("the data file is older than it"));
            }
        }
        Ok(entries)
    }

    /// Makes it blank: the data file stands alone.
    pub(super) fn blank(&self) -> io::Result<()> {
        let mut changed = false;
        let (mut piece, zeros) = (vec![0; PIECE], vec![0; PIECE]);
        for at in (BLOCK..self.length).step_by(PIECE) {
            let length = PIECE.min(self.length - at);
            self.backend.read(at as u64, &mut piece[..length])?;
            if piece[..length] != zeros[..length] {
                self.backend.write(at as u64, &zeros[..length])?;
                changed = true;
            }
        }
        match changed {
            true => self.backend.sync_data(),
            false => Ok(()),
        }
    }

    /// An epoch for the next round.
    pub(super) fn draw_epoch(&self) -> io::Result<u64> {
        let drawn = random::bytes(&*self.random).map_err(io::Error::other)?;
        Ok(u64::from_be_bytes(*drawn))
    }

    /// Begins the round `epoch`: the data file says so durably, in the commit that has all of the one before.
    pub(super) fn begin(&mut self, epoch: u64) {
        self.epoch = epoch;
        if !self.broken {
            self.at = BLOCK;
        }
    }

    /// Whether a checkpoint would be of use: it has something that the data file has not, or takes no more.
    pub(super) fn wants_checkpoint(&self) -> bool {
        self.at != BLOCK && !self.broken
    }

    /// Whether an entry of all these fits.
    pub(super) fn has_room<'b>(&self, batches: impl Iterator<Item = &'b WriteBatch>) -> bool {
        let bytes = batches.fold(ENTRY_HEAD, |sum, batch| sum + encoded_bytes(batch));
        blocks(bytes) <= self.length - self.at
    }

    /// Appends an entry, for which there is room: `batches`, the first of which has the revision `first`.
    /// Durable when this is done. If it fails, the entry may be there or not.
    pub(super) fn append<'b>(
        &mut self,
        first: Revision,
        batches: impl Iterator<Item = &'b WriteBatch>,
    ) -> io::Result<()> {
        let mut entry = vec![0; SHA256_OUTPUT_LEN];
        entry.put_u64(self.store);
        entry.put_u64(self.epoch);
        entry.put_u64(first.0);
        entry.put_bytes(0, 2 * 4);
        let mut count = 0;
        for batch in batches {
            encode(batch, &mut entry)?;
            count += 1;
        }
        let length = size(entry.len() - ENTRY_HEAD)?;
        let mut counts = &mut entry[ENTRY_HEAD - 2 * 4..ENTRY_HEAD];
        counts.put_u32(count);
        counts.put_u32(length);
        let checksum = checksum(&entry[SHA256_OUTPUT_LEN..]);
        entry[..SHA256_OUTPUT_LEN].copy_from_slice(&checksum);
        entry.resize(blocks(entry.len()), 0);

        let at = std::mem::replace(&mut self.at, self.length);
        self.broken = true;
        self.backend.write(at as u64, &entry)?;
        self.backend.sync_data()?;
        self.broken = false;
        self.at = at + entry.len();
        Ok(())
    }
}

/// An entry that is whole.
struct RawEntry {
    epoch: u64,
    first: Revision,
    count: u32,
    batches: Bytes,
}

impl RawEntry {
    fn at(journal: &Bytes, at: usize, store: u64) -> Option<Self> {
        let mut head = journal.get(at..at + ENTRY_HEAD)?;
        let mut sum = Checksum::default();
        head.copy_to_slice(&mut sum);
        if head.get_u64() != store {
            return None;
        }
        let epoch = head.get_u64();
        let first = Revision(head.get_u64());
        let count = head.get_u32();
        let length = usize::try_from(head.get_u32()).ok()?;
        let end = (at + ENTRY_HEAD).checked_add(length)?;
        let summed = journal.get(at + SHA256_OUTPUT_LEN..end)?;
        (checksum(summed) == sum).then(|| Self {
            epoch,
            first,
            count,
            batches: journal.slice(at + ENTRY_HEAD..end),
        })
    }

    fn entry(&self) -> Result<Entry, JournalError> {
        let mut rest = self.batches.clone();
        let batches = (0..self.count)
            .map(|_| decode(&mut rest))
            .collect::<Option<Vec<_>>>();
        match batches {
            Some(batches) if !batches.is_empty() && rest.is_empty() => Ok(Entry {
                first: self.first,
                batches,
            }),
            _ => Err(JournalError::Unfit("one of its entries makes no sense")),
        }
    }
}

fn checksum(bytes: &[u8]) -> Checksum {
    let mut sum = Checksum::default();
    sum.copy_from_slice(digest(&SHA256, bytes).as_ref());
    sum
}

/// What `bytes` take, in whole blocks.
fn blocks(bytes: usize) -> usize {
    bytes.div_ceil(BLOCK) * BLOCK
}

fn size(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// As many bytes as [`encode`] makes.
fn encoded_bytes(batch: &WriteBatch) -> usize {
    let values = batch.writes.iter().filter_map(|(_, value)| value.as_ref());
    let values = values.chain(batch.ensures.iter().map(|(_, value)| value));
    let writes = batch.writes.len() + batch.ensures.len();
    BATCH_HEAD + WRITE_HEAD * writes + values.map(Bytes::len).sum::<usize>()
}

/// What a batch writes; what it checked did hold.
fn encode(batch: &WriteBatch, out: &mut Vec<u8>) -> io::Result<()> {
    out.put_u32(size(batch.writes.len())?);
    out.put_u32(size(batch.ensures.len())?);
    let writes = batch
        .writes
        .iter()
        .map(|(key, value)| (key, value.as_ref()));
    let ensures = batch.ensures.iter().map(|(key, value)| (key, Some(value)));
    for (key, value) in writes.chain(ensures) {
        out.put_slice(key.as_bytes());
        match value {
            Some(value) => {
                out.put_u32(size(value.len())?);
                out.put_slice(value);
            }
            None => out.put_u32(DELETED),
        }
    }
    Ok(())
}

fn decode(bytes: &mut Bytes) -> Option<WriteBatch> {
    let writes = bytes.try_get_u32().ok()?;
    let ensures = bytes.try_get_u32().ok()?;
    let mut batch = WriteBatch::default();
    for _ in 0..writes {
        batch.writes.push(decode_write(bytes)?);
    }
    for _ in 0..ensures {
        let (key, value) = decode_write(bytes)?;
        batch.ensures.push((key, value?));
    }
    Some(batch)
}

fn decode_write(bytes: &mut Bytes) -> Option<(StoreKey, Option<Bytes>)> {
    let mut key = [0; StoreKey::BYTES];
    bytes.try_copy_to_slice(&mut key).ok()?;
    let value = match bytes.try_get_u32().ok()? {
        DELETED => None,
        length => {
            let length = usize::try_from(length).ok()?;
            (length <= bytes.len()).then_some(())?;
            Some(bytes.split_to(length))
        }
    };
    Some((StoreKey::from_bytes(key), value))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use std::io::ErrorKind;

    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::random::Counting;
    use crate::store::conformance::key;

    const STORE: u64 = 7;
    const EPOCH: u64 = 11;

    /// A journal of 64 blocks, whose bytes stay to be looked at.
    #[derive(Clone, Debug)]
    struct Memory(Arc<InMemoryBackend>, Arc<AtomicBool>);

    impl Memory {
        fn new() -> Self {
            let backend = InMemoryBackend::new();
            backend.set_len(64 * BLOCK as u64).unwrap();
            create(&backend, STORE).unwrap();
            Self(Arc::new(backend), Arc::default())
        }

        fn bytes(&self) -> Vec<u8> {
            let mut bytes = vec![0; self.len().unwrap() as usize];
            self.read(0, &mut bytes).unwrap();
            bytes
        }

        fn of(bytes: &[u8]) -> Self {
            let backend = InMemoryBackend::new();
            backend.set_len(bytes.len() as u64).unwrap();
            backend.write(0, bytes).unwrap();
            Self(Arc::new(backend), Arc::default())
        }

        fn fail(&self, fails: bool) {
            self.1.store(fails, Ordering::Relaxed);
        }

        fn open(&self) -> Journal {
            self.open_for(STORE).unwrap()
        }

        fn open_for(&self, store: u64) -> Result<Journal, JournalError> {
            Journal::open(Box::new(self.clone()), store, Arc::new(Counting::new()))
        }

        /// With its first round begun.
        fn begin(&self) -> Journal {
            let mut journal = self.open();
            journal.begin(EPOCH);
            journal
        }
    }

    impl StorageBackend for Memory {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }
        fn set_len(&self, length: u64) -> io::Result<()> {
            self.0.set_len(length)
        }
        fn sync_data(&self) -> io::Result<()> {
            match self.1.load(Ordering::Relaxed) {
                true => Err(ErrorKind::Other.into()),
                false => self.0.sync_data(),
            }
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.write(offset, data)
        }
    }

    fn batch(n: u8, bytes: usize) -> WriteBatch {
        WriteBatch {
            writes: vec![(key(n), Some(vec![n; bytes].into())), (key(100), None)],
            ensures: vec![(key(101), Bytes::new())],
            ..WriteBatch::default()
        }
    }

    fn append(journal: &mut Journal, first: u64, batches: &[WriteBatch]) {
        journal.append(Revision(first), batches.iter()).unwrap();
    }

    /// First revisions, and how many batches, of the round `epoch` that began at 0.
    fn read(journal: &mut Journal, epoch: u64) -> Vec<(u64, usize)> {
        let entries = journal.read(epoch, Revision(0)).unwrap();
        let entries = entries.iter();
        entries
            .map(|entry| (entry.first.0, entry.batches.len()))
            .collect()
    }

    fn refusal(bytes: &[u8], epoch: u64, revision: u64) -> &'static str {
        let read = Memory::of(bytes).open().read(epoch, Revision(revision));
        match read.err() {
            Some(JournalError::Unfit(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    /// Three entries, the second of them in several blocks.
    fn three() -> Memory {
        let memory = Memory::new();
        let mut journal = memory.begin();
        append(&mut journal, 1, &[batch(1, 10)]);
        append(&mut journal, 2, &[batch(2, 9_000), batch(3, 10)]);
        append(&mut journal, 4, &[batch(4, 5_000)]);
        memory
    }

    #[test]
    fn what_was_appended_is_read_in_its_order_and_of_its_round_only() {
        let memory = three();
        let mut journal = memory.open();
        let entries = journal.read(EPOCH, Revision(0)).unwrap();
        assert_eq!(entries[1].last(), Revision(3));
        let (written, read_back) = (batch(2, 9_000), &entries[1].batches[0]);
        assert_eq!(read_back.writes, written.writes);
        assert_eq!(read_back.ensures, written.ensures);
        assert_eq!(read(&mut journal, EPOCH), [(1, 1), (2, 2), (4, 1)]);
        // What the data file has is left out.
        let newer = journal.read(EPOCH, Revision(3)).unwrap();
        assert_eq!(newer.len(), 1);

        // The next round begins over it; what is left of this one is not of that.
        journal.begin(EPOCH + 1);
        append(&mut journal, 5, &[batch(5, 0)]);
        let entries = memory.open().read(EPOCH + 1, Revision(4)).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(memory.open().read(EPOCH + 2, Revision(5)).unwrap().len(), 0);
    }

    #[test]
    fn a_data_file_that_is_older_than_its_journal_is_refused() {
        let older = "the data file is older than it";
        let memory = three();
        let mut journal = memory.open();
        // A checkpoint at 4: the file of before it has lost the entries that were written over.
        journal.begin(EPOCH + 1);
        append(&mut journal, 5, &[batch(5, 9_000)]);
        assert_eq!(refusal(&memory.bytes(), EPOCH, 0), older);
        // One that was voided is no sign of that.
        assert!(three().open().read(EPOCH + 1, Revision(3)).is_ok());
        assert_eq!(refusal(&three().bytes(), EPOCH + 1, 2), older);
    }

    #[test]
    fn a_blank_journal_has_nothing() {
        let memory = three();
        memory.open().blank().unwrap();
        assert!(memory.bytes() == Memory::new().bytes());
        assert_eq!(read(&mut memory.open(), EPOCH), []);
    }

    #[test]
    fn a_torn_last_entry_is_as_if_it_never_was() {
        let (whole, earlier) = (three().bytes(), Memory::new().bytes());
        let (start, end) = (5 * BLOCK, 7 * BLOCK);
        assert_ne!(whole[start..end], earlier[start..end]);
        // Its last four bytes are zeros in any case.
        let used = start + ENTRY_HEAD + encoded_bytes(&batch(4, 5_000)) - 4;
        for cut in (start..used).step_by(7) {
            let mut torn = earlier.clone();
            torn[..cut].copy_from_slice(&whole[..cut]);
            let mut journal = Memory::of(&torn).open();
            assert_eq!(read(&mut journal, EPOCH), [(1, 1), (2, 2)], "{cut}");
        }
    }

    #[test]
    fn a_damaged_entry_that_others_follow_is_refused() {
        let whole = three().bytes();
        let first = BLOCK..BLOCK + ENTRY_HEAD + encoded_bytes(&batch(1, 10));
        let second = 2 * BLOCK..2 * BLOCK + ENTRY_HEAD + 9_000;
        for at in first.chain(second.step_by(37)) {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            assert_eq!(
                refusal(&bytes, EPOCH, 0),
                "it is damaged before its end",
                "{at}"
            );
        }
        // Nor may one be missing.
        let mut bytes = whole.clone();
        bytes.copy_within(5 * BLOCK..7 * BLOCK, 2 * BLOCK);
        let why = "it does not go on where the data file ends";
        assert_eq!(refusal(&bytes, EPOCH, 0), why);
    }

    #[test]
    fn nothing_is_appended_where_there_is_no_room_nor_before_a_round_begins() {
        let mut journal = Memory::new().open();
        let large = [batch(1, 30 * BLOCK)];
        assert!(!journal.has_room(large.iter()));
        journal.begin(EPOCH);
        for _ in 0..2 {
            assert!(journal.has_room(large.iter()));
            append(&mut journal, 1, &large);
        }
        assert!(!journal.has_room(large.iter()) && journal.has_room([batch(1, 9)].iter()));
        journal.read(0, Revision(0)).unwrap();
        assert!(!journal.has_room([batch(1, 9)].iter()));
    }

    #[test]
    fn nothing_is_appended_after_a_sync_failed() {
        let (memory, small) = (Memory::new(), [batch(1, 9)]);
        let mut journal = memory.begin();
        append(&mut journal, 1, &small);
        memory.fail(true);
        journal.append(Revision(2), small.iter()).unwrap_err();
        memory.fail(false);
        for _ in 0..2 {
            assert!(!journal.has_room(small.iter()) && !journal.wants_checkpoint());
            journal.begin(EPOCH + 1);
        }
        // Opened again, it is tried again.
        assert!(memory.begin().has_room(small.iter()));
    }

    #[test]
    fn another_journal_and_a_part_of_one_are_refused() {
        let whole = three().bytes();
        let why = |bytes: &[u8], store| match Memory::of(bytes).open_for(store).err() {
            Some(JournalError::Unfit(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            why(&whole, STORE + 1),
            "it is the journal of another data file"
        );
        for length in [0, 10, BLOCK - 1] {
            assert_eq!(
                why(&whole[..length], STORE),
                "it is not a journal",
                "{length}"
            );
        }
        for length in [BLOCK, whole.len() - 1] {
            assert_eq!(why(&whole[..length], STORE), "it is not all of a journal");
        }
        assert_eq!(why(&[1; 2 * BLOCK], STORE), "it is not a journal");
    }
}
