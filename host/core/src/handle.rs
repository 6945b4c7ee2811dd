//! The path of a request: one function to read aloud, and the few that it calls.
//!
//! The order is Vault's. A mount is found; the token is looked up, and one of its uses is spent
//! whatever comes after; the policies decide, and the engine is asked before whether the thing
//! exists only where that decides between creating and updating; the request is written to the
//! audit; the engine runs; everything is committed at once; the answer leaves. If something that
//! the call has read changes before it commits, it runs again from its start.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use async_trait::async_trait;
use host_barrier::{Random, Transaction};
use host_logical::{
    Ambient, Call, CallLimits, Caller, EngineError, EngineRequest, EngineResponse, Imports,
    MountPath, Operation, PathTrait, Refusal,
};

use crate::audit::Audited;
use crate::authorize::{Authorized, Question};
use crate::builtin::{AfterCommit, Native, NativeCall, Outcome};
use crate::cidr;
use crate::error::HandleError;
use crate::fields::{self, Coerced};
use crate::mount::{Described, MountEntry, Serves};
use crate::pattern::Found;
use crate::policy::Acl;
use crate::response::{Auth, Body, Envelope, Response};
use crate::storage::{EngineStorage, chain, from_barrier, from_commit};
use crate::token::Token;
use crate::turn::Turn;
use crate::wrapping::{self, Sent};
use crate::{Core, Request, limits, openapi};

/// Serves `request`, as often as it takes to find nothing changed at its commit.
pub(crate) async fn handle(core: Arc<Core>, request: Request) -> Result<Response, HandleError> {
    let mut spent = None;
    let mut turn = Turn::default();
    let mut tries = 0;
    let result = loop {
        match attempt(&core, &request, &mut spent, &mut turn).await {
            Err(HandleError::Conflict) if tries < turn.tries() => tries += 1,
            Err(HandleError::Conflict) => break Err(HandleError::Contended),
            result => break result,
        }
        // One at a time from here on: for speed, since those who wait would only conflict again.
        turn.take(&core.lines).await;
    };
    // The use that this request spent was its token's last: now it goes, with all that is its.
    if let Some(token) = spent.filter(|token: &Token| token.record.is_spent()) {
        // Spent it is refused whether or not its record is gone, as after a request that sealed.
        if let Err(err) = core
            .tokens
            .revoke_tree(&token.hash, core.clock.now_millis())
            .await
        {
            tracing::warn!(error = %chain(&err), "the records of a spent token are left");
        }
    }
    result
}

