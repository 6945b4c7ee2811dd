//! The file: what is refused, what stays, what does not show.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::InMemoryBackend;
use redb::{Database, StorageBackend, TableDefinition};

use super::*;
use crate::{BarrierError, OpenError};

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
    assert_eq!(mode(&directory.join("coffer.lock")), 0o600);

    for wide in [0o640, 0o604, 0o660] {
        set_mode(&file(&directory), wide);
        match open(&directory).await {
            Err(OpenError::Permissions { mode, .. }) => assert_eq!(mode, wide),
            other => panic!("{other:?}"),
        }
    }
    set_mode(&file(&directory), 0o600);
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
    fs::write(directory.path().join("coffer.redb.new"), "half a file").unwrap();
    drop(in_file(directory.path()).await);
    assert!(!directory.path().join("coffer.redb.new").exists());
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
    let bytes = fs::read(file(directory.path())).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"canary"));
    // The search would find it.
    assert!(bytes.windows(7).any(|window| window == b"records"));
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
    // As a crash would leave it: a copy of the file as it is now, without closing.
    let copied = tempfile::tempdir().unwrap();
    fs::copy(file(directory.path()), file(copied.path())).unwrap();
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
    inner: InMemoryBackend,
    broken: Arc<AtomicBool>,
}

impl Disk {
    fn works(&self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            Err(ErrorKind::Other.into())
        } else {
            Ok(())
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.works()?;
        self.inner.set_len(length)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.works()?;
        self.inner.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.works()?;
        self.inner.write(offset, data)
    }
}

#[tokio::test]
async fn after_a_failed_commit_reads_go_on_and_writes_are_refused() {
    let broken = Arc::new(AtomicBool::new(false));
    let disk = Disk {
        inner: InMemoryBackend::new(),
        broken: broken.clone(),
    };
    let barrier = Barrier::open_backend(disk, Arc::new(Counting::new()))
        .await
        .unwrap();
    let share = initialize(&barrier, 1, 1).await.unwrap().remove(0);
    barrier.unseal(share).await.unwrap();
    put_all(&barrier, &["a"]).await;

    broken.store(true, Ordering::SeqCst);
    let (transaction, view) = begin(&barrier).await;
    view.put("b", b"1").await.unwrap();
    assert!(matches!(
        transaction.commit().await,
        Err(CommitError::Unknown(BarrierError::Io(_)))
    ));
    assert_eq!(read(&barrier, "a").await.as_deref(), Some("a"));
    assert_eq!(read(&barrier, "b").await, None);

    // Even when the disk works again: what is on it is known only after opening it anew.
    broken.store(false, Ordering::SeqCst);
    let (transaction, view) = begin(&barrier).await;
    view.put("b", b"1").await.unwrap();
    assert!(matches!(
        transaction.commit().await,
        Err(CommitError::Broken(BarrierError::Io(_)))
    ));
    assert_eq!(list(&barrier, "").await, ["a"]);
}
