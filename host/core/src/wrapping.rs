//! Response wrapping: an answer is kept for whoever comes first with a token that was made for it.
//!
//! The answer lies under `wrapped/<hash>` in the host's own records, and is written by the commit of the call that
//! gave it. Its token has one use and the policy `response-wrapping`.
//!
//! Invariants
//! - An answer leaves once, across crashes too: the commit that takes it and its token away comes before.
//! - It goes with its token, whatever ends that.
//! - Looking at it spends nothing and shows nothing of it.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use host_barrier::Transaction;
use host_logical::RequestId;

use crate::error::HandleError;
use crate::policy::PolicyName;
use crate::response::{Body, Envelope, Response, WrapInfo};
use crate::storage::{self, from_view, parse_json, to_json};
use crate::token::{NewToken, Token, TokenHash};
use crate::{ClientToken, Core};

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct Wrapped {
    pub(crate) about: About,
    answer: Response,
}

/// What may be known of it without taking it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// Of the request that was answered.
    pub(crate) creation_path: String,
    pub(crate) creation_millis: u64,
    /// Seconds.
    pub(crate) creation_ttl: u64,
}

/// Keeps `answer` in `txn`, and answers with its token instead. What says nothing is not wrapped.
pub(crate) async fn wrap(
    core: &Core,
    txn: &Transaction,
    answer: Response,
    ttl: u64,
    path: &str,
) -> Result<Response, HandleError> {
    if matches!(answer.body, Body::Empty) {
        return Ok(answer);
    }
    let about = About {
        creation_path: path.to_owned(),
        creation_millis: core.clock.now_millis(),
        creation_ttl: ttl,
    };
    let request_id = answer.request_id.clone();
    keep(core, txn, Wrapped { about, answer }, request_id).await
}

/// Takes the answer away, with the token that was made for it.
pub(crate) async fn unwrap(
    core: &Core,
    txn: &Transaction,
    sent: Sent<'_>,
) -> Result<Response, HandleError> {
    let (token, wrapped) = find(core, txn, sent).await?;
    take(core, txn, &token).await?;
    Ok(wrapped.answer)
}

/// Keeps the answer under another token, which lasts as long again.
pub(crate) async fn rewrap(
    core: &Core,
    txn: &Transaction,
    sent: Sent<'_>,
    request_id: &RequestId,
) -> Result<Response, HandleError> {
    let (token, mut wrapped) = find(core, txn, sent).await?;
    take(core, txn, &token).await?;
    wrapped.about.creation_millis = core.clock.now_millis();
    keep(core, txn, wrapped, request_id.clone()).await
}

/// How a wrapping token came.
#[derive(Clone, Copy)]
pub(crate) enum Sent<'r> {
    /// In the body: it is not the one of the request.
    Body(&'r str),
    /// As the token of the request, which may have spent its use on that.
    Header(&'r str),
}

impl<'r> Sent<'r> {
    /// The one in the body, or else the one of the request.
    pub(crate) fn of(
        body: Option<&'r str>,
        header: Option<&'r ClientToken>,
    ) -> Result<Self, HandleError> {
        match (body, header) {
            (Some(token), _) if !token.is_empty() => Ok(Self::Body(token)),
            (_, Some(token)) => Ok(Self::Header(token.expose())),
            _ => Err(HandleError::DeniedPlain(
                "error validating wrapping token: token is empty".into(),
            )),
        }
    }
}

/// The token and the answer that is kept under it. Whatever it is that is not there, the error is one.
pub(crate) async fn find(
    core: &Core,
    txn: &Transaction,
    sent: Sent<'_>,
) -> Result<(Token, Wrapped), HandleError> {
    let (Sent::Body(text) | Sent::Header(text)) = sent;
    let found = core
        .tokens
        .lookup(txn, text, core.clock.now_millis())
        .await?
        .filter(|token| !token.record.is_spent() || matches!(sent, Sent::Header(_)));
    if let Some(token) = found {
        let system = storage::system(txn).await?;
        if let Some(kept) = system.get(&key(&token.hash)).await.map_err(from_view)? {
            return Ok((token, parse_json(&kept)?));
        }
    }
    Err(HandleError::Invalid(
        "wrapping token is not valid or does not exist".into(),
    ))
}

/// As [`find`], before the request has spent a use of its token.
pub(crate) async fn find_unspent(
    core: &Core,
    txn: &Transaction,
    sent: Sent<'_>,
) -> Result<(), HandleError> {
    let (Sent::Body(text) | Sent::Header(text)) = sent;
    find(core, txn, Sent::Body(text)).await.map(drop)
}

/// Where the answer is that a token was made for.
pub(crate) fn key(hash: &TokenHash) -> String {
    format!("wrapped/{}", hash.as_str())
}

async fn keep(
    core: &Core,
    txn: &Transaction,
    wrapped: Wrapped,
    request_id: RequestId,
) -> Result<Response, HandleError> {
    let new = NewToken {
        id: None,
        policies: vec![PolicyName::RESPONSE_WRAPPING.to_owned()],
        path: wrapped.about.creation_path.clone(),
        display_name: String::new(),
        meta: None,
        num_uses: 1,
        ttl: Some(wrapped.about.creation_ttl),
        explicit_max_ttl: wrapped.about.creation_ttl,
        period: 0,
        renewable: false,
        parent: None,
        role: None,
        bound_cidrs: Vec::new(),
    };
    let now = wrapped.about.creation_millis;
    let (token, record) = core.tokens.create(txn, new, now).await?;
    let kept = Zeroizing::new(to_json(&wrapped)?);
    let system = storage::system(txn).await?;
    let put = system.put(&key(&core.tokens.hash(&token)?), &kept).await;
    put.map_err(|err| match err {
        host_barrier::ViewError::TooLarge(limit) => HandleError::Invalid(format!(
            "an answer of more than {limit} bytes cannot be wrapped: send the request without X-Vault-Wrap-TTL"
        )),
        err => from_view(err),
    })?;
    let (warnings, wrapped_accessor) = match wrapped.answer.body {
        Body::Envelope(inner) => (inner.warnings, inner.auth.map(|auth| auth.accessor)),
        _ => (Vec::new(), None),
    };
    let envelope = Envelope {
        warnings,
        wrap_info: Some(WrapInfo {
            token,
            accessor: record.accessor,
            ttl: wrapped.about.creation_ttl,
            creation_millis: now,
            creation_path: wrapped.about.creation_path,
            wrapped_accessor,
        }),
        ..Envelope::default()
    };
    Ok(Response {
        request_id,
        status: None,
        headers: Vec::new(),
        body: Body::Envelope(Box::new(envelope)),
    })
}

/// In one commit: what is kept goes with the records of its token.
async fn take(core: &Core, txn: &Transaction, token: &Token) -> Result<(), HandleError> {
    core.tokens.revoke_orphan(txn, &token.hash).await
}
