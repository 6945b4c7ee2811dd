//! The pieces below everything: the disk, commits, the cipher.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use host_barrier::{Barrier, Init, MountId, StorageConfig, SystemRandomness};
use tempfile::TempDir;

use crate::report::Report;
use crate::sample::{median, micros, micros_awaited, micros_each};

/// Microseconds of a record of [`SIZE`] in a file.
pub(crate) struct Pieces {
    /// To find it, without the transaction's snapshot and the cipher.
    pub(crate) storage: f64,
    /// To open its frame.
    pub(crate) cipher: f64,
}

/// Bytes of a record, as those that KV makes of the bench's secret.
const SIZE: usize = 400;
/// For each of what the disk does.
const TIME: Duration = Duration::from_secs(1);
const CLIENTS: usize = 64;
const BLOCK: [u8; 4096] = [0xc0; 4096];
const SIZES: [(&str, usize); 3] = [("256 B", 256), ("1 KiB", 1 << 10), ("16 KiB", 16 << 10)];
/// Records in a commit that is to show the cost of a record, not of a commit.
const RECORDS: usize = 100;

pub(crate) async fn measure(report: &mut Report) -> Result<Pieces> {
    report.part("pieces, in process");
    let directory = TempDir::new()?;
    disk(report, &directory)?;

    let on_disk = Records::in_file(&directory).await?;
    let commits_one_by_one = on_disk.commits(1, TIME).await?;
    let in_groups = on_disk.commits(CLIENTS, TIME).await?;
    report.figure(
        "commits of one record, one client",
        commits_one_by_one,
        "/s",
    );
    report.figure(
        "commits of one record, 64 clients in groups",
        in_groups,
        "/s",
    );

    on_disk.put("read", SIZE).await?;
    let snapshot = micros_awaited(1000, async || on_disk.barrier.begin().await.map(drop)).await?;
    let read = on_disk.read("read").await?;
    let cipher = cipher_open(SIZE);
    report.figure("snapshot of the file", snapshot, "us");
    report.figure("snapshot, and one record of 400 B", read, "us");

    let in_memory = Records::open(StorageConfig::Memory).await?;
    let absent = in_memory.read("absent").await?;
    report.figure("record that is not there, in memory", absent, "us");
    for (name, size) in SIZES {
        let write = in_memory.write_many(size).await?;
        in_memory.put("read", size).await?;
        let read = in_memory.read("read").await?;
        report.figure(
            &format!("record of {name}: written, in memory"),
            write,
            "us",
        );
        report.figure(&format!("record of {name}: read, in memory"), read, "us");
        report.figure(
            &format!("AES-256-GCM-SIV of {name}: seal"),
            cipher_seal(size),
            "us",
        );
        report.figure(
            &format!("AES-256-GCM-SIV of {name}: open"),
            cipher_open(size),
            "us",
        );
    }
    Ok(Pieces {
        storage: (read - snapshot - cipher).max(0.0),
        cipher,
    })
}

/// What a sync costs without anything of ours.
fn disk(report: &mut Report, directory: &TempDir) -> Result<()> {
    let new = |name| {
        OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(directory.path().join(name))
    };
    let in_place = new("in-place")?;
    in_place.write_all_at(&vec![0; 1 << 20], 0)?;
    in_place.sync_all()?;
    let growing = new("growing")?;
    let sync = |file: &File, number: u64| -> Result<()> {
        file.write_all_at(&BLOCK, number * BLOCK.len() as u64)?;
        Ok(file.sync_data()?)
    };
    let each = |file: &File, places: u64| -> Result<f64> {
        let begun = Instant::now();
        let mut times = Vec::new();
        while begun.elapsed() < TIME {
            let begun = Instant::now();
            sync(file, times.len() as u64 % places)?;
            times.push(micros_each(begun.elapsed(), 1));
        }
        Ok(median(times))
    };
    report.figure("fdatasync of 4 KiB in place", each(&in_place, 256)?, "us");
    report.figure(
        "fdatasync of 4 KiB at the end of a file",
        each(&growing, u64::MAX)?,
        "us",
    );
    Ok(())
}

