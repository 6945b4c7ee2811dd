//! Connections: accepted, bounded, and brought to an end.
//!
//! Invariants
//! - A connection without a request in flight ends: 10 s after it began if there never was one,
//!   else 120 s after the last. Headers and prefaces that dribble in count as no request.
//! - Over [`limits::CONNECTIONS`] a newcomer waits until one that is idle has made room; those
//!   with a request in flight notice nothing.
//! - Once stopping, nothing new is accepted and what is in flight is finished, within a time.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower_service::Service;

use host_logical::Peer;

use crate::limits;
use crate::listen::{Bound, Socket};
use crate::routes::Connection;
use crate::tls::Tls;

/// Serves until `shutdown` is done, then finishes what is in flight.
pub async fn serve_router(
    router: axum::Router,
    listeners: Vec<Bound>,
    shutdown: impl Future<Output = ()>,
) {
    let (mood, _) = watch::channel(Mood::Calm);
    let mood = Arc::new(mood);
    let room = Arc::new(Semaphore::new(crate::harden::connections()));
    let mut acceptors = JoinSet::new();
    for bound in listeners {
        let acceptor = Acceptor {
            router: router.clone(),
            room: room.clone(),
            mood: mood.clone(),
        };
        acceptors.spawn(acceptor.run(bound));
    }
    shutdown.await;
    mood.send_replace(Mood::Stopping);
    while acceptors.join_next().await.is_some() {}
}

#[derive(Clone)]
struct Acceptor {
    router: axum::Router,
    room: Arc<Semaphore>,
    mood: Arc<watch::Sender<Mood>>,
}

/// What all connections are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Calm,
    /// A newcomer finds no room: who is idle shall go.
    Crowded,
    Stopping,
}

enum Accepted {
    Tcp(TcpStream, Peer),
    Unix(tokio::net::UnixStream),
}

impl Acceptor {
    async fn run(self, bound: Bound) {
        let mut connections = JoinSet::new();
        let mut mood = self.mood.subscribe();
        loop {
            let next = async {
                let accepted = accept(&bound.socket).await;
                (accepted, self.place().await)
            };
            let (accepted, permit) = tokio::select! {
                next = next => next,
                _ = mood.wait_for(|mood| *mood == Mood::Stopping) => break,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok(Accepted::Tcp(stream, peer)) => {
                    let (serving, tls) = (self.clone(), bound.tls.clone());
                    connections.spawn(async move {
                        serving.tcp(stream, peer, tls).await;
                        drop(permit);
                    });
                }
                Ok(Accepted::Unix(stream)) => {
                    let serving = self.clone();
                    connections.spawn(async move {
                        serving.http1(stream, Connection::default()).await;
                        drop(permit);
                    });
                }
                // The client was gone before we looked.
                Err(err) if err.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(err) => {
                    tracing::warn!(listener = bound.url(), error = %err, "cannot accept a connection");
                    sleep(limits::ACCEPT_PAUSE).await;
                }
            }
        }
        drop(bound);
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(limits::STOPPING, drained).await.is_err() {
            tracing::warn!("requests that took too long were cut off");
        }
    }

