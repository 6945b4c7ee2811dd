//! The token method, always at `auth/token/`: tokens that make, look at, renew and end tokens.

mod roles;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use host_logical::{
    Description, EngineKind, EngineRequest, EngineResponse, FieldType, MountPath, Operation,
    PathTrait,
};

use self::roles::Role;
use super::describe::{Describe, engine, path};
use super::{AfterCommit, Fields, NativeCall, data, done, invalid, param, warned};
use crate::clock::rfc3339;
use crate::duration::GoDuration;
use crate::error::HandleError;
use crate::limits;
use crate::policy::PolicyName;
use crate::policy_store;
use crate::token::{NewToken, Token};
use crate::ttl::{self, Bounds};

pub(super) fn description() -> Description {
    use FieldType::{Boolean, CommaList, Integer, Seconds, Text, TextMap};
    use Operation::{List, Read, Update};
    let create = |pattern: &str, help: &str| {
        path(pattern, help, &[Update])
            .field(
                "id",
                Text,
                "A token of the operator's choosing. Needs sudo.",
            )
            .field(
                "policies",
                CommaList,
                "Policies of the token; those of its parent if absent.",
            )
            .field("ttl", Text, "Time to live, such as 1h.")
            .field("lease", Text, "Old name of ttl.")
            .field("explicit_max_ttl", Text, "The end that no renewal moves.")
            .field("period", Text, "Makes the token periodic. Needs sudo.")
            .field(
                "num_uses",
                Integer,
                "Uses until the token ends; 0 is without limit.",
            )
            .field("renewable", Boolean, "Whether the token may be renewed.")
            .field("display_name", Text, "Shown in listings and audit.")
            .field("meta", TextMap, "Shown in listings and audit.")
            .field(
                "no_parent",
                Boolean,
                "Makes the token an orphan. Needs sudo.",
            )
            .field(
                "no_default_policy",
                Boolean,
                "Leaves the policy default out.",
            )
            .field("type", Text, "service.")
            .field("entity_alias", Text, "Only with a role.")
    };
    let by_token = |pattern: &str, help: &str, operations: &[Operation]| {
        path(pattern, help, operations).field("token", Text, "The token.")
    };
    let by_accessor = |pattern: &str, help: &str| {
        path(pattern, help, &[Update]).field("accessor", Text, "The accessor of the token.")
    };
    let increment = "Time to live asked for, in seconds or such as 1h.";
    let mut paths = vec![
        create("create", "Makes a token, the child of the one that asks."),
        create("create-orphan", "Makes a token without parent."),
        create("create/{role}", "Makes a token after a role."),
        by_token("lookup", "Shows what a token is.", &[Read, Update]),
        path(
            "lookup-self",
            "Shows what the token is that asks.",
            &[Read, Update],
        ),
        by_accessor(
            "lookup-accessor",
            "Shows what the token behind an accessor is.",
        ),
        by_token("renew", "Extends a token.", &[Update]).field("increment", Seconds, increment),
        path("renew-self", "Extends the token that asks.", &[Update])
            .field("increment", Seconds, increment)
            .field("token", Text, "Ignored."),
        by_accessor("renew-accessor", "Extends the token behind an accessor.").field(
            "increment",
            Seconds,
            increment,
        ),
        by_token("revoke", "Ends a token and its children.", &[Update]),
        path(
            "revoke-self",
            "Ends the token that asks, and its children.",
            &[Update],
        ),
        by_accessor(
            "revoke-accessor",
            "Ends the token behind an accessor, and its children.",
        ),
        by_token(
            "revoke-orphan",
            "Ends a token and leaves its children.",
            &[Update],
        )
        .with(PathTrait::Sudo),
        path("accessors", "Lists the accessors of all tokens.", &[List]).with(PathTrait::Sudo),
    ];
    paths.extend(roles::paths());
    engine(
        "token",
        EngineKind::Auth,
        "Tokens that make, show, renew and end tokens.",
        paths,
    )
}

