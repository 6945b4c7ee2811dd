//! Power cuts and failing disks, at every operation of random runs of the store in a file.
//!
//! A run is recorded once. Then both files, the data file and the journal, are stopped after each of its
//! operations and left in each of the ways of [`Cut`]; what one file loses says nothing about the other. What
//! is left must open, and show all that was answered by then, and of what was under way each commit as a whole
//! or not at all and in their order; it takes a new commit. And the power may go again at each operation of that.
//!
//! Another number of seeds: `COFFER_CRASH_SEEDS=20000 cargo test --release -p host-barrier power`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use redb::StorageBackend;

use crate::lock;
use crate::names::{KeyRange, StoreKey, Table};
use crate::random::Counting;
use crate::store::conformance::key;
use crate::store::redb::RedbStore;
use crate::store::{Revision, Store as _, WriteBatch, WriteError, read_range};

/// SplitMix64.
#[derive(Clone)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

const DATA: usize = 0;
const JOURNAL: usize = 1;
/// What both files hold.
type Images = [Vec<u8>; 2];

#[derive(Clone, Debug)]
enum Operation {
    Write(usize, Vec<u8>),
    SetLen(usize),
    Sync,
}

impl Operation {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => write_at(image, *offset, data),
            Self::SetLen(length) => image.resize(*length, 0),
            Self::Sync => {}
        }
    }
}

fn write_at(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    image.resize(image.len().max(end), 0);
    image[offset..end].copy_from_slice(data);
}

/// What the power cut leaves of what a file was not synced for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    Lost,
    Kept,
    Prefix,
    Subset,
    /// Of each write any sectors.
    TornSectors,
    /// Of each write any first part.
    TornBytes,
    /// All of it, but the file has not grown.
    GrowthLost,
}

impl Cut {
    const ALL: [Self; 7] = [
        Self::Lost,
        Self::Kept,
        Self::Prefix,
        Self::Subset,
        Self::TornSectors,
        Self::TornBytes,
        Self::GrowthLost,
    ];

    fn leave(self, durable: &[u8], unsynced: &[Operation], chance: &mut Chance) -> Vec<u8> {
        let mut image = durable.to_vec();
        let first = chance.below(unsynced.len() + 1);
        for (n, done) in unsynced.iter().enumerate() {
            match (self, done) {
                (Self::Lost, _) => {}
                (Self::Prefix, _) if n >= first => {}
                (Self::Subset, _) if chance.coin() => {}
                (Self::TornSectors, Operation::Write(offset, data)) => {
                    for (n, sector) in data.chunks(512).enumerate() {
                        if chance.coin() {
                            write_at(&mut image, offset + n * 512, sector);
                        }
                    }
                }
                (Self::TornBytes, Operation::Write(offset, data)) => {
                    write_at(&mut image, *offset, &data[..chance.below(data.len() + 1)]);
                }
                _ => done.apply(&mut image),
            }
        }
        if self == Self::GrowthLost {
            image.truncate(durable.len());
        }
        image
    }
}

/// So many operations fail, from one on.
#[derive(Clone, Copy, Debug)]
struct Fault {
    at: usize,
    count: usize,
    /// Whether reads show what a failed sync did not write: the system takes it for clean.
    stays: bool,
}

#[derive(Default)]
struct State {
    durable: Images,
    seen: Images,
    unsynced: [Vec<Operation>; 2],
    log: Vec<(usize, Operation)>,
    fault: Option<Fault>,
    /// The operation that is a defect of the program.
    panics: Option<usize>,
    /// What failed, and of which file.
    failed: Vec<(usize, Operation)>,
}

/// Two files on one disk. A clone is the same disk.
#[derive(Clone)]
struct Disk(Arc<Mutex<State>>);

impl Disk {
    fn new(images: Images) -> Self {
        Self(Arc::new(Mutex::new(State {
            durable: images.clone(),
            seen: images,
            ..State::default()
        })))
    }

    /// A new one, with room for this many blocks in the journal.
    fn empty(blocks: usize) -> Self {
        Self::new([vec![], vec![0; blocks * 4096]])
    }

