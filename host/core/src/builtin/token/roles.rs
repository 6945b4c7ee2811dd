//! Roles of the token method: what a token that is made after one may be, and must be.
//!
//! A role is written by whoever may write `auth/token/roles/:name`, and lets others make tokens that they could not
//! make themselves: an orphan, a periodic one, one with policies that they lack; but for `root`, which only root gives.

use serde::{Deserialize, Serialize};
use serde_json::json;

use host_barrier::Transaction;
use host_logical::{EngineRequest, EngineResponse, FieldType, Operation, PathDescription};

use super::super::describe::{Describe, path};
use super::super::{Fields, NativeCall, data, done, invalid, lists, nothing, param};
use crate::cidr;
use crate::error::HandleError;
use crate::policy::PolicyName;
use crate::storage::{self, from_view, parse_json, to_json};

const RECORDS: &str = "token/role/";

/// A role as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Role {
    allowed_policies: Vec<String>,
    disallowed_policies: Vec<String>,
    allowed_policies_glob: Vec<String>,
    disallowed_policies_glob: Vec<String>,
    allowed_entity_aliases: Vec<String>,
    /// Whether its tokens have no parent.
    pub(super) orphan: bool,
    pub(super) renewable: bool,
    /// Stands behind the path in which its tokens were made: a prefix by which they may be found.
    pub(super) path_suffix: String,
    /// Seconds; 0 is none.
    pub(super) period: u64,
    /// Seconds; 0 is none.
    pub(super) explicit_max_ttl: u64,
    /// 0 is without limit.
    pub(super) num_uses: i64,
    /// As it was written: all of them make service tokens.
    token_type: String,
    pub(super) bound_cidrs: Vec<String>,
    pub(super) no_default_policy: bool,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            allowed_policies: Vec::new(),
            disallowed_policies: Vec::new(),
            allowed_policies_glob: Vec::new(),
            disallowed_policies_glob: Vec::new(),
            allowed_entity_aliases: Vec::new(),
            orphan: false,
            renewable: true,
            path_suffix: String::new(),
            period: 0,
            explicit_max_ttl: 0,
            num_uses: 0,
            token_type: "default-service".to_owned(),
            bound_cidrs: Vec::new(),
            no_default_policy: false,
        }
    }
}

pub(super) fn paths() -> Vec<PathDescription> {
    use FieldType::{Boolean, CommaList, Integer, Seconds, Text};
    use Operation::{Delete, List, Read, Update};
    let one = path(
        "roles/{name}",
        "A role for tokens.",
        &[Read, Update, Delete],
    )
    .field(
        "allowed_policies",
        CommaList,
        "Policies that its tokens may have; those they get if none are asked for.",
    )
    .field(
        "disallowed_policies",
        CommaList,
        "Policies that its tokens never have.",
    )
    .field(
        "allowed_policies_glob",
        CommaList,
        "The same, with * for any text.",
    )
    .field(
        "disallowed_policies_glob",
        CommaList,
        "The same, with * for any text.",
    )
    .field(
        "allowed_entity_aliases",
        CommaList,
        "Entity aliases that its tokens may be made for.",
    )
    .field("orphan", Boolean, "Whether its tokens have no parent.")
    .field("renewable", Boolean, "Whether its tokens may be renewed.")
    .field("path_suffix", Text, "Stands behind the path of its tokens.")
    .field("token_period", Seconds, "Makes its tokens periodic.")
    .field(
        "token_explicit_max_ttl",
        Seconds,
        "The end that no renewal moves.",
    )
    .field(
        "token_num_uses",
        Integer,
        "Uses until a token ends; 0 is without limit.",
    )
    .field("token_type", Text, "service, default-service or default.")
    .field(
        "token_bound_cidrs",
        CommaList,
        "Networks from which its tokens may be used.",
    )
    .field(
        "token_no_default_policy",
        Boolean,
        "Leaves the policy default out.",
    )
    .field("period", Seconds, "Old name of token_period.")
    .field(
        "explicit_max_ttl",
        Seconds,
        "Old name of token_explicit_max_ttl.",
    )
    .field("bound_cidrs", CommaList, "Old name of token_bound_cidrs.");
    vec![path("roles", "The names of all roles.", &[List]), one]
}

pub(super) fn serves(pattern: &str) -> bool {
    pattern.starts_with("roles")
}

pub(super) async fn handle(
    call: &NativeCall,
    request: &EngineRequest,
) -> Result<EngineResponse, HandleError> {
    let system = storage::system(&call.txn).await?;
    let name = param(request, "name").to_lowercase();
    if lists(request) || name.is_empty() {
        let keys = storage::list_all(&system, RECORDS).await?;
        let names = keys
            .iter()
            .map(|key| decoded(key))
            .collect::<Result<Vec<_>, _>>()?;
        return data(&json!({ "keys": names }));
    }
    match request.operation {
        Operation::Read => match read(&call.txn, &name).await? {
            Some(role) => data(&shown(&name, &role)),
            None => nothing(),
        },
        Operation::Delete => {
            system.delete(&key(&name)).await.map_err(from_view)?;
            done()
        }
        _ => {
            let role = read(&call.txn, &name).await?.unwrap_or_default();
            let role = changed(role, &Fields::of(request))?;
            let put = system.put(&key(&name), &to_json(&role)?).await;
            put.map_err(from_view)?;
            done()
        }
    }
}