pub(super) async fn handle(
    call: &NativeCall,
    pattern: &str,
    request: &EngineRequest,
) -> Result<EngineResponse, HandleError> {
    let fields = Fields::of(request);
    match pattern {
        "create" => {
            let orphan = fields.flag("no_parent").unwrap_or(false);
            create(call, request, orphan, None).await
        }
        "create-orphan" => create(call, request, true, None).await,
        "create/{role}" => {
            let name = param(request, "role");
            match roles::read(&call.txn, name).await? {
                Some(role) => {
                    let orphan = fields.flag("no_parent").unwrap_or(false);
                    create(call, request, orphan, Some((name, role))).await
                }
                None => invalid(format!("unknown role {name}")),
            }
        }
        _ if roles::serves(pattern) => roles::handle(call, request).await,
        "lookup-self" => show(call, &self_text(call), call.token()?),
        "lookup" => {
            let text = match fields.said("token") {
                Some(text) => Zeroizing::new(text.to_owned()),
                None => self_text(call),
            };
            match call
                .core
                .tokens
                .in_force(&call.txn, &text, call.now())
                .await?
            {
                Some(token) if !token.record.is_spent() || token.hash == call.token()?.hash => {
                    show(call, &text, &token)
                }
                _ => Err(HandleError::DeniedPlain("bad token".into())),
            }
        }
        "lookup-accessor" => {
            let token = by_accessor(call, &fields).await?;
            show(call, "", &token)
        }
        "renew-self" => renew(call, self_text(call), call.token()?.clone(), &fields).await,
        "renew" => {
            let Some(text) = fields.said("token") else {
                return invalid("missing token ID");
            };
            let found = call.core.tokens.in_force(&call.txn, text, call.now());
            match found.await? {
                Some(token) => renew(call, Zeroizing::new(text.to_owned()), token, &fields).await,
                None => invalid("token not found"),
            }
        }
        "renew-accessor" => {
            let token = by_accessor(call, &fields).await?;
            renew(call, Zeroizing::default(), token, &fields).await
        }
        "revoke-self" => revoke(call, Some(call.token()?.clone())),
        "revoke" => {
            let Some(text) = fields.said("token") else {
                return invalid("missing token ID");
            };
            revoke(
                call,
                call.core.tokens.lookup(&call.txn, text, call.now()).await?,
            )
        }
        "revoke-accessor" => {
            let Some(accessor) = fields.said("accessor") else {
                return invalid("missing accessor");
            };
            match call
                .core
                .tokens
                .by_accessor(&call.txn, accessor, call.now())
                .await?
            {
                Some(token) => revoke(call, Some(token)),
                None => warned(vec!["No token found with this accessor".into()]),
            }
        }
        "revoke-orphan" => {
            let Some(text) = fields.said("token") else {
                return invalid("missing token ID");
            };
            // In force, since the children of one that is not would come back to life.
            let found = call.core.tokens.in_force(&call.txn, text, call.now());
            match found.await? {
                Some(token) => {
                    call.core
                        .tokens
                        .revoke_orphan(&call.txn, &token.hash)
                        .await?;
                    done()
                }
                None => invalid("token to revoke not found"),
            }
        }
        _ => data(&json!({ "keys": call.core.tokens.accessors(&call.txn).await? })),
    }
}