    fn operations(&self) -> usize {
        lock(&self.0).log.len()
    }

    fn open(&self) -> Result<RedbStore, String> {
        let [data, journal] = [DATA, JOURNAL].map(|file| OnDisk(self.clone(), file));
        RedbStore::open_backend(data, journal, &Counting::new()).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            format!("it does not open: {error}: {source:?}")
        })
    }
}

struct OnDisk(Disk, usize);

impl std::fmt::Debug for OnDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "file {}", self.1)
    }
}

impl OnDisk {
    fn perform(&self, operation: Operation) -> io::Result<()> {
        let mut state = lock(&self.0.0);
        let state = &mut *state;
        let number = state.log.len();
        state.log.push((self.1, operation.clone()));
        assert!(state.panics != Some(number), "as it was told to");
        if let Some(fault) = state.fault
            && (fault.at..fault.at.saturating_add(fault.count)).contains(&number)
        {
            state.failed.push((self.1, operation.clone()));
            if matches!(operation, Operation::Sync) {
                // Some of it was written, and none will be.
                let unsynced = std::mem::take(&mut state.unsynced[self.1]);
                let mut chance = Chance(number as u64);
                let durable = &mut state.durable[self.1];
                *durable = Cut::Subset.leave(durable, &unsynced, &mut chance);
                if !fault.stays {
                    state.seen[self.1].clone_from(durable);
                }
            }
            return Err(io::Error::other("as it was told to"));
        }
        operation.apply(&mut state.seen[self.1]);
        match operation {
            Operation::Sync => {
                for done in state.unsynced[self.1].drain(..) {
                    done.apply(&mut state.durable[self.1]);
                }
            }
            _ => state.unsynced[self.1].push(operation),
        }
        Ok(())
    }
}

impl StorageBackend for OnDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0.0).seen[self.1].len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = offset as usize;
        let state = lock(&self.0.0);
        let stored = state.seen[self.1].get(offset..offset + out.len());
        out.copy_from_slice(stored.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.perform(Operation::SetLen(length as usize))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.perform(Operation::Sync)
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.perform(Operation::Write(offset as usize, data.to_vec()))
    }
}

type Content = BTreeMap<StoreKey, Vec<u8>>;

/// A run, as its clients know it.
struct History {
    /// After each number of commits.
    states: Vec<Content>,
    /// Of each commit: the disk's operations when it was begun, and when it was answered.
    times: Vec<(usize, usize)>,
}

impl History {
    /// How many commits may be found if the disk stops after this many operations.
    fn permitted(&self, operations: usize) -> RangeInclusive<usize> {
        let answered = |(_, answered): &(usize, usize)| *answered <= operations;
        let begun = |(begun, _): &(usize, usize)| *begun < operations;
        let least = self.times.iter().rposition(answered).map_or(0, |n| n + 1);
        let most = self.times.iter().rposition(begun).map_or(0, |n| n + 1);
        least..=most
    }
}

/// Puts, deletes and what is to be ensured; now and then more than the journal holds.
fn batch(chance: &mut Chance) -> WriteBatch {
    let mut writes = BTreeMap::new();
    for _ in 0..=chance.below(4) {
        let length = match chance.below(40) {
            0 => 40_000,
            1..5 => 5_000,
            _ => chance.below(300),
        };
        let value = (chance.below(4) > 0).then(|| Bytes::from(vec![chance.next() as u8; length]));
        writes.insert(key(chance.below(60) as u8), value);
    }
    WriteBatch {
        writes: writes.into_iter().collect(),
        ensures: vec![(key(60 + chance.below(9) as u8), "ensured".into())],
        ..WriteBatch::default()
    }
}

fn apply(batch: &WriteBatch, content: &mut Content) {
    for (key, value) in &batch.writes {
        match value {
            Some(value) => drop(content.insert(*key, value.to_vec())),
            None => drop(content.remove(key)),
        }
    }
    for (key, value) in &batch.ensures {
        content.entry(*key).or_insert_with(|| value.to_vec());
    }
}

