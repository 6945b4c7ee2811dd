//! The file: what is refused, what stays, what does not show.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, StorageBackend, TableDefinition};

use super::*;
use crate::store::Store as _;
use crate::store::redb::RedbStore;
use crate::{MountId, OpenError, Random, Revision, UnsealShare, lock};

async fn open(directory: &Path) -> Result<Barrier, OpenError> {
    Barrier::open(
        StorageConfig::Redb {
            directory: directory.to_owned(),
        },
        Arc::new(Counting::new()),
    )
    .await
}

fn file(directory: &Path) -> PathBuf {
    directory.join("coffer.redb")
}

fn journal(directory: &Path) -> PathBuf {
    directory.join("coffer.journal")
}

/// As whoever keeps it would enter it.
fn again(share: &UnsealShare) -> UnsealShare {
    UnsealShare::parse(&share.to_hex()).unwrap()
}

/// As a crash would leave it: copies of the files as they are now, without closing.
fn copy_files(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    fs::copy(file(from), file(to.path())).unwrap();
    fs::copy(journal(from), journal(to.path())).unwrap();
    to
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn what_was_committed_is_there_after_closing_and_opening() {
    let directory = tempfile::tempdir().unwrap();
    let config = StorageConfig::Redb {
        directory: directory.path().join("made/by/us"),
    };
    let (barrier, share) = unsealed(config.clone()).await;
    assert_eq!(barrier.storage_type(), "redb");
    put_all(&barrier, &["a", "b/c"]).await;
    let revision = barrier.begin().await.unwrap().revision();
    drop(barrier);

    let barrier = Barrier::open(config, Arc::new(Counting::new()))
        .await
        .unwrap();
    let status = barrier.seal_status().await.unwrap();
    assert_eq!((status.initialized, status.sealed), (true, true));
    assert!(matches!(
        initialize(&barrier, 1, 1).await,
        Err(InitError::AlreadyInitialized)
    ));
    barrier.unseal(share).await.unwrap();
    assert_eq!(barrier.begin().await.unwrap().revision(), revision);
    assert_eq!(read(&barrier, "b/c").await.as_deref(), Some("b/c"));
    assert_eq!(list(&barrier, "").await, ["a", "b/"]);
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let outer = tempfile::tempdir().unwrap();
    let directory = outer.path().join("data");
    drop(in_file(&directory).await);
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&file(&directory)), 0o600);
    assert_eq!(mode(&journal(&directory)), 0o600);
    assert_eq!(mode(&directory.join("coffer.lock")), 0o600);

    for path in [file(&directory), journal(&directory)] {
        for wide in [0o640, 0o604, 0o660] {
            set_mode(&path, wide);
            match open(&directory).await {
                Err(OpenError::Permissions { mode, .. }) => assert_eq!(mode, wide),
                other => panic!("{other:?}"),
            }
        }
        set_mode(&path, 0o600);
    }
    open(&directory).await.unwrap();
}

