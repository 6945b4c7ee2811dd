//! The whole HTTP surface on one page.
//!
//! There is one handler. axum's own matching is not used below `/v1/`: the path is parsed once,
//! and the status routes, core's router and the policies all see that same value.
//!
//! | path | who answers |
//! |---|---|
//! | `/v1/sys/{init,seal-status,unseal,health,leader}` | this file, sealed or not, without a token |
//! | `/v1/...` | core |
//! | anything else | 404 |
//!
//! Invariants
//! - A body, a header's value and a path below a mount are never logged.
//! - Every request ends within [`limits::REQUEST_TIME`]; core finishes what it began all the same.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use hyper::{Method, Request, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use host_barrier::Random;
use host_core::{Clock, Core, Initialize, SealView};
use host_logical::{Operation, Peer, RequestId, RequestPath};

use crate::health::Codes;
use crate::request::{self, BodyRoom, Pairs, Rejection};
use crate::wire::sys;
use crate::{limits, render, wire};

/// What the routes stand on.
pub struct Surface {
    /// The program.
    pub core: Arc<Core>,
    /// Time, for `sys/health`.
    pub clock: Arc<dyn Clock>,
    /// Chance, for request ids.
    pub random: Arc<dyn Random>,
}

/// The connection that a request came on: an extension of the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    pub(crate) peer: Peer,
    pub(crate) tls: bool,
}

/// The HTTP service. A caller may add routes beside it.
pub fn router(surface: Surface) -> axum::Router {
    let state = Arc::new(Routes {
        surface,
        room: BodyRoom::new(),
    });
    axum::Router::new().fallback(entry).with_state(state)
}

struct Routes {
    surface: Surface,
    room: BodyRoom,
}

/// What is known of a request before its body is read.
struct Head {
    id: RequestId,
    method: Method,
    path: RequestPath,
    query: Pairs,
    headers: hyper::HeaderMap,
    connection: Option<Arc<Connection>>,
}

async fn entry(State(routes): State<Arc<Routes>>, request: Request<Body>) -> Response<Body> {
    let began = Instant::now();
    let connection = request.extensions().get::<Arc<Connection>>().cloned();
    let tls = connection.as_ref().is_some_and(|connection| connection.tls);
    let namespace = request.headers().get(request::NAMESPACE).cloned();
    let method = request.method().clone();
    let mut bytes = [0; 16];
    let drawn = routes.surface.random.fill(&mut bytes);
    let id = RequestId::from_random(bytes);

    let mut response = match drawn {
        Err(err) => render::internal(&err, &id),
        Ok(()) => {
            let work = routes.route(id.clone(), request, connection);
            match tokio::time::timeout(limits::REQUEST_TIME, work).await {
                Ok(Ok(response)) => response,
                Ok(Err(rejected)) => render::rejection(&rejected),
                Err(_) => render::timed_out(),
            }
        }
    };
    render::add_common_headers(&mut response, tls, namespace);
    tracing::debug!(
        request_id = %id,
        %method,
        status = response.status().as_u16(),
        micros = began.elapsed().as_micros() as u64,
        "answered"
    );
    response
}

impl Routes {
    async fn route(
        &self,
        id: RequestId,
        request: Request<Body>,
        connection: Option<Arc<Connection>>,
    ) -> Result<Response<Body>, Rejection> {
        let (parts, body) = request.into_parts();
        request::check_message(parts.version, &parts.headers)?;
        let below = parts
            .uri
            .path()
            .strip_prefix("/v1/")
            .ok_or(Rejection::NoSuchPage)?;
        let path = request::path(below)?;
        request::check_namespace(&parts.headers)?;
        let query = Pairs::parse(parts.uri.query().unwrap_or_default())?;
        let head = Head {
            id,
            method: parts.method,
            path,
            query,
            headers: parts.headers,
            connection,
        };

        let writes = matches!(head.method, Method::POST | Method::PUT);
        let reads = head.method == Method::GET;
        match head.path.as_str() {
            "sys/init" if reads => self.init_status(&head).await,
            "sys/init" if writes => self.init(&head, body).await,
            "sys/seal-status" if reads => self.seal_status(&head).await,
            "sys/unseal" if writes => self.unseal(&head, body).await,
            "sys/health" if reads || head.method == Method::HEAD => self.health(head).await,
            "sys/leader" if reads => Ok(render::bare(&sys::Leader::ALONE)),
            "sys/init" | "sys/seal-status" | "sys/unseal" | "sys/health" | "sys/leader" => {
                Err(Rejection::Method)
            }
            _ => self.core(head, body).await,
        }
    }

