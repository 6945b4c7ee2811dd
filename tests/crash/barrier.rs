//! Workloads of the barrier alone: what its clients do, what must be there afterwards, and how that is read.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host_barrier::{
    Barrier, BarrierError, CommitError, Init, InitError, MountId, OpenError, UnsealProgress,
    UnsealShare, View, ViewError,
};

use crate::chance::{Chance, Seeded};
use crate::disk::{CrashDisk, tells_why};
use crate::history::{Begun, Effect, History};
use crate::replay::{Recording, Recovered, Subject};

/// Unseal shares, and how many of them it takes.
const SHARES: (u32, u32) = (3, 2);

/// A disk that works again is found to within a second; this is for a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// All records that there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    initialized: bool,
    /// Of the keyring.
    term: u32,
    /// The host's own mount is 0.
    mounts: BTreeMap<u8, BTreeMap<String, Vec<u8>>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Put {
    mount: u8,
    key: String,
    /// None deletes.
    value: Option<Vec<u8>>,
}

/// What one commit changes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Nothing,
    Initialize,
    Write(Vec<Put>),
    CreateMount(u8),
    DestroyMount(u8),
    Rotate,
}

impl Effect for Change {
    type State = Model;

    fn apply(&self, model: &mut Model) {
        match self {
            Self::Nothing => {}
            Self::Initialize => {
                model.initialized = true;
                model.term = 1;
                model.mounts.insert(0, BTreeMap::new());
            }
            Self::Write(puts) => {
                for put in puts {
                    // Of a mount that is gone, the write was refused.
                    let Some(records) = model.mounts.get_mut(&put.mount) else {
                        continue;
                    };
                    match &put.value {
                        Some(value) => drop(records.insert(put.key.clone(), value.clone())),
                        None => drop(records.remove(&put.key)),
                    }
                }
            }
            Self::CreateMount(mount) => drop(model.mounts.insert(*mount, BTreeMap::new())),
            Self::DestroyMount(mount) => drop(model.mounts.remove(mount)),
            Self::Rotate => model.term += 1,
        }
    }
}

/// What a client does next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Commit(Vec<Put>),
    /// Clients at once, whose keys are apart: the writer takes them together.
    Together(Vec<Vec<Put>>),
    CreateMount(u8),
    /// Its keys, and then its records.
    DestroyMount(u8),
    Rotate,
    /// Seals, and unseals.
    Seal,
    /// Closes the file, and opens it. Not after a failure: what that left is looked at by others.
    Restart,
    /// Tries until it is taken.
    UntilTaken(Vec<Put>),
}

/// How a step went wrong.
pub(crate) enum Failure {
    /// Nothing of it was done.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
}

/// A store of the barrier.
pub(crate) struct Barriers;

/// A run of some steps.
pub(crate) struct Run {
    pub(crate) history: History<Change>,
    /// As handed out; none if it did not come to that.
    pub(crate) shares: Vec<String>,
    /// Operations until the files were made: before, they have other names.
    pub(crate) start: usize,
    /// What failed, in order.
    pub(crate) failures: Vec<Failure>,
}

