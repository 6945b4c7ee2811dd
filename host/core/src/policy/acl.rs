//! The rules of a token's policies, merged and indexed, and the decision.
//!
//! Plain paths are found by hash, prefixes by bisection, patterns with `+` by their segments; none by trying all.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use host_logical::Operation;
use serde_json::{Map, Value};

use super::index::{PrefixMap, WildcardTree};
use super::pattern::{Pattern, Rank, TemplateValues, Wildcard};
use super::rule::Permissions;
use super::{Capabilities, Policy, PolicyName};

/// What a token may do. Made once from its policies; it holds no reference to them.
#[derive(Debug)]
pub(crate) struct Acl(Rules);

#[derive(Debug)]
enum Rules {
    Root,
    Merged(MergedRules),
}

/// What a client wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// What to do.
    pub(crate) operation: Operation,
    /// Where: decoded, without a leading slash. The path of a list ends in a slash; if not, it is taken as if it did.
    pub(crate) path: &'a str,
    /// The top-level fields of the body, or the query's.
    pub(crate) data: Option<&'a Map<String, Value>>,
    /// For how many seconds the client wants the response wrapped, if at all.
    pub(crate) wrap_ttl: Option<Duration>,
}

/// What the policies say to what was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision<'a> {
    /// Whether it may go on.
    pub(crate) allowed: bool,
    /// Whether root-protected paths are open to it, too.
    pub(crate) sudo: bool,
    needed: Capabilities,
    grants: &'a [(PolicyName, Capabilities)],
}

impl<'a> Decision<'a> {
    /// The policies that allowed it, for the audit; none if it is not allowed.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "audit entries come with audit devices")
    )]
    pub(crate) fn granting_policies(&self) -> impl Iterator<Item = &'a PolicyName> + use<'a> {
        let needed = self.needed;
        let grants = if self.allowed { self.grants } else { &[] };
        let granting = grants
            .iter()
            .filter(move |(_, given)| given.contains(needed) || given.contains(Capabilities::ROOT));
        granting.map(|(name, _)| name)
    }
}

/// All that an [`Acl`] says, for clients that want to show only what works.
#[derive(Debug, PartialEq)]
pub(crate) struct Resultant<'a> {
    /// Whether everything is allowed; the rest is empty then.
    pub(crate) root: bool,
    /// Plain paths.
    pub(crate) exact_paths: BTreeMap<&'a str, Capabilities>,
    /// Prefixes and patterns with `+`, without the `*` at their end.
    pub(crate) glob_paths: BTreeMap<&'a str, Capabilities>,
}

static ROOT_GRANTS: [(PolicyName, Capabilities); 1] = [(PolicyName::root(), Capabilities::ROOT)];

impl Acl {
    /// Merges policies. Rules of the same pattern add up, whichever policies they come from.
    ///
    /// Rules with templates are filled in from `values`. What has no value there drops the rule, as in Vault.
    pub(crate) fn new<'p>(
        policies: impl IntoIterator<Item = &'p Policy>,
        values: Option<&dyn TemplateValues>,
    ) -> Self {
        let mut merged: BTreeMap<Pattern, Permissions> = BTreeMap::new();
        for policy in policies {
            for rule in &policy.rules {
                let Some(path) = rule.path.fill(values) else {
                    continue;
                };
                let mut permissions = rule.permissions.clone();
                permissions.grants = vec![(policy.name.clone(), permissions.capabilities)];
                match merged.entry(Pattern::new(&path)) {
                    Entry::Occupied(mut known) => known.get_mut().merge(permissions),
                    Entry::Vacant(free) => {
                        free.insert(permissions);
                    }
                }
            }
        }
        Self(Rules::Merged(MergedRules::new(merged)))
    }

    /// What a token with the policy `root` may do: everything.
    pub(crate) fn root() -> Self {
        Self(Rules::Root)
    }

    /// Whether everything is allowed.
    pub(crate) fn is_root(&self) -> bool {
        matches!(self.0, Rules::Root)
    }

    /// Decides on one request.
    pub(crate) fn check(&self, asked: &Asked<'_>) -> Decision<'_> {
        let needed = Capabilities::needed_for(asked.operation);
        let rules = match &self.0 {
            Rules::Merged(rules) => rules,
            Rules::Root => {
                return Decision {
                    allowed: true,
                    sudo: true,
                    needed,
                    grants: &ROOT_GRANTS,
                };
            }
        };
        let found = match asked.operation {
            Operation::List => rules.find_for_list(&with_slash(asked.path)),
            _ => rules.find(asked.path),
        };
        let Some(permissions) = found else {
            return Decision {
                allowed: false,
                sudo: false,
                needed,
                grants: &[],
            };
        };
        // Query parameters are data, so a read is checked like a write.
        let has_parameters = !matches!(asked.operation, Operation::Delete | Operation::List);
        Decision {
            allowed: permissions.capabilities.contains(needed)
                && permissions.allow_wrapping(asked.wrap_ttl)
                && (!has_parameters || permissions.allow_parameters(asked.data)),
            sudo: permissions.capabilities.contains(Capabilities::SUDO),
            needed,
            grants: &permissions.grants,
        }
    }

    /// What `path` may be used for, parameters and wrapping aside. Where it ends in a slash, a list is meant, as in Vault.
    pub(crate) fn capabilities(&self, path: &str) -> Capabilities {
        match &self.0 {
            Rules::Root => Capabilities::ROOT,
            Rules::Merged(rules) => {
                let found = rules.find_for_list(path.trim_start_matches('/'));
                found.map_or(Capabilities::NONE, |permissions| permissions.capabilities)
            }
        }
    }

    /// Whether anything is allowed at or below a mount, so that a token may know of it.
    pub(crate) fn touches_below(&self, mount_prefix: &str) -> bool {
        let mount = with_slash(mount_prefix.trim_start_matches('/'));
        match &self.0 {
            Rules::Root => true,
            Rules::Merged(rules) => {
                self.capabilities(&mount).is_granting() || rules.grant_below(&mount)
            }
        }
    }

    /// Everything it says.
    pub(crate) fn resultant(&self) -> Resultant<'_> {
        let mut resultant = Resultant {
            root: self.is_root(),
            exact_paths: BTreeMap::new(),
            glob_paths: BTreeMap::new(),
        };
        if let Rules::Merged(rules) = &self.0 {
            let exact = rules.exact.iter();
            resultant.exact_paths = exact
                .map(|(path, rule)| (path.as_str(), rule.capabilities))
                .collect();
            let prefixes = rules.prefixes.iter();
            let wildcards = rules.wildcards.iter();
            resultant.glob_paths = prefixes
                .map(|(prefix, rule)| (prefix, rule.capabilities))
                .chain(wildcards.map(|(pattern, rule)| (pattern.text(), rule.capabilities)))
                .collect();
        }
        resultant
    }
}

