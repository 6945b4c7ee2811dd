//! What bounds a policy, and why by that much.

/// A rule takes about a hundred bytes, so this is room for ten thousand. It bounds what one write stores and parses.
pub(super) const MAX_POLICY_BYTES: usize = 1 << 20;

/// More than anybody writes by hand. It bounds the work of merging them, which each new combination of policies costs.
pub(super) const MAX_RULES: usize = 4096;

/// `=` and `:` in HCL, three for each rule. hcl-edit compares each key of an object with all before it: so many take half a
/// second, the 120,000 that fit into a policy take a minute.
pub(super) const MAX_ASSIGNMENTS: usize = 3 * MAX_RULES;

/// A policy needs six (path, rule, parameters, list, object, list); the bound keeps the reader's recursion shallow. It is
/// for JSON: in HCL, hcl-edit has one of its own, 64.
pub(super) const MAX_DEPTH: usize = 16;

/// A name is stored in each token that has the policy. Longer ones are accidents, such as a text given for a name.
pub(super) const MAX_NAME_BYTES: usize = 256;

/// In a rule's path. Patterns with `+` are kept as a tree of segments, as deep as its walk recurses. No API's path has thirty.
pub(super) const MAX_SEGMENTS: usize = 128;