/// One try, from its snapshot to its commit.
async fn attempt(
    core: &Arc<Core>,
    request: &Request,
    spent: &mut Option<Token>,
    turn: &mut Turn,
) -> Result<Response, HandleError> {
    let table = core.mounts().await?;
    let mount = table.find(request.path.as_str());
    let described = match mount {
        Some(mount) => Some(mount.described().await?),
        None => None,
    };
    let route = match (mount, &described) {
        (Some(mount), Some(described)) => Some(Route::new(mount, described, request)),
        _ => None,
    };
    let open_to_all = route
        .as_ref()
        .is_some_and(|route| route.has(PathTrait::Unauthenticated));

    let txn = core.barrier.begin().await.map_err(from_barrier)?;
    if spent.is_none()
        && let Some(route) = &route
        && route.takes_a_wrapping_token()
    {
        // Clients are to hear that it is no good, and not that they may not do this.
        let body = request.data.get("token").and_then(Value::as_str);
        let sent = Sent::of(body, request.token.as_ref())?;
        wrapping::find_unspent(core, &txn, sent).await?;
    }
    let (token, acl) = match open_to_all {
        true => (None, None),
        false => {
            let token = core.token_in_use(&txn, request, spent).await?;
            let acl = core.acl(&token.record.policies).await?;
            (Some(token), Some(acl))
        }
    };
    // A use was spent in a commit of its own: the call begins after it.
    let txn = match spent {
        Some(_) => {
            // Sealing waits for every transaction, also when this request is the one that seals.
            drop(txn);
            core.barrier.begin().await.map_err(from_barrier)?
        }
        None => txn,
    };

    let question = Question {
        path: match &route {
            Some(route) => route.path_for_policies(request),
            None => request.path.as_str(),
        },
        data: &request.data,
        wrap_ttl: request.wrap_ttl,
        needs_sudo: route
            .as_ref()
            .is_some_and(|route| route.has(PathTrait::Sudo)),
    };
    let mut call = None;
    let mut operation = request.operation;
    if let (Some(route), Some(acl)) = (&route, &acl)
        && route.must_ask_whether_it_exists(&question, acl, operation)
    {
        let mut opened = core.open(route, &txn, request, token.clone(), acl).await?;
        let asked = core.engine_request(route, request, operation, token.as_ref())?;
        let exists = opened
            .call
            .exists(&asked.request)
            .await
            .map_err(|e| route.failed(e))?;
        operation = if exists {
            Operation::Update
        } else {
            Operation::Create
        };
        call = Some(opened);
    }
    let authorized = match &acl {
        Some(acl) => question.decide(acl, operation)?,
        None => Authorized::unauthenticated(),
    };
    if let Some(route) = &route
        && let Serves::Component(_) = route.mount.serves
    {
        turn.allow((route.mount.id, route.path.to_owned()));
        let is_read = matches!(
            request.operation,
            Operation::Read | Operation::List | Operation::Head
        );
        // Who is first in line would lose to newcomers for ever: a writer joins them, and begins anew.
        if !is_read && turn.others_wait(&core.lines) {
            return Err(HandleError::Conflict);
        }
    }
    let audited = core.audit.request(&authorized);

    let Some(route) = route else {
        return Err(HandleError::NoMount {
            path: request.path.to_string(),
        });
    };
    core.dispatch(
        Dispatch {
            route,
            txn,
            request,
            operation,
            token,
            acl,
            call,
        },
        authorized,
        audited,
    )
    .await
}

/// Where a request goes: a mount, and what its engine says of the path.
struct Route<'a> {
    mount: &'a Arc<MountEntry>,
    described: &'a Described,
    /// Below the mount.
    path: &'a str,
    found: Option<Found>,
}

impl<'a> Route<'a> {
    fn new(mount: &'a Arc<MountEntry>, described: &'a Described, request: &'a Request) -> Self {
        let path = request.path.as_str();
        let path = path
            .strip_prefix(mount.record.path.as_str())
            .unwrap_or_default();
        Self {
            mount,
            described,
            path,
            found: described.routes.find(path),
        }
    }

    fn description(&self) -> Option<(&'a host_logical::PathDescription, &Found)> {
        let found = self.found.as_ref()?;
        Some((self.described.description.paths.get(found.index)?, found))
    }

    /// As the policies are asked: the path that the engine serves. Where a slash at its end means
    /// nothing to the engine, it means nothing to them: otherwise `sys/key-status/` would get past a
    /// deny on `sys/key-status`. That of a LIST says that it is one, and they have rules of their own for it.
    fn path_for_policies<'r>(&self, request: &'r Request) -> &'r str {
        let whole = request.path.as_str();
        if request.operation == Operation::List || self.path.is_empty() {
            return whole;
        }
        let native = matches!(self.mount.serves, Serves::Native(_));
        match self.description() {
            Some((path, _)) if native || !path.pattern.ends_with("...}") => {
                whole.strip_suffix('/').unwrap_or(whole)
            }
            _ => whole,
        }
    }

    /// Of the request or in its body: it is looked at before the request's own is.
    fn takes_a_wrapping_token(&self) -> bool {
        matches!(self.mount.serves, Serves::Native(Native::System))
            && matches!(self.path, "wrapping/unwrap" | "wrapping/rewrap")
    }

    fn has(&self, wanted: PathTrait) -> bool {
        self.description().is_some_and(|(path, _)| path.has(wanted))
    }

    /// Only where creating is allowed and updating is not, or the other way round.
    fn must_ask_whether_it_exists(
        &self,
        question: &Question<'_>,
        acl: &Acl,
        operation: Operation,
    ) -> bool {
        operation == Operation::Update
            && self.has(PathTrait::ExistenceCheck)
            && question.allowed(acl, Operation::Create).is_some()
                != question.allowed(acl, Operation::Update).is_some()
    }

    fn failed(&self, source: EngineError) -> HandleError {
        self.mount.failed(source)
    }
}