/// Makes a token: the rules are those of the contract's `20` section 1.1.
async fn create(
    call: &NativeCall,
    request: &EngineRequest,
    orphan: bool,
    role: Option<(&str, Role)>,
) -> Result<EngineResponse, HandleError> {
    let (role_name, role) = role.unzip();
    let parent = call.token()?;
    let fields = Fields::of(request);
    let powerful = parent.record.is_root() || call.sudo();
    let by_path = request.path == "create-orphan";
    if parent.record.num_uses != 0 {
        return invalid("restricted use token cannot generate child tokens");
    }
    match fields.said("type").unwrap_or("service") {
        "service" => {}
        "batch" => {
            return invalid(
                "batch tokens are not offered by this server yet: ask for type \"service\"",
            );
        }
        _ => return invalid("invalid 'token_type' value"),
    }
    match (fields.said("entity_alias"), &role) {
        (None, _) => {}
        (Some(_), None) => {
            return invalid("'entity_alias' is only allowed in combination with token role");
        }
        (Some(alias), Some(role)) if role.allows_alias(alias) => {
            return invalid("entities are not offered by this server yet: leave entity_alias out");
        }
        _ => return invalid("invalid 'entity_alias' value"),
    }
    let orphan_by_role = role.as_ref().is_some_and(|role| role.orphan);
    if orphan && !by_path && !powerful && !orphan_by_role {
        return invalid("root or sudo privileges required to create orphan token");
    }
    let id = match fields.said("id") {
        Some(_) if !powerful => {
            return invalid("root or sudo privileges required to specify token id");
        }
        Some(id) => Some(checked_id(id)?),
        None => None,
    };
    let mut num_uses = fields.integer("num_uses").unwrap_or(0);
    if num_uses < 0 {
        return invalid("number of uses cannot be negative");
    }
    if let Some(most) = role
        .as_ref()
        .map(|role| role.num_uses)
        .filter(|most| *most > 0)
        && (num_uses == 0 || num_uses > most)
    {
        num_uses = most;
    }
    let meta = metadata(&fields)?;
    let asked_name = fields.said("display_name");
    if asked_name.is_some_and(|name| name.len() > limits::MAX_DISPLAY_NAME_BYTES) {
        let most = limits::MAX_DISPLAY_NAME_BYTES;
        return invalid(format!("display_name is at most {most} bytes"));
    }
    let policies = match role.as_ref().filter(|role| role.rules_policies()) {
        Some(role) => {
            let with_default = !fields.flag("no_default_policy").unwrap_or(false);
            role.policies(
                asked_policies(&fields)?,
                &parent.record.policies,
                with_default,
            )?
        }
        None => {
            let no_default = role.as_ref().is_some_and(|role| role.no_default_policy);
            policies_for(&parent.record.policies, powerful, no_default, &fields)?
        }
    };
    let is_root = policies.iter().any(|policy| policy == PolicyName::ROOT);
    if is_root && !parent.record.is_root() {
        return invalid("root tokens may not be created without parent token being root");
    }

    let asked = duration(&fields, "ttl")?.or(duration(&fields, "lease")?);
    let by_role = |of: fn(&Role) -> u64| role.as_ref().map(of).filter(|seconds| *seconds > 0);
    let asked_period = duration(&fields, "period")?.unwrap_or(0);
    let period = by_role(|role| role.period).unwrap_or(asked_period);
    if asked_period > 0 && !powerful && period == asked_period {
        return invalid("root or sudo privileges required to create periodic token");
    }
    let mut explicit_max_ttl = duration(&fields, "explicit_max_ttl")?.unwrap_or(0);
    let mut warnings = Vec::new();
    if let Some(most) = by_role(|role| role.explicit_max_ttl) {
        if explicit_max_ttl > 0 {
            explicit_max_ttl = explicit_max_ttl.min(most);
            warnings.push(format!(
                "Explicit max TTL specified both during creation call and in role; using the lesser value of {explicit_max_ttl} seconds"
            ));
        } else {
            explicit_max_ttl = most;
        }
    }
    let mut renewable =
        fields.flag("renewable").unwrap_or(true) && role.as_ref().is_none_or(|role| role.renewable);
    let now = call.now();
    let never_ends = is_root && asked.is_none() && period == 0 && explicit_max_ttl == 0;
    let ttl = if never_ends {
        if parent.record.expires_millis.is_some() {
            return invalid("expiring root tokens cannot create non-expiring root tokens");
        }
        renewable = false;
        None
    } else {
        let (default, max) = mount_ttls(request);
        let bounds = Bounds {
            default,
            max,
            explicit_max: explicit_max_ttl,
            period,
        };
        match ttl::grant(bounds, now, now, asked) {
            Some(granted) => {
                warnings.extend(capped(granted));
                Some(granted.ttl)
            }
            None => return invalid("ttl must be positive"),
        }
    };
    for name in &policies {
        let exists = match PolicyName::parse(name) {
            Ok(name) => policy_store::exists(&call.txn, &name).await?,
            Err(_) => false,
        };
        if !exists {
            warnings.push(format!("Policy {name:?} does not exist"));
        }
    }
    let new = NewToken {
        id,
        policies,
        path: match role.as_ref().map(|role| role.path_suffix.as_str()) {
            None | Some("") => format!("auth/token/{}", request.path),
            Some(suffix) => format!("auth/token/{}/{suffix}", request.path),
        },
        display_name: display_name(asked_name),
        meta,
        num_uses,
        ttl,
        explicit_max_ttl,
        period,
        renewable,
        parent: (!orphan && !orphan_by_role).then(|| parent.hash.clone()),
        role: role_name.map(str::to_lowercase),
        bound_cidrs: role.map(|role| role.bound_cidrs).unwrap_or_default(),
    };
    let (text, record) = call.core.tokens.create(&call.txn, new, now).await?;
    call.say(|said| said.auth = Some(record.auth(text, now)));
    warned(warnings)
}

