//! The engines that are part of the host, since they hold what no component may: `sys`, `token`,
//! `cubbyhole` and `identity`. They answer as a [`Call`] like any other engine, and describe
//! themselves like any other; only, each holds the core.

mod cubbyhole;
mod describe;
mod identity;
mod system;
mod token;

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use host_barrier::{MountId, Transaction};
use host_logical::{Call, EngineError, EngineRequest, EngineResponse, Mount, Operation, Refusal};

use crate::error::HandleError;
use crate::mount::Described;
use crate::policy::Acl;
use crate::response::{Auth, Response};
use crate::token::{Token, TokenHash};
use crate::{ClientToken, Core};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Native {
    System,
    Token,
    Cubbyhole,
    Identity,
}

impl Native {
    /// By the type that the mount table has.
    pub(crate) fn named(engine: &str) -> Option<Self> {
        match engine {
            "system" => Some(Native::System),
            "token" => Some(Native::Token),
            "cubbyhole" => Some(Native::Cubbyhole),
            "identity" => Some(Native::Identity),
            _ => None,
        }
    }

    /// What it serves.
    pub(crate) fn described(self) -> Arc<Described> {
        static SYSTEM: LazyLock<Arc<Described>> = LazyLock::new(|| built(system::description()));
        static TOKEN: LazyLock<Arc<Described>> = LazyLock::new(|| built(token::description()));
        static CUBBYHOLE: LazyLock<Arc<Described>> =
            LazyLock::new(|| built(cubbyhole::description()));
        static IDENTITY: LazyLock<Arc<Described>> =
            LazyLock::new(|| built(identity::description()));
        match self {
            Native::System => SYSTEM.clone(),
            Native::Token => TOKEN.clone(),
            Native::Cubbyhole => CUBBYHOLE.clone(),
            Native::Identity => IDENTITY.clone(),
        }
    }
}

fn built(description: host_logical::Description) -> Arc<Described> {
    let described = Described::new(Arc::new(description));
    Arc::new(described.expect("the host's own descriptions are checked by a test"))
}

/// What must wait until the call is committed.
pub(crate) enum AfterCommit {
    Seal,
    Purge(MountId),
    Revoke(TokenHash),
}

/// What a native engine says beyond what an engine can say.
#[derive(Clone, Default)]
pub(crate) struct Outcome(Arc<Mutex<Said>>);

#[derive(Default)]
pub(crate) struct Said {
    /// A token that was made or renewed.
    pub(crate) auth: Option<Auth>,
    /// An answer outside the envelope.
    pub(crate) bare: Option<Box<RawValue>>,
    /// The whole answer, which is not wrapped again.
    pub(crate) whole: Option<Response>,
    /// In this order.
    pub(crate) after_commit: Vec<AfterCommit>,
    sudo: bool,
}

impl Outcome {
    pub(crate) fn take(self) -> Said {
        std::mem::take(&mut *self.said())
    }

