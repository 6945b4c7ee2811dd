//! Opening and closing: what an operator does before there is a token.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tokio::task::AbortHandle;
use zeroize::Zeroizing;

use host_barrier::{
    Barrier, BarrierError, Founding, Init, InitError, ShareError, UnsealError, UnsealProgress,
    UnsealShare,
};

use crate::error::HandleError;
use crate::policy::PolicyName;
use crate::storage::{self, chain, from_barrier, from_commit, from_view, parse_json, to_json};
use crate::token::{NewToken, TokenStore};
use crate::{Core, SealKind, expiry, limits, policy_store, random};

const CLUSTER: &str = "cluster";

/// How a new server is to be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Initialize {
    /// Unseal shares to make, and how many of them open it. Not with auto-unseal.
    pub unseal: Option<(u32, u32)>,
    /// Recovery shares, and how many of them prove who people are. With auto-unseal only.
    pub recovery: Option<(u32, u32)>,
}

/// What a new server hands out, once.
pub struct Initialized {
    /// Enough of these open it; none with auto-unseal.
    pub shares: Vec<UnsealShare>,
    /// With auto-unseal, where they were asked for.
    pub recovery_shares: Vec<UnsealShare>,
    /// May do anything.
    pub root_token: Zeroizing<String>,
}

/// The seal, as the status routes show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealView {
    /// Whether there is anything to unseal.
    pub initialized: bool,
    /// Whether keys are missing.
    pub sealed: bool,
    /// `shamir` or `static`.
    pub kind: &'static str,
    /// Shares that were made.
    pub shares: u8,
    /// Shares that it takes.
    pub threshold: u8,
    /// Shares given so far.
    pub progress: u8,
    /// Of this attempt to unseal; empty before the first share.
    pub nonce: String,
    /// Unsealed only.
    pub cluster_name: Option<String>,
    /// Unsealed only.
    pub cluster_id: Option<String>,
    /// `redb` or `inmem`.
    pub storage_type: &'static str,
}

/// Why an operator's step failed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The step cannot be taken now, or not like this; the text says why.
    #[error("{0}")]
    Invalid(String),
    /// The disk failed.
    #[error("the storage failed")]
    Storage {
        /// Whether what was asked for is known not to be written.
        nothing_written: bool,
        /// For the log; what the disk said is in it.
        #[source]
        source: BarrierError,
    },
    /// The host failed.
    #[error("the host failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<HandleError> for SealError {
    fn from(err: HandleError) -> Self {
        match err {
            HandleError::Invalid(text) => SealError::Invalid(text),
            HandleError::Storage {
                nothing_written,
                source,
            } => SealError::Storage {
                nothing_written,
                source,
            },
            err => SealError::Internal(Box::new(err)),
        }
    }
}

impl From<BarrierError> for SealError {
    fn from(err: BarrierError) -> Self {
        HandleError::from(err).into()
    }
}

impl From<UnsealError> for SealError {
    /// What was sent is named; nothing of it is shown.
    fn from(err: UnsealError) -> Self {
        SealError::Invalid(match err {
            UnsealError::Share(ShareError::TooShort) => {
                "invalid key: key is shorter than minimum 16 bytes".into()
            }
            UnsealError::Share(ShareError::Encoding) => {
                "'key' must be a valid hex or base64 string".into()
            }
            UnsealError::Share(ShareError::Mistyped) | UnsealError::MistypedShare => {
                "invalid key: the unseal share is mistyped or incomplete; the shares given before still count".into()
            }
            UnsealError::ForeignShare => {
                "invalid key: the unseal share belongs to another server, or to an earlier set of shares; the shares given before still count".into()
            }
            UnsealError::WrongShare | UnsealError::WrongKey => {
                "unable to retrieve stored keys: invalid key: it does not open this server".into()
            }
            UnsealError::NotInitialized => "Vault is not initialized".into(),
            UnsealError::OtherKind => {
                "this server is unsealed by the key of its configuration, not by shares".into()
            }
            UnsealError::AlreadyUnsealed => "vault is unsealed".into(),
            UnsealError::Broken(err) => return err.into(),
        })
    }
}

impl Core {
    /// The seal at this moment.
    pub async fn seal_view(&self) -> Result<SealView, SealError> {
        let status = self.barrier.seal_status().await?;
        let cluster = match status.sealed {
            true => None,
            false => match self.cluster().await {
                Ok(cluster) => Some(cluster),
                // Sealed between the two questions.
                Err(HandleError::Sealed) => None,
                Err(err) => return Err(err.into()),
            },
        };
        let (cluster_name, cluster_id) = cluster.unzip();
        Ok(SealView {
            initialized: status.initialized,
            sealed: status.sealed,
            kind: match self.settings.seal {
                SealKind::Shamir => "shamir",
                SealKind::Static(_) => "static",
            },
            shares: status.shares,
            threshold: status.threshold,
            progress: status.progress,
            nonce: status.nonce,
            cluster_name,
            cluster_id,
            storage_type: self.barrier.storage_type(),
        })
    }