/// The names that were asked for, each in its normal form.
fn asked_policies(fields: &Fields<'_>) -> Result<Vec<String>, HandleError> {
    let asked = fields.texts("policies").unwrap_or_default();
    if asked.len() > limits::MAX_TOKEN_POLICIES {
        let most = limits::MAX_TOKEN_POLICIES;
        return invalid(format!("a token has at most {most} policies"));
    }
    let mut policies = Vec::with_capacity(asked.len());
    for name in asked.iter().filter(|name| !name.trim().is_empty()) {
        let name = PolicyName::parse(name)
            .map_err(|err| HandleError::Invalid(format!("policy {name:?}: {err}")))?;
        if name.as_str() == PolicyName::RESPONSE_WRAPPING {
            return invalid(format!("cannot assign policy {:?}", name.as_str()));
        }
        policies.push(name.as_str().to_owned());
    }
    Ok(policies)
}

/// The policies of a new token: those asked for, within those of its parent.
fn policies_for(
    parents: &[String],
    powerful: bool,
    no_default: bool,
    fields: &Fields<'_>,
) -> Result<Vec<String>, HandleError> {
    let asked = asked_policies(fields)?;
    let with_default = !no_default && !fields.flag("no_default_policy").unwrap_or(false);
    // A list of nothing but blanks asks for no policies, which is not the same as not to ask.
    let none_asked = fields
        .texts("policies")
        .is_none_or(|texts| texts.is_empty());
    let mut policies = match none_asked {
        true => parents.to_vec(),
        false => asked.clone(),
    };
    policies.sort();
    policies.dedup();
    let within = |name: &String| name == PolicyName::DEFAULT || parents.contains(name);
    if !powerful && !policies.iter().all(within) {
        return invalid("child policies must be subset of parent");
    }
    if policies.iter().any(|policy| policy == PolicyName::ROOT) {
        if policies.len() > 1 && !asked.is_empty() {
            return invalid("root tokens may not have other policies");
        }
        return Ok(vec![PolicyName::ROOT.to_owned()]);
    }
    if !with_default {
        policies.retain(|policy| policy != PolicyName::DEFAULT);
    } else if !policies.iter().any(|policy| policy == PolicyName::DEFAULT) {
        policies.push(PolicyName::DEFAULT.to_owned());
        policies.sort();
    }
    Ok(policies)
}

/// A token that an operator chose.
fn checked_id(id: &str) -> Result<Zeroizing<String>, HandleError> {
    if id.starts_with("hvs.") || id.starts_with("s.") {
        return invalid("custom token ID cannot have the 's.' prefix");
    }
    if id.contains('.') {
        return invalid("custom token ID cannot have a '.' in the value");
    }
    let plain = id.bytes().all(|b| b.is_ascii_graphic());
    if !plain
        || !(limits::MIN_CUSTOM_TOKEN_BYTES..=crate::ClientToken::MAX_BYTES).contains(&id.len())
    {
        return invalid(format!(
            "a token ID has {} to {} visible ASCII characters",
            limits::MIN_CUSTOM_TOKEN_BYTES,
            crate::ClientToken::MAX_BYTES
        ));
    }
    Ok(Zeroizing::new(id.to_owned()))
}