/// A call that was opened, and where a native one leaves what engines cannot say.
pub(crate) struct Opened {
    call: Box<dyn Call>,
    outcome: Option<Outcome>,
}

struct Asked {
    request: EngineRequest,
    warnings: Vec<String>,
}

/// All that is known of a call when its engine is about to run.
struct Dispatch<'a> {
    route: Route<'a>,
    txn: Transaction,
    request: &'a Request,
    operation: Operation,
    token: Option<Token>,
    acl: Option<Arc<Acl>>,
    call: Option<Opened>,
}

impl Core {
    /// The token of a request, with one of its uses spent.
    async fn token_in_use(
        &self,
        txn: &Transaction,
        request: &Request,
        spent: &mut Option<Token>,
    ) -> Result<Token, HandleError> {
        let sent = request.token.as_ref().ok_or(HandleError::NoToken)?;
        let now = self.clock.now_millis();
        let found = self.tokens.in_force(txn, sent.expose(), now).await?;
        let mut token = found.ok_or(HandleError::InvalidToken)?;
        if !cidr::allow(&token.record.bound_cidrs, request.peer.address.as_deref()) {
            return Err(HandleError::Denied);
        }
        if spent.is_none() && token.record.num_uses != 0 {
            self.tokens.spend(&token.hash, now).await?;
            token.record.num_uses = match token.record.num_uses {
                1 => -1,
                left => left - 1,
            };
            *spent = Some(token.clone());
        }
        Ok(token)
    }

    /// Runs the engine, commits what came of it, and makes the answer.
    async fn dispatch(
        self: &Arc<Self>,
        dispatch: Dispatch<'_>,
        authorized: Authorized,
        _audited: Audited,
    ) -> Result<Response, HandleError> {
        let Dispatch {
            route,
            txn,
            request,
            operation,
            token,
            acl,
            call,
        } = dispatch;
        let plain = token.is_none();
        let refuse = |refusal| Err(HandleError::Refused { refusal, plain });
        let Some((path, _)) = route.description() else {
            return refuse(Refusal::UnsupportedPath);
        };
        if !path.serves(operation) {
            return refuse(Refusal::UnsupportedOperation);
        }
        let mut opened = match call {
            Some(opened) => opened,
            None => {
                let acl = acl.unwrap_or_else(|| Arc::new(Acl::new([], None)));
                self.open(&route, &txn, request, token.clone(), &acl)
                    .await?
            }
        };
        if let Some(outcome) = &opened.outcome {
            outcome.set_sudo(authorized.sudo());
        }
        let asked = self.engine_request(&route, request, operation, token.as_ref())?;
        let mut answer = match opened.call.handle(asked.request).await {
            Ok(answer) => answer,
            Err(EngineError::Refused(refusal)) => return refuse(refusal),
            Err(EngineError::Host(source)) => return Err(recover(source)),
            Err(err) => return Err(route.failed(err)),
        };
        let said = opened.outcome.take().map(Outcome::take).unwrap_or_default();
        // As Vault: an answer that says nothing, or has a status of its own, stays as it was made.
        let says_something =
            answer.data.is_some() || !answer.warnings.is_empty() || said.auth.is_some();
        if says_something && answer.status.is_none() {
            answer.warnings.extend(asked.warnings);
        }
        let mut response = match said.whole {
            Some(whole) => Some(whole),
            None => {
                let told = tell(&route, request, operation, answer, said.auth, said.bare)?;
                match (told, request.wrap_ttl) {
                    (Some(told), Some(ttl)) => {
                        Some(wrapping::wrap(self, &txn, told, ttl, request.path.as_str()).await?)
                    }
                    (told, _) => told,
                }
            }
        };
        // The wasmtime store goes now or later, but not before what it wrote is safe.
        txn.expect(&route.mount.stamp);
        let wrote = txn.has_writes();
        txn.commit().await.map_err(from_commit)?;
        drop(opened);
        if wrote {
            self.rotate_in_time().await;
        }

        for effect in said.after_commit {
            self.run_after_commit(effect).await?;
        }
        response.take().ok_or_else(|| Refusal::NotFound.into())
    }

