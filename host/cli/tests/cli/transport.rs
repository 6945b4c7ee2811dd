//! Ways to a server: TLS with and without trust, a Unix socket, and the mix-ups of `http://` and `https://`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use expect_test::{Expect, expect};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::{Home, Run};

const BODY: &str = r#"{"request_id":"r","data":{"a":"1"}}"#;

/// Reads one request's head and answers it.
fn answer_once(stream: impl Read + Write) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    // A client that trusts nobody hangs up instead of asking; that is its test's concern.
    while stream.read_line(&mut line).is_ok_and(|length| length > 2) {
        line.clear();
    }
    let _ = write!(
        stream.get_mut(),
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
}

/// An authority in a file, and a server whose certificate it signed.
struct TlsServer {
    address: String,
    authority: PathBuf,
    _home: Home,
}

impl TlsServer {
    fn start() -> Self {
        let authority_key = KeyPair::generate().expect("the system has randomness");
        let authority = authority_params()
            .self_signed(&authority_key)
            .expect("a key signs its own certificate");
        let home = Home::new();
        let path = home.path().join("ca.pem");
        std::fs::write(&path, authority.pem()).expect("the directory is ours");

        let key = KeyPair::generate().expect("the system has randomness");
        let params =
            CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address is a name");
        let certificate = params.signed_by(&key, &Issuer::new(authority_params(), &authority_key));
        let certificate = certificate.expect("the authority signs");
        let secret =
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key that was just made");
        let config = ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .expect("the library's defaults are sound")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)
        .expect("key and certificate belong together");

        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address")
            .to_string();
        thread::spawn(move || {
            let (stream, _) = listener.accept().expect("loopback accepts");
            let connection =
                ServerConnection::new(Arc::new(config)).expect("the configuration is complete");
            answer_once(StreamOwned::new(connection, stream));
        });
        Self {
            address,
            authority: path,
            _home: home,
        }
    }

    fn check(&self, line: &str, scheme: &str, env: &[(&str, &str)], expected: Expect) {
        let address = format!("{scheme}://{}", self.address);
        let run = env.iter().fold(
            Run::new(line).env("VAULT_ADDR", &address),
            |run, (name, value)| run.env(name, value),
        );
        run.check_as(
            &[
                (&self.address, "TLS-SERVER"),
                (&self.authority.display().to_string(), "CA-FILE"),
            ],
            expected,
        );
    }
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::new([]).expect("no names are good names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

#[test]
fn a_server_is_trusted_by_the_authority_that_was_named() {
    let server = TlsServer::start();
    let authority = server.authority.display().to_string();
    server.check(
        "read x",
        "https",
        &[("VAULT_CACERT", &authority)],
        expect![[r#"
        Key    Value
        ---    -----
        a      1
        exit 0
    "#]],
    );
}

#[test]
fn a_stranger_is_refused_and_the_flag_that_helps_is_named() {
    TlsServer::start().check("read x", "https", &[], expect![[r#"
        ! Error reading x: Get "https://TLS-SERVER/v1/x": tls: failed to verify certificate: x509: certificate signed by unknown authority
        ! Hint: name the file with the server's authority: -ca-cert=FILE or VAULT_CACERT
        exit 2
    "#]]);
}

#[test]
fn the_authority_of_another_server_does_not_help() {
    let other = TlsServer::start();
    let authority = other.authority.display().to_string();
    let server = TlsServer::start();
    let names = [
        (server.address.as_str(), "TLS-SERVER"),
        (authority.as_str(), "CA-FILE"),
    ];
    let address = format!("https://{}", server.address);
    Run::new("read x").env("VAULT_ADDR", &address).env("VAULT_CACERT", &authority).check_as(&names, expect![[r#"
        ! Error reading x: Get "https://TLS-SERVER/v1/x": tls: failed to verify certificate: x509: certificate signed by unknown authority
        ! Hint: the server's certificate is not from an authority in CA-FILE, or not for this name
        exit 2
    "#]]);
}

#[test]
fn skipping_verification_trusts_anyone() {
    TlsServer::start().check(
        "read -tls-skip-verify x",
        "https",
        &[],
        expect![[r#"
        Key    Value
        ---    -----
        a      1
        exit 0
    "#]],
    );
}

#[test]
fn plaintext_to_a_tls_server_is_told_apart() {
    TlsServer::start().check("read x", "http", &[], expect![[r#"
        ! Error reading x: Get "http://TLS-SERVER/v1/x": invalid HTTP version parsed
        ! Hint: does the server speak TLS? Then the address has to start with https://. VAULT_ADDR is http://TLS-SERVER
        exit 2
    "#]]);
}

#[test]
fn tls_to_a_plaintext_server_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address")
        .to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("loopback accepts");
        let mut hello = [0; 16];
        stream
            .read_exact(&mut hello)
            .expect("the client begins a handshake");
        // As Go's server answers what is no HTTP.
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            .expect("the client listens");
        // Until it hangs up: to close first would lose what was written.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let url = format!("https://{address}");
    Run::new("read x").env("VAULT_ADDR", &url).check_as(&[(&address, "SERVER")], expect![[r#"
        ! Error reading x: Get "https://SERVER/v1/x": http: server gave HTTP response to HTTPS client
        ! Hint: the server speaks plain HTTP: export VAULT_ADDR='http://SERVER'
        exit 2
    "#]]);
}

#[test]
fn files_that_are_no_certificates_are_named() {
    Run::new("read -ca-cert=/nonexistent/ca.pem x").env("VAULT_ADDR", "https://127.0.0.1:1").check(expect![[r#"
        ! failed to setup TLS config: Error loading CA File: /nonexistent/ca.pem: I/O error: No such file or directory (os error 2)
        exit 1
    "#]]);
    Run::new("read -client-cert=/nonexistent/c.pem -tls-skip-verify x")
        .env("VAULT_ADDR", "https://127.0.0.1:1")
        .check(expect![[r#"
        ! failed to setup TLS config: both client cert and client key must be provided
        exit 1
    "#]]);
}

#[test]
fn a_unix_socket_serves_like_any_address() {
    let home = Home::new();
    let path = home.path().join("coffer.sock");
    let listener = UnixListener::bind(&path).expect("the directory is ours");
    thread::spawn(move || answer_once(listener.accept().expect("a socket accepts").0));
    let address = format!("unix://{}", path.display());
    Run::new("read x")
        .env("VAULT_ADDR", &address)
        .check(expect![[r#"
        Key    Value
        ---    -----
        a      1
        exit 0
    "#]]);
}
