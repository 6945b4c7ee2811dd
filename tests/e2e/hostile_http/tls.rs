//! A server that speaks TLS beside plain HTTP, and clients that spoil handshakes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use super::attack::{MIB, attack};
use super::wire::patient;
use crate::support::{Client, TestVault};

pub(super) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// As [`TestVault::with_kv`], with a second listener that speaks TLS, and who trusts it.
pub(super) fn vault() -> (TestVault, Client, RootCertStore) {
    let directory = TempDir::new().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(at("cert.pem"), made.cert.pem()).expect("a file");
    std::fs::write(at("key.pem"), made.signing_key.serialize_pem()).expect("a file");
    let mut trusted = RootCertStore::empty();
    trusted.add(made.cert.der().clone()).expect("a root");
    let config = format!(
        "storage \"redb\" {{ path = {:?} }}\n\
         listener \"tcp\" {{\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}}\n\
         listener \"tcp\" {{\n  address = \"127.0.0.1:0\"\n  tls_cert_file = {:?}\n  tls_key_file = {:?}\n}}\n",
        at("data"),
        at("cert.pem"),
        at("key.pem")
    );
    let vault = TestVault::start_from(directory, &config);
    let keys = vault.initialize(1, 1);
    vault.unseal(&keys);
    let root = vault.client(&keys.root);
    let made = root.post("sys/mounts/secret", serde_json::json!({"type": "kv-v2"}));
    assert_eq!(made.status, 204, "{made:?}");
    (vault, root, trusted)
}

/// A connection to the listener that speaks TLS.
pub(super) fn connect(vault: &TestVault) -> TcpStream {
    patient(TcpStream::connect(&vault.addresses()[1]).expect("it listens"))
}

/// The same after a handshake.
pub(super) fn handshake(vault: &TestVault, trusted: &RootCertStore, protocol: &str) -> TlsStream {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(trusted.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    let mut stream = StreamOwned::new(session, connect(vault));
    stream.flush().expect("a handshake");
    assert_eq!(stream.conn.alpn_protocol(), Some(protocol.as_bytes()));
    stream
}

#[test]
fn spoiled_handshakes_cost_little() {
    let (vault, root, trusted) = vault();
    attack(&vault, &root, 32 * MIB, || {
        let spoiled: [&[u8]; 6] = [
            b"\x16\x03\x01\xff\xff",
            b"\x16\x03\x01\x00\x00",
            b"\x16\x03\x01\x00\x04\x01\x00\xff\xff",
            b"\x15\x03\x01\x00\x02\x02\x28",
            b"\x80\x2e\x01\x00\x02",
            &[0x16; 40_000],
        ];
        for _ in 0..50 {
            for bytes in spoiled {
                let mut stream = connect(&vault);
                // Refused while it is sent, or after.
                let _ = stream.write_all(bytes);
            }
            // Whole handshakes too, for nothing.
            handshake(&vault, &trusted, "http/1.1");
        }
    });
    let mut stream = handshake(&vault, &trusted, "http/1.1");
    let request = b"GET /v1/sys/leader HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