/// Runs `steps` from an empty disk.
pub(crate) async fn run(disk: &CrashDisk, steps: &[Step], seed: u64) -> Result<Run, String> {
    let mut run = Run {
        history: History::new(vec![Model::default()]),
        shares: Vec::new(),
        start: 0,
        failures: Vec::new(),
    };
    let mut barrier = match open(disk, seed).await {
        Ok(barrier) => barrier,
        Err(error) => {
            run.failures.push(Failure::Refused(error));
            return Ok(run);
        }
    };
    run.start = disk.operations();
    if !run.initialize(&barrier, disk).await? {
        return Ok(run);
    }
    unseal(&barrier, &run.shares).await?;
    for (number, step) in steps.iter().enumerate() {
        let (failed_before, begun_at) = (run.failures.len(), disk.operations());
        match step {
            Step::Commit(puts) => {
                let begun = run
                    .history
                    .begin(disk.operations(), Change::Write(puts.clone()));
                let result = commit(&barrier, puts).await;
                run.note(disk, begun, result);
            }
            Step::Together(clients) => {
                let mut under_way = Vec::new();
                for puts in clients {
                    let begun = run
                        .history
                        .begin(disk.operations(), Change::Write(puts.clone()));
                    let (barrier, disk, puts) = (barrier.clone(), disk.clone(), puts.clone());
                    let client = tokio::spawn(async move {
                        let result = commit(&barrier, &puts).await;
                        (result, disk.operations())
                    });
                    under_way.push((begun, client));
                }
                for (begun, client) in under_way {
                    let (result, when) = client.await.map_err(|error| error.to_string())?;
                    run.note_at(when, begun, result);
                }
            }
            Step::CreateMount(mount) => {
                let begun = run
                    .history
                    .begin(disk.operations(), Change::CreateMount(*mount));
                let result = create_mount(&barrier, *mount).await;
                run.note(disk, begun, result);
            }
            Step::DestroyMount(mount) => {
                let begun = run
                    .history
                    .begin(disk.operations(), Change::DestroyMount(*mount));
                let result = destroy_mount(&barrier, *mount).await;
                let destroyed = result.is_ok();
                run.note(disk, begun, result);
                if destroyed {
                    let begun = run.history.begin(disk.operations(), Change::Nothing);
                    let result = barrier.purge(id(*mount)).await;
                    run.note(disk, begun, result.map(drop).map_err(of_barrier));
                }
            }
            Step::Rotate => {
                let begun = run.history.begin(disk.operations(), Change::Rotate);
                let result = barrier.rotate(number as u64).await;
                run.note(disk, begun, result.map(drop).map_err(of_barrier));
            }
            Step::Seal => {
                barrier.seal().await.map_err(|error| chain(&error))?;
                match unseal(&barrier, &run.shares).await {
                    // What it reads is not in memory, and the disk cannot be opened.
                    Err(error) if disk.is_broken() && tells_why(&error) => break,
                    unsealed => unsealed?,
                }
            }
            Step::Restart if run.failures.is_empty() => {
                drop(barrier);
                // Closing and opening may fail as well, and have changed nothing then.
                match open(disk, seed + 1 + number as u64).await {
                    Ok(opened) => barrier = opened,
                    Err(error) => {
                        run.failures.push(Failure::Refused(error));
                        return Ok(run);
                    }
                }
                unseal(&barrier, &run.shares).await?;
            }
            Step::Restart => {}
            Step::UntilTaken(puts) => {
                let deadline = Instant::now() + PATIENCE;
                loop {
                    let effect = Change::Write(puts.clone());
                    let begun = run.history.begin(disk.operations(), effect);
                    let result = commit(&barrier, puts).await;
                    let taken = result.is_ok();
                    run.note(disk, begun, result);
                    if taken {
                        break;
                    }
                    if Instant::now() > deadline {
                        return Err("the disk works again, and no write is taken".to_owned());
                    }
                    tokio::time::sleep(BETWEEN_TRIES).await;
                }
            }
        }
        if run.failures.len() > failed_before {
            run.check_after_failure(&barrier, disk)
                .await
                .map_err(|error| format!("after a failed step {number}, {error}"))?;
        } else if let Some(failed) = disk.failed_data()
            && (begun_at..disk.operations()).contains(&failed)
            && !matches!(step, Step::Restart)
        {
            return Err(format!(
                "step {number} is acknowledged, and operation {failed} of it failed"
            ));
        }
    }
    Ok(run)
}

