//! Policies: text to rules to decision.
//!
//! [`Policy::parse`] reads a text once, [`Acl::new`] merges the policies of one token, and [`Acl::check`] says whether
//! a request may go on. The language is Vault's, in HCL and in JSON.
//!
//! Invariants
//! - What no rule matches is refused. Otherwise exactly one rule decides: rules of different patterns never add up.
//! - A policy's name exists in normal form only, so a name that is spelled otherwise cannot slip past a comparison.
//! - A restriction that this server cannot enforce is never ignored: its rule grants nothing, and [`Policy::warnings`]
//!   says so to whoever writes it.
//! - What a template fills in holds no character that a pattern or a path gives a meaning to.

mod acl;
mod capabilities;
#[cfg(test)]
mod fuzz;
mod hcl;
mod index;
mod layout;
mod limits;
mod parse;
mod pattern;
mod rule;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

pub(crate) use acl::{Acl, Asked};
pub(crate) use capabilities::Capabilities;

use limits::{MAX_NAME_BYTES, MAX_POLICY_BYTES, MAX_RULES, MAX_SEGMENTS};
use rule::Rule;

use crate::duration::DurationError;

/// What the policy `default` says until an operator edits it: what every token may do for itself.
pub(crate) const DEFAULT_POLICY_TEXT: &str = r#"# A token may look at itself, renew itself and end itself.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}

# It may ask what it is allowed to do.
path "sys/capabilities-self" {
  capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
  capabilities = ["read"]
}

# It may read the entity that it belongs to.
path "identity/entity/id/{{identity.entity.id}}" {
  capabilities = ["read"]
}
path "identity/entity/name/{{identity.entity.name}}" {
  capabilities = ["read"]
}

# It may look up and renew a lease whose id it knows. The second path is the older name of the first.
path "sys/leases/renew" {
  capabilities = ["update"]
}
path "sys/renew" {
  capabilities = ["update"]
}
path "sys/leases/lookup" {
  capabilities = ["update"]
}

# It has a cubbyhole, which no other token can see.
path "cubbyhole/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

# It may wrap values of its own, and look up or open what was wrapped for it.
path "sys/wrapping/wrap" {
  capabilities = ["update"]
}
path "sys/wrapping/lookup" {
  capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}

# It may have data hashed.
path "sys/tools/hash" {
  capabilities = ["update"]
}
path "sys/tools/hash/*" {
  capabilities = ["update"]
}

# It may ask whether a request waits for an approval.
path "sys/control-group/request" {
  capabilities = ["update"]
}

# It may log in to applications that use this server as their OpenID provider.
path "identity/oidc/provider/+/authorize" {
  capabilities = ["read", "update"]
}
"#;

/// What the policy `response-wrapping` says: the one policy of a wrapping token, given to no other.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "wrapping tokens come with wrapping")
)]
pub(crate) const RESPONSE_WRAPPING_POLICY_TEXT: &str = r#"path "cubbyhole/response" {
  capabilities = ["create", "read"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}
"#;

/// What a policy is called, such as `default` or `team/app`.
///
/// Invariant: in normal form, that is lower-case and without blanks around; letters, digits, inner blanks and visible
/// ASCII but no comma (lists of policies are split there); no empty, `.` or `..` segment. Names that only look like
/// another one, by an invisible or a full-width character, are refused or stay different: what equals `root` is `root`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PolicyName(Cow<'static, str>);

impl PolicyName {
    /// Everything is allowed. It has no text, and a token that has it has no other.
    pub(crate) const ROOT: &'static str = "root";
    /// What each token gets unless it asks not to.
    pub(crate) const DEFAULT: &'static str = "default";
    /// What a wrapping token has; not assignable.
    pub(crate) const RESPONSE_WRAPPING: &'static str = "response-wrapping";

    /// Brings `raw` into normal form, or says why it is no name.
    pub(crate) fn parse(raw: &str) -> Result<Self, PolicyNameError> {
        if raw.len() > MAX_NAME_BYTES {
            return Err(PolicyNameError::TooLong);
        }
        let name = raw.trim().to_lowercase();
        if name.is_empty() {
            return Err(PolicyNameError::Empty);
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(PolicyNameError::TooLong);
        }
        let is_allowed =
            |c: char| c.is_alphanumeric() || (c.is_ascii_graphic() && c != ',') || c == ' ';
        if !name.chars().all(is_allowed) {
            return Err(PolicyNameError::Character);
        }
        if name.split('/').any(|s| matches!(s, "" | "." | "..")) {
            return Err(PolicyNameError::Segment);
        }
        Ok(Self(Cow::Owned(name)))
    }

