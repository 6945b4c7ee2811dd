//! Sockets: bound before anything is opened, so that a taken port is known first.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};

use crate::config::{Config, Listener, TlsFiles};
use crate::tls::{Tls, TlsError};

/// A socket that listens.
pub struct Bound {
    pub(crate) socket: Socket,
    pub(crate) tls: Option<Arc<Tls>>,
    url: String,
    /// Held for its end.
    _file: Option<SocketFile>,
}

pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Removed when the listener goes.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // If it is gone already, that is what was wanted; otherwise the next start removes it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Why a socket cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {address}: it is in use. Does another server run? Stop it, or choose another address"
    )]
    InUse {
        /// As configured.
        address: String,
    },
    /// The system says no.
    #[error("cannot listen on {address}")]
    Refused {
        /// As configured.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file, and not a socket, lies there.
    #[error("cannot listen on {}: a file that is no socket is there; move it away, or choose another path", path.display())]
    NotASocket {
        /// As configured.
        path: PathBuf,
    },
    /// The certificate or its key.
    #[error("cannot speak TLS on {address}")]
    Tls {
        /// As configured.
        address: String,
        /// Why.
        #[source]
        source: Box<TlsError>,
    },
}

/// Binds every listener of a configuration.
pub async fn bind(config: &Config) -> Result<Vec<Bound>, BindError> {
    let mut bound = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        bound.push(match listener {
            Listener::Tcp { address, tls } => Bound::tcp(address, tls.as_ref()).await?,
            Listener::Unix { path, mode } => Bound::unix(path, *mode).await?,
        });
    }
    Ok(bound)
}

impl Bound {
    /// Binds a TCP address; without files it speaks plain HTTP.
    pub async fn tcp(address: &str, tls: Option<&TlsFiles>) -> Result<Self, BindError> {
        let tls = tls.cloned().map(Tls::load).transpose();
        let tls = tls.map_err(|source| BindError::Tls {
            address: address.to_owned(),
            source: Box::new(source),
        })?;
        let refused = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AddrInUse => BindError::InUse {
                address: address.to_owned(),
            },
            _ => BindError::Refused {
                address: address.to_owned(),
                source,
            },
        };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let local = listener.local_addr().map_err(refused)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        Ok(Self {
            socket: Socket::Tcp(listener),
            tls: tls.map(Arc::new),
            url: format!("{scheme}://{local}"),
            _file: None,
        })
    }

    /// Binds a Unix socket. One that a server left behind is replaced; one that answers is not.
    pub async fn unix(path: &Path, mode: u32) -> Result<Self, BindError> {
        let refused = |source| BindError::Refused {
            address: path.display().to_string(),
            source,
        };
        if let Ok(there) = std::fs::symlink_metadata(path) {
            if !there.file_type().is_socket() {
                return Err(BindError::NotASocket {
                    path: path.to_owned(),
                });
            }
            match tokio::net::UnixStream::connect(path).await {
                Err(err) if err.kind() == std::io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path).map_err(refused)?;
                }
                _ => {
                    return Err(BindError::InUse {
                        address: path.display().to_string(),
                    });
                }
            }
        }
        let listener = UnixListener::bind(path).map_err(refused)?;
        let file = SocketFile(path.to_owned());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(refused)?;
        let url = format!("unix://{}", path.display());
        Ok(Self {
            socket: Socket::Unix(listener),
            tls: None,
            url,
            _file: Some(file),
        })
    }

    /// Where clients reach it, as they write it in `VAULT_ADDR`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let first = Bound::tcp("127.0.0.1:0", None).await.expect("a free port");
        let address = first.url().trim_start_matches("http://");
        let err = Bound::tcp(address, None)
            .await
            .err()
            .expect("the port is taken");
        assert!(matches!(&err, BindError::InUse { .. }), "{err}");
        assert!(err.to_string().contains(address), "{err}");
    }

    #[tokio::test]
    async fn a_socket_that_answers_stays_and_one_left_behind_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("coffer.sock");
        let first = Bound::unix(&path, 0o660).await.expect("a socket");
        let mode = std::fs::metadata(&path)
            .expect("the socket")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o660);
        let err = Bound::unix(&path, 0o600).await.err().expect("it answers");
        assert!(matches!(err, BindError::InUse { .. }), "{err}");
        drop(first);
        assert!(!path.exists());

        // The listener ends without anyone to remove its file.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists());
        Bound::unix(&path, 0o600)
            .await
            .expect("nobody answers there");

        let file = dir.path().join("file");
        std::fs::write(&file, "data").expect("a file");
        let err = Bound::unix(&file, 0o600).await.err().expect("not a socket");
        assert!(matches!(err, BindError::NotASocket { .. }), "{err}");
        assert_eq!(std::fs::read(&file).expect("still there"), b"data");
    }

    #[tokio::test]
    async fn files_that_are_no_certificate_are_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        let files = TlsFiles {
            certificate: path("cert.pem"),
            key: path("key.pem"),
            only_tls13: false,
            ask_client: true,
        };
        let mut seen = String::new();
        let mut attempt = async |_step: &str| {
            let err = Bound::tcp("127.0.0.1:0", Some(&files))
                .await
                .err()
                .expect("unusable files");
            let text = crate::render::Chain(&err).to_string();
            seen += &text.replace(&dir.path().display().to_string(), "DIR");
            seen += "\n";
        };
        attempt("nothing is there").await;
        std::fs::write(path("cert.pem"), "not PEM").expect("a file");
        attempt("no certificate in it").await;
        let one =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let other =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(path("cert.pem"), one.cert.pem()).expect("a file");
        attempt("no key").await;
        std::fs::write(path("key.pem"), other.signing_key.serialize_pem()).expect("a file");
        attempt("the key of another").await;
        expect_test::expect![[r#"
            cannot speak TLS on 127.0.0.1:0: cannot use tls_cert_file DIR/cert.pem: I/O error: No such file or directory (os error 2)
            cannot speak TLS on 127.0.0.1:0: cannot use tls_cert_file DIR/cert.pem: no items found
            cannot speak TLS on 127.0.0.1:0: cannot use tls_key_file DIR/key.pem: I/O error: No such file or directory (os error 2)
            cannot speak TLS on 127.0.0.1:0: certificate DIR/cert.pem and key DIR/key.pem cannot be used together: keys may not be consistent: KeyMismatch
        "#]].assert_eq(&seen);
    }
}
