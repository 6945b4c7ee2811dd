//! Disks that are full or read-only, and too few files: reads go on, what fails says why and what to do, and
//! when the fault is gone nobody has to do anything.
//!
//! Some faults need rights: to mount a small file system, root. Where they are missing, the test says on
//! stderr that it was NOT RUN; the limit on the size of files, which needs none, takes the same way
//! through the server as a full disk.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Answer, Client, Keys, TestVault, coffer, command, say, wait_until};

#[test]
fn on_a_full_disk_reads_go_on_and_writes_come_back_with_the_room() {
    let Some(disk) = Disk::tmpfs("size=64m") else {
        return;
    };
    let mut story = Story::on(&disk.path);
    let filler = disk.path.join("filler");
    story.plays(
        "the disk of the storage is full",
        |_| fill(&filler),
        |_| std::fs::remove_file(&filler).expect("it is there"),
    );
}

/// A first start on a disk with little room once answered that nothing was written, and had made keys that
/// nobody was told.
#[test]
fn what_is_said_of_an_initialisation_on_a_disk_that_is_nearly_full_is_true() {
    let mut refused = 0;
    for free_kib in (20..260).step_by(16) {
        let Some(disk) = Disk::tmpfs("size=64m") else {
            return;
        };
        let directory = TempDir::new().expect("a directory");
        let vault = TestVault::start_from(directory, &config(&disk.path));
        let nobody = vault.client("");
        let is_initialized = || nobody.get("sys/init").body["initialized"] == true;
        let wanted = json!({"secret_shares": 1, "secret_threshold": 1});
        let filler = disk.path.join("filler");
        fill(&filler);
        leave(&filler, free_kib << 10);
        let mut made = nobody.put("sys/init", wanted.clone());
        std::fs::remove_file(&filler).expect("it is there");
        if made.status != 200 {
            refused += 1;
            assert_eq!(made.status, 503, "{free_kib} KiB: {made:?}");
            assert!(made.error().contains("nothing was written"), "{made:?}");
            assert!(!is_initialized(), "{free_kib} KiB: {made:?}");
            wait_until("it is initialised", || {
                made = nobody.put("sys/init", wanted.clone());
                made.status == 200
            });
        }
        assert!(is_initialized());
        let keys = Keys {
            root: made.body["root_token"].as_str().expect("a token").into(),
            shares: vec![made.body["keys_base64"][0].as_str().expect("a key").into()],
        };
        vault.unseal(&keys);
        let root = vault.client(&keys.root);
        assert_eq!(root.get("sys/policies/acl/default").status, 200);
    }
    assert!(refused > 0, "there was room each time");
}

#[test]
fn at_the_limit_of_file_sizes_reads_go_on_and_writes_come_back_when_it_is_raised() {
    let directory = TempDir::new().expect("a directory");
    let mut story = Story::on(directory.path());
    let file = directory.path().join("data/coffer.redb");
    story.plays(
        "the file of the storage may not grow",
        |pid| {
            let size = file.metadata().expect("the data file").len();
            limit(pid, Resource::Fsize, Some(size));
        },
        |pid| limit(pid, Resource::Fsize, None),
    );
}

#[test]
fn on_a_read_only_disk_reads_go_on_and_nothing_that_was_written_is_lost() {
    let Some(disk) = Disk::ext4() else {
        return;
    };
    let mut story = Story::on(&disk.path);
    let file = disk.path.join("data/coffer.redb");
    // A mark on the file, since a file system with an open file cannot be made read-only by hand.
    let mark = |how: &str| assert!(quietly(Command::new("chattr").arg(how).arg(&file)));
    story.plays(
        "the disk of the storage is read-only",
        |_| mark("+i"),
        |_| mark("-i"),
    );

    // And as the system makes it when the disk has errors. From this a file system comes back only by being mounted again.
    disk.abort();
    let refused = story.put("refused");
    story.is_clear(&refused, "the disk of the storage is read-only");
    story.reads_go_on();
    story.vault.kill();
    let disk = disk.mount_again();
    story.vault.run();
    story.vault.unseal(&story.keys);
    story.root = story.vault.client(&story.keys.root);
    story.reads_go_on();
    assert_eq!(story.put("again").status, 200);
    drop((story, disk));
}

#[test]
fn a_server_does_not_start_where_it_cannot_write_and_says_why() {
    let full = "No space left on device";
    let read_only = "Read-only file system";
    // An empty directory, and one with the data of before.
    if let Some(disk) = Disk::tmpfs("size=64k") {
        fill(&disk.path.join("filler"));
        does_not_start(&disk.path, full);
    }
    if let Some(disk) = Disk::tmpfs("size=64m") {
        disk.remount("ro");
        does_not_start(&disk.path, read_only);
        disk.remount("rw");
        drop(Story::on(&disk.path));
        disk.remount("ro");
        does_not_start(&disk.path, read_only);
    }
    if rustix::process::geteuid().is_root() {
        say("faults: NOT RUN: a directory without rights, since root ignores them");
    } else {
        let directory = TempDir::new().expect("a directory");
        let mode = |mode| {
            let rights = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(directory.path(), rights).expect("it is ours");
        };
        mode(0o500);
        does_not_start(directory.path(), "Permission denied");
        mode(0o700);
    }
}