    /// Everything that needs a token or an engine.
    async fn core(&self, mut head: Head, body: Body) -> Result<Response<Body>, Rejection> {
        let wants_help = head.query.take("help").is_some_and(|text| !text.is_empty());
        let listed = head.query.take_switch("list")?;
        let operation = match head.method.as_str() {
            "GET" if listed => Operation::List,
            "GET" | "HELP" => Operation::Read,
            "LIST" => Operation::List,
            "POST" | "PUT" => Operation::Update,
            "PATCH" => Operation::Patch,
            "DELETE" => Operation::Delete,
            "HEAD" => Operation::Head,
            _ => return Err(Rejection::Method),
        };
        let wants_help = head.method.as_str() == "HELP" || head.method == Method::GET && wants_help;
        if operation.is_write() && head.path.is_folder() {
            return Err(Rejection::WriteToFolder);
        }
        let media_type = request::media_type(&head.headers);
        if operation == Operation::Patch {
            request::check_patch(media_type.as_deref())?;
        }
        let token = request::token(&head.headers)?;
        let wrap_ttl = request::wrap_ttl(&head.headers)?;
        let (data, raw, room) = match operation.is_write() {
            false => (head.query.into_data(), None, None),
            true => {
                let body = self.room.read(body).await?;
                let data = request::data(&body.bytes, media_type.as_deref())?;
                (data, request::raw(media_type, body.bytes), body.room)
            }
        };
        let path = match operation {
            Operation::List => head.path.into_folder(),
            _ => head.path,
        };
        let injected = wire::is_injected(path.as_str());
        let request = host_core::Request {
            id: head.id.clone(),
            operation,
            path,
            data,
            raw,
            token,
            wrap_ttl,
            headers: request::passed(&head.headers),
            peer: head
                .connection
                .map(|connection| connection.peer.clone())
                .unwrap_or_default(),
            // The body's data is in memory until the call has ended, and so its place is taken.
            held: room.map(|room| Box::new(room) as _),
        };
        if wants_help {
            return Ok(match self.surface.core.help(request).await {
                Ok(help) => render::bare(&help),
                Err(err) => render::handle_error(&err, &head.id),
            });
        }
        Ok(match self.surface.core.handle(request).await {
            Ok(answer) => render::response(&answer, injected),
            Err(err) => render::handle_error(&err, &head.id),
        })
    }

    async fn init_status(&self, head: &Head) -> Result<Response<Body>, Rejection> {
        Ok(match self.surface.core.seal_view().await {
            Ok(view) => render::bare(&sys::InitStatus {
                initialized: view.initialized,
            }),
            Err(err) => render::seal_error(&err, &head.id),
        })
    }

    async fn init(&self, head: &Head, body: Body) -> Result<Response<Body>, Rejection> {
        let asked: sys::InitRequest = self.typed(head, body).await?;
        let encrypted = asked.pgp_keys.is_some_and(|keys| !keys.is_empty())
            || asked.recovery_pgp_keys.is_some_and(|keys| !keys.is_empty())
            || asked.root_token_pgp_key.is_some_and(|key| !key.is_empty());
        if encrypted {
            return Ok(render::invalid(
                "PGP keys are not offered by this server: leave them out, and encrypt the shares \
                 before you hand them on",
            ));
        }
        let pair = |shares: u64, threshold: u64| {
            // What is too large stays too large: core has the words for it.
            let clamp = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
            (shares > 0 || threshold > 0).then(|| (clamp(shares), clamp(threshold)))
        };
        let done = self.surface.core.initialize(Initialize {
            unseal: pair(asked.secret_shares, asked.secret_threshold),
            recovery: pair(asked.recovery_shares, asked.recovery_threshold),
        });
        Ok(match done.await {
            Ok(done) => render::initialized(&done),
            Err(err) => render::seal_error(&err, &head.id),
        })
    }

