//! Tokens: who a client is, what it may do and until when.
//!
//! Invariants
//! - No token is stored and none is compared: a record is found by a keyed hash of its token.
//! - A token's uses are spent in a commit of their own before the call it serves, whatever the
//!   call comes to.
//! - A token whose time has come is refused from that moment, whether or not its record is gone.
//! - Revoking a token ends it and all its descendants in one commit, which nobody can delay. Their
//!   records go after that, children first; a crash in between leaves no child without the
//!   ancestor from which it would be reached.

mod store;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::policy::PolicyName;
use crate::response::{Auth, TokenType};
use crate::ttl::{self, Bounds};

pub(crate) use store::{NewToken, TokenStore, cubbyhole_prefix};

/// What a token looks like from outside: `hvs.` and this many characters. The length of the
/// one-time password that shows a new root token follows from it (contract `10` section 2).
pub(crate) const TOKEN_PREFIX: &str = "hvs.";
pub(crate) const TOKEN_CHARACTERS: usize = 24;

/// The name under which a token's record is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct TokenHash(String);

impl TokenHash {
    /// The hash of which `name` is the text.
    pub(crate) fn from_name(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The hash as text, fit for a storage key.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A token as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TokenRecord {
    /// Names the token without being it.
    pub(crate) accessor: String,
    /// Its own policies, sorted, each once, `default` included where it applies.
    pub(crate) policies: Vec<String>,
    /// Where it was made, such as `auth/token/create`.
    pub(crate) path: String,
    /// Such as `token-ci`.
    pub(crate) display_name: String,
    /// From whoever made it.
    pub(crate) meta: Option<BTreeMap<String, String>>,
    /// Uses left; 0 is without limit, -1 is spent.
    pub(crate) num_uses: i64,
    /// When it was made.
    pub(crate) issued_millis: u64,
    /// When it ends; none never.
    pub(crate) expires_millis: Option<u64>,
    /// Seconds granted when it was made.
    pub(crate) creation_ttl: u64,
    /// Seconds from the issue; 0 is none.
    pub(crate) explicit_max_ttl: u64,
    /// Seconds; 0 is none.
    pub(crate) period: u64,
    /// Whether it may be renewed.
    pub(crate) renewable: bool,
    /// Who made it, unless it is an orphan.
    pub(crate) parent: Option<TokenHash>,
    /// When it was last renewed.
    pub(crate) last_renewal_millis: Option<u64>,
    /// The role after which it was made.
    #[serde(default)]
    pub(crate) role: Option<String>,
    /// Where it may be used from; none is anywhere.
    #[serde(default)]
    pub(crate) bound_cidrs: Vec<String>,
    /// When the host looks after it by itself: its entry in the index of `expiry.rs`.
    #[serde(default)]
    pub(crate) due_millis: Option<u64>,
}

/// A token in use.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) hash: TokenHash,
    pub(crate) record: TokenRecord,
}

impl TokenRecord {
    /// Whether it may do anything.
    pub(crate) fn is_root(&self) -> bool {
        self.policies
            .iter()
            .any(|policy| policy == PolicyName::ROOT)
    }

    /// Whether its time has come.
    pub(crate) fn is_expired(&self, now_millis: u64) -> bool {
        self.expires_millis.is_some_and(|end| end <= now_millis)
    }

    /// Whether its last use is spent.
    pub(crate) fn is_spent(&self) -> bool {
        self.num_uses < 0
    }

    /// Seconds left; 0 for one that never ends.
    pub(crate) fn ttl(&self, now_millis: u64) -> u64 {
        self.expires_millis
            .map_or(0, |end| ttl::seconds_left(end, now_millis))
    }

    /// What bounds its renewal on a mount with these TTLs.
    pub(crate) fn bounds(&self, (default, max): (u64, u64)) -> Bounds {
        Bounds {
            default,
            max,
            explicit_max: self.explicit_max_ttl,
            period: self.period,
        }
    }

    /// As the answer to its making or renewal shows it.
    pub(crate) fn auth(&self, client_token: Zeroizing<String>, now_millis: u64) -> Auth {
        Auth {
            client_token,
            accessor: self.accessor.clone(),
            policies: self.policies.clone(),
            token_policies: self.policies.clone(),
            identity_policies: Vec::new(),
            metadata: self.meta.clone(),
            lease_duration: self.ttl(now_millis),
            renewable: self.renewable,
            entity_id: String::new(),
            token_type: TokenType::Service,
            orphan: self.parent.is_none(),
            num_uses: u32::try_from(self.num_uses).unwrap_or(0),
        }
    }
}