impl Run {
    /// Initialises, with as many tries as it takes on a disk that works again. What an answer says is held
    /// against what the barrier shows. False: it came to nothing, or nobody has its shares.
    async fn initialize(&mut self, barrier: &Barrier, disk: &CrashDisk) -> Result<bool, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut unknown = Vec::new();
        loop {
            let begun = self.history.begin(disk.operations(), Change::Initialize);
            match initialize(barrier).await {
                Ok(shares) => {
                    // It found nothing, and now nothing else can come.
                    unknown
                        .into_iter()
                        .for_each(|old| self.history.refused(old));
                    self.history.done(begun, disk.operations());
                    self.shares = shares;
                    return Ok(true);
                }
                Err(InitError::AlreadyInitialized) => {
                    self.history.refused(begun);
                    return match status(barrier).await? {
                        _ if unknown.is_empty() => {
                            Err("it is initialised, and nothing was written".to_owned())
                        }
                        true => Ok(false),
                        false => Err("it is initialised, and says that it is not".to_owned()),
                    };
                }
                Err(InitError::Broken(error)) => {
                    let failure = of_barrier(error);
                    if let Failure::Unknown(_) = failure {
                        unknown.push(begun);
                    }
                    self.note(disk, begun, Err(failure));
                }
                Err(error) => return Err(chain(&error)),
            }
            match status(barrier).await {
                Ok(true) if unknown.is_empty() => {
                    return Err("nothing was written, and it is initialised".to_owned());
                }
                Err(error) if !tells_why(&error) => return Err(error),
                _ if disk.is_broken() => return Ok(false),
                _ if Instant::now() > deadline => {
                    return Err("the disk works again, and it is not initialised".to_owned());
                }
                _ => tokio::time::sleep(BETWEEN_TRIES).await,
            }
        }
    }

    /// Reads go on, and what is refused is refused with its reason.
    async fn check_after_failure(&self, barrier: &Barrier, disk: &CrashDisk) -> Result<(), String> {
        let permitted = self.history.permitted(usize::MAX);
        match read(barrier, &permitted).await {
            Ok(found) if permitted.contains(&found) => {}
            Ok(found) => return Err(format!("reads show {}", brief(&found))),
            // It is not in memory, and the disk cannot be opened.
            Err(error) if disk.is_broken() && tells_why(&error) => {}
            Err(error) => return Err(error),
        }
        let Some(Failure::Refused(error) | Failure::Unknown(error)) = self.failures.last() else {
            return Ok(());
        };
        // Something may be missing that an earlier one would have made.
        match tells_why(error) || error.contains("there is no mount") || error.contains(" exists") {
            true => Ok(()),
            false => Err(format!("nobody is told why: {error}")),
        }
    }

    fn note(&mut self, disk: &CrashDisk, begun: Begun, result: Result<(), Failure>) {
        self.note_at(disk.operations(), begun, result);
    }

    fn note_at(&mut self, when: usize, begun: Begun, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.history.done(begun, when),
            Err(failure) => {
                if let Failure::Refused(_) = failure {
                    self.history.refused(begun);
                }
                self.failures.push(failure);
            }
        }
    }
}

/// The run of `steps` on a disk that works, with its last closing.
pub(crate) async fn record(steps: &[Step], seed: u64) -> Result<Recording<Barriers>, String> {
    let disk = CrashDisk::empty();
    let run = run(&disk, steps, seed).await?;
    if let Some(Failure::Refused(error) | Failure::Unknown(error)) = run.failures.first() {
        return Err(format!("it fails on a disk that works: {error}"));
    }
    Ok(Recording {
        subject: Barriers,
        start: run.start,
        log: disk.log(),
        history: run.history,
        keys: vec![run.shares],
    })
}

impl Subject for Barriers {
    type Effect = Change;
    type Keys = Vec<String>;

