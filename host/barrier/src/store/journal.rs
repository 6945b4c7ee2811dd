//! The journal: what was committed since the data file was last made durable.
//!
//! A commit to redb writes pages all over the file and syncs twice. So commits become durable here first, one
//! after the other, by one write and one sync of all that came together (an *entry*); redb has them in memory
//! and makes them durable all at once, later: at a *checkpoint*, which begins a new *round* of the journal.
//!
//! ```text
//! block 0       magic, the store's id, the journal's length
//! block 1 ...   checksum | checksum of the entry before | epoch | revision | batches | length | batches, 0s
//! ...           the next entry, in a block of its own
//! ```
//!
//! Invariants
//! - An entry is synced before the next one is begun: a crash leaves at most one that is not whole, the last,
//!   and nobody was answered for it.
//! - A round has an epoch, which its entries carry. The data file says in the commit of each checkpoint which
//!   one comes next: that commit is what voids the entries before it, whatever they are and in whatever state.
//!   Epochs do not come again: one is the hash of the one before and of the entries it had.
//! - An entry has blocks of its own, and no block is written twice in one round: no write that fails or is
//!   torn touches what was answered before.
//! - Nothing is written behind an entry whose write failed: it may be there or not. Only a new round goes on.
//!
//! The file is as long as it will be from the beginning, and filled: a sync of a file that grows takes longer.
//!
//! Damage. Behind the last whole entry there may be a torn one, or what earlier rounds left; neither was
//! answered. If a whole entry of this round comes after it, then it was answered, and is damaged: that is
//! refused. Damage of the very last entry looks like a torn one and cannot be told from it, nor can damage of
//! all entries from one on.

use std::io::{self, ErrorKind};

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use bytes::{Buf as _, BufMut as _, Bytes};
use redb::StorageBackend;

use crate::limits;
use crate::names::StoreKey;
use crate::store::{Revision, WriteBatch};

/// The unit in which files are cached and disks write.
const BLOCK: usize = 4096;
const MAGIC: &[u8; 16] = b"coffer journal 1";

type Checksum = [u8; SHA256_OUTPUT_LEN];
/// Two checksums; epoch, revision; number of batches, length.
const ENTRY_HEAD: usize = 2 * SHA256_OUTPUT_LEN + 2 * 8 + 2 * 4;
/// The number of writes and of those that are ensured.
const BATCH_HEAD: usize = 2 * 4;
/// A key, and how long its value is.
const WRITE_HEAD: usize = StoreKey::BYTES + 4;
/// The length of the value that there is not, where a key is deleted.
const DELETED: u32 = u32::MAX;

/// See the module.
pub(super) struct Journal {
    backend: Box<dyn StorageBackend>,
    length: usize,
    epoch: u64,
    /// Of the last entry of this round; zeros before the first.
    last: Checksum,
    /// Where the next entry goes. The end, where none may follow.
    at: usize,
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

/// Whose journal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Ours,
    /// Of another store.
    Others,
    /// It is no journal, or not all of one.
    Nobodys,
}

/// Whose journal `backend` has, if ours is the store `id`.
pub(super) fn whose(backend: &dyn StorageBackend, id: u64) -> io::Result<Whose> {
    if backend.len()? < BLOCK as u64 {
        return Ok(Whose::Nobodys);
    }
    let mut block = [0; BLOCK];
    backend.read(0, &mut block)?;
    let mut head = &block[..];
    let mut magic = [0; MAGIC.len()];
    head.copy_to_slice(&mut magic);
    let (owner, length) = (head.get_u64(), head.get_u64());
    Ok(match (&magic == MAGIC, owner == id) {
        (true, true) if backend.len()? >= length => Whose::Ours,
        (true, false) => Whose::Others,
        _ => Whose::Nobodys,
    })
}

/// Makes an empty journal for the store `id`: as long as `backend` is, or as is usual if that is empty.
pub(super) fn create(backend: &dyn StorageBackend, id: u64) -> io::Result<()> {
    const FILL: usize = 1 << 20;
    let mut length = backend.len()?;
    if length == 0 {
        length = limits::JOURNAL_BYTES as u64;
        backend.set_len(length)?;
        let zeros = vec![0; FILL];
        for at in (0..length).step_by(FILL) {
            let rest = usize::try_from(length - at).unwrap_or(FILL);
            backend.write(at, &zeros[..rest.min(FILL)])?;
        }
    }
    let mut block = Vec::with_capacity(BLOCK);
    block.put_slice(MAGIC);
    block.put_u64(id);
    block.put_u64(length);
    block.resize(BLOCK, 0);
    backend.write(0, &block)?;
    backend.sync_data()
}

impl Journal {
    /// The journal that `backend` has. Nothing can be appended before a round begins.
    pub(super) fn open(backend: Box<dyn StorageBackend>) -> io::Result<Self> {
        let length = usize::try_from(backend.len()?).map_err(io::Error::other)?;
        let length = length - length % BLOCK;
        Ok(Self {
            backend,
            length,
            epoch: 0,
            last: Checksum::default(),
            at: length,
        })
    }

