//! What bounds a policy, and why by that much.

/// A rule takes about a hundred bytes, so this is room for ten thousand. It bounds what one write stores and parses.
pub(super) const MAX_POLICY_BYTES: usize = 1 << 20;

/// More than anybody writes by hand. It bounds the work of merging them, which each new combination of policies costs.
pub(super) const MAX_RULES: usize = 4096;

/// A policy needs six (path, rule, parameters, list, object, list); the bound keeps the reader's recursion shallow.
pub(super) const MAX_DEPTH: usize = 16;

/// A name is stored in each token that has the policy. Longer ones are accidents, such as a text given for a name.
pub(super) const MAX_NAME_BYTES: usize = 256;

/// In a rule's path. Patterns with `+` are kept as a tree of segments, as deep as its walk recurses. No API's path has thirty.
pub(super) const MAX_SEGMENTS: usize = 128;