    async fn seal_status(&self, head: &Head) -> Result<Response<Body>, Rejection> {
        Ok(match self.surface.core.seal_view().await {
            Ok(view) => sealed(&view),
            Err(err) => render::seal_error(&err, &head.id),
        })
    }

    async fn unseal(&self, head: &Head, body: Body) -> Result<Response<Body>, Rejection> {
        let asked: sys::UnsealRequest = self.typed(head, body).await?;
        let key = asked.key.map(Zeroizing::new).filter(|key| !key.is_empty());
        let outcome = match (asked.reset, key) {
            (true, _) => self.surface.core.reset_unseal().await,
            (false, _) if asked.migrate => {
                let text = "can't perform a seal migration, no migration seal found";
                return Ok(render::invalid(text));
            }
            (false, Some(key)) => self.surface.core.unseal(&key).await,
            (false, None) => {
                let text =
                    "'key' must be specified in request body as JSON, or 'reset' set to true";
                return Ok(render::invalid(text));
            }
        };
        Ok(match outcome {
            Ok(view) => sealed(&view),
            Err(err) => render::seal_error(&err, &head.id),
        })
    }

    async fn health(&self, head: Head) -> Result<Response<Body>, Rejection> {
        let codes = match Codes::parse(head.query) {
            Ok(codes) => codes,
            Err(err) => return Ok(render::invalid(&err.to_string())),
        };
        let view = match self.surface.core.seal_view().await {
            Ok(view) => view,
            Err(err) => return Ok(render::seal_error(&err, &head.id)),
        };
        // As Vault: whoever is not serving calls itself a standby.
        let replication = if view.sealed { "unknown" } else { "disabled" };
        let body = sys::Health {
            initialized: view.initialized,
            sealed: view.sealed,
            standby: view.sealed,
            performance_standby: false,
            replication_performance_mode: replication,
            replication_dr_mode: replication,
            server_time_utc: self.surface.clock.now_millis() / 1000,
            version: sys::API_VERSION,
            enterprise: false,
            cluster_name: view.cluster_name.as_deref(),
            cluster_id: view.cluster_id.as_deref(),
            echo_duration_ms: 0,
            clock_skew_ms: 0,
            replication_primary_canary_age_ms: 0,
        };
        Ok(render::bare_with(codes.of(&view), &body))
    }

    /// The body of a status route.
    async fn typed<T: DeserializeOwned>(&self, head: &Head, body: Body) -> Result<T, Rejection> {
        let body = self.room.read(body).await?;
        let data = request::data(&body.bytes, request::media_type(&head.headers).as_deref())?;
        // The parser's own words might quote a share.
        serde_json::from_value(Value::Object(data))
            .map_err(|_| Rejection::Json("a field has the wrong type".to_owned()))
    }
}

fn sealed(view: &SealView) -> Response<Body> {
    render::bare(&sys::SealStatus {
        kind: view.kind,
        initialized: view.initialized,
        sealed: view.sealed,
        t: view.threshold,
        n: view.shares,
        progress: view.progress,
        nonce: &view.nonce,
        version: sys::API_VERSION,
        build_date: sys::BUILD_DATE,
        migration: false,
        cluster_name: view.cluster_name.as_deref(),
        cluster_id: view.cluster_id.as_deref(),
        // Without people it opens by itself; then `operator init` asks for recovery shares.
        recovery_seal: view.kind != "shamir",
        storage_type: view.storage_type,
    })
}