    /// A fresh call of the engine behind `route`, in `txn`.
    async fn open(
        self: &Arc<Self>,
        route: &Route<'_>,
        txn: &Transaction,
        request: &Request,
        token: Option<Token>,
        acl: &Arc<Acl>,
    ) -> Result<Opened, HandleError> {
        match &route.mount.serves {
            Serves::Native(native) => {
                let outcome = Outcome::default();
                let call = NativeCall {
                    core: self.clone(),
                    native: *native,
                    txn: txn.clone(),
                    token,
                    client_token: request.token.clone(),
                    wrap_ttl: request.wrap_ttl,
                    acl: acl.clone(),
                    outcome: outcome.clone(),
                };
                Ok(Opened {
                    call: Box::new(call),
                    outcome: Some(outcome),
                })
            }
            Serves::Component(engine) => {
                let imports = self.imports(route.mount, txn, &request.id).await?;
                let call = engine
                    .open(imports)
                    .await
                    .map_err(|err| route.failed(err))?;
                Ok(Opened {
                    call,
                    outcome: None,
                })
            }
            Serves::Missing => Err(route.failed(route.mount.missing())),
        }
    }

    /// What a call of the engine at `mount` can reach.
    pub(crate) async fn imports(
        &self,
        mount: &MountEntry,
        txn: &Transaction,
        request_id: &host_logical::RequestId,
    ) -> Result<Imports, HandleError> {
        let view = txn.view(mount.id).await.map_err(from_barrier)?;
        self.imports_on(view, mount.seen.clone(), txn, request_id)
    }

    /// As [`Core::imports`], for a mount that is being made.
    pub(crate) fn imports_on(
        &self,
        view: host_barrier::View,
        mount: Arc<host_logical::Mount>,
        txn: &Transaction,
        request_id: &host_logical::RequestId,
    ) -> Result<Imports, HandleError> {
        let of_mount = view.clone();
        let secrets = self
            .custody
            .secrets(Box::new(move || Ok(of_mount.derive("secrets")?)));
        Ok(Imports {
            request_id: request_id.clone(),
            mount,
            storage: Arc::new(EngineStorage::new(txn.clone(), view)),
            ambient: Arc::new(CallAmbient {
                now_millis: self.clock.now_millis(),
                random: self.random.clone(),
            }),
            secrets,
            limits: CallLimits {
                wall: limits::CALL_WALL,
                compute: limits::CALL_COMPUTE,
                memory_bytes: limits::CALL_MEMORY_BYTES,
            },
        })
    }