/// The role of this name, if there is one.
pub(super) async fn read(txn: &Transaction, name: &str) -> Result<Option<Role>, HandleError> {
    let system = storage::system(txn).await?;
    let stored = system
        .get(&key(&name.to_lowercase()))
        .await
        .map_err(from_view)?;
    stored.map(|stored| parse_json(&stored)).transpose()
}

/// Names may hold slashes and dots. Hex sorts as the names do.
fn key(name: &str) -> String {
    format!("{RECORDS}{}", hex::encode(name))
}

fn decoded(key: &str) -> Result<String, HandleError> {
    let name = hex::decode(key).map_err(HandleError::internal)?;
    String::from_utf8(name).map_err(HandleError::internal)
}

/// What was sent, over what was there.
fn changed(mut role: Role, fields: &Fields<'_>) -> Result<Role, HandleError> {
    for (name, list) in [
        ("allowed_policies", &mut role.allowed_policies),
        ("disallowed_policies", &mut role.disallowed_policies),
        ("allowed_policies_glob", &mut role.allowed_policies_glob),
        (
            "disallowed_policies_glob",
            &mut role.disallowed_policies_glob,
        ),
        ("allowed_entity_aliases", &mut role.allowed_entity_aliases),
    ] {
        if let Some(sent) = fields.texts(name) {
            *list = sent
                .iter()
                .map(|text| text.trim().to_lowercase())
                .filter(|text| !text.is_empty())
                .collect();
            list.sort();
            list.dedup();
        }
    }
    let seconds = |new: &str, old: &str| {
        let sent = fields.get(new).or(fields.get(old));
        sent.and_then(serde_json::Value::as_u64)
    };
    role.orphan = fields.flag("orphan").unwrap_or(role.orphan);
    role.renewable = fields.flag("renewable").unwrap_or(role.renewable);
    let no_default = fields.flag("token_no_default_policy");
    role.no_default_policy = no_default.unwrap_or(role.no_default_policy);
    role.period = seconds("token_period", "period").unwrap_or(role.period);
    role.explicit_max_ttl =
        seconds("token_explicit_max_ttl", "explicit_max_ttl").unwrap_or(role.explicit_max_ttl);
    role.num_uses = fields.integer("token_num_uses").unwrap_or(role.num_uses);
    if role.num_uses < 0 {
        return invalid("'token_num_uses' cannot be negative");
    }
    if let Some(suffix) = fields.text("path_suffix") {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if !suffix.chars().all(plain) || suffix.contains("..") {
            return invalid(
                "given role path suffix contains invalid characters; it has letters, digits, and - _ . alone",
            );
        }
        role.path_suffix = suffix.to_owned();
    }
    let networks = fields.texts("token_bound_cidrs");
    if let Some(networks) = networks.or_else(|| fields.texts("bound_cidrs")) {
        role.bound_cidrs = cidr::parse_all(&networks)?;
    }
    match fields.said("token_type") {
        None => {}
        Some(known @ ("default" | "service" | "default-service")) => {
            // As Vault: what is no choice of its own is the method's.
            role.token_type = if known == "service" {
                "service"
            } else {
                "default-service"
            }
            .into();
        }
        Some("batch" | "default-batch") => {
            return invalid(
                "batch tokens are not offered by this server yet: leave token_type out, or say \"service\"",
            );
        }
        Some(unknown) => return invalid(format!("invalid 'token_type' value {unknown:?}")),
    }
    Ok(role)
}

fn shown(name: &str, role: &Role) -> serde_json::Value {
    json!({
        "name": name,
        "orphan": role.orphan,
        "renewable": role.renewable,
        "path_suffix": role.path_suffix,
        "allowed_policies": role.allowed_policies,
        "disallowed_policies": role.disallowed_policies,
        "allowed_policies_glob": role.allowed_policies_glob,
        "disallowed_policies_glob": role.disallowed_policies_glob,
        "allowed_entity_aliases": role.allowed_entity_aliases,
        "period": role.period,
        "token_period": role.period,
        "explicit_max_ttl": role.explicit_max_ttl,
        "token_explicit_max_ttl": role.explicit_max_ttl,
        "token_num_uses": role.num_uses,
        "token_type": role.token_type,
        "token_bound_cidrs": role.bound_cidrs,
        "token_no_default_policy": role.no_default_policy,
    })
}

