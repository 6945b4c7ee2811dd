//! Workloads of a whole server, without network and without wasm: requests to core, and what every read shows
//! afterwards.
//!
//! There is no second implementation of core here: what must be seen after a crash is what was seen when a
//! step was acknowledged, or, of the step under way, before it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};

use host_core::{
    Body, ClientToken, Clock, Core, HandleError, Initialize, Parts, Request, Response, SealError,
    SealKind, Settings,
};
use host_logical::{Operation, Peer, RequestId, RequestPath};

use crate::barrier::{BETWEEN_TRIES, PATIENCE, chain};
use crate::chance::Seeded;
use crate::disk::{CrashDisk, tells_why};
use crate::engine::{Catalog, NAME, NoCustody};
use crate::history::{Effect, History};
use crate::replay::{Recording, Recovered, Subject};

/// What every read shows; what is not there, or is refused, is left out.
pub(crate) type Seen = BTreeMap<String, String>;

/// What one commit changes of it.
#[derive(Clone, Debug)]
pub(crate) struct Difference(BTreeMap<String, Option<String>>);

impl Difference {
    fn between(before: &Seen, after: &Seen) -> Self {
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        let gone = gone.map(|name| (name.clone(), None));
        let new = after
            .iter()
            .filter(|(name, shown)| before.get(*name) != Some(shown));
        let new = new.map(|(name, shown)| (name.clone(), Some(shown.clone())));
        Self(gone.chain(new).collect())
    }

    /// Only what it changes of these.
    fn of(&self, names: &[String]) -> Self {
        let of = self.0.iter().filter(|(name, _)| names.contains(name));
        Self(
            of.map(|(name, shown)| (name.clone(), shown.clone()))
                .collect(),
        )
    }
}

impl Effect for Difference {
    type State = Seen;

    fn apply(&self, seen: &mut Seen) {
        for (name, shown) in &self.0 {
            match shown {
                Some(shown) => drop(seen.insert(name.clone(), shown.clone())),
                None => drop(seen.remove(name)),
            }
        }
    }
}

/// What opens a server, and who may do anything there.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    shares: Vec<String>,
    root: String,
}