fn copy(batch: &WriteBatch) -> WriteBatch {
    WriteBatch {
        checks: batch.checks.clone(),
        writes: batch.writes.clone(),
        ensures: batch.ensures.clone(),
    }
}

fn content(store: &RedbStore) -> Result<(usize, Content), String> {
    block_on(async {
        let snapshot = store.snapshot().await.map_err(|e| e.to_string())?;
        let records = read_range(&*snapshot, KeyRange::table(Table::Data)).await;
        let records = records.map_err(|error| error.to_string())?;
        let records = records.into_iter();
        let content = records.map(|(key, record)| (key, record.value.to_vec()));
        Ok((snapshot.revision().0 as usize, content.collect()))
    })
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(work)
}

/// A run, with its last closing. Returns the operations until there was a store.
fn record(disk: &Disk, chance: &mut Chance) -> (usize, History) {
    let mut store = Some(disk.open().unwrap());
    let start = disk.operations();
    let mut history = History {
        states: vec![Content::new()],
        times: vec![],
    };
    for _ in 0..4 + chance.below(12) {
        if chance.below(6) == 0 {
            drop(store.take());
            store = Some(disk.open().unwrap());
        }
        let store = store.as_ref().unwrap();
        let count = [1, 1, 1, 5][chance.below(4)];
        let batches: Vec<_> = (0..count).map(|_| batch(chance)).collect();
        let begun = disk.operations();
        let commits: Vec<_> = batches.iter().map(|b| store.commit(copy(b))).collect();
        let mut done = block_on(async {
            let mut done = Vec::new();
            let commits = commits.into_iter().map(|commit| async {
                let revision = commit.await.unwrap();
                (revision, disk.operations())
            });
            for (answered, batch) in join_all(commits).await.into_iter().zip(&batches) {
                done.push((answered.0, answered.1, batch));
            }
            done
        });
        done.sort_by_key(|(revision, ..)| *revision);
        for (revision, answered, batch) in done {
            let mut state = history.states.last().unwrap().clone();
            apply(batch, &mut state);
            history.states.push(state);
            history.times.push((begun, answered));
            assert_eq!(revision, Revision(history.times.len() as u64));
        }
    }
    (start, history)
}

/// All at once.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *done = Some(output);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(done.drain(..).flatten().collect()),
            false => std::task::Poll::Pending,
        }
    })
    .await
}

/// Both files after this many operations of `log`.
fn cut(images: &Images, log: &[(usize, Operation)], cuts: [Cut; 2], chance: &mut Chance) -> Images {
    [DATA, JOURNAL].map(|file| {
        let mine: Vec<_> = log.iter().filter(|(of, _)| *of == file).collect();
        let synced = mine
            .iter()
            .rposition(|(_, done)| matches!(done, Operation::Sync))
            .map_or(0, |last| last + 1);
        let mut durable = images[file].clone();
        for (_, done) in &mine[..synced] {
            done.apply(&mut durable);
        }
        let rest: Vec<_> = mine[synced..]
            .iter()
            .map(|(_, done)| done.clone())
            .collect();
        cuts[file].leave(&durable, &rest, chance)
    })
}

struct Recovery {
    disk: Disk,
    /// After each number of commits, the new one being the last.
    states: Vec<Content>,
    /// The disk's operations when it was open, and when the new commit was answered.
    times: (usize, usize),
}

/// Opens what a crash has left, where so many of the commits may be found that left `states`, and writes.
fn recover(
    images: Images,
    states: &[Content],
    permitted: RangeInclusive<usize>,
) -> Result<Recovery, String> {
    let disk = Disk::new(images);
    let store = disk.open()?;
    let opened = disk.operations();
    let (found, shown) = content(&store)?;
    if !permitted.contains(&found) {
        return Err(format!("{found} commits are there, and not {permitted:?}"));
    }
    if shown != states[found] {
        return Err(format!(
            "{found} commits are there, and not what they wrote"
        ));
    }
    let new = batch(&mut Chance(found as u64));
    let revision = block_on(store.commit(copy(&new))).map_err(|error| error.to_string())?;
    let answered = disk.operations();
    let mut states = states[..=found].to_vec();
    let mut state = shown;
    apply(&new, &mut state);
    states.push(state.clone());
    if revision.0 as usize != found + 1 || content(&store)? != (found + 1, state) {
        return Err("the new commit does not show".to_owned());
    }
    drop(store);
    Ok(Recovery {
        disk,
        states,
        times: (opened, answered),
    })
}