    /// The request as its engine is handed it: fields checked and coerced.
    fn engine_request(
        &self,
        route: &Route<'_>,
        request: &Request,
        operation: Operation,
        token: Option<&Token>,
    ) -> Result<Asked, HandleError> {
        let Some((path, found)) = route.description() else {
            return Err(Refusal::UnsupportedPath.into());
        };
        let (data, raw) = match path.has(PathTrait::RawBody) {
            true => (Map::new(), request.raw.clone()),
            false => (request.data.clone(), None),
        };
        let Coerced {
            data,
            secrets,
            warnings,
        } = fields::coerce(path, operation, &found.params, data)
            .map_err(|err| HandleError::Invalid(err.to_string()))?;
        let passed = &route.mount.record.config.passthrough_request_headers;
        let headers = request.headers.iter().filter(|(name, _)| {
            passed
                .iter()
                .any(|passed| passed.eq_ignore_ascii_case(name))
        });
        let request = EngineRequest {
            id: request.id.clone(),
            operation,
            path: route.path.to_owned(),
            params: found.params.clone(),
            data,
            secrets,
            headers: headers.cloned().collect(),
            mount: (*route.mount.seen).clone(),
            caller: token.map(|token| Caller {
                entity_id: None,
                display_name: token.record.display_name.clone(),
                metadata: token.record.meta.clone().unwrap_or_default(),
            }),
            peer: request.peer.clone(),
            raw,
        };
        Ok(Asked { request, warnings })
    }

    async fn run_after_commit(self: &Arc<Self>, effect: AfterCommit) -> Result<(), HandleError> {
        match effect {
            AfterCommit::Seal => self.seal().await,
            AfterCommit::Purge(mount) => {
                self.purge(mount);
                Ok(())
            }
            AfterCommit::Revoke(hash) => {
                let now = self.clock.now_millis();
                self.tokens.revoke_tree(&hash, now).await
            }
        }
    }
}

/// What the host's own failure under an engine was: a conflict stays one.
fn recover(source: Box<dyn std::error::Error + Send + Sync>) -> HandleError {
    match source.downcast::<HandleError>() {
        Ok(err) => *err,
        Err(source) => match source.downcast::<host_logical::StorageError>() {
            Ok(err) => match *err {
                host_logical::StorageError::Broken(source) => recover(source),
                err => HandleError::internal(err),
            },
            Err(source) => match source.downcast::<host_barrier::ViewError>() {
                Ok(err) => crate::storage::from_view(*err),
                Err(source) => HandleError::Internal(source),
            },
        },
    }
}

/// The answer of what was said; none if something was looked for, and nothing found.
fn tell(
    route: &Route<'_>,
    request: &Request,
    operation: Operation,
    answer: EngineResponse,
    auth: Option<Auth>,
    bare: Option<Box<RawValue>>,
) -> Result<Option<Response>, HandleError> {
    if let Some(bare) = bare {
        return Ok(Some(Response {
            request_id: request.id.clone(),
            status: None,
            headers: Vec::new(),
            body: Body::Bare(bare),
        }));
    }
    let Some(mut response) = render(route, request, operation, answer)? else {
        return Ok(None);
    };
    if let Some(auth) = auth {
        let mut envelope = match response.body {
            Body::Envelope(envelope) => envelope,
            _ => Box::default(),
        };
        envelope.auth = Some(auth);
        envelope.mount_type.clone_from(&route.mount.record.engine);
        response.body = Body::Envelope(envelope);
        response.status = None;
    }
    Ok(Some(response))
}