fn with_slash(path: &str) -> Cow<'_, str> {
    if path.ends_with('/') {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(format!("{path}/"))
    }
}

#[derive(Debug, Default)]
struct MergedRules {
    exact: HashMap<String, Permissions>,
    prefixes: PrefixMap<Permissions>,
    wildcards: Vec<(Wildcard, Permissions)>,
    /// Finds wildcards, by their index.
    wildcard_tree: WildcardTree,
}

impl MergedRules {
    /// Takes the patterns in their order, which the indexes need.
    fn new(merged: BTreeMap<Pattern, Permissions>) -> Self {
        let mut rules = Self::default();
        for (pattern, permissions) in merged {
            match pattern {
                Pattern::Exact(path) => {
                    rules.exact.insert(path, permissions);
                }
                Pattern::Prefix(prefix) => rules.prefixes.push(prefix, permissions),
                Pattern::Wildcard(wildcard) => {
                    rules.wildcard_tree.push(&wildcard, rules.wildcards.len());
                    rules.wildcards.push((wildcard, permissions));
                }
            }
        }
        rules
    }

    /// The one rule that decides on `path`.
    fn find(&self, path: &str) -> Option<&Permissions> {
        match self.exact.get(path) {
            Some(exact) => Some(exact),
            None => self.best(path).map(|best| best.permissions),
        }
    }

    /// The one rule that decides on listing `path`, which ends in a slash. People write the rule with and without it.
    ///
    /// With the slash goes first, otherwise a deny on `a/b/*` would be passed over for an allow on `a/*` when `a/b/` is
    /// listed (GHSA-xp3c). A deny that matches only without the slash and is the more specific one still wins:
    /// `a/+` denied is denied, whatever `a/*` says.
    fn find_for_list(&self, path: &str) -> Option<&Permissions> {
        let Some(trimmed) = path.strip_suffix('/') else {
            return self.find(path);
        };
        if let Some(exact) = self.exact.get(path).or_else(|| self.exact.get(trimmed)) {
            return Some(exact);
        }
        let deciding = match (self.best(path), self.best(trimmed)) {
            (Some(full), Some(short)) if short.permissions.denies() && short.rank > full.rank => {
                Some(short)
            }
            (full, short) => full.or(short),
        };
        deciding.map(|candidate| candidate.permissions)
    }

    /// Of the patterns that match, the one that ranks highest.
    fn best(&self, path: &str) -> Option<Candidate<'_>> {
        let prefix = self.prefixes.longest(path);
        let mut best = prefix.map(|(prefix, permissions)| Candidate {
            rank: Rank::of_prefix(prefix),
            permissions,
        });
        self.wildcard_tree.find(path, &mut |index| {
            let (wildcard, permissions) = &self.wildcards[index];
            let rank = wildcard.rank();
            if best.as_ref().is_none_or(|best| best.rank < rank) {
                best = Some(Candidate { rank, permissions });
            }
        });
        best
    }

    /// Whether a rule grants anything at a path below `mount`. Rules that stronger ones hide everywhere count, too.
    fn grant_below(&self, mount: &str) -> bool {
        let grants = |rule: &Permissions| rule.capabilities.is_granting();
        let covering = self.prefixes.longest(mount);
        covering.is_some_and(|(_, rule)| grants(rule))
            || self
                .exact
                .iter()
                .any(|(path, rule)| path.starts_with(mount) && grants(rule))
            || self
                .prefixes
                .iter()
                .any(|(prefix, rule)| prefix.starts_with(mount) && grants(rule))
            || self
                .wildcards
                .iter()
                .any(|(pattern, rule)| pattern.reaches_below(mount) && grants(rule))
    }
}

struct Candidate<'a> {
    rank: Rank<'a>,
    permissions: &'a Permissions,
}