    async fn recover(
        &self,
        disk: &CrashDisk,
        permitted: Vec<Model>,
        keys: &[Vec<String>],
        depth: u8,
    ) -> Result<Recovered<Self>, String> {
        let barrier = open(disk, 1_000 + u64::from(depth)).await?;
        let initialized = status(&barrier).await?;
        let mut history = History::new(permitted.clone());
        let mut keys = keys.to_vec();
        if initialized {
            let mut opened = Err("nobody has shares for it".to_owned());
            for shares in &keys {
                opened = unseal(&barrier, shares).await;
                if opened.is_ok() {
                    break;
                }
            }
            // Initialised, and nobody was told: only while that is not known.
            let unknown =
                [true, false].map(|known| permitted.iter().any(|model| model.initialized == known));
            if opened.is_err() && unknown == [true, true] {
                return Ok(Recovered { history, keys });
            }
            opened?;
        }
        let found = match initialized {
            true => read(&barrier, &permitted).await?,
            false => Model::default(),
        };
        if !permitted.contains(&found) {
            return Err(format!(
                "it shows {}\nbut may show {}",
                brief(&found),
                permitted
                    .iter()
                    .map(brief)
                    .collect::<Vec<_>>()
                    .join("\nor ")
            ));
        }
        history.see(disk.operations(), found);
        if !initialized {
            let begun = history.begin(disk.operations(), Change::Initialize);
            let shares = initialize(&barrier).await.map_err(|error| chain(&error))?;
            history.done(begun, disk.operations());
            unseal(&barrier, &shares).await?;
            keys.push(shares);
        }
        let put = Put {
            mount: 0,
            key: "after/the/crash".to_owned(),
            value: Some(vec![depth; 64]),
        };
        let begun = history.begin(disk.operations(), Change::Write(vec![put.clone()]));
        if let Err(Failure::Refused(error) | Failure::Unknown(error)) =
            commit(&barrier, &[put]).await
        {
            return Err(format!("it takes no new write: {error}"));
        }
        history.done(begun, disk.operations());
        let expected = history.permitted(usize::MAX);
        let found = read(&barrier, &expected).await?;
        if !expected.contains(&found) {
            return Err(format!("after a new write it shows {}", brief(&found)));
        }
        Ok(Recovered { history, keys })
    }
}

async fn open(disk: &CrashDisk, seed: u64) -> Result<Barrier, String> {
    disk.open(Arc::new(Seeded::new(seed)))
        .await
        .map_err(|error| chain(&error))
}

async fn status(barrier: &Barrier) -> Result<bool, String> {
    let status = barrier.seal_status().await;
    Ok(status.map_err(|error| chain(&error))?.initialized)
}

async fn initialize(barrier: &Barrier) -> Result<Vec<String>, InitError> {
    let (shares, threshold) = SHARES;
    let made = barrier
        .initialize(Init::Shamir { shares, threshold }, 1)
        .await;
    Ok(made?
        .shares
        .iter()
        .map(|share| share.to_hex().to_string())
        .collect())
}

async fn unseal(barrier: &Barrier, shares: &[String]) -> Result<(), String> {
    let mut progress = None;
    for share in shares.iter().skip(1) {
        let share = UnsealShare::parse(share).map_err(|error| chain(&error))?;
        let unsealed = barrier.unseal(share).await;
        progress = Some(unsealed.map_err(|error| chain(&error))?);
    }
    match progress {
        Some(UnsealProgress::Unsealed) => Ok(()),
        progress => Err(format!("not unsealed: {progress:?}")),
    }
}

/// Everything there is: each mount by its directories, and beside that whatever else `permitted` knows of.
async fn read(barrier: &Barrier, permitted: &[Model]) -> Result<Model, String> {
    let term = barrier.key_status().await.map_err(|error| chain(&error))?;
    let mut model = Model {
        initialized: true,
        term: term.term,
        mounts: BTreeMap::new(),
    };
    let transaction = barrier.begin().await.map_err(|error| chain(&error))?;
    for mount in 0..4 {
        let view = match transaction.view(id(mount)).await {
            Ok(view) => view,
            Err(BarrierError::UnknownMount(_)) => continue,
            Err(error) => return Err(chain(&error)),
        };
        let mut records = BTreeMap::new();
        walk(&view, "", &mut records).await?;
        let known: BTreeSet<&String> = permitted
            .iter()
            .filter_map(|model| model.mounts.get(&mount))
            .flat_map(BTreeMap::keys)
            .filter(|key| !records.contains_key(*key))
            .collect();
        for key in known {
            let value = view.get(key).await.map_err(|error| chain(&error))?;
            if value.is_some() {
                return Err(format!("{key} has a value, and no directory has {key}"));
            }
        }
        model.mounts.insert(mount, records);
    }
    Ok(model)
}