#[tokio::test]
async fn a_second_opening_is_refused_while_the_first_lasts() {
    let directory = tempfile::tempdir().unwrap();
    let first = in_file(directory.path()).await;
    let error = open(directory.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(
        error.to_string().contains("in use by another process"),
        "{error}"
    );
    drop(first);
    open(directory.path()).await.unwrap();
}

#[tokio::test]
async fn a_foreign_file_is_refused_and_left_as_it_is() {
    let foreign_database = |path: &Path| {
        let database = Database::create(path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(TableDefinition::<u64, u64>::new("theirs"))
            .unwrap()
            .insert(1, 2)
            .unwrap();
        transaction.commit().unwrap();
    };
    let header_of_another_kind = |path: &Path| {
        let database = Database::create(path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(TableDefinition::<u64, u64>::new("coffer"))
            .unwrap()
            .insert(1, 2)
            .unwrap();
        transaction.commit().unwrap();
    };
    let makers: [&dyn Fn(&Path); 5] = [
        &|path| fs::write(path, "").unwrap(),
        &|path| fs::write(path, "redb").unwrap(),
        &|path| fs::write(path, "SQLite format 3\0 and so on").unwrap(),
        &foreign_database,
        &header_of_another_kind,
    ];
    for (n, make) in makers.into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let path = file(directory.path());
        make(&path);
        set_mode(&path, 0o600);
        let before = fs::read(&path).unwrap();
        let error = open(directory.path()).await.unwrap_err();
        assert!(
            matches!(error, OpenError::ForeignFile { .. }),
            "{n}: {error:?}"
        );
        assert!(error.to_string().contains("coffer.redb"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), before, "{n}");
    }
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(file(directory.path())).unwrap();
    assert!(matches!(
        open(directory.path()).await,
        Err(OpenError::ForeignFile { .. })
    ));
}

#[tokio::test]
async fn a_foreign_file_that_was_not_closed_stays_as_it_is() {
    let theirs = tempfile::tempdir().unwrap();
    let open_there = Database::create(theirs.path().join("theirs")).unwrap();
    let transaction = open_there.begin_write().unwrap();
    transaction
        .open_table(TableDefinition::<u64, u64>::new("theirs"))
        .unwrap()
        .insert(1, 2)
        .unwrap();
    transaction.commit().unwrap();

    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path());
    fs::copy(theirs.path().join("theirs"), &path).unwrap();
    set_mode(&path, 0o600);
    let before = fs::read(&path).unwrap();
    let error = open(directory.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::ForeignFile { .. }), "{error:?}");
    assert!(fs::read(&path).unwrap() == before);
}

#[tokio::test]
async fn damaged_files_are_refused_without_panic() {
    let directory = tempfile::tempdir().unwrap();
    drop(in_file(directory.path()).await);
    let path = file(directory.path());
    let whole = fs::read(&path).unwrap();
    for length in [9, 100, 4_096, whole.len() / 2] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(open(directory.path()).await.is_err(), "cut to {length}");
    }
    fs::write(&path, &whole).unwrap();
    open(directory.path()).await.unwrap();
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_is_made_good() {
    let directory = tempfile::tempdir().unwrap();
    let unfinished =
        ["coffer.redb.new", "coffer.journal.new"].map(|name| directory.path().join(name));
    for path in &unfinished {
        fs::write(path, "half a file").unwrap();
    }
    drop(in_file(directory.path()).await);
    assert!(!unfinished.iter().any(|path| path.exists()));
}

#[tokio::test]
async fn a_data_file_that_was_closed_stands_alone() {
    let directory = tempfile::tempdir().unwrap();
    let barrier = in_file(directory.path()).await;
    put_all(&barrier, &["a"]).await;
    let revision = barrier.begin().await.unwrap().revision();
    drop(barrier);
    let revision_alone = {
        fs::remove_file(journal(directory.path())).unwrap();
        let store = RedbStore::open(directory.path(), Arc::new(Counting::new())).unwrap();
        store.snapshot().await.unwrap().revision()
    };
    assert_eq!(revision_alone, revision);
    // It got another journal.
    assert!(journal(directory.path()).exists());
}

#[tokio::test]
async fn a_data_file_and_a_journal_that_do_not_belong_together_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (barrier, share) = unsealed(StorageConfig::Redb {
        directory: directory.path().to_owned(),
    })
    .await;
    put_all(&barrier, &["a"]).await;
    let other = tempfile::tempdir().unwrap();
    // Another one's randomness is not the same.
    let random = Counting::new();
    random.fill(&mut [0; 32]).unwrap();
    drop(RedbStore::open(other.path(), Arc::new(random)).unwrap());

    type Alter<'a> = (&'a str, &'a dyn Fn(&Path));
    let alter: [Alter<'_>; 5] = [
        ("missing", &|at| fs::remove_file(journal(at)).unwrap()),
        ("of another", &|at| {
            fs::copy(journal(other.path()), journal(at))
                .map(drop)
                .unwrap()
        }),
        ("not a journal", &|at| fs::write(journal(at), "x").unwrap()),
        ("not all", &|at| {
            let file = fs::OpenOptions::new().write(true).open(journal(at));
            file.unwrap().set_len(1 << 20).unwrap();
        }),
        ("is not there", &|at| fs::remove_file(file(at)).unwrap()),
    ];
    for (told, alter) in alter {
        let copied = copy_files(directory.path());
        alter(copied.path());
        let before = fs::read(journal(copied.path())).ok();
        let error = open(copied.path()).await.unwrap_err();
        assert!(
            matches!(
                error,
                OpenError::Journal { .. } | OpenError::DataFileMissing { .. }
            ),
            "{error:?}"
        );
        assert!(error.to_string().contains(told), "{error}");
        assert!(fs::read(journal(copied.path())).ok() == before);
    }
    // Together they do.
    let copied = copy_files(directory.path());
    let barrier = open(copied.path()).await.unwrap();
    barrier.unseal(share).await.unwrap();
    assert_eq!(list(&barrier, "").await, ["a"]);
}