impl Role {
    /// The policies of a new token, of which `asked` were asked for, and `parents` are those of whoever asks.
    pub(super) fn policies(
        &self,
        asked: Vec<String>,
        parents: &[String],
        with_default: bool,
    ) -> Result<Vec<String>, HandleError> {
        let default = PolicyName::DEFAULT;
        let adds_default = with_default
            && !self.no_default_policy
            && !is_among(
                default,
                &self.disallowed_policies,
                &self.disallowed_policies_glob,
            );
        let sanitized = |mut policies: Vec<String>| {
            // Beside `root` no other means anything.
            if policies.iter().any(|policy| policy == PolicyName::ROOT) {
                return vec![PolicyName::ROOT.to_owned()];
            }
            if adds_default {
                policies.push(default.to_owned());
            }
            policies.sort();
            policies.dedup();
            policies
        };
        let limits = !self.allowed_policies.is_empty() || !self.allowed_policies_glob.is_empty();
        let policies = match (limits, asked.is_empty()) {
            (true, true) => sanitized(self.allowed_policies.clone()),
            (true, false) => {
                let (asked, allowed) = (sanitized(asked), sanitized(self.allowed_policies.clone()));
                let globs = &self.allowed_policies_glob;
                if !asked.iter().all(|policy| is_among(policy, &allowed, globs)) {
                    return invalid(format!(
                        "token policies ({}) must be subset of the role's allowed policies ({}) or glob policies ({})",
                        quoted(&asked),
                        quoted(&allowed),
                        quoted(globs),
                    ));
                }
                asked
            }
            (false, true) => sanitized(parents.to_vec()),
            (false, false) => sanitized(asked),
        };
        let refused = |policy: &&String| {
            is_among(
                policy,
                &self.disallowed_policies,
                &self.disallowed_policies_glob,
            )
        };
        match policies.iter().find(refused) {
            Some(policy) => invalid(format!(
                "token policy {policy:?} is disallowed by this role"
            )),
            None => Ok(policies),
        }
    }

    /// Whether it says anything of policies. If not, a token gets what its parent may give it.
    pub(super) fn rules_policies(&self) -> bool {
        [
            &self.allowed_policies,
            &self.disallowed_policies,
            &self.allowed_policies_glob,
            &self.disallowed_policies_glob,
        ]
        .iter()
        .any(|list| !list.is_empty())
    }

    /// Whether a token may be made for this entity alias.
    pub(super) fn allows_alias(&self, alias: &str) -> bool {
        let aliases = self.allowed_entity_aliases.iter();
        aliases
            .clone()
            .any(|allowed| matches_glob(&alias.to_lowercase(), allowed))
    }
}

fn is_among(policy: &str, names: &[String], globs: &[String]) -> bool {
    names.iter().any(|name| name == policy) || globs.iter().any(|glob| matches_glob(policy, glob))
}

/// Whether `text` is what `glob` says, in which each `*` stands for any text, none too.
fn matches_glob(text: &str, glob: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = glob.rsplit_once('*').map(|(_, last)| last) else {
        return rest.is_empty();
    };
    for part in parts.clone().take(parts.count().saturating_sub(1)) {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// As Go prints a list of texts with `%q`.
fn quoted(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (text, glob, expected) in [
            ("team-a", "team-*", true),
            ("team-", "team-*", true),
            ("tea", "team-*", false),
            ("a-x-b", "a-*-b", true),
            ("a-b", "a-*-b", false),
            ("abcabc", "*abc", true),
            ("xaybz", "*a*b*", true),
            ("xbya", "*a*b*", false),
            ("aa", "a*a", true),
            ("a", "a*a", false),
            ("plain", "plain", true),
            ("plainer", "plain", false),
            ("", "*", true),
        ] {
            assert_eq!(matches_glob(text, glob), expected, "{text} {glob}");
        }
    }

    fn role(allowed: &[&str], disallowed: &[&str], globs: &[&str]) -> Role {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Role {
            allowed_policies: texts(allowed),
            disallowed_policies: texts(disallowed),
            allowed_policies_glob: texts(globs),
            ..Role::default()
        }
    }

    fn policies(role: &Role, asked: &[&str]) -> Result<Vec<String>, String> {
        let asked = asked.iter().map(|text| (*text).to_owned()).collect();
        let parents = ["default".to_owned(), "own".to_owned()];
        role.policies(asked, &parents, true)
            .map_err(|err| err.to_string())
    }

    #[test]
    fn a_role_gives_what_it_allows_and_nothing_else() {
        let of = |names: &[&str]| Ok(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        let two = role(&["a", "b"], &[], &[]);
        assert_eq!(policies(&two, &[]), of(&["a", "b", "default"]));
        assert_eq!(policies(&two, &["b"]), of(&["b", "default"]));
        assert_eq!(
            policies(&role(&["a"], &[], &[]), &["zz"]),
            Err(
                "token policies ([\"default\" \"zz\"]) must be subset of the role's allowed policies ([\"a\" \"default\"]) or glob policies ([])"
                    .to_owned()
            )
        );
        assert_eq!(
            policies(&role(&[], &[], &["team-*"]), &["team-a"]),
            of(&["default", "team-a"])
        );
        let but = role(&[], &["b", "default"], &[]);
        assert_eq!(policies(&but, &["a"]), of(&["a"]));
        assert_eq!(
            policies(&but, &["b"]),
            Err("token policy \"b\" is disallowed by this role".to_owned())
        );
        assert_eq!(
            policies(&but, &[]),
            Err("token policy \"default\" is disallowed by this role".to_owned())
        );
    }
}