    /// The entries of the round `epoch`. After that, nothing can be appended before another round begins.
    pub(super) fn read(&mut self, epoch: u64) -> io::Result<Vec<Entry>> {
        self.end(epoch);
        let mut bytes = vec![0; self.length];
        self.backend.read(0, &mut bytes)?;
        let bytes = Bytes::from(bytes);
        let mut entries = Vec::new();
        let mut at = BLOCK;
        while let Some(found) = Found::at(&bytes, at, epoch) {
            if found.before != self.last {
                return Err(damaged("an entry does not follow the one before it"));
            }
            entries.push(found.entry()?);
            self.last = found.checksum;
            at += blocks(ENTRY_HEAD + found.batches.len());
        }
        let mut behind = (at..self.length).step_by(BLOCK);
        match behind.any(|at| Found::at(&bytes, at, epoch).is_some()) {
            true => Err(damaged("an entry is damaged, and others follow it")),
            false => Ok(entries),
        }
    }

    /// Nothing is read of the round `epoch`, and nothing appended.
    pub(super) fn end(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.last = Checksum::default();
        self.at = self.length;
    }

    /// The epoch of the round that comes after this one.
    pub(super) fn next_epoch(&self) -> u64 {
        let mut ended = self.epoch.to_be_bytes().to_vec();
        ended.extend_from_slice(&self.last);
        digest(&SHA256, &ended).as_ref().get_u64()
    }

    /// Begins the next round: the data file says so durably, in the commit that has all of this one.
    pub(super) fn begin_next(&mut self) {
        self.epoch = self.next_epoch();
        self.last = Checksum::default();
        self.at = BLOCK;
    }

    /// Whether the data file has all that is here, and there is room for more.
    pub(super) fn is_empty(&self) -> bool {
        self.at == BLOCK
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
        entry.put_slice(&self.last);
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
        self.backend.write(at as u64, &entry)?;
        self.backend.sync_data()?;
        self.last = checksum;
        self.at = at + entry.len();
        Ok(())
    }
}

/// An entry that is whole.
struct Found {
    checksum: Checksum,
    before: Checksum,
    first: Revision,
    count: u32,
    batches: Bytes,
}

impl Found {
    fn at(journal: &Bytes, at: usize, epoch: u64) -> Option<Self> {
        let mut head = journal.get(at..at + ENTRY_HEAD)?;
        let (mut sum, mut before) = (Checksum::default(), Checksum::default());
        head.copy_to_slice(&mut sum);
        head.copy_to_slice(&mut before);
        if head.get_u64() != epoch {
            return None;
        }
        let first = Revision(head.get_u64());
        let count = head.get_u32();
        let length = usize::try_from(head.get_u32()).ok()?;
        let end = (at + ENTRY_HEAD).checked_add(length)?;
        let summed = journal.get(at + SHA256_OUTPUT_LEN..end)?;
        (checksum(summed) == sum).then(|| Self {
            checksum: sum,
            before,
            first,
            count,
            batches: journal.slice(at + ENTRY_HEAD..end),
        })
    }

    fn entry(&self) -> io::Result<Entry> {
        let mut rest = self.batches.clone();
        let batches = (0..self.count)
            .map(|_| decode(&mut rest))
            .collect::<Option<Vec<_>>>();
        match batches {
            Some(batches) if !batches.is_empty() && rest.is_empty() => Ok(Entry {
                first: self.first,
                batches,
            }),
            _ => Err(damaged("an entry makes no sense")),
        }
    }
}