#[tokio::test]
async fn a_store_of_the_first_version_gets_a_journal() {
    const HEADER: TableDefinition<'static, &'static str, u64> = TableDefinition::new("coffer");
    let directory = tempfile::tempdir().unwrap();
    drop(in_file(directory.path()).await);
    fs::remove_file(journal(directory.path())).unwrap();
    let database = Database::open(file(directory.path())).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut header = transaction.open_table(HEADER).unwrap();
        assert_eq!(header.get("format").unwrap().unwrap().value(), 1);
        for name in ["store", "epoch"] {
            header.remove(name).unwrap().unwrap();
        }
    }
    transaction.commit().unwrap();
    drop(database);
    open(directory.path()).await.unwrap();
    assert!(journal(directory.path()).exists());
    open(directory.path()).await.unwrap();
}

#[tokio::test]
async fn what_is_in_the_journal_goes_to_the_data_file_when_nobody_writes() {
    let directory = tempfile::tempdir().unwrap();
    let barrier = in_file(directory.path()).await;
    let closed_revision = |at: &Path| {
        // Without its journal: only what the data file has by itself.
        let database = Database::open(file(at)).unwrap();
        let header = TableDefinition::<&str, u64>::new("coffer");
        let header = database.begin_read().unwrap().open_table(header).unwrap();
        header.get("revision").unwrap().unwrap().value()
    };
    put_all(&barrier, &["a"]).await;
    let revision = barrier.begin().await.unwrap().revision();
    let deadline = Instant::now() + Duration::from_secs(60);
    while closed_revision(copy_files(directory.path()).path()) != revision.get() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_journal_that_is_damaged_before_its_end_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (barrier, share) = unsealed(StorageConfig::Redb {
        directory: directory.path().to_owned(),
    })
    .await;
    put_all(&barrier, &["a"]).await;
    put_all(&barrier, &["b"]).await;
    let copied = copy_files(directory.path());
    let mut bytes = fs::read(journal(copied.path())).unwrap();
    bytes[4096 + 200] ^= 1;
    fs::write(journal(copied.path()), bytes).unwrap();
    let error = open(copied.path()).await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert!(error.to_string().contains("truncate --size 0"), "{error}");

    // Who empties it goes on from the last checkpoint, and is asked no more.
    fs::write(journal(copied.path()), "").unwrap();
    for _ in 0..2 {
        let barrier = open(copied.path()).await.unwrap();
        barrier.unseal(again(&share)).await.unwrap();
        assert!(list(&barrier, "").await.is_empty());
    }
}