async fn walk(
    view: &View,
    prefix: &str,
    found: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), String> {
    let page = view.list(prefix, None, 0).await;
    let names = page.map_err(|error| chain(&error))?.keys;
    if names.is_empty() && !prefix.is_empty() {
        return Err(format!("{prefix} has a name, and nothing in it"));
    }
    for name in names {
        let path = format!("{prefix}{name}");
        if name.ends_with('/') {
            Box::pin(walk(view, &path, found)).await?;
        } else {
            let value = view.get(&path).await.map_err(|error| chain(&error))?;
            let value = value.ok_or_else(|| format!("{path} has a name, and no value"))?;
            found.insert(path, value.to_vec());
        }
    }
    Ok(())
}

/// Whoever meets another runs again, as core does.
async fn commit(barrier: &Barrier, puts: &[Put]) -> Result<(), Failure> {
    loop {
        match attempt(barrier, puts).await? {
            Err(CommitError::Conflict(_)) => {}
            result => return result.map_err(of_commit),
        }
    }
}

async fn attempt(barrier: &Barrier, puts: &[Put]) -> Result<Result<(), CommitError>, Failure> {
    let view = |error: ViewError| Failure::Refused(chain(&error));
    let transaction = barrier.begin().await.map_err(nothing)?;
    for put in puts {
        let records = transaction.view(id(put.mount)).await.map_err(nothing)?;
        match &put.value {
            Some(value) => records.put(&put.key, value).await.map_err(view)?,
            None => records.delete(&put.key).await.map_err(view)?,
        }
    }
    Ok(transaction.commit().await.map(drop))
}

async fn create_mount(barrier: &Barrier, mount: u8) -> Result<(), Failure> {
    let transaction = barrier.begin().await.map_err(nothing)?;
    transaction.create_mount(id(mount)).await.map_err(nothing)?;
    transaction.commit().await.map(drop).map_err(of_commit)
}

async fn destroy_mount(barrier: &Barrier, mount: u8) -> Result<(), Failure> {
    let transaction = barrier.begin().await.map_err(nothing)?;
    transaction
        .destroy_mount(id(mount))
        .await
        .map_err(nothing)?;
    transaction.commit().await.map(drop).map_err(of_commit)
}

fn nothing(error: BarrierError) -> Failure {
    Failure::Refused(chain(&error))
}

fn of_commit(error: CommitError) -> Failure {
    match error {
        CommitError::Unknown(_) => Failure::Unknown(chain(&error)),
        error => Failure::Refused(chain(&error)),
    }
}

/// Of a commit that is not a transaction's.
fn of_barrier(error: BarrierError) -> Failure {
    match error {
        BarrierError::IoUnknown(_) => Failure::Unknown(chain(&error)),
        error => Failure::Refused(chain(&error)),
    }
}

fn id(mount: u8) -> MountId {
    match mount {
        0 => MountId::SYSTEM,
        _ => MountId::parse(&format!("{mount:02x}").repeat(16)).expect("32 hex digits"),
    }
}

pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// A state, with the lengths of its values for their bytes.
fn brief(model: &Model) -> String {
    let records = model.mounts.iter().map(|(mount, records)| {
        let records: Vec<_> = records
            .iter()
            .map(|(key, value)| format!("{key}={}x{:?}", value.len(), value.first()))
            .collect();
        format!("{mount}: [{}]", records.join(" "))
    });
    let records: Vec<_> = records.collect();
    format!(
        "initialized={} term={} {}",
        model.initialized,
        model.term,
        records.join(" ")
    )
}

fn put(mount: u8, key: &str, bytes: usize, with: u8) -> Put {
    Put {
        mount,
        key: key.to_owned(),
        value: Some(vec![with; bytes]),
    }
}

fn delete(mount: u8, key: &str) -> Put {
    Put {
        mount,
        key: key.to_owned(),
        value: None,
    }
}