fn metadata(fields: &Fields<'_>) -> Result<Option<BTreeMap<String, String>>, HandleError> {
    let Some(meta) = fields.object("meta").filter(|meta| !meta.is_empty()) else {
        return Ok(None);
    };
    let texts = meta
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    let meta: BTreeMap<_, _> = texts.collect();
    let bytes: usize = meta
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if bytes > limits::MAX_TOKEN_META_BYTES {
        return invalid(format!(
            "meta is at most {} bytes",
            limits::MAX_TOKEN_META_BYTES
        ));
    }
    Ok(Some(meta))
}

/// `a b/c!` becomes `token-a-b-c`, as Vault does.
fn display_name(asked: Option<&str>) -> String {
    let Some(asked) = asked else {
        return "token".to_owned();
    };
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '-'
        }
    };
    let name: String = format!("token-{asked}").chars().map(plain).collect();
    name.trim_end_matches('-').to_owned()
}

/// A field of token creation: its errors have no words around them, unlike those of other fields.
fn duration(fields: &Fields<'_>, name: &str) -> Result<Option<u64>, HandleError> {
    let Some(text) = fields.said(name) else {
        return Ok(None);
    };
    let duration =
        GoDuration::parse(text).map_err(|err| HandleError::Invalid(format!("{name}: {err}")))?;
    match u64::try_from(duration.seconds()) {
        Ok(seconds) => Ok(Some(seconds).filter(|seconds| *seconds > 0)),
        Err(_) => invalid(format!("{name} must be positive")),
    }
}

fn mount_ttls(request: &EngineRequest) -> (u64, u64) {
    (request.mount.default_lease_ttl, request.mount.max_lease_ttl)
}

fn capped(granted: ttl::Granted) -> Option<String> {
    let short =
        |seconds| GoDuration::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)).short();
    let wanted = short(granted.capped_from?);
    let most = short(granted.ttl);
    Some(format!(
        "TTL of {wanted:?} exceeded the effective max_ttl of {most:?}; TTL value is capped accordingly"
    ))
}

fn self_text(call: &NativeCall) -> Zeroizing<String> {
    let text = call
        .client_token
        .as_ref()
        .map(|token| token.expose().to_owned());
    Zeroizing::new(text.unwrap_or_default())
}

async fn by_accessor(call: &NativeCall, fields: &Fields<'_>) -> Result<Token, HandleError> {
    let Some(accessor) = fields.said("accessor") else {
        return invalid("missing accessor");
    };
    let found = call
        .core
        .tokens
        .by_accessor(&call.txn, accessor, call.now())
        .await?;
    found.ok_or_else(|| HandleError::InvalidListed("invalid accessor".into()))
}

/// What a token is. `id` is empty where only its accessor is known.
fn show(call: &NativeCall, id: &str, token: &Token) -> Result<EngineResponse, HandleError> {
    let record = &token.record;
    let mut shown = Map::new();
    let mut set = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    set("accessor", json!(record.accessor));
    set("creation_time", json!(record.issued_millis / 1000));
    set("creation_ttl", json!(record.creation_ttl));
    set("display_name", json!(record.display_name));
    set("entity_id", json!(""));
    set("expire_time", json!(record.expires_millis.map(rfc3339)));
    set("explicit_max_ttl", json!(record.explicit_max_ttl));
    set("id", json!(id));
    if let Some(renewed) = record.last_renewal_millis {
        set("last_renewal", json!(rfc3339(renewed)));
        set("last_renewal_time", json!(renewed / 1000));
    }
    set("meta", json!(record.meta));
    set("num_uses", json!(record.num_uses));
    set("orphan", json!(record.parent.is_none()));
    set("path", json!(record.path));
    if record.period > 0 {
        set("period", json!(record.period));
    }
    set("policies", json!(record.policies));
    if let Some(role) = &record.role {
        set("role", json!(role));
    }
    if !record.bound_cidrs.is_empty() {
        set("bound_cidrs", json!(record.bound_cidrs));
    }
    if record.expires_millis.is_some() {
        set("issue_time", json!(rfc3339(record.issued_millis)));
        set("renewable", json!(record.renewable));
    }
    set("ttl", json!(record.ttl(call.now())));
    set("type", json!("service"));
    data(&Value::Object(shown))
}

