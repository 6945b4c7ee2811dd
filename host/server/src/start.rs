//! The wiring: barrier, engines and custody become a core.

use std::sync::Arc;

use host_barrier::{Barrier, Random, StorageConfig, SystemRandomness};
use host_core::{Clock, Core, Custody, KeySource, Parts, SealKind, Settings, SystemClock};
use host_keys::MountSecrets;
use host_logical::Secrets;
use host_runtime::{EngineHost, RuntimeConfig};

use crate::ServeError;
use crate::config::{Config, Seal, Storage};
use crate::routes::Surface;
use crate::wire::sys::API_VERSION;

/// Opens the store and makes everything that stands on it. It is sealed afterwards, unless the
/// configuration has the key.
pub async fn open(config: Config) -> Result<Surface, ServeError> {
    let random: Arc<dyn Random> = Arc::new(SystemRandomness::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (storage, cache_dir) = match config.storage {
        Storage::Memory => (StorageConfig::Memory, None),
        Storage::Redb { directory } => {
            let cache = directory.join("compiled");
            (StorageConfig::Redb { directory }, Some(cache))
        }
    };
    let barrier = Barrier::open(storage, random.clone())
        .await
        .map_err(ServeError::Storage)?;
    let engines = EngineHost::new(RuntimeConfig {
        cache_dir,
        ..RuntimeConfig::default()
    })
    .map_err(ServeError::Engines)?;
    let core = Core::new(Parts {
        barrier,
        engines,
        custody: Arc::new(Keys {
            random: random.clone(),
        }),
        clock: clock.clone(),
        random: random.clone(),
        settings: Settings {
            default_lease_ttl: config.default_lease_ttl,
            max_lease_ttl: config.max_lease_ttl,
            seal: match config.seal {
                Seal::Shamir => SealKind::Shamir,
                Seal::Static(key) => SealKind::Static(key),
            },
            version: API_VERSION,
        },
    });
    core.auto_unseal().await.map_err(ServeError::Unseal)?;
    Ok(Surface {
        core,
        clock,
        random,
    })
}

/// Custody by `host-keys`, with the server's source of chance.
struct Keys {
    random: Arc<dyn Random>,
}

impl Custody for Keys {
    fn secrets(&self, key: KeySource) -> Arc<dyn Secrets> {
        let random = self.random.clone();
        Arc::new(MountSecrets::new(
            key,
            Arc::new(move |buf| Ok(random.fill(buf)?)),
        ))
    }
}