#[test]
fn a_server_with_too_few_files_serves_whom_it_has_and_then_the_others() {
    let (vault, root) = TestVault::with_kv();
    assert_eq!(
        root.put("secret/data/a", json!({"data": {"k": "v"}}))
            .status,
        200
    );
    // Below what is open: nothing is closed by it, and nothing more can be opened.
    limit(vault.pid(), Resource::Nofile, Some(3));
    let mut waiting = TcpStream::connect(vault.address()).expect("the system takes it");
    waiting
        .write_all(b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("the system takes it");
    vault.wait_for_log("cannot accept a connection");
    assert!(
        vault.log().contains("Too many open files"),
        "{}",
        vault.log()
    );
    for n in 0..20 {
        assert_eq!(root.get("secret/data/a").data()["data"]["k"], "v");
        let put = root.put(&format!("secret/data/n{n}"), json!({"data": {"n": n}}));
        assert_eq!(put.status, 200, "{put:?}");
    }
    limit(vault.pid(), Resource::Nofile, None);
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_server_that_may_open_too_few_files_to_start_says_so() {
    let directory = TempDir::new().expect("a directory");
    let config = write_config(&directory, directory.path());
    let ended = Command::new("sh")
        .args(["-c", "ulimit -n 6 && exec \"$0\" server -config=\"$1\""])
        .arg(coffer())
        .arg(&config)
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let text = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{text}");
    assert!(
        text.contains("only 6 files may be open at a time"),
        "{text}"
    );
    assert!(text.contains("ulimit -n"), "{text}");
}

/// A server with secrets on a disk that will fail.
struct Story {
    vault: TestVault,
    keys: Keys,
    root: Client,
    acknowledged: Vec<String>,
}

impl Story {
    fn on(disk: &Path) -> Self {
        let directory = TempDir::new().expect("a directory");
        let config = config(disk);
        let vault = TestVault::start_from(directory, &config);
        let keys = vault.initialize(1, 1);
        vault.unseal(&keys);
        let root = vault.client(&keys.root);
        let made = root.post("sys/mounts/secret", json!({"type": "kv-v2"}));
        assert_eq!(made.status, 204, "{made:?}");
        let mut story = Self {
            vault,
            keys,
            root,
            acknowledged: Vec::new(),
        };
        for n in 0..20 {
            assert_eq!(story.put(&format!("before-{n}")).status, 200);
        }
        story
    }

    fn plays(&mut self, says: &str, breaks: impl FnOnce(u32), mends: impl FnOnce(u32)) {
        let pid = self.vault.pid();
        breaks(pid);
        // What still fits in the file may be taken, and in the journal, which has its room from the beginning.
        let failed = (0..10_000)
            .map(|n| self.put(&format!("broken-{n}")))
            .find(|answer| answer.status != 200)
            .expect("at some time nothing fits any more");
        self.is_clear(&failed, says);
        self.reads_go_on();
        let policy = json!({"policy": format!("# {}", "x".repeat(100_000))});
        for refused in [
            self.put("refused"),
            self.root.put("sys/policies/acl/p", policy),
            self.root.post("auth/token/create", json!({"ttl": "1h"})),
            self.root.delete("secret/data/before-0"),
        ] {
            // Within a second of a failure nothing is tried, so these are not done.
            self.is_clear(&refused, says);
        }
        self.reads_go_on();
        self.vault.wait_for_log("the storage could not be written");

        mends(pid);
        wait_until("writes are taken again", || {
            self.put("mended").status == 200
        });
        self.vault.wait_for_log("the storage takes writes again");
        self.reads_go_on();
        self.vault.kill_and_restart();
        self.vault.unseal(&self.keys);
        self.root = self.vault.client(&self.keys.root);
        self.reads_go_on();
    }

    fn put(&mut self, name: &str) -> Answer {
        let body = json!({"data": {"name": name, "filling": "x".repeat(4_000)}});
        let answer = self.root.put(&format!("secret/data/{name}"), body);
        if answer.status == 200 {
            self.acknowledged.push(name.to_owned());
        }
        answer
    }

    fn is_clear(&self, answer: &Answer, says: &str) {
        assert!(answer.error().starts_with(says), "{answer:?}");
        let text = match answer.status {
            503 => "nothing was written",
            500 => "whether this was written is not known",
            _ => panic!("{answer:?}"),
        };
        assert!(answer.error().contains(text), "{answer:?}");
        assert!(
            answer.error().contains("the server goes on by itself"),
            "{answer:?}"
        );
    }

    fn reads_go_on(&self) {
        for name in &self.acknowledged {
            let read = self.root.get(&format!("secret/data/{name}"));
            assert_eq!(read.data()["data"]["name"], name.as_str());
        }
        assert_eq!(self.root.get("auth/token/lookup-self").status, 200);
        assert_eq!(self.root.get("sys/mounts").status, 200);
        assert_eq!(self.root.get("sys/health").status, 200);
    }
}

fn does_not_start(disk: &Path, says: &str) {
    let directory = TempDir::new().expect("a directory");
    let config = write_config(&directory, disk);
    let ended = command(&config).output().expect("it runs");
    let text = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{text}");
    assert!(
        text.contains("Error starting the server: cannot open the store"),
        "{text}"
    );
    assert!(
        text.contains(says) && text.contains(&*disk.to_string_lossy()),
        "{text}"
    );
}

fn config(disk: &Path) -> String {
    format!(
        "storage \"redb\" {{ path = {:?} }}\nlistener \"tcp\" {{\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}}\n",
        disk.join("data")
    )
}

fn write_config(directory: &TempDir, disk: &Path) -> PathBuf {
    let path = directory.path().join("coffer.hcl");
    std::fs::write(&path, config(disk)).expect("a configuration");
    path
}

/// Sets the soft limit of a process; none is what its hard limit allows.
fn limit(pid: u32, resource: Resource, current: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process id"));
    let maximum = rustix::process::getrlimit(resource).maximum;
    let current = current.or(maximum);
    prlimit(pid, resource, Rlimit { current, maximum }).expect("our child, and within its limits");
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).expect("a new file");
    let mut size = 1 << 20;
    while size > 0 {
        if file.write_all(&vec![1; size]).is_err() {
            size /= 2;
        }
    }
}

/// Gives back so much of what was filled.
fn leave(path: &Path, bytes: u64) {
    let file = std::fs::File::options().write(true).open(path);
    let file = file.expect("it is there");
    let size = file.metadata().expect("it is there").len();
    file.set_len(size - bytes).expect("it shrinks");
}

/// A small file system of our own.
struct Disk {
    path: PathBuf,
    /// What is mounted there, if it is in a file.
    image: Option<PathBuf>,
    directory: TempDir,
}

impl Disk {
    fn tmpfs(options: &str) -> Option<Self> {
        Self::mount(None, |path| {
            let mut mount = Command::new("mount");
            mount
                .args(["-t", "tmpfs", "-o", options, "tmpfs"])
                .arg(path);
            mount
        })
    }

    fn ext4() -> Option<Self> {
        let directory = TempDir::new().expect("a directory");
        let image = directory.path().join("image");
        let file = std::fs::File::create(&image).expect("a new file");
        file.set_len(64 << 20).expect("a sparse file");
        if !quietly(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image)) {
            say("faults: NOT RUN: there is no mkfs.ext4");
            return None;
        }
        Self::mount_image(directory, image)
    }

    fn mount_image(directory: TempDir, image: PathBuf) -> Option<Self> {
        Self::mount(Some((directory, image.clone())), |path| {
            let mut mount = Command::new("mount");
            mount.args(["-o", "loop"]).arg(&image).arg(path);
            mount
        })
    }

    fn mount(
        image: Option<(TempDir, PathBuf)>,
        command: impl FnOnce(&Path) -> Command,
    ) -> Option<Self> {
        let (directory, image) = match image {
            Some((directory, image)) => (directory, Some(image)),
            None => (TempDir::new().expect("a directory"), None),
        };
        let path = directory.path().join("disk");
        std::fs::create_dir_all(&path).expect("a directory");
        if !quietly(&mut command(&path)) {
            say("faults: NOT RUN: a file system cannot be mounted here, which takes root");
            return None;
        }
        Some(Self {
            path,
            image,
            directory,
        })
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(quietly(
            Command::new("mount").args(["-o", &options]).arg(&self.path)
        ));
    }

    /// As after an error of the disk: the system lets nothing be written any more.
    fn abort(&self) {
        self.remount("abort");
    }

    /// After nobody has it open any more.
    fn mount_again(mut self) -> Self {
        let image = self.image.take().expect("in a file");
        assert!(quietly(Command::new("umount").arg(&self.path)));
        let empty = TempDir::new().expect("a directory");
        let directory = std::mem::replace(&mut self.directory, empty);
        // There is nothing left to unmount.
        self.path = PathBuf::new();
        Self::mount_image(directory, image).expect("it was mounted before")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            quietly(Command::new("umount").arg(&self.path));
        }
    }
}

fn quietly(command: &mut Command) -> bool {
    let ended = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    ended.is_ok_and(|status| status.success())
}