    /// A place for one more connection. While there is none, those that are idle are asked to go.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.room.clone().try_acquire_owned() {
            return Some(permit);
        }
        let mut pause = limits::ROOM_PAUSE;
        let permit = loop {
            self.mood.send_if_modified(|mood| {
                let was_calm = *mood == Mood::Calm;
                if was_calm {
                    *mood = Mood::Crowded;
                }
                was_calm
            });
            let free = timeout(pause, self.room.clone().acquire_owned());
            let free = free.await;
            // Nobody is woken by this. It is said anew for those who were not idle for long enough, and ever
            // more rarely, since it wakes them all.
            self.mood.send_if_modified(|mood| {
                if *mood == Mood::Crowded {
                    *mood = Mood::Calm;
                }
                false
            });
            if let Ok(permit) = free {
                break permit;
            }
            pause = (pause * 2).min(limits::IDLE_IN_A_CROWD);
        };
        permit.ok()
    }

    async fn tcp(self, stream: TcpStream, peer: Peer, tls: Option<Arc<Tls>>) {
        // Answers are small and whole: waiting to fill a segment only delays them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else {
            return self.http1(stream, Connection { peer, tls: false }).await;
        };
        let stream = match timeout(limits::HANDSHAKE, handshake(stream, &tls)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(err)) => return tracing::debug!(error = %err, "TLS handshake failed"),
            Err(_) => return tracing::debug!("TLS handshake took too long"),
        };
        let (_, session) = stream.get_ref();
        let certificates = session.peer_certificates().unwrap_or_default();
        let certificates = certificates
            .iter()
            .map(|certificate| certificate.to_vec())
            .collect();
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let connection = Connection {
            peer: Peer {
                certificates,
                ..peer
            },
            tls: true,
        };
        match is_http2 {
            true => self.http2(stream, connection).await,
            false => self.http1(stream, connection).await,
        }
    }

    async fn http1(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        connection: Connection,
    ) {
        let gauge = Arc::new(Gauge::new());
        let service = service(self.router, connection, gauge.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // `drive` does it: hyper's own would close a kept connection after the same time.
            .header_read_timeout(None)
            .max_headers(limits::HEADERS)
            .max_buf_size(limits::HEAD_BYTES)
            // The buffer may take more at once than it was meant to.
            .max_header_size(limits::HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service_fn(service));
        drive(connection, &gauge, self.mood.subscribe()).await;
    }

    async fn http2(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        connection: Connection,
    ) {
        let gauge = Arc::new(Gauge::new());
        let service = service(self.router, connection, gauge.clone());
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(limits::HTTP2_PING)
            .keep_alive_timeout(limits::HTTP2_PONG)
            .max_concurrent_streams(limits::HTTP2_STREAMS)
            .max_header_list_size(limits::HTTP2_HEAD_BYTES)
            .max_pending_accept_reset_streams(limits::HTTP2_RESETS)
            .max_local_error_reset_streams(limits::HTTP2_LOCAL_RESETS)
            .max_send_buf_size(limits::HTTP2_SEND_BYTES)
            .serve_connection(TokioIo::new(stream), service_fn(service));
        drive(connection, &gauge, self.mood.subscribe()).await;
    }
}

async fn accept(socket: &Socket) -> std::io::Result<Accepted> {
    match socket {
        Socket::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            // What came in over IPv6 as a mapped IPv4 address is that IPv4 address.
            let address = Some(address.ip().to_canonical().to_string());
            Ok(Accepted::Tcp(
                stream,
                Peer {
                    address,
                    ..Peer::default()
                },
            ))
        }
        Socket::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
    }
}

type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

async fn handshake(mut stream: TcpStream, tls: &Tls) -> std::io::Result<TlsStream> {
    /// The type of a TLS record that begins a handshake.
    const HANDSHAKE_RECORD: u8 = 22;
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE_RECORD {
        // The words of Go's server, which people find when they search for them.
        let answer =
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        // A socket closed over unread bytes resets, and the client would not see the answer.
        let mut unread = [0; 1024];
        for _ in 0..64 {
            if stream.read(&mut unread).await? == 0 {
                break;
            }
        }
        return Err(std::io::Error::other("the client spoke no TLS"));
    }
    tls.acceptor().accept(stream).await
}

/// Hands a request to the router, and counts it while it is served.
fn service(
    router: axum::Router,
    connection: Connection,
    gauge: Arc<Gauge>,
) -> impl Fn(Request<Incoming>) -> Answering + Clone {
    let connection = Arc::new(connection);
    move |request| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connection.clone());
        let serving = gauge.serve();
        let mut router = router.clone();
        Box::pin(async move {
            let response = router.call(request).await;
            drop(serving);
            response
        })
    }
}

type Answering =
    std::pin::Pin<Box<dyn Future<Output = Result<hyper::Response<Body>, Infallible>> + Send>>;

/// How many requests of a connection are being served, and when there was one last.
struct Gauge {
    began: Instant,
    in_flight: AtomicUsize,
    /// Milliseconds after `began` at which the last request was answered; 0 before the first.
    answered: AtomicUsize,
}

