//! TLS: which certificates to trust and which to show. Nothing here runs for plain HTTP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

/// What flags and environment say about TLS.
#[derive(Debug, Default)]
pub(crate) struct TlsSettings {
    /// A file of authorities to trust instead of the system's; wins over `ca_path`.
    pub(crate) ca_cert: Option<PathBuf>,
    /// A directory of such files.
    pub(crate) ca_path: Option<PathBuf>,
    pub(crate) client_cert: Option<PathBuf>,
    pub(crate) client_key: Option<PathBuf>,
    pub(crate) server_name: Option<String>,
    pub(crate) skip_verify: bool,
}

/// Why TLS cannot be set up, by the file at fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("Error loading CA File: {}: {reason}", path.display())]
    Authority { path: PathBuf, reason: String },
    #[error("Error loading client certificate: {}: {reason}", path.display())]
    ClientCertificate { path: PathBuf, reason: String },
    #[error("both client cert and client key must be provided")]
    HalfAPair,
    #[error("no certificate authority is known on this system")]
    NoAuthorities,
    #[error("{0:?} cannot be the name of a server")]
    ServerName(String),
    #[error("TLS cannot be set up")]
    Library(#[from] rustls::Error),
}

pub(super) fn connector(settings: &TlsSettings) -> Result<TlsConnector, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    let builder = if settings.skip_verify {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustAnyone(provider)))
    } else {
        builder.with_root_certificates(authorities(settings)?)
    };
    let mut config = match (&settings.client_cert, &settings.client_key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let error = |path: &Path, reason: String| TlsError::ClientCertificate {
                path: path.to_owned(),
                reason,
            };
            let chain = certificates(cert).map_err(|reason| error(cert, reason))?;
            let secret =
                PrivateKeyDer::from_pem_file(key).map_err(|err| error(key, err.to_string()))?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(|err| error(cert, err.to_string()))?
        }
        _ => return Err(TlsError::HalfAPair),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

pub(super) fn server_name(
    settings: &TlsSettings,
    host: &str,
) -> Result<ServerName<'static>, TlsError> {
    let name = settings.server_name.as_deref().unwrap_or(host).to_owned();
    ServerName::try_from(name.clone()).map_err(|_| TlsError::ServerName(name))
}

fn authorities(settings: &TlsSettings) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    match (&settings.ca_cert, &settings.ca_path) {
        (Some(file), _) => add_file(&mut store, file)?,
        (None, Some(directory)) => {
            let error = |err: std::io::Error| TlsError::Authority {
                path: directory.clone(),
                reason: err.to_string(),
            };
            for entry in std::fs::read_dir(directory).map_err(error)? {
                let path = entry.map_err(error)?.path();
                if path.is_file() {
                    add_file(&mut store, &path)?;
                }
            }
        }
        // One unreadable certificate of the system's must not lock out the others.
        (None, None) => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() {
        Err(TlsError::NoAuthorities)
    } else {
        Ok(store)
    }
}

fn add_file(store: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    let error = |reason: String| TlsError::Authority {
        path: path.to_owned(),
        reason,
    };
    for certificate in certificates(path).map_err(error)? {
        store
            .add(certificate)
            .map_err(|err| error(err.to_string()))?;
    }
    Ok(())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|err| err.to_string())?;
    if found.is_empty() {
        Err("no PEM certificate in it".to_owned())
    } else {
        Ok(found)
    }
}

/// `-tls-skip-verify`: whoever answers is believed. The handshake's signatures are still checked.
#[derive(Debug)]
struct TrustAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
