//! The development server: in memory, initialised, unsealed, with KV at `secret/`.

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use host_core::{ClientToken, Core, HandleError, Initialize, Request, SealError};
use host_logical::{Operation, Peer, RequestId, RequestPath};

use crate::routes::Surface;

/// What whoever starts a development server wants to see.
pub struct DevInfo {
    /// For `VAULT_ADDR`.
    pub address: String,
    /// The one unseal share, in base64.
    pub unseal_key: Zeroizing<String>,
    /// For `VAULT_TOKEN`.
    pub root_token: Zeroizing<String>,
}

/// Why a development server cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Its seal.
    #[error("cannot open the barrier")]
    Seal(#[from] SealError),
    /// Its first mount.
    #[error("cannot mount secret/")]
    Mount(#[from] HandleError),
    /// The id that was asked for.
    #[error(
        "the root token id must be printable, without blanks, and at most {} characters",
        ClientToken::MAX_BYTES
    )]
    TokenId,
    /// No chance.
    #[error(transparent)]
    Random(#[from] host_barrier::RandomError),
}

/// Makes it ready.
pub(crate) async fn prepare(
    surface: &Surface,
    address: String,
    root_token_id: Option<String>,
) -> Result<DevInfo, DevError> {
    let core = &surface.core;
    let wanted = root_token_id
        .map(|id| ClientToken::parse(&id).ok_or(DevError::TokenId))
        .transpose()?;
    let made = core
        .initialize(Initialize {
            unseal: Some((1, 1)),
            recovery: None,
        })
        .await?;
    let mut unseal_key = Zeroizing::default();
    for share in &made.shares {
        unseal_key = share.to_base64();
        core.unseal(&unseal_key).await?;
    }
    let root_token = match wanted {
        None => made.root_token,
        Some(id) => {
            let chosen = core
                .make_root_token(Some(Zeroizing::new(id.expose().to_owned())))
                .await?;
            ask(
                surface,
                &made.root_token,
                "auth/token/revoke-self",
                Value::Null,
            )
            .await?;
            chosen
        }
    };
    let kv = json!({
        "type": "kv",
        "description": "key/value secret storage",
        "options": { "version": "2" },
    });
    ask(surface, &root_token, "sys/mounts/secret", kv).await?;
    Ok(DevInfo {
        address,
        unseal_key,
        root_token,
    })
}

async fn ask(surface: &Surface, token: &str, path: &str, data: Value) -> Result<(), DevError> {
    let mut id = [0; 16];
    surface.random.fill(&mut id)?;
    let path =
        RequestPath::parse(path.as_bytes()).map_err(|err| HandleError::Invalid(err.to_string()))?;
    let data = match data {
        Value::Object(data) => data,
        _ => Map::new(),
    };
    let request = Request {
        id: RequestId::from_random(id),
        operation: Operation::Update,
        path,
        data,
        raw: None,
        token: ClientToken::parse(token),
        wrap_ttl: None,
        headers: Vec::new(),
        peer: Peer::default(),
        held: None,
    };
    let core: &std::sync::Arc<Core> = &surface.core;
    core.handle(request).await?;
    Ok(())
}