pub(super) fn damaged(how: &str) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        format!("the journal is damaged: {how}"),
    )
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
    u32::try_from(bytes).map_err(|_| ErrorKind::InvalidInput.into())
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::store::conformance::key;

    const ID: u64 = 7;

    /// A journal of 64 blocks, whose bytes stay to be looked at.
    #[derive(Clone, Debug)]
    struct Memory(Arc<InMemoryBackend>, Arc<AtomicBool>);

    impl Memory {
        fn new() -> Self {
            let backend = InMemoryBackend::new();
            backend.set_len(64 * BLOCK as u64).unwrap();
            create(&backend, ID).unwrap();
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
            Journal::open(Box::new(self.clone())).unwrap()
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

    /// First revisions, and how many batches.
    fn read(journal: &mut Journal, epoch: u64) -> Vec<(u64, usize)> {
        let entries = journal.read(epoch).unwrap();
        let entries = entries.iter();
        entries
            .map(|entry| (entry.first.0, entry.batches.len()))
            .collect()
    }

    /// Three entries, the second of them in several blocks.
    fn three() -> (Memory, u64) {
        let memory = Memory::new();
        let mut journal = memory.open();
        journal.begin_next();
        append(&mut journal, 1, &[batch(1, 10)]);
        append(&mut journal, 2, &[batch(2, 9_000), batch(3, 10)]);
        append(&mut journal, 4, &[batch(4, 5_000)]);
        (memory, journal.epoch)
    }

    #[test]
    fn what_was_appended_is_read_in_its_order_and_of_its_round_only() {
        let (memory, epoch) = three();
        let mut journal = memory.open();
        let entries = journal.read(epoch).unwrap();
        assert_eq!(entries[1].last(), Revision(3));
        let (written, read_back) = (batch(2, 9_000), &entries[1].batches[0]);
        assert_eq!(read_back.writes, written.writes);
        assert_eq!(read_back.ensures, written.ensures);
        assert_eq!(read(&mut journal, epoch), [(1, 1), (2, 2), (4, 1)]);

        // The next round begins over it; what is left of this one is not of that.
        journal.begin_next();
        append(&mut journal, 5, &[batch(5, 0)]);
        assert_eq!(read(&mut memory.open(), journal.epoch), [(5, 1)]);
        assert_eq!(read(&mut memory.open(), epoch + 1), []);
    }

    #[test]
    fn a_round_that_had_other_entries_is_followed_by_another_epoch() {
        let epochs = [0, 1, 2].map(|count| {
            let mut journal = Memory::new().open();
            journal.begin_next();
            (0..count).for_each(|n| append(&mut journal, n, &[batch(1, 1)]));
            (journal.epoch, journal.next_epoch())
        });
        let [a, b, c] = epochs;
        assert!(a.0 == b.0 && b.0 == c.0);
        assert!(a.1 != b.1 && b.1 != c.1 && a.1 != c.1 && a.0 != a.1);
    }

    #[test]
    fn a_torn_last_entry_is_as_if_it_never_was() {
        let (memory, epoch) = three();
        let (whole, earlier) = (memory.bytes(), Memory::new().bytes());
        let (start, end) = (5 * BLOCK, 7 * BLOCK);
        assert_ne!(whole[start..end], earlier[start..end]);
        // Its last four bytes are zeros in any case.
        let used = start + ENTRY_HEAD + encoded_bytes(&batch(4, 5_000)) - 4;
        for cut in (start..used).step_by(7) {
            let mut torn = earlier.clone();
            torn[..cut].copy_from_slice(&whole[..cut]);
            let mut journal = Memory::of(&torn).open();
            assert_eq!(read(&mut journal, epoch), [(1, 1), (2, 2)], "{cut}");
        }
    }

    #[test]
    fn a_damaged_entry_that_others_follow_is_refused() {
        let (memory, epoch) = three();
        let whole = memory.bytes();
        let first = BLOCK..BLOCK + ENTRY_HEAD + encoded_bytes(&batch(1, 10));
        let second = 2 * BLOCK..2 * BLOCK + ENTRY_HEAD + 9_000;
        for at in first.chain(second.step_by(37)) {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            let error = Memory::of(&bytes).open().read(epoch).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{at}");
        }
        // Nor may one be missing.
        let mut bytes = whole.clone();
        bytes.copy_within(5 * BLOCK..7 * BLOCK, 2 * BLOCK);
        assert!(Memory::of(&bytes).open().read(epoch).is_err());
    }

    #[test]
    fn nothing_is_appended_where_there_is_no_room_nor_before_a_round_begins() {
        let mut journal = Memory::new().open();
        let large = [batch(1, 30 * BLOCK)];
        assert!(!journal.has_room(large.iter()));
        journal.begin_next();
        for _ in 0..2 {
            assert!(journal.has_room(large.iter()));
            append(&mut journal, 1, &large);
        }
        assert!(!journal.has_room(large.iter()) && journal.has_room([batch(1, 9)].iter()));
        journal.read(0).unwrap();
        assert!(!journal.has_room([batch(1, 9)].iter()));
    }

    #[test]
    fn nothing_is_appended_behind_an_entry_whose_sync_failed() {
        let (memory, small) = (Memory::new(), [batch(1, 9)]);
        let mut journal = memory.open();
        journal.begin_next();
        append(&mut journal, 1, &small);
        memory.fail(true);
        journal.append(Revision(2), small.iter()).unwrap_err();
        memory.fail(false);
        assert!(!journal.has_room(small.iter()) && !journal.is_empty());
        journal.begin_next();
        append(&mut journal, 2, &small);
        assert_eq!(read(&mut memory.open(), journal.epoch), [(2, 1)]);
    }

    #[test]
    fn a_journal_says_whose_it_is() {
        let memory = Memory::new();
        assert_eq!(whose(&memory, ID).unwrap(), Whose::Ours);
        assert_eq!(whose(&memory, ID + 1).unwrap(), Whose::Others);
        let bytes = memory.bytes();
        for length in [0, 10, BLOCK, bytes.len() - 1] {
            let cut = Memory::of(&bytes[..length]);
            assert_eq!(whose(&cut, ID).unwrap(), Whose::Nobodys, "{length}");
        }
        let foreign = Memory::of(&[1; 2 * BLOCK]);
        assert_eq!(whose(&foreign, ID).unwrap(), Whose::Nobodys);
    }
}
