//! Capabilities: what a rule lets its path be used for.

use std::fmt;
use std::ops::BitOr;

use host_logical::Operation;

/// A set of capabilities.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Capabilities(u16);

impl Capabilities {
    /// None at all, which is what a path without a rule has.
    pub(crate) const NONE: Self = Self(0);
    /// Writing where nothing was.
    pub(crate) const CREATE: Self = Self(1);
    /// Reading.
    pub(crate) const READ: Self = Self(1 << 1);
    /// Writing otherwise.
    pub(crate) const UPDATE: Self = Self(1 << 2);
    /// Changing parts.
    pub(crate) const PATCH: Self = Self(1 << 3);
    /// Deleting.
    pub(crate) const DELETE: Self = Self(1 << 4);
    /// Listing the names below.
    pub(crate) const LIST: Self = Self(1 << 5);
    /// Needed beside the others on root-protected paths.
    pub(crate) const SUDO: Self = Self(1 << 6);
    /// Nothing is allowed, whatever else is said of the same pattern.
    pub(crate) const DENY: Self = Self(1 << 7);
    /// OpenBao's recursive list. Read and reported; no operation here asks for it.
    pub(crate) const SCAN: Self = Self(1 << 8);
    /// Vault's event subscription. Read and reported; no operation here asks for it.
    pub(crate) const SUBSCRIBE: Self = Self(1 << 9);
    /// What the policy `root` has, on every path. No text can grant it.
    pub(crate) const ROOT: Self = Self(1 << 10);

    /// The words that a policy may say, in the alphabetical order in which they are reported.
    const WORDS: [(&'static str, Self); 10] = [
        ("create", Self::CREATE),
        ("delete", Self::DELETE),
        ("deny", Self::DENY),
        ("list", Self::LIST),
        ("patch", Self::PATCH),
        ("read", Self::READ),
        ("scan", Self::SCAN),
        ("subscribe", Self::SUBSCRIBE),
        ("sudo", Self::SUDO),
        ("update", Self::UPDATE),
    ];

    /// The capability that `word` names in a policy.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        let (_, capability) = Self::WORDS.iter().find(|(name, _)| *name == word)?;
        Some(*capability)
    }

    /// The capability that an operation needs.
    pub(super) fn needed_for(operation: Operation) -> Self {
        match operation {
            Operation::Create => Self::CREATE,
            Operation::Read | Operation::Head => Self::READ,
            Operation::Update => Self::UPDATE,
            Operation::Patch => Self::PATCH,
            Operation::Delete => Self::DELETE,
            Operation::List => Self::LIST,
        }
    }

    /// Whether all of `other` is in it.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it allows anything.
    pub(crate) fn is_granting(self) -> bool {
        self != Self::NONE && !self.contains(Self::DENY)
    }

    /// The words for it, in alphabetical order: `root` alone, or `deny` alone where nothing is allowed.
    pub(crate) fn names(self) -> Vec<&'static str> {
        if self.contains(Self::ROOT) {
            return vec!["root"];
        }
        if !self.is_granting() {
            return vec!["deny"];
        }
        let held = Self::WORDS.iter().filter(|(_, one)| self.contains(*one));
        held.map(|(name, _)| *name).collect()
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join("+"))
    }
}