    /// The name [`ROOT`](Self::ROOT), whose decisions the audit shows.
    const fn root() -> Self {
        Self(Cow::Borrowed(Self::ROOT))
    }

    /// The name's text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a [`PolicyName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PolicyNameError {
    /// Nothing is left without the blanks.
    #[error("policy name is empty")]
    Empty,
    /// Longer than a name may be.
    #[error("policy name is longer than {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// A comma, a control character, or one that cannot be seen.
    #[error("policy name holds a character that is not allowed")]
    Character,
    /// `a//b`, `../a` and the like.
    #[error("policy name has an empty, \".\" or \"..\" segment")]
    Segment,
}

/// The rules of one policy, parsed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    name: PolicyName,
    rules: Vec<Rule>,
}

impl Policy {
    /// Reads `text`, which is JSON if it starts with `{` and HCL otherwise.
    pub(crate) fn parse(name: &PolicyName, text: &str) -> Result<Self, PolicyError> {
        Ok(Self {
            name: name.clone(),
            rules: parse::rules(text)?,
        })
    }

    /// Whether a rule depends on who asks, so that an [`Acl`] made from it serves one entity only.
    #[cfg_attr(not(test), expect(dead_code, reason = "entities come with identity"))]
    pub(crate) fn is_templated(&self) -> bool {
        self.rules.iter().any(|rule| rule.path.is_templated())
    }

    /// What its author should know: the rules that grant nothing because this server cannot enforce what they demand.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for rule in &self.rules {
            let path = rule.path.to_string();
            for key in &rule.unenforceable {
                warnings.push(format!(
                    "path {path:?}: {key} cannot be enforced by this server, so the rule grants nothing"
                ));
            }
        }
        warnings
    }
}

/// Why a text is not a policy. Displayed after `failed to parse policy: `, in the words that clients know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PolicyError {
    /// Neither HCL nor JSON.
    #[error("At {line}:{column}: {problem}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
        /// What was found there.
        problem: String,
    },
    /// The text is too long.
    #[error("policy is larger than {MAX_POLICY_BYTES} bytes")]
    TooLarge,
    /// It has too many rules.
    #[error("policy has more than {MAX_RULES} rules")]
    TooManyRules,
    /// Keys that mean nothing, all of one block.
    #[error("{}", list_of_errors(.0))]
    UnknownKeys(Vec<UnknownKey>),
    /// `capabilities` has a word that is none.
    #[error("path {path:?}: invalid capability {word:?}")]
    Capability {
        /// The rule's path as written.
        path: String,
        /// The word.
        word: String,
    },
    /// `policy` has a word that is none of the four.
    #[error("path {path:?}: invalid policy {word:?}")]
    OldPolicy {
        /// The rule's path as written.
        path: String,
        /// The word.
        word: String,
    },
    /// `+*` in a path.
    #[error("path {path:?}: invalid use of wildcards ('+*' is forbidden)")]
    Wildcards {
        /// The rule's path as written.
        path: String,
    },
    /// More segments than a path may have.
    #[error("path {path:?}: more than {MAX_SEGMENTS} segments")]
    Segments {
        /// The rule's path as written.
        path: String,
    },
    /// `{{` without `}}`, or the other way round.
    #[error("failed to validate policy templating: unbalanced templating characters")]
    Template,
    /// No wrapping TTL could satisfy the rule.
    #[error("max_wrapping_ttl cannot be less than min_wrapping_ttl")]
    WrappingRange,
    /// A wrapping TTL that is not a duration.
    #[error("error parsing {key}: {problem}")]
    Duration {
        /// The key whose value it is.
        key: &'static str,
        /// What is wrong with it.
        problem: DurationError,
    },
    /// `path` is not followed by what it takes.
    #[error("path must have one string and a block")]
    PathShape,
    /// A key has a value of another kind than it takes.
    #[error("path {path:?}: {key} must be {expected}")]
    Kind {
        /// The rule's path as written.
        path: String,
        /// The key, or `value` for what stands where the block should.
        key: &'static str,
        /// What it takes.
        expected: &'static str,
    },
}

/// One key that means nothing where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnknownKey {
    path: Option<String>,
    key: String,
    line: usize,
}

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "path {path:?}: ")?;
        }
        write!(f, "invalid key {:?} on line {}", self.key, self.line)
    }
}

/// The shape in which Vault lists errors, which its clients show as it is.
fn list_of_errors(errors: &[UnknownKey]) -> String {
    let head = match errors.len() {
        1 => "1 error".to_owned(),
        count => format!("{count} errors"),
    };
    let lines: String = errors
        .iter()
        .map(|error| format!("\t* {error}\n"))
        .collect();
    format!("{head} occurred:\n{lines}\n")
}
