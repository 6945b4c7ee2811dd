//! HTTP in Vault's words, configuration, and the wiring of core, barrier and runtime.
//!
//! Start reading at [`router`]: the whole HTTP surface is on its page, `routes.rs`. A request goes through
//! `request` (bytes to words), core, and `render` (words to bytes); the shapes on the wire are in
//! `wire`. `serve` has the connections under it, [`open`] what stands behind it.
//!
//! Invariants
//! - What leaves is Vault's: statuses, words and shapes come from `render` and `wire` alone.
//! - No body, no header's value and no path below a mount is logged.
//! - Everything a stranger can make us hold or wait for has its limit in `limits`.

mod config;
mod dev;
mod harden;
mod health;
mod limits;
mod listen;
mod log;
mod render;
mod request;
mod routes;
mod serve;
mod start;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

pub use config::{
    Config, ConfigError, Listener, LogFormat, LogLevel, Place, Seal, Storage, SyntaxError, TlsFiles,
};
pub use dev::{DevError, DevInfo};
pub use listen::{BindError, Bound, bind};
pub use routes::{Surface, router};
pub use serve::serve_router;
pub use start::open;
pub use tls::TlsError;

use tls::Tls;

/// Why a server did not start, or did not stop well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// What it was told.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Where it was to listen.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its store.
    #[error("cannot open the store")]
    Storage(#[source] host_barrier::OpenError),
    /// Its engines.
    #[error("cannot start the engines' host")]
    Engines(#[source] host_runtime::RuntimeError),
    /// Its seal: the configured key does not open it.
    #[error("cannot unseal with the key of the configuration")]
    Unseal(#[source] host_core::SealError),
    /// Its preparation for development.
    #[error("cannot prepare the development server")]
    Dev(#[from] DevError),
    /// Its log.
    #[error("cannot start the log")]
    Log(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The limit on open files is too low.
    #[error(
        "only {0} files may be open at a time, and a server needs {least}: raise the limit (ulimit -n, or LimitNOFILE= of systemd)",
        least = limits::LEAST_FILES
    )]
    Files(u64),
    /// Threads or signals.
    #[error("the system refuses what a server needs")]
    System(#[source] std::io::Error),
    /// It has stopped serving, but its keys may still be in memory until the process ends.
    #[error("cannot seal")]
    Seal(#[source] host_core::HandleError),
    /// A flag that is none.
    #[error("there is no log level {0:?}: use trace, debug, info, warn or error")]
    LogLevel(String),
}

/// Opens what `config` names and serves it until `shutdown` is done: then requests in flight are
/// finished, the barrier is sealed, and this returns. The caller owns the sockets and the end.
pub async fn run(
    config: Config,
    listeners: Vec<Bound>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve(open(config).await?, listeners, shutdown).await
}

/// As [`run`], with everything opened already.
pub async fn serve(
    surface: Surface,
    listeners: Vec<Bound>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let core = surface.core.clone();
    serve_router(router(surface), listeners, shutdown).await;
    // Calls that clients no longer wait for are waited for here, up to a time.
    match tokio::time::timeout(limits::STOPPING, core.seal()).await {
        Ok(Ok(()) | Err(host_core::HandleError::Sealed)) => {}
        Ok(Err(err)) => return Err(ServeError::Seal(err)),
        Err(_) => {
            tracing::warn!("calls that took too long were cut off: what they wrote is not kept")
        }
    }
    Ok(())
}

/// What `coffer server` was asked for.
#[derive(Clone, Debug, Default)]
pub struct ServeFlags {
    /// In memory, unsealed, with a root token at hand.
    pub dev: bool,
    /// The root token's id, in dev mode.
    pub dev_root_token_id: Option<String>,
    /// Where to listen, in dev mode.
    pub dev_listen_address: Option<String>,
    /// Files and directories, in order.
    pub config: Vec<PathBuf>,
    /// Instead of the configuration's.
    pub log_level: Option<String>,
}

/// What there is to tell once the server listens.
pub struct Ready {
    /// Where clients reach it.
    pub urls: Vec<String>,
    /// `redb` or `inmem`.
    pub storage_type: &'static str,
    /// How much the log says.
    pub log_level: LogLevel,
    /// The release of Vault whose API it speaks.
    pub api_version: &'static str,
    /// What the configuration says others are to be told.
    pub api_addr: Option<String>,
    /// In dev mode.
    pub dev: Option<DevInfo>,
}

/// `coffer server`: everything from the flags to the end of the process. `on_ready` is for printing.
pub fn serve_command(flags: ServeFlags, on_ready: impl FnOnce(&Ready)) -> Result<(), ServeError> {
    let hardening = harden::process();
    harden::enough_files().map_err(ServeError::Files)?;
    let mut config = match flags.dev {
        true => Config::load_dev(&flags.config, flags.dev_listen_address.as_deref())?,
        false => Config::load(&flags.config)?,
    };
    if let Some(word) = flags.log_level {
        config.log_level = LogLevel::parse(&word).ok_or(ServeError::LogLevel(word))?;
    }
    log::start(config.log_level, config.log_format).map_err(|err| ServeError::Log(err.into()))?;
    for note in hardening {
        tracing::warn!("{note}");
    }
    for note in &config.notes {
        tracing::info!("{note}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServeError::System)?;
    runtime.block_on(async {
        let signals = Signals::listen().map_err(ServeError::System)?;
        let listeners = bind(&config).await?;
        let urls: Vec<String> = listeners
            .iter()
            .map(|bound| bound.url().to_owned())
            .collect();
        let certificates = listeners
            .iter()
            .filter_map(|bound| bound.tls.clone())
            .collect();
        let (log_level, api_addr) = (config.log_level, config.api_addr.clone());
        let storage_type = match config.storage {
            Storage::Memory => "inmem",
            Storage::Redb { .. } => "redb",
        };
        let surface = open(config).await?;
        let dev = match flags.dev {
            true => {
                let address = urls.first().cloned().unwrap_or_default();
                Some(dev::prepare(&surface, address, flags.dev_root_token_id).await?)
            }
            false => None,
        };
        on_ready(&Ready {
            urls,
            storage_type,
            log_level,
            api_version: wire::sys::API_VERSION,
            api_addr,
            dev,
        });
        serve(surface, listeners, signals.until_stop(certificates)).await
    })
}

/// What the system tells the process.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    /// Listened to for its own sake: otherwise a write over the limit on the size of files ends the process. So
    /// it fails like one to a full disk.
    #[cfg(target_os = "linux")]
    _file_too_large: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            #[cfg(target_os = "linux")]
            _file_too_large: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// Waits for the word to stop; at each hang-up, certificates are read anew, as Vault does.
    async fn until_stop(mut self, certificates: Vec<Arc<Tls>>) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => break,
                _ = self.terminate.recv() => break,
                _ = self.hangup.recv() => for tls in &certificates {
                    match tls.reload() {
                        Ok(()) => tracing::info!("certificate read anew"),
                        Err(err) => tracing::error!(error = %render::Chain(&err), "certificate not read anew: the old one stays"),
                    }
                },
            }
        }
        tracing::info!("stopping");
    }
}