/// A barrier with one mount.
#[derive(Clone)]
pub(crate) struct Records {
    barrier: Barrier,
    mount: MountId,
}

impl Records {
    pub(crate) async fn in_file(directory: &TempDir) -> Result<Self> {
        let directory = directory.path().join("data");
        Self::open(StorageConfig::Redb { directory }).await
    }

    async fn open(config: StorageConfig) -> Result<Self> {
        let random = Arc::new(SystemRandomness::new());
        let barrier = Barrier::open(config, random.clone()).await?;
        let init = Init::Shamir {
            shares: 1,
            threshold: 1,
        };
        let made = barrier.initialize(init, 0).await?;
        let share = made.shares.into_iter().next().context("a share")?;
        barrier.unseal(share).await?;
        let mount = MountId::random(&*random)?;
        let transaction = barrier.begin().await?;
        transaction.create_mount(mount).await?;
        transaction.commit().await?;
        Ok(Self { barrier, mount })
    }

    async fn put(&self, key: &str, size: usize) -> Result<()> {
        let transaction = self.barrier.begin().await?;
        let view = transaction.view(self.mount).await?;
        view.put(key, &vec![7; size]).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Microseconds of a transaction that reads one record.
    async fn read(&self, key: &str) -> Result<f64> {
        micros_awaited(1000, async || {
            let view = self.barrier.begin().await?.view(self.mount).await?;
            std::hint::black_box(view.get(key).await?);
            Ok(())
        })
        .await
    }

    /// Microseconds of a record among many of one commit.
    async fn write_many(&self, size: usize) -> Result<f64> {
        let value = vec![7; size];
        let commit = micros_awaited(2, async || {
            let transaction = self.barrier.begin().await?;
            let view = transaction.view(self.mount).await?;
            for number in 0..RECORDS {
                view.put(&format!("many/{number}"), &value).await?;
            }
            transaction.commit().await?;
            anyhow::Ok(())
        });
        Ok(commit.await? / RECORDS as f64)
    }

    /// Commits a second of so many clients, each with a record of its own.
    pub(crate) async fn commits(&self, clients: usize, time: Duration) -> Result<f64> {
        let end = Instant::now() + time;
        let client = |number: usize| {
            let records = self.clone();
            async move {
                let mut count = 0;
                while Instant::now() < end {
                    records.put(&format!("client/{number}"), SIZE).await?;
                    count += 1;
                }
                anyhow::Ok(count)
            }
        };
        let clients: Vec<_> = (0..clients)
            .map(|number| tokio::spawn(client(number)))
            .collect();
        let mut count = 0;
        for client in clients {
            count += client.await??;
        }
        Ok(f64::from(count) / time.as_secs_f64())
    }
}

/// The barrier's cipher, with as much associated data as a frame has, without the barrier.
fn cipher_seal(size: usize) -> f64 {
    let key = cipher();
    let mut frame = vec![7; size];
    micros(1000, || {
        let nonce = Nonce::assume_unique_for_key([9; 12]);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from([5; 60]), &mut frame);
        std::hint::black_box(tag.is_ok());
    })
}

fn cipher_open(size: usize) -> f64 {
    let key = cipher();
    let nonce = || Nonce::assume_unique_for_key([9; 12]);
    let mut sealed = vec![7; size];
    key.seal_in_place_append_tag(nonce(), Aad::from([5; 60]), &mut sealed)
        .expect("far within the cipher's limit");
    micros(1000, || {
        let mut frame = sealed.clone();
        let opened = key.open_in_place(nonce(), Aad::from([5; 60]), &mut frame);
        std::hint::black_box(opened.expect("it was sealed so"));
    })
}

fn cipher() -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM_SIV, &[3; 32]).expect("the cipher's length");
    LessSafeKey::new(key)
}