/// A bit of everything.
pub(crate) fn everyday() -> Vec<Step> {
    let mut steps = vec![
        Step::Commit(vec![
            put(0, "config/cluster", 40, 1),
            put(0, "mounts", 300, 2),
        ]),
        Step::CreateMount(1),
        Step::CreateMount(2),
    ];
    for n in 0..6 {
        steps.push(Step::Commit(vec![
            put(1, &format!("app/{n}/password"), 100, n),
            put(1, "app/last", 10, n),
            put(2, "count", 8, n),
        ]));
    }
    steps.push(Step::Together(
        (0..4)
            .map(|n| {
                vec![
                    put(2, &format!("client/{n}"), 50, n),
                    put(1, &format!("c{n}"), 5, n),
                ]
            })
            .collect(),
    ));
    steps.extend([
        Step::Rotate,
        Step::Commit(vec![
            delete(1, "app/0/password"),
            put(1, "app/1/password", 90, 77),
        ]),
        Step::Seal,
        Step::Commit(vec![
            delete(1, "app/2/password"),
            delete(1, "app/3/password"),
        ]),
        Step::DestroyMount(2),
        Step::CreateMount(3),
        Step::Commit(vec![put(3, "new/one", 4_000, 3), put(0, "mounts", 320, 4)]),
        Step::Rotate,
        Step::Restart,
        Step::Commit(vec![put(3, "new/two", 10, 5), delete(3, "new/one")]),
        Step::DestroyMount(1),
        Step::DestroyMount(3),
        Step::Seal,
    ]);
    steps
}

/// A file that grows and shrinks.
pub(crate) fn large() -> Vec<Step> {
    let mut steps = vec![Step::CreateMount(1)];
    for n in 0..6 {
        steps.push(Step::Commit(vec![
            put(1, &format!("blob/{n}"), 9_000 + 7_000 * usize::from(n), n),
            put(1, "total", 8, n),
        ]));
    }
    steps.push(Step::Restart);
    for n in 0..5 {
        steps.push(Step::Commit(vec![
            delete(1, &format!("blob/{n}")),
            put(1, "total", 8, n),
        ]));
    }
    steps.extend([
        Step::Restart,
        Step::Commit(vec![put(1, "blob/again", 60_000, 9)]),
        Step::DestroyMount(1),
        Step::Restart,
        Step::Commit(vec![put(0, "end", 1, 1)]),
    ]);
    steps
}

/// A bit of everything, and what follows once the disk works again.
pub(crate) fn patient() -> Vec<Step> {
    let mut steps = everyday();
    steps.extend([
        Step::UntilTaken(vec![put(0, "again", 10, 1)]),
        Step::CreateMount(3),
        Step::Commit(vec![put(0, "again", 20, 2), put(0, "and/again", 5_000, 3)]),
        Step::Rotate,
        Step::Seal,
    ]);
    steps
}

/// Whatever `chance` comes upon.
pub(crate) fn any(chance: &mut Chance) -> Vec<Step> {
    let mut mounts = BTreeSet::from([0]);
    let mut steps = Vec::new();
    for _ in 0..chance.within(4..24) {
        let some: Vec<u8> = mounts.iter().copied().collect();
        let step = match chance.within(0..20) {
            0 | 1 => match (1..4).find(|mount| !mounts.contains(mount)) {
                Some(mount) => {
                    mounts.insert(mount);
                    Step::CreateMount(mount)
                }
                None => Step::Rotate,
            },
            2 => match some.last() {
                Some(mount) if *mount != 0 => {
                    mounts.remove(mount);
                    Step::DestroyMount(*mount)
                }
                _ => Step::Seal,
            },
            3 => Step::Rotate,
            4 => Step::Restart,
            5 => Step::Seal,
            6..9 => Step::Together(
                (0..chance.within(2..5))
                    .map(|client| puts(chance, &some, &format!("client/{client}/")))
                    .collect(),
            ),
            _ => Step::Commit(puts(chance, &some, "")),
        };
        steps.push(step);
    }
    steps
}

