//! The server's log: lines on stderr, for people or as JSON.
//!
//! Only our own crates speak at the level that is asked for. Libraries speak from warnings up: at
//! finer levels HTTP/2 prints headers, and those hold tokens.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogFormat, LogLevel};

/// Starts it, and has panics logged by where they happened: their message may quote a secret.
pub(crate) fn start(level: LogLevel, format: LogFormat) -> Result<(), TryInitError> {
    let level = match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let targets = Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target("host_", level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let layer = match format {
        LogFormat::Standard => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(
            place,
            "a bug: a part of the server panicked; the rest goes on"
        );
    }));
    Ok(())
}