impl Gauge {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            in_flight: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
        }
    }

    /// Whether it would not be missed for long by anyone.
    fn makes_room(&self) -> bool {
        let answered = Duration::from_millis(self.answered.load(Ordering::Relaxed) as u64);
        self.in_flight.load(Ordering::Relaxed) == 0
            && self.began.elapsed().saturating_sub(answered) >= limits::IDLE_IN_A_CROWD
    }

    fn serve(self: &Arc<Self>) -> Serving {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Serving(self.clone())
    }

    /// When the connection has been idle for too long, if nothing comes. Once idle for longer than
    /// that, this lies in the past. None while a request is served.
    fn deadline(&self) -> Option<Instant> {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return None;
        }
        Some(match self.answered.load(Ordering::Relaxed) {
            0 => self.began + limits::FIRST_REQUEST,
            millis => self.began + Duration::from_millis(millis as u64) + limits::IDLE,
        })
    }
}

/// A request that is being served.
struct Serving(Arc<Gauge>);

impl Drop for Serving {
    fn drop(&mut self) {
        let millis = self.0.began.elapsed().as_millis().max(1) as usize;
        self.0.answered.store(millis, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs a connection to its end, and sees to it that there is one.
async fn drive(
    connection: impl GracefulConnection,
    gauge: &Gauge,
    mut mood: watch::Receiver<Mood>,
) {
    let mut connection = pin!(connection);
    let mut look = pin!(sleep_until(gauge.began + limits::FIRST_REQUEST));
    let mut ending = false;
    let must_go = |mood: &Mood| match mood {
        Mood::Calm => false,
        Mood::Crowded => gauge.makes_room(),
        Mood::Stopping => true,
    };
    loop {
        tokio::select! {
            // Whatever ended it, there is nobody left to tell.
            _ = connection.as_mut() => return,
            () = look.as_mut() => {
                let now = Instant::now();
                match gauge.deadline() {
                    None => look.as_mut().reset(now + limits::IDLE),
                    Some(deadline) if !ending && deadline > now => look.as_mut().reset(deadline),
                    // It was asked to end, had its time, and is still there: a head that never
                    // became whole, or an answer that nobody reads.
                    Some(_) if ending => return,
                    Some(_) => {
                        connection.as_mut().graceful_shutdown();
                        ending = true;
                        look.as_mut().reset(now + limits::LAST_WORDS);
                    }
                }
            }
            _ = mood.wait_for(must_go), if !ending => {
                connection.as_mut().graceful_shutdown();
                ending = true;
                look.as_mut().reset(Instant::now() + limits::LAST_WORDS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use axum::extract::Extension;
    use axum::routing::get;
    use http_body_util::{BodyExt, Empty};
    use hyper::body::Bytes;
    use hyper::client::conn;
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio::sync::{Notify, oneshot};

    use crate::config::TlsFiles;

    /// Says what it knows of the connection.
    fn router() -> axum::Router {
        let who = async |Extension(connection): Extension<Arc<Connection>>,
                         request: Request<Body>| {
            let Connection { peer, tls } = &*connection;
            let certificates = peer.certificates.len();
            format!(
                "{:?} {:?} tls={tls} certificates={certificates}",
                request.version(),
                peer.address
            )
        };
        axum::Router::new().route("/who", get(who))
    }

    /// A server in this test, until it is told to stop.
    struct Running {
        stop: oneshot::Sender<()>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Running {
        fn start(router: axum::Router, bound: Bound) -> Self {
            let (stop, stopped) = oneshot::channel::<()>();
            let shutdown = async {
                let _ = stopped.await;
            };
            Self {
                stop,
                task: tokio::spawn(serve_router(router, vec![bound], shutdown)),
            }
        }

        async fn stop(self) {
            let _ = self.stop.send(());
            self.task.await.expect("the server ends well");
        }
    }

    fn get_who() -> Request<Empty<Bytes>> {
        Request::get("http://localhost/who")
            .header("host", "localhost")
            .body(Empty::new())
            .expect("a request")
    }

    async fn text(response: hyper::Response<Incoming>) -> String {
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        String::from_utf8_lossy(&body).into_owned()
    }

    async fn ask_http1(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> String {
        let (mut sender, connection) = conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("HTTP/1");
        tokio::spawn(connection);
        text(sender.send_request(get_who()).await.expect("an answer")).await
    }

    fn address(bound: &Bound) -> String {
        bound.url().split_once("://").expect("a URL").1.to_owned()
    }

    #[tokio::test]
    async fn plain_http_is_served_on_a_port_and_on_a_socket() {
        let bound = Bound::tcp("127.0.0.1:0", None).await.expect("a port");
        let address = address(&bound);
        let server = Running::start(router(), bound);
        let stream = TcpStream::connect(&address).await.expect("a connection");
        assert_eq!(
            ask_http1(stream).await,
            r#"HTTP/1.1 Some("127.0.0.1") tls=false certificates=0"#
        );
        server.stop().await;
        assert!(
            TcpStream::connect(&address).await.is_err(),
            "it no longer listens"
        );

        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("coffer.sock");
        let server = Running::start(router(), Bound::unix(&path, 0o600).await.expect("a socket"));
        let stream = tokio::net::UnixStream::connect(&path)
            .await
            .expect("a connection");
        assert_eq!(
            ask_http1(stream).await,
            "HTTP/1.1 None tls=false certificates=0"
        );
        server.stop().await;
        assert!(!path.exists(), "the socket is removed");
    }

    /// A certificate for `localhost` in `dir`, and a client that trusts it and nothing else.
    fn certificate(dir: &Path) -> (TlsFiles, RootCertStore) {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let files = TlsFiles {
            certificate: dir.join("cert.pem"),
            key: dir.join("key.pem"),
            only_tls13: false,
            ask_client: true,
        };
        std::fs::write(&files.certificate, made.cert.pem()).expect("a file");
        std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("a file");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        (files, roots)
    }

    fn client(
        roots: RootCertStore,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client =
            rcgen::generate_simple_self_signed(["client".to_owned()]).expect("a certificate");
        let chain: Vec<CertificateDer<'static>> = vec![client.cert.der().clone()];
        let key = PrivatePkcs8KeyDer::from(client.signing_key.serialize_der());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key.into())
            .expect("a client certificate")
    }

    async fn connect(
        address: &str,
        config: ClientConfig,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    #[tokio::test]
    async fn tls_is_served_in_both_versions_of_both_protocols() {
        let dir = tempfile::tempdir().expect("a directory");
        let (files, roots) = certificate(dir.path());
        let bound = Bound::tcp("127.0.0.1:0", Some(&files))
            .await
            .expect("a port");
        let address = address(&bound);
        let server = Running::start(router(), bound);

        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let stream = connect(&address, client(roots.clone(), version))
                .await
                .expect("a handshake");
            let seen = ask_http1(stream).await;
            assert_eq!(
                seen,
                r#"HTTP/1.1 Some("127.0.0.1") tls=true certificates=1"#
            );

            let mut config = client(roots.clone(), version);
            config.alpn_protocols = vec![b"h2".to_vec()];
            let stream = connect(&address, config).await.expect("a handshake");
            let (mut sender, connection) =
                conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .expect("HTTP/2");
            tokio::spawn(connection);
            let seen = text(sender.send_request(get_who()).await.expect("an answer")).await;
            assert_eq!(
                seen,
                r#"HTTP/2.0 Some("127.0.0.1") tls=true certificates=1"#
            );
        }
        server.stop().await;
    }

    #[tokio::test]
    async fn plain_http_on_a_tls_port_is_told_so() {
        let dir = tempfile::tempdir().expect("a directory");
        let (files, _) = certificate(dir.path());
        let bound = Bound::tcp("127.0.0.1:0", Some(&files))
            .await
            .expect("a port");
        let address = address(&bound);
        let server = Running::start(router(), bound);
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        stream
            .write_all(b"GET /who HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(
            answer.contains("Client sent an HTTP request to an HTTPS server."),
            "{answer}"
        );
        drop(stream);
        server.stop().await;
    }

    #[tokio::test]
    async fn a_certificate_is_read_anew_without_a_stop_and_a_bad_one_changes_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let (files, old) = certificate(dir.path());
        let bound = Bound::tcp("127.0.0.1:0", Some(&files))
            .await
            .expect("a port");
        let (address, tls) = (address(&bound), bound.tls.clone().expect("TLS"));
        let server = Running::start(router(), bound);
        let is_trusted = async |roots: &RootCertStore| {
            connect(&address, client(roots.clone(), &rustls::version::TLS13))
                .await
                .is_ok()
        };
        let (_, new) = certificate(dir.path());
        assert!(is_trusted(&old).await);
        tls.reload().expect("good files");
        assert!(is_trusted(&new).await && !is_trusted(&old).await);
        std::fs::write(&files.key, "no key").expect("a file");
        tls.reload().expect_err("no key");
        assert!(is_trusted(&new).await);
        server.stop().await;
    }

    #[tokio::test]
    async fn a_request_in_flight_is_finished_before_the_server_stops() {
        let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (in_route, may_go) = (arrived.clone(), go.clone());
        let slow = async move || {
            in_route.notify_one();
            may_go.notified().await;
            "done"
        };
        let bound = Bound::tcp("127.0.0.1:0", None).await.expect("a port");
        let address = address(&bound);
        let server = Running::start(axum::Router::new().route("/who", get(slow)), bound);
        let stream = TcpStream::connect(&address).await.expect("a connection");
        let asked = tokio::spawn(ask_http1(stream));
        arrived.notified().await;
        let stopping = tokio::spawn(server.stop());
        // Once it no longer listens it is stopping, and the request is still there.
        while TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        assert_eq!(asked.await.expect("no panic"), "done");
        stopping.await.expect("no panic");
    }

    /// An acceptor whose connections come from the test, on a clock that the test's own waiting moves.
    fn acceptor() -> Acceptor {
        Acceptor {
            router: router(),
            room: Arc::new(Semaphore::new(1)),
            mood: Arc::new(watch::channel(Mood::Calm).0),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_idle_makes_room_for_a_newcomer() {
        for dribble in ["", "GET /who HTTP/1.1\r\nx-slow: "] {
            let acceptor = acceptor();
            let permit = acceptor.place().await.expect("the one place");
            let (mut ours, theirs) = tokio::io::duplex(1024);
            ours.write_all(dribble.as_bytes()).await.expect("room");
            let serving = acceptor.clone().http1(theirs, Connection::default());
            tokio::spawn(async move {
                serving.await;
                drop(permit);
            });
            let began = Instant::now();
            drop(acceptor.place().await.expect("a place"));
            let took = began.elapsed();
            let most = limits::IDLE_IN_A_CROWD * 2 + limits::LAST_WORDS + limits::ROOM_PAUSE;
            assert!(took >= limits::IDLE_IN_A_CROWD, "{dribble:?}: {took:?}");
            assert!(took <= most, "{dribble:?}: {took:?}");
            assert_eq!(*acceptor.mood.borrow(), Mood::Calm);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_who_waits_wakes_the_others_now_and_then() {
        let acceptor = acceptor();
        let _permit = acceptor.place().await.expect("the one place");
        let mut mood = acceptor.mood.subscribe();
        let mut woken = 0;
        let counted = async {
            while mood.changed().await.is_ok() {
                woken += 1;
            }
        };
        let waiting = async { tokio::join!(acceptor.place(), counted) };
        let waited = timeout(limits::IDLE_IN_A_CROWD * 10, waiting).await;
        assert!(waited.is_err(), "nobody made room");
        assert!((9..=13).contains(&woken), "{woken} times");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_served_need_not_make_room() {
        let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (in_route, may_go) = (arrived.clone(), go.clone());
        let slow = async move || {
            in_route.notify_one();
            may_go.notified().await;
            "done"
        };
        let acceptor = Acceptor {
            router: axum::Router::new().route("/who", get(slow)),
            ..acceptor()
        };
        let permit = acceptor.place().await.expect("the one place");
        let (ours, theirs) = tokio::io::duplex(4096);
        let serving = acceptor.clone().http1(theirs, Connection::default());
        tokio::spawn(async move {
            serving.await;
            drop(permit);
        });
        let asked = tokio::spawn(ask_http1(ours));
        arrived.notified().await;
        let waiting = timeout(limits::IDLE_IN_A_CROWD * 5, acceptor.place()).await;
        assert!(waiting.is_err(), "the one who is served keeps its place");
        go.notify_one();
        assert_eq!(asked.await.expect("no panic"), "done");
        drop(acceptor.place().await.expect("a place"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_no_request_is_cut_off_whatever_else_it_sends() {
        for dribble in ["", "GET /who HTTP/1.1\r\nx-slow: "] {
            let acceptor = acceptor();
            let (mut ours, theirs) = tokio::io::duplex(1024);
            let began = Instant::now();
            let serving = tokio::spawn(acceptor.http1(theirs, Connection::default()));
            ours.write_all(dribble.as_bytes()).await.expect("room");
            serving.await.expect("no panic");
            let took = began.elapsed();
            let most = limits::FIRST_REQUEST + limits::LAST_WORDS;
            assert!(
                (limits::FIRST_REQUEST..=most).contains(&took),
                "{dribble:?}: {took:?}"
            );
        }
        let acceptor = acceptor();
        let (_ours, theirs) = tokio::io::duplex(1024);
        let serving = acceptor.http2(theirs, Connection::default());
        let most = limits::FIRST_REQUEST + limits::LAST_WORDS + Duration::from_secs(1);
        timeout(most, serving)
            .await
            .expect("no preface, no connection");
    }

    #[tokio::test(start_paused = true)]
    async fn a_kept_connection_may_be_idle_for_a_while() {
        let acceptor = acceptor();
        let (ours, theirs) = tokio::io::duplex(4096);
        let began = Instant::now();
        let serving = tokio::spawn(acceptor.http1(theirs, Connection::default()));
        let (mut sender, connection) = conn::http1::handshake(TokioIo::new(ours))
            .await
            .expect("HTTP/1");
        tokio::spawn(connection);
        for _ in 0..2 {
            let seen = text(sender.send_request(get_who()).await.expect("an answer")).await;
            assert_eq!(seen, "HTTP/1.1 None tls=false certificates=0");
            sleep(limits::IDLE - Duration::from_secs(2)).await;
            sender.ready().await.expect("the connection is still there");
        }
        serving.await.expect("no panic");
        assert!(began.elapsed() < limits::IDLE * 3);
    }

    #[tokio::test]
    async fn heads_that_are_too_large_or_no_http_are_refused() {
        let check = async |sent: Vec<u8>, expected: &str| {
            let acceptor = acceptor();
            let (mut ours, theirs) = tokio::io::duplex(512 * 1024);
            ours.write_all(&sent).await.expect("room");
            let serving = tokio::spawn(acceptor.http1(theirs, Connection::default()));
            let mut answer = String::new();
            ours.read_to_string(&mut answer).await.expect("text");
            serving.await.expect("no panic");
            assert!(answer.starts_with(expected), "{answer:?}");
        };
        let with =
            |headers: &str| format!("GET /who HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes();
        for bytes in [limits::HEAD_BYTES, 100_000, 200_000] {
            check(
                with(&format!("x: {}\r\n", "a".repeat(bytes))),
                "HTTP/1.1 431 ",
            )
            .await;
        }
        check(with(&"x: a\r\n".repeat(200)), "HTTP/1.1 431 ").await;
        check(
            with("content-length: 1\r\ncontent-length: 2\r\n"),
            "HTTP/1.1 400 ",
        )
        .await;
        check(with("x : a\r\n"), "HTTP/1.1 400 ").await;
        check(
            b"\x16\x03\x01 this is TLS\r\n\r\n".to_vec(),
            "HTTP/1.1 400 ",
        )
        .await;
    }
}
