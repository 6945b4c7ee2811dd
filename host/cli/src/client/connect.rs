//! Connections: TCP, TLS or a Unix socket, and HTTP/1 on top.

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::address::{Address, Transport};
use super::error::Broken;
use super::tls::{self, TlsSettings};

/// A fresh connection to `address`.
pub(super) async fn open(
    address: &Address,
    tls: &TlsSettings,
) -> Result<SendRequest<Full<Bytes>>, Broken> {
    match &address.transport {
        Transport::Http { host, port, .. } => start(tcp(host, *port).await?).await,
        Transport::Https { host, port, .. } => {
            // Bad certificate files are told before anyone is called.
            let connector = tls::connector(tls).map_err(Broken::Tls)?;
            let name = tls::server_name(tls, host).map_err(Broken::Tls)?;
            let stream = tcp(host, *port).await?;
            start(
                connector
                    .connect(name, stream)
                    .await
                    .map_err(Broken::Handshake)?,
            )
            .await
        }
        Transport::Unix(path) => {
            let stream = UnixStream::connect(path).await;
            start(stream.map_err(|source| Broken::Dial {
                to: format!("unix {}", path.display()),
                source,
            })?)
            .await
        }
    }
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, Broken> {
    let to = if host.contains(':') {
        format!("tcp [{host}]:{port}")
    } else {
        format!("tcp {host}:{port}")
    };
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|source| Broken::Dial {
            to: to.clone(),
            source,
        })?;
    stream
        .set_nodelay(true)
        .map_err(|source| Broken::Dial { to, source })?;
    Ok(stream)
}

async fn start<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, Broken>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(Broken::Exchange)?;
    // What breaks the connection is also told to the request that was on it.
    tokio::spawn(connection);
    Ok(sender)
}
