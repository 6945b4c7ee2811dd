//! Finding the rules that match a path without trying them all.

use std::collections::HashMap;

use super::pattern::{Wildcard, next_segment};

/// Values by prefix, sorted.
///
/// The longest prefix of a path is found by bisection. Each prefix knows the longest other one that it starts with, and
/// among those that the path starts with the longest is the last one sorted at or before the path, or one of that one's
/// ancestors.
#[derive(Debug)]
pub(super) struct PrefixMap<T>(Vec<Entry<T>>);

#[derive(Debug)]
struct Entry<T> {
    prefix: String,
    /// The index of the longest other prefix that this one starts with.
    parent: Option<usize>,
    value: T,
}

impl<T> PrefixMap<T> {
    /// Adds a prefix that sorts after all others.
    pub(super) fn push(&mut self, prefix: String, value: T) {
        let mut parent = self.0.len().checked_sub(1);
        while let Some(index) = parent
            && !prefix.starts_with(&self.0[index].prefix)
        {
            parent = self.0[index].parent;
        }
        self.0.push(Entry {
            prefix,
            parent,
            value,
        });
    }

    /// The longest prefix that `path` starts with.
    pub(super) fn longest(&self, path: &str) -> Option<(&str, &T)> {
        let not_after = self
            .0
            .partition_point(|entry| entry.prefix.as_str() <= path);
        let mut candidate = not_after.checked_sub(1);
        while let Some(index) = candidate {
            let entry = &self.0[index];
            if path.starts_with(&entry.prefix) {
                return Some((&entry.prefix, &entry.value));
            }
            candidate = entry.parent;
        }
        None
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        let entries = self.0.iter();
        entries.map(|entry| (entry.prefix.as_str(), &entry.value))
    }
}

impl<T> Default for PrefixMap<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Patterns with `+` by their segments. A path walks down along its own segments and along the pluses beside them.
#[derive(Debug, Default)]
pub(super) struct WildcardTree {
    literal: HashMap<String, WildcardTree>,
    plus: Option<Box<WildcardTree>>,
    /// The pattern that ends here.
    closed: Option<usize>,
    /// The patterns that end here in a `*`, by what is before it in their last segment.
    open: PrefixMap<usize>,
}

impl WildcardTree {
    /// Adds a pattern that sorts after all others, and the number to know it by.
    pub(super) fn push(&mut self, pattern: &Wildcard, number: usize) {
        let mut node = self;
        let mut segments = pattern.text().split('/').peekable();
        while let Some(segment) = segments.next() {
            if pattern.is_open() && segments.peek().is_none() {
                node.open.push(segment.to_owned(), number);
                return;
            }
            node = match segment {
                "+" => node.plus.get_or_insert_default(),
                literal => node.literal.entry(literal.to_owned()).or_default(),
            };
        }
        node.closed = Some(number);
    }

    /// Tells the numbers of the patterns that match, except those that others of the same segments outrank.
    ///
    /// A `+` matches one segment that is not empty, or the empty one at the end of a path that is listed: people rely on
    /// `auth/+/role/+` to list roles, since Vault reads it so.
    pub(super) fn find(&self, path: &str, found: &mut impl FnMut(usize)) {
        self.walk(Some(path), found);
    }

    fn walk(&self, rest: Option<&str>, found: &mut impl FnMut(usize)) {
        let Some(rest) = rest else {
            self.closed.into_iter().for_each(found);
            return;
        };
        if let Some((_, number)) = self.open.longest(rest) {
            found(*number);
        }
        let (segment, after) = next_segment(rest);
        if let Some(node) = self.literal.get(segment) {
            node.walk(after, found);
        }
        if let Some(node) = &self.plus
            && (!segment.is_empty() || after.is_none())
        {
            node.walk(after, found);
        }
    }
}