/// A copy of the data file as it was when it was closed, over what came later.
#[tokio::test]
async fn a_copy_that_is_brought_back_shows_nothing_of_what_came_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let random: Arc<dyn Random> = Arc::new(Counting::new());
    let open = async |directory: &Path| {
        let directory = directory.to_owned();
        let barrier = Barrier::open(StorageConfig::Redb { directory }, random.clone());
        barrier.await.unwrap()
    };
    let barrier = open(directory.path()).await;
    let share = initialize(&barrier, 1, 1).await.unwrap().remove(0);
    drop(barrier);
    let brought_back = fs::read(file(directory.path())).unwrap();

    let barrier = open(directory.path()).await;
    barrier.unseal(again(&share)).await.unwrap();
    // More than what is written later, in revisions, too.
    for key in ["a", "b", "c", "d", "e"] {
        put_all(&barrier, &[key]).await;
    }
    let crashed = copy_files(directory.path());
    drop(barrier);

    for directory in [directory.path(), crashed.path()] {
        fs::write(file(directory), &brought_back).unwrap();
        let barrier = open(directory).await;
        barrier.unseal(again(&share)).await.unwrap();
        for key in ["x", "y"] {
            put_all(&barrier, &[key]).await;
        }
        let crashed = copy_files(directory);
        let barrier = open(crashed.path()).await;
        barrier.unseal(again(&share)).await.unwrap();
        assert_eq!(list(&barrier, "").await, ["x", "y"]);
    }
}

/// One that was copied while it was in use is of no use without the journal of that time.
#[tokio::test]
async fn a_data_file_that_is_older_than_its_journal_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let barrier = in_file(directory.path()).await;
    put_all(&barrier, &["a"]).await;
    put_all(&barrier, &["b"]).await;
    let older = copy_files(directory.path());
    // A checkpoint, since the journal takes no more than its length.
    let large = vec![7; 1 << 20];
    for n in 0..crate::limits::JOURNAL_BYTES >> 20 {
        let (transaction, view) = begin(&barrier).await;
        view.put(&format!("large/{n}"), &large).await.unwrap();
        transaction.commit().await.unwrap();
    }
    for key in ["c", "d"] {
        put_all(&barrier, &[key]).await;
    }
    let newer = copy_files(directory.path());
    fs::copy(file(older.path()), file(newer.path())).unwrap();
    let error = open(newer.path()).await.unwrap_err();
    assert!(error.to_string().contains("older"), "{error}");
}

#[tokio::test]
async fn names_and_values_do_not_show_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let barrier = in_file(directory.path()).await;
    let (transaction, view) = begin(&barrier).await;
    view.put("canary-directory/canary-name", b"canary-value")
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    drop((view, barrier));
    // What the search would find.
    let found = [
        (file(directory.path()), b"records"),
        (journal(directory.path()), b"journal"),
    ];
    for (path, found) in found {
        let bytes = fs::read(path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
        assert!(bytes.windows(7).any(|window| window == found));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commits_at_once_are_each_durable_when_answered() {
    let directory = tempfile::tempdir().unwrap();
    let config = StorageConfig::Redb {
        directory: directory.path().to_owned(),
    };
    let (barrier, share) = unsealed(config.clone()).await;
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let barrier = barrier.clone();
            tokio::spawn(async move {
                for n in 0..10 {
                    let key = format!("w/{writer:02}-{n}");
                    put_all(&barrier, &[&key]).await;
                }
            })
        })
        .collect();
    // Beside them, a counter on which all agree: whoever loses runs again.
    let counters: Vec<_> = (0..4)
        .map(|_| {
            let barrier = barrier.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    loop {
                        let (transaction, view) = begin(&barrier).await;
                        let count = view.get("count").await.unwrap().map_or(0, |value| value[0]);
                        view.put("count", &[count + 1]).await.unwrap();
                        match transaction.commit().await {
                            Ok(_) => break,
                            Err(CommitError::Conflict(_)) => {}
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                }
            })
        })
        .collect();
    for task in writers.into_iter().chain(counters) {
        task.await.unwrap();
    }
    let copied = copy_files(directory.path());
    drop(barrier);
    for directory in [directory.path(), copied.path()] {
        let barrier = open(directory).await.unwrap();
        barrier.unseal(copy(&share)).await.unwrap();
        assert_eq!(list(&barrier, "w/").await.len(), 640);
        let (_, view) = begin(&barrier).await;
        assert_eq!(view.get("count").await.unwrap().unwrap()[0], 40);
    }
}