    /// Whether the token holds `sudo` on the path: told when the policies have decided.
    pub(crate) fn set_sudo(&self, sudo: bool) {
        self.said().sudo = sudo;
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call of a native engine.
pub(crate) struct NativeCall {
    pub(crate) core: Arc<Core>,
    pub(crate) native: Native,
    pub(crate) txn: Transaction,
    /// None on unauthenticated paths.
    pub(crate) token: Option<Token>,
    /// As it was sent, also where nobody looked at it.
    pub(crate) client_token: Option<ClientToken>,
    /// Seconds for which the answer is to be wrapped.
    pub(crate) wrap_ttl: Option<u64>,
    pub(crate) acl: Arc<Acl>,
    pub(crate) outcome: Outcome,
}

#[async_trait]
impl Call for NativeCall {
    async fn initialize(&mut self, _from: Option<u32>, _mount: &Mount) -> Result<(), EngineError> {
        Ok(())
    }

    async fn exists(&mut self, request: &EngineRequest) -> Result<bool, EngineError> {
        match self.native {
            Native::Cubbyhole => cubbyhole::exists(self, request).await.map_err(into_engine),
            _ => Ok(true),
        }
    }

    async fn handle(&mut self, request: EngineRequest) -> Result<EngineResponse, EngineError> {
        let described = self.native.described();
        // The pipeline has matched this path already: a miss cannot happen, and is a refusal.
        let found = described.routes.find(&request.path);
        let path = found.and_then(|found| described.description.paths.get(found.index));
        let Some(path) = path else {
            return Err(Refusal::UnsupportedPath.into());
        };
        let pattern = path.pattern.as_str();
        let result = match self.native {
            Native::System => system::handle(self, pattern, &request).await,
            Native::Token => token::handle(self, pattern, &request).await,
            Native::Cubbyhole => cubbyhole::handle(self, &request).await,
            Native::Identity => Err(Refusal::UnsupportedPath.into()),
        };
        result.map_err(into_engine)
    }
}

impl NativeCall {
    /// The token of the call. Paths that need none never ask.
    fn token(&self) -> Result<&Token, HandleError> {
        self.token.as_ref().ok_or(HandleError::NoToken)
    }

    fn sudo(&self) -> bool {
        self.outcome.said().sudo
    }

    fn say(&self, say: impl FnOnce(&mut Said)) {
        say(&mut self.outcome.said());
    }

    fn now(&self) -> u64 {
        self.core.clock.now_millis()
    }
}

/// A refusal stays one; all else goes through the engine's joint and is taken up by the pipeline.
fn into_engine(err: HandleError) -> EngineError {
    match err {
        HandleError::Refused { refusal, .. } => EngineError::Refused(refusal),
        HandleError::Invalid(text) => EngineError::invalid(text),
        err => EngineError::Host(Box::new(err)),
    }
}

/// The fields of a request, after coercion.
pub(crate) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn of(request: &'a EngineRequest) -> Self {
        Self(&request.data)
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(Value::as_str)
    }

    /// A text that is there and says something.
    fn said(&self, name: &str) -> Option<&'a str> {
        self.text(name).filter(|text| !text.is_empty())
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).and_then(Value::as_bool)
    }

    fn integer(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(Value::as_i64)
    }

    /// Seconds, where 0 is as good as nothing.
    fn seconds(&self, name: &str) -> Option<u64> {
        self.get(name)
            .and_then(Value::as_u64)
            .filter(|seconds| *seconds > 0)
    }

    fn texts(&self, name: &str) -> Option<Vec<String>> {
        let texts = self.get(name)?.as_array()?;
        Some(
            texts
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        )
    }

    fn object(&self, name: &str) -> Option<&'a Map<String, Value>> {
        self.get(name).and_then(Value::as_object)
    }
}

/// What the pattern captured under `name`.
fn param<'a>(request: &'a EngineRequest, name: &str) -> &'a str {
    let found = request.params.iter().find(|(param, _)| param == name);
    found.map_or("", |(_, value)| value)
}

/// 204.
fn done() -> Result<EngineResponse, HandleError> {
    Ok(EngineResponse::default())
}

/// 200 with `data`.
fn data(data: &Value) -> Result<EngineResponse, HandleError> {
    let data = to_raw_value(data).map_err(HandleError::internal)?;
    Ok(EngineResponse {
        data: Some(data),
        ..EngineResponse::default()
    })
}

/// 200 with a warning, or 204 without.
fn warned(warnings: Vec<String>) -> Result<EngineResponse, HandleError> {
    Ok(EngineResponse {
        warnings,
        ..EngineResponse::default()
    })
}

/// 400 with `text`.
fn invalid<T>(text: impl Into<String>) -> Result<T, HandleError> {
    Err(HandleError::Invalid(text.into()))
}

/// 404 without a word.
fn nothing<T>() -> Result<T, HandleError> {
    Err(Refusal::NotFound.into())
}

/// Whether it is a LIST, or any other operation.
fn lists(request: &EngineRequest) -> bool {
    request.operation == Operation::List
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_native_engine_describes_itself_well() {
        for native in [
            Native::System,
            Native::Token,
            Native::Cubbyhole,
            Native::Identity,
        ] {
            let described = native.described();
            for (index, path) in described.description.paths.iter().enumerate() {
                assert!(!path.operations.is_empty(), "{native:?} {}", path.pattern);
                assert!(!path.help.is_empty(), "{native:?} {}", path.pattern);
                let example = path
                    .pattern
                    .replace("{path...}", "a/b")
                    .replace("{name}", "x1")
                    .replace("{id}", "x1")
                    .replace("{role}", "x1")
                    .replace("{source}", "x1")
                    .replace("{bytes}", "x1")
                    .replace("{algorithm}", "x1");
                let found = described.routes.find(&example).map(|found| found.index);
                assert_eq!(found, Some(index), "{native:?} {example}");
            }
        }
    }
}
