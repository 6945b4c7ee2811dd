//! The decision: may this token do this here? Its only product is [`Authorized`].

use std::time::Duration;

use serde_json::{Map, Value};

use host_logical::Operation;

use crate::error::HandleError;
use crate::policy::{Acl, Asked};

/// Proof that a request may reach its engine. Made here only; it cannot be copied.
pub(crate) struct Authorized {
    sudo: bool,
}

impl Authorized {
    /// Whether the token holds `sudo` on the path: some fields ask for it.
    pub(crate) fn sudo(&self) -> bool {
        self.sudo
    }

    /// For a path that its engine declares open to everybody.
    pub(crate) fn unauthenticated() -> Self {
        Self { sudo: false }
    }
}

/// What is asked of a path.
pub(crate) struct Question<'a> {
    /// The whole path, without `/v1/`; that of a LIST ends in `/`.
    pub(crate) path: &'a str,
    /// What was sent, as it was sent.
    pub(crate) data: &'a Map<String, Value>,
    /// Wrapping asked for.
    pub(crate) wrap_ttl: Option<u64>,
    /// Whether the path is protected beyond its capability.
    pub(crate) needs_sudo: bool,
}

impl Question<'_> {
    /// Whether `acl` allows `operation`, without saying so to anybody yet.
    pub(crate) fn allowed(&self, acl: &Acl, operation: Operation) -> Option<Authorized> {
        let decision = acl.check(&Asked {
            operation,
            path: self.path,
            data: (!self.data.is_empty()).then_some(self.data),
            wrap_ttl: self.wrap_ttl.map(Duration::from_secs),
        });
        (decision.allowed && (decision.sudo || !self.needs_sudo)).then_some(Authorized {
            sudo: decision.sudo,
        })
    }

    /// The decision.
    pub(crate) fn decide(
        &self,
        acl: &Acl,
        operation: Operation,
    ) -> Result<Authorized, HandleError> {
        self.allowed(acl, operation).ok_or(HandleError::Denied)
    }
}