/// Makes the answer of what an engine said, as [`tell`] does.
fn render(
    route: &Route<'_>,
    request: &Request,
    operation: Operation,
    mut answer: EngineResponse,
) -> Result<Option<Response>, HandleError> {
    let malformed = |what: &str| route.failed(EngineError::Malformed(what.into()));
    if answer.lease.is_some() {
        return Err(malformed("a lease, which this host does not keep yet"));
    }
    if answer.auth.is_some() {
        return Err(malformed("a login, for which this host makes no token yet"));
    }
    let allowed = &route.mount.record.config.allowed_response_headers;
    let headers = std::mem::take(&mut answer.headers)
        .into_iter()
        .filter(|(name, _)| {
            allowed
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(name))
        })
        .collect();
    let response = |status, body| Response {
        request_id: request.id.clone(),
        status,
        headers,
        body,
    };
    if let Some(raw) = answer.raw {
        return Ok(Some(response(answer.status, Body::Raw(raw))));
    }
    let data = match answer.data {
        Some(data) if !answer.secrets.is_empty() => {
            Some(fill_in(&data, answer.secrets).ok_or_else(|| {
                malformed("a pointer for a secret that names no place in its data")
            })?)
        }
        data => data,
    };
    let reads = matches!(
        operation,
        Operation::Read | Operation::List | Operation::Head
    );
    let empty_list = operation == Operation::List && data.as_deref().is_some_and(has_empty_keys);
    let nothing = (data.is_none() || empty_list) && answer.warnings.is_empty();
    if nothing && answer.status.is_none() && reads {
        return Ok(None);
    }
    if nothing && data.is_none() {
        return Ok(Some(response(answer.status, Body::Empty)));
    }
    Ok(Some(response(
        answer.status,
        Body::Envelope(Box::new(Envelope {
            lease_duration: answer.refresh_after.unwrap_or(0),
            data,
            warnings: answer.warnings,
            mount_type: route.mount.record.engine.clone(),
            ..Envelope::default()
        })),
    )))
}

/// A list that found nothing is a 404 to Vault's clients.
fn has_empty_keys(data: &RawValue) -> bool {
    let data: Option<Map<String, Value>> = serde_json::from_str(data.get()).ok();
    data.and_then(|data| {
        data.get("keys")
            .map(|keys| keys.as_array().is_some_and(Vec::is_empty))
    })
    .unwrap_or(false)
}

/// Writes secrets to where the engine points.
fn fill_in(
    data: &RawValue,
    secrets: Vec<(String, host_logical::SecretBytes)>,
) -> Option<Box<RawValue>> {
    let mut data: Value = serde_json::from_str(data.get()).ok()?;
    for (pointer, secret) in secrets {
        let text = String::from_utf8_lossy(secret.expose()).into_owned();
        match data.pointer_mut(&pointer) {
            Some(place) => *place = Value::String(text),
            // A member that is not there yet is made, if its object is.
            None => {
                let (parent, name) = pointer.rsplit_once('/')?;
                let name = name.replace("~1", "/").replace("~0", "~");
                let parent = data.pointer_mut(parent)?.as_object_mut()?;
                parent.insert(name, Value::String(text));
            }
        }
    }
    to_raw_value(&data).ok()
}

/// Help for a path. It needs a token in force, no policy.
pub(crate) async fn help(core: &Arc<Core>, request: Request) -> Result<Box<RawValue>, HandleError> {
    let txn = core.barrier.begin().await.map_err(from_barrier)?;
    core.token_in_use(&txn, &request, &mut None).await?;
    let table = core.mounts().await?;
    let Some(mount) = table.find(request.path.as_str()) else {
        return Err(HandleError::NoMount {
            path: request.path.to_string(),
        });
    };
    let described = mount.described().await?;
    let path = MountPath::parse(&mount.record.path).map_err(HandleError::internal)?;
    let below = path.strip(request.path.as_str()).unwrap_or_default();
    let help = openapi::help(&path, &described.description, &described.routes, below);
    let help = help.ok_or(Refusal::UnsupportedPath)?;
    to_raw_value(&help).map_err(HandleError::internal)
}

/// Time stands still within a call, and chance is the host's.
struct CallAmbient {
    now_millis: u64,
    random: Arc<dyn Random>,
}

#[async_trait]
impl Ambient for CallAmbient {
    fn now_millis(&self) -> u64 {
        self.now_millis
    }

    fn fill_random(&self, buf: &mut [u8]) {
        // The system's generator does not fail once it is seeded; if it does, an engine must not
        // go on with zeros.
        self.random
            .fill(buf)
            .expect("the system's random generator works");
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