/// What an operator or a client does next.
pub(crate) enum Step {
    /// As the root token.
    Write(&'static str, Value),
    Delete(&'static str),
    /// Makes a token, which is the next.
    Token(Value),
    /// Writes with the token of this number.
    WriteAs(usize, &'static str, Value),
    /// Revokes the token of this number.
    Revoke(usize),
    /// Seals and unseals.
    Seal,
    /// Closes everything, and starts again.
    Restart,
}

/// A server; the tokens that are ever made on it.
pub(crate) struct Server {
    tokens: Vec<String>,
}

/// A year after the project began, and never later.
struct StoppedClock;

impl Clock for StoppedClock {
    fn now_millis(&self) -> u64 {
        1_767_225_600_000
    }
}

/// What reads look at: the names that the workloads use.
const READS: [&str; 15] = [
    "sys/mounts",
    "sys/auth",
    "sys/policies/acl/reader",
    "sys/policies/acl/writer",
    "c/state",
    "c/records/a",
    "c/records/b/c",
    "c/records/large",
    "c/records/after",
    "c/records/counted",
    "d/state",
    "d/records/a",
    "e/state",
    "e/records/a",
    "cubbyhole/mine",
];
const LISTS: [&str; 5] = [
    "sys/policies/acl/",
    "c/records/",
    "c/records/b/",
    "d/records/",
    "cubbyhole/",
];

/// A run of some steps.
pub(crate) struct Run {
    pub(crate) history: History<Difference>,
    pub(crate) keys: Vec<Keys>,
    pub(crate) server: Server,
    /// Operations until the files were made: before, they have other names.
    pub(crate) start: usize,
    /// Operations before each step.
    pub(crate) begun: Vec<usize>,
    /// What was seen after the start and after each step.
    pub(crate) sights: Vec<Seen>,
    pub(crate) failures: Vec<Failure>,
}

/// Why a step was not acknowledged.
pub(crate) enum Failure {
    /// The disk failed.
    Disk { nothing_written: bool, told: String },
    /// What an earlier step would have made is not there.
    Missing,
    /// It did not start, or was not initialised.
    Start(String),
}

/// Runs `steps` from an empty disk, up to a restart after the first failure. What failed may have
/// come to what it came to in `model`, the same run on a disk that worked.
pub(crate) async fn run(
    disk: &CrashDisk,
    steps: &[Step],
    seed: u64,
    model: Option<&Run>,
) -> Result<Run, String> {
    let mut run = Run {
        history: History::new(vec![nothing()]),
        keys: Vec::new(),
        server: Server { tokens: Vec::new() },
        start: 0,
        begun: Vec::new(),
        sights: Vec::new(),
        failures: Vec::new(),
    };
    let mut core = match start(disk, seed).await {
        Ok(core) => core,
        Err(error) => {
            run.failures.push(Failure::Start(error));
            return Ok(run);
        }
    };
    run.start = disk.operations();

    let Some(made) = run.initialize(&core, disk, model).await? else {
        return Ok(run);
    };
    if !run.failures.is_empty() {
        // Made at another try, it is not what the model has.
        return Ok(run);
    }
    let mut seen = run.sights[0].clone();
    let counted = counted(steps);

    for (number, step) in steps.iter().enumerate() {
        let begun = disk.operations();
        run.begun.push(begun);
        let result = match step {
            Step::Restart if disk.failed().is_some() => break,
            Step::Seal => {
                core.seal().await.map_err(|error| chain(&error))?;
                match unseal(&core, &made.shares).await {
                    Err(error) if disk.is_broken() && tells_why(&error) => break,
                    unsealed => unsealed?,
                }
                Ok(())
            }
            Step::Restart => {
                drop(core);
                closed(disk).await?;
                match start(disk, seed + 1 + number as u64).await {
                    Ok(started) => core = started,
                    Err(error) => {
                        run.failures.push(Failure::Start(error));
                        return Ok(run);
                    }
                }
                unseal(&core, &made.shares).await?;
                Ok(())
            }
            step => run.server.request(&core, &made.root, step).await,
        };
        let done = disk.operations();
        if let Some(failed) = disk.failed_data().filter(|at| (begun..done).contains(at))
            && result.is_ok()
            // Others clean up behind their commit, and may leave that to chance.
            && matches!(step, Step::Write(..) | Step::Token(_))
        {
            return Err(format!(
                "step {number} is acknowledged, and operation {failed} of it failed"
            ));
        }
        let failed = match result {
            Ok(()) => None,
            Err(HandleError::Storage {
                nothing_written,
                source,
            }) => Some(Failure::Disk {
                nothing_written,
                told: chain(&source),
            }),
            Err(_) if !run.failures.is_empty() => Some(Failure::Missing),
            Err(error) => return Err(format!("step {number}: {}", chain(&error))),
        };
        if let (Step::Token(_), Some(_), Some(model)) = (step, &failed, model) {
            let made = &model.server.tokens[run.server.tokens.len()];
            run.server.tokens.push(made.clone());
        }
        // Reads go on, but for those of what is not in memory if the disk cannot be opened.
        let mut shown = run.server.see(&core, &made.root).await;
        if disk.failed().is_some() && shown.is_err() {
            // One that was under way when the file was opened again fails. The next does not.
            shown = run.server.see(&core, &made.root).await;
        }
        let shown = match shown {
            Err(error) if disk.is_broken() && tells_why(&error) => None,
            shown => Some(shown?),
        };
        let after = match (&failed, &shown, model) {
            (None, Some(shown), _) => shown,
            (_, _, Some(model)) => &model.sights[number + 1],
            _ => return Err(format!("step {number} fails on a disk that works")),
        };
        let [spent, all] = parts(&seen, after, &counted).map(|part| run.history.begin(begun, part));
        match failed {
            None => {
                run.history.done(spent, done);
                run.history.done(all, done);
            }
            Some(failure) => {
                match failure {
                    Failure::Disk { ref told, .. } if !tells_why(told) => {
                        return Err(format!("step {number} fails, and not told why: {told}"));
                    }
                    Failure::Disk {
                        nothing_written: false,
                        ..
                    } => {}
                    Failure::Disk { .. } => run.history.refused(all),
                    Failure::Missing | Failure::Start(_) => {
                        run.history.refused(spent);
                        run.history.refused(all);
                    }
                }
                run.failures.push(failure);
            }
        }
        let permitted = run.history.permitted(usize::MAX);
        match shown {
            Some(shown) if !permitted.contains(&shown) => {
                let told = tell(&shown, &permitted);
                return Err(format!("after step {number}, {told}"));
            }
            Some(shown) => seen = shown,
            None => break,
        }
        run.sights.push(seen.clone());
    }
    Ok(run)
}

impl Run {
    /// Initialises, with as many tries as it takes on a disk that works again: keys, first records and root
    /// token are one commit. What an answer says is held against what the server shows. None: it came to
    /// nothing, or to what the answer did not bring.
    async fn initialize(
        &mut self,
        core: &Arc<Core>,
        disk: &CrashDisk,
        model: Option<&Run>,
    ) -> Result<Option<Keys>, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut unknown = Vec::new();
        loop {
            let begun = disk.operations();
            let error = match initialize(core).await {
                Ok(made) => {
                    let done = disk.operations();
                    unseal(core, &made.shares).await?;
                    let seen = self.server.see(core, &made.root).await?;
                    // It found nothing, and now nothing else can come.
                    unknown
                        .into_iter()
                        .for_each(|old| self.history.refused(old));
                    let part = self
                        .history
                        .begin(begun, Difference::between(&nothing(), &seen));
                    self.history.done(part, done);
                    self.keys = vec![made.clone()];
                    self.sights.push(seen);
                    return Ok(Some(made));
                }
                Err(error) => error,
            };
            let told = chain(&error);
            let model = model.ok_or(told.clone())?;
            let view = core.seal_view().await.map_err(|error| chain(&error));
            match (&error, &view) {
                (_, Ok(view)) if view.initialized && unknown.is_empty() && says_nothing(&error) => {
                    return Err(format!("it is initialised, and was told: {told}"));
                }
                (SealError::Storage { .. }, _) if !tells_why(&told) => {
                    return Err(format!("it is not told why: {told}"));
                }
                (
                    SealError::Storage {
                        nothing_written: true,
                        ..
                    },
                    _,
                ) => {}
                (SealError::Storage { .. }, _) => {
                    // The first try is that of the model, with its keys.
                    let whole = Difference::between(&nothing(), &model.sights[0]);
                    unknown.push(self.history.begin(begun, whole));
                    self.keys.clone_from(&model.keys);
                }
                (_, Ok(view)) if view.initialized => {
                    unseal(core, &model.keys[0].shares).await?;
                    return match self.server.see(core, &model.keys[0].root).await? {
                        seen if seen == model.sights[0] => Ok(None),
                        _ => Err("initialised without an answer, it is not whole".to_owned()),
                    };
                }
                _ => return Err(told),
            }
            self.failures.push(Failure::Start(told));
            match view {
                Err(error) if !tells_why(&error) => return Err(error),
                _ if disk.is_broken() => return Ok(None),
                _ if Instant::now() > deadline => {
                    return Err("the disk works again, and it is not initialised".to_owned());
                }
                _ => tokio::time::sleep(BETWEEN_TRIES).await,
            }
        }
    }
}

/// Whether it says that nothing was written.
fn says_nothing(error: &SealError) -> bool {
    !matches!(
        error,
        SealError::Storage {
            nothing_written: false,
            ..
        }
    )
}

/// A server that is not initialised.
fn nothing() -> Seen {
    Seen::from([("initialized".to_owned(), "false".to_owned())])
}

/// The use of a token that has only so many is spent in a commit of its own, whatever comes after: that may
/// show alone.
fn parts(before: &Seen, after: &Seen, counted: &[usize]) -> [Difference; 2] {
    let all = Difference::between(before, after);
    let names: Vec<_> = counted.iter().map(|n| format!("token {n}")).collect();
    [all.of(&names), all]
}

/// Which of the tokens that `steps` make have only so many uses.
fn counted(steps: &[Step]) -> Vec<usize> {
    let made = steps.iter().filter_map(|step| match step {
        Step::Token(data) => Some(data.get("num_uses").is_some()),
        _ => None,
    });
    let made = made.enumerate();
    made.filter_map(|(n, counts)| counts.then_some(n)).collect()
}

/// The run of `steps` on a disk that works, with its last closing.
pub(crate) async fn record(steps: &[Step], seed: u64) -> Result<Recording<Server>, String> {
    let disk = CrashDisk::empty();
    let run = run(&disk, steps, seed, None).await?;
    if let Some(Failure::Start(told) | Failure::Disk { told, .. }) = run.failures.first() {
        return Err(format!("it fails on a disk that works: {told}"));
    }
    closed(&disk).await?;
    Ok(Recording {
        subject: run.server,
        start: run.start,
        log: disk.log(),
        history: run.history,
        keys: run.keys,
    })
}

impl Subject for Server {
    type Effect = Difference;
    type Keys = Keys;

    async fn recover(
        &self,
        disk: &CrashDisk,
        permitted: Vec<Seen>,
        keys: &[Keys],
        depth: u8,
    ) -> Result<Recovered<Self>, String> {
        let core = start(disk, 1_000 + u64::from(depth)).await?;
        let view = core.seal_view().await.map_err(|error| chain(&error))?;
        let mut history = History::new(permitted.clone());
        let mut keys = keys.to_vec();
        let mut found = Seen::from([("initialized".to_owned(), view.initialized.to_string())]);
        let mut root = None;
        if view.initialized {
            let mut opened = Err("nobody has shares for it".to_owned());
            for known in &keys {
                opened = unseal(&core, &known.shares).await;
                if opened.is_ok() {
                    found = self.see(&core, &known.root).await?;
                    root = Some(known.root.clone());
                    break;
                }
            }
            opened?;
        }
        if !permitted.contains(&found) {
            return Err(tell(&found, &permitted));
        }
        history.see(disk.operations(), found.clone());
        let root = match root {
            Some(root) => root,
            None => {
                let begun = disk.operations();
                let made = initialize(&core).await.map_err(|error| chain(&error))?;
                let done = disk.operations();
                unseal(&core, &made.shares).await?;
                let after = self.see(&core, &made.root).await?;
                let part = history.begin(begun, Difference::between(&found, &after));
                history.done(part, done);
                found = after;
                keys.push(made.clone());
                made.root
            }
        };
        for (path, data) in [
            (
                "sys/policies/acl/writer",
                json!({"policy": format!("# {depth}")}),
            ),
            ("c/records/after", json!({"value": depth.to_string()})),
        ] {
            if path.starts_with("c/") && !found.contains_key("c/state") {
                continue;
            }
            let begun = disk.operations();
            ask(&core, &root, Operation::Update, path, &data)
                .await
                .map_err(|error| format!("it takes no new write: {}", chain(&error)))?;
            let done = disk.operations();
            let after = self.see(&core, &root).await?;
            if after == found {
                return Err(format!("a new write of {path} does not show"));
            }
            let part = history.begin(begun, Difference::between(&found, &after));
            history.done(part, done);
            found = after;
        }
        drop(core);
        closed(disk).await?;
        Ok(Recovered { history, keys })
    }
}

impl Server {
    /// A step that is a request.
    async fn request(
        &mut self,
        core: &Arc<Core>,
        root: &str,
        step: &Step,
    ) -> Result<(), HandleError> {
        use Operation::{Delete, Update};
        let answer = match step {
            Step::Write(path, data) => ask(core, root, Update, path, data).await?,
            Step::Delete(path) => ask(core, root, Delete, path, &Value::Null).await?,
            Step::WriteAs(token, path, data) => {
                ask(core, &self.tokens[*token], Update, path, data).await?
            }
            Step::Revoke(token) => {
                let data = json!({"token": self.tokens[*token]});
                ask(core, root, Update, "auth/token/revoke", &data).await?
            }
            Step::Token(data) => ask(core, root, Update, "auth/token/create", data).await?,
            Step::Seal | Step::Restart => return Ok(()),
        };
        if let Step::Token(_) = step {
            self.tokens.extend(token(answer));
        }
        Ok(())
    }

    /// Everything that reads show. A read that fails is an error; one that is refused shows nothing.
    async fn see(&self, core: &Arc<Core>, root: &str) -> Result<Seen, String> {
        let mut seen = Seen::from([("initialized".to_owned(), "true".to_owned())]);
        let mut look = async |name: String, token: &str, operation, path: &str| match ask(
            core,
            token,
            operation,
            path,
            &Value::Null,
        )
        .await
        {
            Ok(response) => {
                seen.insert(name, shown(response));
                Ok(())
            }
            Err(
                HandleError::InvalidToken
                | HandleError::Denied
                | HandleError::NoMount { .. }
                | HandleError::Refused { .. },
            ) => Ok(()),
            Err(error) => Err(format!("{operation:?} {path}: {}", chain(&error))),
        };
        for path in READS {
            look(path.to_owned(), root, Operation::Read, path).await?;
        }
        for path in LISTS {
            look(format!("list {path}"), root, Operation::List, path).await?;
        }
        for (n, token) in self.tokens.iter().enumerate() {
            // With its accessor, so that looking spends none of its uses.
            let path = "auth/token/lookup";
            let data = json!({ "token": token });
            if let Ok(response) = ask(core, root, Operation::Update, path, &data).await {
                seen.insert(format!("token {n}"), shown(response));
            }
        }
        let key_status = ask(core, root, Operation::Read, "sys/key-status", &Value::Null).await;
        if let Ok(response) = key_status {
            let status: Value = serde_json::from_str(&shown(response)).unwrap_or_default();
            seen.insert("term".to_owned(), status["term"].to_string());
        }
        Ok(seen)
    }
}

async fn start(disk: &CrashDisk, seed: u64) -> Result<Arc<Core>, String> {
    let random = Arc::new(Seeded::new(seed));
    let barrier = disk
        .open(random.clone())
        .await
        .map_err(|error| chain(&error))?;
    Ok(Core::new(Parts {
        barrier,
        engines: Arc::new(Catalog),
        custody: Arc::new(NoCustody),
        clock: Arc::new(StoppedClock),
        random,
        settings: Settings {
            default_lease_ttl: Settings::LEASE_TTL,
            max_lease_ttl: Settings::LEASE_TTL,
            seal: SealKind::Shamir,
            version: "1.0.0",
        },
    }))
}

/// What runs on behind an answer, such as a purge, has come to its end as well.
async fn closed(disk: &CrashDisk) -> Result<(), String> {
    for _ in 0..100_000 {
        if !disk.is_open() {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
    Err("nobody uses it any more, and it is not closed".to_owned())
}

async fn initialize(core: &Arc<Core>) -> Result<Keys, SealError> {
    let wanted = Initialize {
        unseal: Some((3, 2)),
        recovery: None,
    };
    let made = core.initialize(wanted).await?;
    let shares = made.shares.iter();
    Ok(Keys {
        shares: shares.map(|share| share.to_hex().to_string()).collect(),
        root: made.root_token.to_string(),
    })
}

async fn unseal(core: &Arc<Core>, shares: &[String]) -> Result<(), String> {
    for share in shares.iter().skip(1) {
        let view = core.unseal(share).await.map_err(|error| chain(&error))?;
        if !view.sealed {
            return Ok(());
        }
    }
    Err("not unsealed".to_owned())
}

async fn ask(
    core: &Arc<Core>,
    token: &str,
    operation: Operation,
    path: &str,
    data: &Value,
) -> Result<Response, HandleError> {
    let request = Request {
        id: RequestId::from_random([7; 16]),
        operation,
        path: RequestPath::parse(path.as_bytes()).expect("the tests' paths are paths"),
        data: data.as_object().cloned().unwrap_or_else(Map::new),
        raw: None,
        token: ClientToken::parse(token),
        wrap_ttl: None,
        headers: Vec::new(),
        peer: Peer::default(),
        held: None,
    };
    core.handle(request).await
}

fn shown(response: Response) -> String {
    match response.body {
        Body::Envelope(envelope) => envelope
            .data
            .map_or_else(String::new, |data| data.get().to_owned()),
        _ => String::new(),
    }
}

fn token(response: Response) -> Option<String> {
    match response.body {
        Body::Envelope(envelope) => Some(envelope.auth?.client_token.to_string()),
        _ => None,
    }
}

fn tell(found: &Seen, permitted: &[Seen]) -> String {
    let mut text = "what it shows may not be seen:".to_owned();
    for (n, permitted) in permitted.iter().enumerate() {
        text.push_str(&format!("\n  state {n} would differ in "));
        let difference = Difference::between(permitted, found);
        for (name, shown) in difference.0 {
            text.push_str(&format!(
                "\n    {name}: {:?} instead of {:?}",
                shown,
                permitted.get(&name)
            ));
        }
    }
    text
}

/// All that an operator and some clients do.
pub(crate) fn everything() -> Vec<Step> {
    use Step::{Delete, Restart, Revoke, Seal, Token, Write, WriteAs};
    let reader = r#"path "c/*" { capabilities = ["read", "list", "update"] }"#;
    let large = "x".repeat(20_000);
    vec![
        Write("sys/mounts/c", json!({"type": NAME})),
        Write(
            "sys/mounts/d",
            json!({"type": NAME, "description": "the second"}),
        ),
        Write("sys/policies/acl/reader", json!({"policy": reader})),
        Write("c/records/a", json!({"value": "1"})),
        Token(json!({"policies": ["reader"], "ttl": "1h"})),
        WriteAs(0, "c/records/b/c", json!({"value": "2"})),
        Write("d/records/a", json!({"value": "3"})),
        Write("sys/rotate", json!({})),
        Write("c/records/a", json!({"value": "4"})),
        Token(json!({"policies": ["reader"], "num_uses": 2})),
        WriteAs(1, "c/records/counted", json!({"value": "once"})),
        WriteAs(1, "c/records/counted", json!({"value": "twice"})),
        Write(
            "sys/mounts/d/tune",
            json!({"default_lease_ttl": "1h", "description": "tuned"}),
        ),
        Seal,
        Write("c/records/large", json!({"value": large})),
        Restart,
        Write(
            "sys/policies/acl/writer",
            json!({"policy": r#"path "d/*" { capabilities = ["update"] }"#}),
        ),
        Delete("c/records/b/c"),
        Write("sys/remount", json!({"from": "d", "to": "e"})),
        Write("e/records/a", json!({"value": "5"})),
        Write("cubbyhole/mine", json!({"value": "6"})),
        Revoke(0),
        Write("sys/rotate", json!({})),
        Delete("sys/mounts/e"),
        Delete("sys/policies/acl/writer"),
        Write("sys/mounts/d", json!({"type": NAME})),
        Write("d/records/a", json!({"value": "7"})),
        Restart,
        Delete("c/records/a"),
        Delete("sys/mounts/c"),
    ]
}

/// A token with a cubbyhole is revoked, with this many writes in the journal before.
pub(crate) fn revocation(writes: usize) -> Vec<Step> {
    use Step::{Revoke, Token, Write, WriteAs};
    let large = "x".repeat(20_000);
    let mut steps = vec![
        Write("sys/mounts/c", json!({"type": NAME})),
        Write("c/records/large", json!({"value": large})),
        Write("c/records/large", json!({"value": large})),
        Token(json!({"ttl": "1h"})),
    ];
    let own = [
        "cubbyhole/a",
        "cubbyhole/b",
        "cubbyhole/c",
        "cubbyhole/d",
        "cubbyhole/e",
        "cubbyhole/f",
        "cubbyhole/g",
        "cubbyhole/h",
    ];
    steps.extend(own.map(|path| WriteAs(0, path, json!({"value": "own"}))));
    steps.extend((0..writes).map(|n| Write("c/records/a", json!({"value": n.to_string()}))));
    steps.push(Revoke(0));
    steps
}