    /// Makes the keys of a new server, its first records and its root token. With shares it is
    /// sealed afterwards; with a key from the configuration it is open.
    pub async fn initialize(
        self: &Arc<Self>,
        wanted: Initialize,
    ) -> Result<Initialized, SealError> {
        let core = self.clone();
        self.in_turn(async move { core.make_all(wanted).await })
            .await
    }

    /// Runs what moves the seal to its end, whether or not its client still waits, and alone: between
    /// the shares of a new server nobody may start the attempt anew, and who opens and who closes
    /// must not leave tables without keys or keys without tables.
    async fn in_turn<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = Result<T, SealError>> + Send + 'static,
    ) -> Result<T, SealError> {
        let core = self.clone();
        let work = tokio::spawn(async move {
            let _turn = core.seal_turn.lock().await;
            work.await
        });
        work.await
            .map_err(|err| SealError::Internal(Box::new(err)))?
    }

    /// One commit: nobody has a server without its first records, or one without a root token.
    async fn make_all(self: &Arc<Self>, wanted: Initialize) -> Result<Initialized, SealError> {
        let founding = self.found(wanted).await?;
        let root_token = self.write_first_records(founding.barrier()).await?;
        let made = founding.commit().await.map_err(|err| {
            if let InitError::Broken(BarrierError::IoUnknown(_)) = err {
                tracing::error!("whether this server was initialised is not known: if sys/init says that it is, nobody has its keys, and its storage must be removed before it is initialised again");
            }
            from_init(err)
        })?;
        tracing::info!("initialized");
        // Whatever comes now, the keys are there, and this answer is the only one that has them.
        if let Err(err) = self.open_with_static_key().await {
            tracing::error!(error = %chain(&err), "initialized, and not unsealed: start the server again");
        }
        Ok(Initialized {
            shares: made.shares,
            recovery_shares: made.recovery_shares,
            root_token,
        })
    }

    /// What is there from the beginning, in `barrier`, which is new. Returns the root token.
    async fn write_first_records(
        &self,
        barrier: &Barrier,
    ) -> Result<Zeroizing<String>, HandleError> {
        let txn = barrier.begin().await.map_err(from_barrier)?;
        self.write_first_mounts(&txn).await?;
        policy_store::write_defaults(&txn).await?;
        let name = hex::encode(random::bytes(&*self.random, 4)?);
        let cluster = (
            format!("vault-cluster-{name}"),
            random::uuid(&*self.random)?,
        );
        let system = storage::system(&txn).await?;
        system
            .put(CLUSTER, &to_json(&cluster)?)
            .await
            .map_err(from_view)?;
        let tokens = TokenStore::new(barrier.clone(), self.random.clone());
        tokens.open()?;
        let now = self.clock.now_millis();
        let (root_token, _) = tokens.create(&txn, new_root_token(None), now).await?;
        txn.commit().await.map_err(from_commit)?;
        Ok(root_token)
    }

    async fn found(&self, wanted: Initialize) -> Result<Founding, SealError> {
        let init = match &self.settings.seal {
            SealKind::Shamir if wanted.recovery.is_some() => {
                return Err(SealError::Invalid(
                    "parameters recovery_shares,recovery_threshold not applicable to seal type shamir"
                        .into(),
                ));
            }
            SealKind::Static(_) if wanted.unseal.is_some() => {
                return Err(SealError::Invalid(
                    "parameters secret_shares,secret_threshold not applicable to seal type static: ask for recovery_shares and recovery_threshold"
                        .into(),
                ));
            }
            SealKind::Shamir => {
                let (shares, threshold) = wanted.unseal.unwrap_or_default();
                Init::Shamir { shares, threshold }
            }
            SealKind::Static(key) => Init::Static {
                key: key.duplicate(),
                recovery: wanted.recovery,
            },
        };
        let now = self.clock.now_millis();
        self.barrier.found(init, now).await.map_err(from_init)
    }

    /// Takes one share, as hex or base64.
    pub async fn unseal(self: &Arc<Self>, share: &str) -> Result<SealView, SealError> {
        if !self.barrier.seal_status().await?.initialized {
            return Err(SealError::Invalid("Vault is not initialized".into()));
        }
        let share = UnsealShare::parse(share).map_err(UnsealError::Share)?;
        let core = self.clone();
        self.in_turn(async move {
            let sealed = core.barrier.seal_status().await?.sealed;
            if sealed && core.barrier.unseal(share).await? == UnsealProgress::Unsealed {
                core.opened().await?;
            }
            core.seal_view().await
        })
        .await
    }

    /// Forgets the shares given so far.
    pub async fn reset_unseal(self: &Arc<Self>) -> Result<SealView, SealError> {
        let core = self.clone();
        self.in_turn(async move {
            let status = core.barrier.seal_status().await?;
            if !status.initialized {
                return Err(SealError::Invalid("Vault is not initialized".into()));
            }
            if !status.sealed {
                return Err(SealError::Invalid("vault is unsealed".into()));
            }
            core.barrier.reset_unseal().await?;
            core.seal_view().await
        })
        .await
    }

    /// Opens the barrier with the key from the configuration, where there is one.
    pub async fn auto_unseal(self: &Arc<Self>) -> Result<(), SealError> {
        let core = self.clone();
        self.in_turn(async move { core.open_with_static_key().await })
            .await
    }

    async fn open_with_static_key(self: &Arc<Self>) -> Result<(), SealError> {
        let SealKind::Static(key) = &self.settings.seal else {
            return Ok(());
        };
        let status = self.barrier.seal_status().await?;
        if status.initialized && status.sealed {
            self.barrier.unseal_with_static_key(key).await?;
            self.opened().await?;
        }
        Ok(())
    }

    /// Closes: calls that run are waited for, then every key, table and engine leaves memory.
    pub async fn seal(&self) -> Result<(), HandleError> {
        let _turn = self.seal_turn.lock().await;
        self.close().await
    }

    async fn close(&self) -> Result<(), HandleError> {
        self.set_expiry(None);
        self.barrier.seal().await.map_err(from_barrier)?;
        self.cache.clear();
        self.tokens.close();
        self.engines.set_cache_key(None);
        tracing::info!("sealed");
        Ok(())
    }

    /// Makes a token that may do anything and never ends; `id` chooses it, in dev mode.
    pub async fn make_root_token(
        &self,
        id: Option<Zeroizing<String>>,
    ) -> Result<Zeroizing<String>, SealError> {
        let txn = self.barrier.begin().await?;
        let now = self.clock.now_millis();
        let (token, _) = self.tokens.create(&txn, new_root_token(id), now).await?;
        txn.commit().await.map_err(from_commit)?;
        Ok(token)
    }

    /// Begins a new term in good time: at the end of its allowance a term's key seals nothing more.
    pub(crate) async fn rotate_in_time(&self) {
        let writes = self.writes.fetch_add(1, Ordering::Relaxed);
        if !writes.is_multiple_of(limits::WRITES_BETWEEN_TERM_CHECKS) {
            return;
        }
        let rotated = match self.barrier.key_status().await {
            Ok(status) if status.wants_rotation() => {
                self.barrier.rotate(self.clock.now_millis()).await.map(Some)
            }
            Ok(_) => Ok(None),
            Err(err) => Err(err),
        };
        match rotated {
            Ok(Some(status)) => {
                tracing::info!(
                    term = status.term,
                    "the term's key has sealed nearly all it may: a new term began"
                );
            }
            // Sealed meanwhile: there is nothing left to rotate.
            Ok(None) | Err(BarrierError::Sealed) => {}
            Err(err) => {
                tracing::error!(error = %chain(&err), "the keyring must be rotated and cannot be: run \"operator rotate\"");
            }
        }
    }

    /// What follows when the barrier opens. If it fails, the barrier is closed again.
    async fn opened(self: &Arc<Self>) -> Result<(), SealError> {
        let result = self.open_up().await;
        if let Err(err) = &result {
            tracing::error!(error = %chain(err), "unsealed, but not able to serve: sealing again");
            self.close().await?;
        } else {
            let run = tokio::spawn(expiry::run(Arc::downgrade(self)));
            self.set_expiry(Some(run.abort_handle()));
            tracing::info!("unsealed");
        }
        Ok(result?)
    }

    /// In place of the loop that runs.
    fn set_expiry(&self, run: Option<AbortHandle>) {
        let mut expiry = self.expiry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = std::mem::replace(&mut *expiry, run) {
            before.abort();
        }
    }

    async fn open_up(&self) -> Result<(), HandleError> {
        let key = self.barrier.derive("compiled-code").map_err(from_barrier)?;
        self.engines.set_cache_key(Some(*key));
        self.cache.open(&self.barrier).await?;
        self.tokens.open()?;
        self.mounts().await?;
        Ok(())
    }

    async fn cluster(&self) -> Result<(String, String), HandleError> {
        let txn = self.barrier.begin().await.map_err(from_barrier)?;
        let system = storage::system(&txn).await?;
        match system.get(CLUSTER).await.map_err(from_view)? {
            Some(value) => parse_json(&value),
            None => Err(HandleError::Internal("the cluster has no name".into())),
        }
    }
}

/// A token that may do anything and never ends.
pub(crate) fn new_root_token(id: Option<Zeroizing<String>>) -> NewToken {
    NewToken {
        id,
        policies: vec![PolicyName::ROOT.to_owned()],
        path: "auth/token/root".to_owned(),
        display_name: "root".to_owned(),
        meta: None,
        num_uses: 0,
        ttl: None,
        explicit_max_ttl: 0,
        period: 0,
        renewable: false,
        parent: None,
        role: None,
        bound_cidrs: Vec::new(),
    }
}

fn from_init(err: InitError) -> SealError {
    match err {
        InitError::AlreadyInitialized => SealError::Invalid("Vault is already initialized".into()),
        InitError::Broken(err) => err.into(),
        err => SealError::Invalid(chain(&err)),
    }
}