fn puts(chance: &mut Chance, mounts: &[u8], prefix: &str) -> Vec<Put> {
    let mut keys = BTreeSet::new();
    (0..chance.within(1..6))
        .filter_map(|_| {
            let mount = *chance.choose(mounts);
            let key = format!(
                "{prefix}{}",
                chance.choose(&["a", "b", "c/a", "c/b", "c/d/e"])
            );
            let value = match chance.within(0..10) {
                0..3 => None,
                9 => Some(chance.within(5_000..40_000)),
                _ => Some(chance.within(0..300)),
            };
            let with = chance.next().to_le_bytes()[0];
            keys.insert((mount, key.clone())).then_some(Put {
                mount,
                key,
                value: value.map(|bytes| vec![with; bytes]),
            })
        })
        .collect()
}

/// What shows of a damaged file. What shows is right.
#[derive(Debug, PartialEq)]
pub(crate) enum Look {
    /// It does not open, or does not unseal: why.
    Refused(String),
    Open {
        /// Records and directories that answer an error.
        errors: usize,
        /// That answer as if they were not there.
        missing: usize,
        /// Whether a new write was taken.
        writes: bool,
    },
}

/// Reads one by one whatever `model` has, from a file that may be damaged. An answer that is neither an error
/// nor right is an error of ours.
pub(crate) async fn look(
    opened: Result<Barrier, OpenError>,
    model: &Model,
    shares: &[String],
) -> Result<Look, String> {
    let barrier = match opened {
        Ok(barrier) => barrier,
        Err(error) => return Ok(Look::Refused(chain(&error))),
    };
    match status(&barrier).await {
        Ok(true) => {}
        Ok(false) => return Err("it is not initialised any more".to_owned()),
        Err(error) => return Ok(Look::Refused(error)),
    }
    if let Err(error) = unseal(&barrier, shares).await {
        return Ok(Look::Refused(error));
    }
    let (mut errors, mut missing) = (0, 0);
    let transaction = match barrier.begin().await {
        Ok(transaction) => transaction,
        Err(error) => return Ok(Look::Refused(chain(&error))),
    };
    for (mount, records) in &model.mounts {
        let view = match transaction.view(id(*mount)).await {
            Ok(view) => view,
            Err(BarrierError::UnknownMount(_)) => {
                missing += 1;
                continue;
            }
            Err(_) => {
                errors += 1;
                continue;
            }
        };
        for (key, value) in records {
            match view.get(key).await {
                Ok(Some(found)) if found[..] == value[..] => {}
                Ok(Some(_)) => return Err(format!("{key} has another value")),
                Ok(None) => missing += 1,
                Err(_) => errors += 1,
            }
        }
        let directories = records.keys().flat_map(|key| {
            let ends = key.match_indices('/').map(|(at, _)| &key[..=at]);
            ends.chain([""])
        });
        for directory in directories.collect::<BTreeSet<_>>() {
            let expected: BTreeSet<&str> = records
                .keys()
                .filter_map(|key| key.strip_prefix(directory))
                .map(|rest| rest.split_inclusive('/').next().unwrap_or(rest))
                .collect();
            match view.list(directory, None, 0).await {
                Ok(page) => {
                    let found: BTreeSet<&str> = page.keys.iter().map(String::as_str).collect();
                    if !found.is_subset(&expected) {
                        return Err(format!("{directory:?} lists {found:?}, not {expected:?}"));
                    }
                    missing += expected.len() - found.len();
                }
                Err(_) => errors += 1,
            }
        }
    }
    drop(transaction);
    let writes = commit(&barrier, &[put(0, "after/damage", 10, 1)])
        .await
        .is_ok();
    if writes {
        let transaction = barrier.begin().await.map_err(|error| chain(&error))?;
        if let Ok(view) = transaction.view(MountId::SYSTEM).await
            && let Ok(Some(value)) = view.get("after/damage").await
            && value[..] != [1; 10]
        {
            return Err("a new write has another value".to_owned());
        }
    }
    Ok(Look::Open {
        errors,
        missing,
        writes,
    })
}