fn seeds(usual: u64) -> u64 {
    let wanted = std::env::var("COFFER_CRASH_SEEDS");
    wanted.ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

fn cuts(chance: &mut Chance) -> [Cut; 2] {
    [0; 2].map(|_| Cut::ALL[chance.below(Cut::ALL.len())])
}

#[test]
fn the_power_may_go_after_any_operation() {
    for seed in 0..seeds(12) {
        let mut chance = Chance(seed);
        let disk = Disk::empty(2 + chance.below(20));
        let fresh = lock(&disk.0).seen.clone();
        let (start, history) = record(&disk, &mut chance);
        let log = lock(&disk.0).log.clone();
        let mut pairs = Cut::ALL.map(|cut| [cut, cut]).to_vec();
        pairs.extend([[Cut::Lost, Cut::Kept], [Cut::Kept, Cut::Lost]]);
        for at in start..=log.len() {
            let pairs = pairs.clone().into_iter();
            for pair in pairs.chain([cuts(&mut chance), cuts(&mut chance)]) {
                let left = cut(&fresh, &log[..at], pair, &mut chance);
                recover(left, &history.states, history.permitted(at))
                    .unwrap_or_else(|error| panic!("seed {seed}, {at}, {pair:?}: {error}"));
            }
        }
    }
}

#[test]
fn the_power_may_go_again_in_a_recovery() {
    for seed in 0..seeds(150) {
        let mut chance = Chance(1_000_000 + seed);
        let disk = Disk::empty(2 + chance.below(20));
        let mut images = lock(&disk.0).seen.clone();
        let (start, history) = record(&disk, &mut chance);
        let mut log = lock(&disk.0).log.clone();
        let mut told = String::new();
        let mut at = start + chance.below(log.len() + 1 - start);
        let (mut permitted, mut states) = (history.permitted(at), history.states);
        for _ in 0..6 {
            let pair = cuts(&mut chance);
            told = format!("{told}, {pair:?} after {at} of {}", log.len());
            images = cut(&images, &log[..at], pair, &mut chance);
            let recovery = recover(images.clone(), &states, permitted.clone())
                .unwrap_or_else(|error| panic!("seed {seed}{told}: {error}"));
            log = lock(&recovery.disk.0).log.clone();
            at = chance.below(log.len() + 1);
            let (opened, answered) = recovery.times;
            // Before it was open, nobody has seen what it found.
            if at >= opened {
                states = recovery.states;
                let new = states.len() - 1;
                permitted = match at {
                    _ if at >= answered => new..=new,
                    _ if at > opened => new - 1..=new,
                    _ => new - 1..=new - 1,
                };
            }
        }
    }
}

#[test]
fn a_disk_that_lies_about_its_syncs_is_found_out() {
    for file in [DATA, JOURNAL] {
        let mut chance = Chance(5);
        let disk = Disk::empty(9);
        let fresh = lock(&disk.0).seen.clone();
        let (start, history) = record(&disk, &mut chance);
        let mut log = lock(&disk.0).log.clone();
        for (of, done) in &mut log[start..] {
            if *of == file && matches!(done, Operation::Sync) {
                *done = Operation::Write(0, vec![]);
            }
        }
        let lost = (start..=log.len()).filter(|at| {
            let left = cut(&fresh, &log[..*at], [Cut::Lost; 2], &mut chance);
            recover(left, &history.states, history.permitted(*at)).is_err()
        });
        assert!(lost.count() > 0, "file {file}");
    }
}

#[test]
fn any_operations_may_fail() {
    let whole = Clients::run(None).disk.operations();
    let faults = [(1, true), (2, true), (3, true), (usize::MAX, true)];
    let faults = faults
        .into_iter()
        .chain([(1, false), (2, false), (usize::MAX, false)]);
    for (count, stays) in faults {
        for at in 0..whole {
            let mut clients = Clients::run(Some(Fault { at, count, stays }));
            let failed = lock(&clients.disk.0).failed.clone();
            let shown = clients.shown.clone();
            for (images, synced) in std::mem::take(&mut clients.left)
                .into_iter()
                .zip([false, true])
            {
                clients.shown.clone_from(&shown);
                // Where the system shows what a sync has not written, redb cannot know, but for the advice of
                // `disk.rs` that there be no such thing.
                let data_sync = |(file, done): &_| *file == DATA && matches!(done, Operation::Sync);
                if synced && stays && failed.iter().any(data_sync) {
                    clients.shown.clear();
                }
                clients.look(&Disk::new(images).open().unwrap());
            }
        }
    }
}

/// Those who put one record each, while the disk fails.
struct Clients {
    disk: Disk,
    answers: Vec<Result<(), WriteError>>,
    /// Whose record somebody has seen.
    shown: BTreeSet<usize>,
    /// The files if the process is killed now, and if the power goes; none if it never opened them.
    left: Vec<Images>,
}

impl Clients {
    fn run(fault: Option<Fault>) -> Self {
        let mut clients = Self {
            disk: Disk::empty(7),
            answers: vec![],
            shown: BTreeSet::new(),
            left: vec![],
        };
        lock(&clients.disk.0).fault = fault;
        let Ok(store) = clients.disk.open() else {
            return clients;
        };
        for n in 0..14 {
            let before = clients.disk.operations();
            // The third in the journal does not fit.
            let length = if n == 4 { 30_000 } else { 100 };
            let answer = block_on(store.commit(WriteBatch {
                writes: vec![(key(n), Some(vec![n; length].into()))],
                ..WriteBatch::default()
            }));
            let operations = before..clients.disk.operations();
            let failed = fault.is_some_and(|fault| operations.contains(&fault.at));
            assert!(!failed || answer.is_err(), "{fault:?}: it is answered");
            clients.answers.push(answer.map(drop));
            clients.look(&store);
        }
        let state = lock(&clients.disk.0);
        clients.left = vec![state.seen.clone(), state.durable.clone()];
        drop(state);
        clients
    }

    /// What was answered or seen is there, and what was refused is not.
    fn look(&mut self, store: &RedbStore) {
        let (_, content) = content(store).unwrap();
        let fault = lock(&self.disk.0).fault;
        for (n, answer) in self.answers.iter().enumerate() {
            let there = content.contains_key(&key(n as u8));
            assert!(
                there || !self.shown.contains(&n),
                "{fault:?}: {n} has vanished"
            );
            match answer {
                Ok(()) => assert!(there, "{fault:?}: {n} is not there"),
                Err(WriteError::Unknown(_)) => {}
                Err(_) => assert!(!there, "{fault:?}: {n} is there"),
            }
            if there {
                self.shown.insert(n);
            }
        }
    }
}

/// redb, when it is closed without us, makes durable what it has in memory: of that the journal has the entries
/// still, and they are not applied a second time.
#[test]
fn a_writer_that_panics_leaves_all_that_it_answered() {
    let put = |n: u8| WriteBatch {
        writes: vec![(key(n), Some(vec![n].into()))],
        ..WriteBatch::default()
    };
    let disk = Disk::empty(7);
    let store = disk.open().unwrap();
    for n in 0..4 {
        block_on(store.commit(put(n))).unwrap();
    }
    let panics = disk.operations();
    lock(&disk.0).panics = Some(panics);
    let answer = block_on(store.commit(put(4)));
    assert!(matches!(answer, Err(WriteError::Unknown(_))), "{answer:?}");
    drop(store);
    let (seen, durable) = {
        let state = lock(&disk.0);
        assert!(state.log.len() > panics + 1, "redb was not closed");
        (state.seen.clone(), state.durable.clone())
    };
    for images in [seen, durable] {
        let store = Disk::new(images).open().unwrap();
        let (revision, found) = content(&store).unwrap();
        assert_eq!((revision, found.len()), (4, 4));
        block_on(store.commit(put(5))).unwrap();
    }
}