/// A disk that can be made to fail.
#[derive(Debug)]
struct Disk {
    inner: Arc<InMemoryBackend>,
    fault: Arc<Mutex<Fault>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// As a full or a read-only disk.
    Writes,
    /// As a disk that is gone.
    Everything,
    /// One sync, after this many more.
    Sync(u32),
}

impl Disk {
    /// Two files on one disk, of which the journal has room for as many blocks as this.
    fn new(blocks: u64) -> ([Self; 2], Arc<Mutex<Fault>>) {
        let fault = Arc::new(Mutex::new(Fault::None));
        let files = [0, 1 + blocks].map(|blocks| {
            let inner = Arc::new(InMemoryBackend::new());
            inner.set_len(blocks * 4096).unwrap();
            let fault = fault.clone();
            Self { inner, fault }
        });
        (files, fault)
    }

    fn content(&self) -> Vec<u8> {
        let mut content = vec![0; self.inner.len().unwrap() as usize];
        self.inner.read(0, &mut content).unwrap();
        content
    }

    fn fails_if(&self, fails: impl Fn(Fault) -> bool) -> io::Result<()> {
        match fails(*lock(&self.fault)) {
            true => Err(ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.fails_if(|fault| fault == Fault::Everything)?;
        self.inner.read(offset, out)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.fails_if(|fault| matches!(fault, Fault::Writes | Fault::Everything))?;
        self.inner.set_len(length)
    }
    fn sync_data(&self) -> io::Result<()> {
        let mut fault = lock(&self.fault);
        match *fault {
            Fault::Writes | Fault::Everything => return Err(ErrorKind::StorageFull.into()),
            Fault::Sync(0) => {
                *fault = Fault::None;
                return Err(ErrorKind::StorageFull.into());
            }
            Fault::Sync(more) => *fault = Fault::Sync(more - 1),
            Fault::None => {}
        }
        self.inner.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.fails_if(|fault| matches!(fault, Fault::Writes | Fault::Everything))?;
        self.inner.write(offset, data)
    }
}

async fn on_a_disk(blocks: u64) -> (Barrier, Arc<Mutex<Fault>>) {
    let ([file, journal], fault) = Disk::new(blocks);
    let barrier = Barrier::open_backend(file, journal, Arc::new(Counting::new()))
        .await
        .unwrap();
    let share = initialize(&barrier, 1, 1).await.unwrap().remove(0);
    barrier.unseal(share).await.unwrap();
    put_all(&barrier, &["a"]).await;
    (barrier, fault)
}

async fn try_put(barrier: &Barrier, key: &str) -> Result<Revision, CommitError> {
    let (transaction, view) = begin(barrier).await;
    view.put(key, b"1").await.unwrap();
    transaction.commit().await
}

/// Writes until it is taken: nobody has done anything but wait.
async fn put_when_possible(barrier: &Barrier, key: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = try_put(barrier, key).await {
        assert!(Instant::now() < deadline, "{error:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn when_writes_fail_reads_go_on_and_writes_come_back_by_themselves() {
    // Without room in the journal, every commit is a checkpoint.
    for (broken, blocks) in [
        (Fault::Writes, 0),
        (Fault::Writes, 99),
        (Fault::Everything, 0),
        (Fault::Everything, 99),
    ] {
        let (barrier, fault) = on_a_disk(blocks).await;
        *lock(&fault) = broken;
        // Not even that the file cannot be opened again does harm.
        for _ in 0..3 {
            let error = try_put(&barrier, "b").await.unwrap_err();
            let (CommitError::Unknown(cause) | CommitError::Broken(cause)) = &error else {
                panic!("{error:?}");
            };
            assert_eq!(cause.disk(), Some(ErrorKind::StorageFull));
            assert_eq!(read(&barrier, "a").await.as_deref(), Some("a"));
            assert_eq!(list(&barrier, "").await, ["a"]);
        }
        *lock(&fault) = Fault::None;
        put_when_possible(&barrier, "c").await;
        assert_eq!(list(&barrier, "").await, ["a", "c"], "{broken:?}, {blocks}");
    }
}

#[tokio::test]
async fn after_a_failed_sync_what_is_on_the_disk_is_what_is_served() {
    for blocks in [0, 99] {
        fail_each_sync(blocks).await;
    }
}

async fn fail_each_sync(blocks: u64) {
    let mut seen = [false, false];
    for syncs in 0.. {
        let (barrier, fault) = on_a_disk(blocks).await;
        let watch = barrier.watch_directory(MountId::SYSTEM, "").await.unwrap();
        let before = barrier.begin().await.unwrap().revision();
        *lock(&fault) = Fault::Sync(syncs);
        let answer = try_put(&barrier, "b").await;
        if *lock(&fault) != Fault::None {
            // A commit has no more syncs than that.
            answer.unwrap();
            break;
        }
        let there = list(&barrier, "").await == ["a", "b"];
        match answer {
            Err(CommitError::Broken(_)) => assert!(!there),
            Err(CommitError::Unknown(_)) => {}
            // Where the journal fails, the data file has it at once.
            Ok(_) => assert!(there && blocks > 0),
            other => panic!("{other:?}"),
        }
        // A cache that holds what was there before must hear of it.
        let now = barrier.begin().await.unwrap().revision();
        assert_eq!(now > before, there);
        assert_eq!(watch.revision(), now);
        seen[usize::from(there)] = true;
        put_when_possible(&barrier, "c").await;
        assert_eq!(list(&barrier, "").await.contains(&"b".to_owned()), there);
    }
    assert_eq!(seen, [blocks == 0, true], "each outcome was tried");
}

#[tokio::test]
async fn a_read_that_failed_is_made_good_without_a_write() {
    let (barrier, fault) = on_a_disk(0).await;
    let keys: Vec<_> = (0..500).map(|n| format!("k{n}")).collect();
    put_all(
        &barrier,
        &keys.iter().map(String::as_str).collect::<Vec<_>>(),
    )
    .await;
    let read_all = async || {
        let transaction = barrier.begin().await.map_err(|_| ())?;
        let view = transaction.view(MountId::SYSTEM).await.map_err(|_| ())?;
        for key in &keys {
            view.get(key).await.map_err(|_| ())?.ok_or(())?;
        }
        Ok::<_, ()>(())
    };
    // Opened again it has nothing cached, so that reads need the disk.
    *lock(&fault) = Fault::Sync(0);
    try_put(&barrier, "b").await.unwrap_err();
    *lock(&fault) = Fault::Everything;
    read_all().await.unwrap_err();
    *lock(&fault) = Fault::None;
    let deadline = Instant::now() + Duration::from_secs(60);
    while read_all().await.is_err() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// As a disk that said of a sync that it was done, and comes back with an earlier state.
#[tokio::test]
async fn a_disk_that_lost_what_was_answered_is_not_taken_for_the_truth() {
    let ([file, journal], fault) = Disk::new(99);
    let contents = [file.inner.clone(), journal.inner.clone()];
    let barrier = Barrier::open_backend(
        Disk {
            inner: file.inner.clone(),
            fault: fault.clone(),
        },
        Disk {
            inner: journal.inner.clone(),
            fault: fault.clone(),
        },
        Arc::new(Counting::new()),
    )
    .await
    .unwrap();
    let share = initialize(&barrier, 1, 1).await.unwrap().remove(0);
    barrier.unseal(share).await.unwrap();
    put_all(&barrier, &["a"]).await;
    let earlier = [file.content(), journal.content()];
    put_all(&barrier, &["b"]).await;

    *lock(&fault) = Fault::Everything;
    try_put(&barrier, "c").await.unwrap_err();
    for (content, earlier) in contents.iter().zip(&earlier) {
        content.set_len(earlier.len() as u64).unwrap();
        content.write(0, earlier).unwrap();
    }
    *lock(&fault) = Fault::None;
    let deadline = Instant::now() + Duration::from_secs(3);
    while Instant::now() < deadline {
        try_put(&barrier, "c").await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What was answered is still shown from memory, and nothing is built on what lacks it.
    assert_eq!(list(&barrier, "").await, ["a", "b"]);
}