async fn renew(
    call: &NativeCall,
    text: Zeroizing<String>,
    mut token: Token,
    fields: &Fields<'_>,
) -> Result<EngineResponse, HandleError> {
    // The token of the request was read before one of its uses was spent. What is written is made
    // of what this transaction reads: otherwise a use that others spent meanwhile would come back.
    let now = call.now();
    let found = call.core.tokens.find(&call.txn, &token.hash).await?;
    token.record = found
        .filter(|record| !record.is_expired(now))
        .ok_or(HandleError::InvalidToken)?;
    if token.record.expires_millis.is_none() {
        return invalid("invalid lease ID");
    }
    if !token.record.renewable {
        return invalid("lease is not renewable");
    }
    let table = call.core.mounts().await?;
    let path = MountPath::parse("auth/token").map_err(HandleError::internal)?;
    let settings = &call.core.settings;
    let ttls = table
        .get(&path)
        .map(|mount| mount.record.effective_ttls(settings));
    let ttls = ttls.unwrap_or((settings.default_lease_ttl, settings.max_lease_ttl));
    let asked = fields.seconds("increment");
    let mut bounds = token.record.bounds(ttls);
    if let Some(name) = &token.record.role {
        // What its role says now.
        let Some(role) = roles::read(&call.txn, name).await? else {
            return invalid(format!(
                "original token role {name:?} could not be found, not renewing"
            ));
        };
        if role.period > 0 {
            bounds.period = role.period;
        }
    }
    let Some(granted) = ttl::grant(bounds, token.record.issued_millis, now, asked) else {
        return invalid("past the max TTL, cannot renew");
    };
    token.record.expires_millis = Some(ttl::moment(now, granted.ttl));
    token.record.last_renewal_millis = Some(now);
    call.core.tokens.update(&call.txn, &mut token).await?;
    let auth = token.record.auth(text, now);
    call.say(|said| said.auth = Some(auth));
    warned(capped(granted).into_iter().collect())
}

/// Ends a token once this call is committed; one that is not there has ended already.
fn revoke(call: &NativeCall, token: Option<Token>) -> Result<EngineResponse, HandleError> {
    if let Some(token) = token {
        call.say(|said| said.after_commit.push(AfterCommit::Revoke(token.hash)));
    }
    done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_name_holds_nothing_odd() {
        assert_eq!(display_name(None), "token");
        assert_eq!(display_name(Some("a b/c!")), "token-a-b-c");
        assert_eq!(display_name(Some("ci")), "token-ci");
    }

    fn policies(parents: &[&str], powerful: bool, sent: Value) -> Result<Vec<String>, String> {
        let sent = sent.as_object().cloned().unwrap_or_default();
        let parents: Vec<String> = parents.iter().map(|p| (*p).to_owned()).collect();
        policies_for(&parents, powerful, false, &Fields(&sent)).map_err(|err| err.to_string())
    }

    #[test]
    fn a_child_has_no_more_than_its_parent() {
        let own = ["default", "dev"];
        let of = |names: &[&str]| Ok(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(policies(&own, false, json!({})), of(&["default", "dev"]));
        assert_eq!(
            policies(&own, false, json!({"policies": ["Dev "]})),
            of(&["default", "dev"])
        );
        assert_eq!(
            policies(&own, false, json!({"policies": ["ops"]})),
            Err("child policies must be subset of parent".to_owned())
        );
        assert_eq!(
            policies(&own, false, json!({"no_default_policy": true})),
            of(&["dev"])
        );
        assert_eq!(policies(&["root"], true, json!({})), of(&["root"]));
        assert_eq!(
            policies(&["root"], true, json!({"policies": ["ops"]})),
            of(&["default", "ops"])
        );
        assert_eq!(
            policies(&["root"], true, json!({"policies": ["root", "ops"]})),
            Err("root tokens may not have other policies".to_owned())
        );
        assert!(policies(&own, true, json!({"policies": ["response-wrapping"]})).is_err());
    }
}
