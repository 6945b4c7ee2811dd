//! `sys/policies/acl` and the older `sys/policy`: the texts of policies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use host_logical::{EngineRequest, EngineResponse, FieldType, Operation, PathDescription};

use super::super::describe::{Describe, path};
use super::super::{Fields, NativeCall, data, done, invalid, lists, nothing, param, warned};
use crate::authorize::Question;
use crate::error::HandleError;
use crate::policy::{Capabilities, Policy, PolicyName};
use crate::policy_store;

pub(super) fn paths() -> Vec<PathDescription> {
    use Operation::{Delete, List, Read, Update};
    let one = |pattern: &str| {
        path(pattern, "The text of a policy.", &[Read, Update, Delete]).field(
            "policy",
            FieldType::Text,
            "HCL or JSON, plain or in base64.",
        )
    };
    vec![
        path("policies/acl", "The names of all policies.", &[List]),
        one("policies/acl/{name...}"),
        path("policy", "The names of all policies.", &[Read, List]),
        one("policy/{name...}").field("rules", FieldType::Text, "Old name of policy."),
    ]
}

pub(super) fn serves(pattern: &str) -> bool {
    pattern.starts_with("polic")
}

pub(super) async fn handle(
    call: &NativeCall,
    pattern: &str,
    request: &EngineRequest,
) -> Result<EngineResponse, HandleError> {
    let old = pattern.starts_with("policy");
    let asked = param(request, "name");
    if lists(request) || asked.is_empty() {
        let names = policy_store::names(&call.txn).await?;
        return match old {
            true => data(&json!({ "keys": names, "policies": names })),
            false => data(&json!({ "keys": names })),
        };
    }
    let name = PolicyName::parse(asked)
        .map_err(|err| HandleError::Invalid(format!("policy {asked:?}: {err}")))?;
    check_alias(call, pattern, asked, &name, request)?;
    let fixed = matches!(
        name.as_str(),
        PolicyName::ROOT | PolicyName::RESPONSE_WRAPPING
    );
    match request.operation {
        Operation::Read => {
            let text = match policy_store::read(&call.txn, &name).await? {
                Some(text) => text,
                None if name.as_str() == PolicyName::ROOT => String::new(),
                None => return nothing(),
            };
            let member = if old { "rules" } else { "policy" };
            data(&json!({ "name": name.as_str(), member: text }))
        }
        Operation::Delete => match name.as_str() {
            PolicyName::DEFAULT => invalid("cannot delete default policy"),
            _ if fixed => invalid(format!("cannot delete {:?} policy", name.as_str())),
            _ => {
                policy_store::delete(&call.txn, &name).await?;
                done()
            }
        },
        _ if fixed => invalid(format!("cannot update {:?} policy", name.as_str())),
        _ => write(call, &name, asked, request).await,
    }
}

/// A name that is spelled otherwise is the same policy: where a rule speaks of its path, that rule
/// decides, too. Otherwise `ADMIN` would get past a deny on `sys/policies/acl/admin`.
fn check_alias(
    call: &NativeCall,
    pattern: &str,
    asked: &str,
    name: &PolicyName,
    request: &EngineRequest,
) -> Result<(), HandleError> {
    let folder = pattern.strip_suffix("{name...}").unwrap_or(pattern);
    let path = format!("sys/{folder}{}", name.as_str());
    if name.as_str() == asked || call.acl.capabilities(&path) == Capabilities::NONE {
        return Ok(());
    }
    let question = Question {
        path: &path,
        data: &request.data,
        wrap_ttl: None,
        needs_sudo: false,
    };
    question.decide(&call.acl, request.operation).map(|_| ())
}

async fn write(
    call: &NativeCall,
    name: &PolicyName,
    asked: &str,
    request: &EngineRequest,
) -> Result<EngineResponse, HandleError> {
    let fields = Fields::of(request);
    let mut warnings = Vec::new();
    if name.as_str() != asked {
        warnings.push(format!("policy name was converted to {}", name.as_str()));
    }
    let sent = match (fields.said("policy"), fields.said("rules")) {
        (Some(policy), _) => policy,
        (None, Some(rules)) => {
            warnings.push("'rules' is deprecated, please use 'policy' instead".into());
            rules
        }
        (None, None) => return invalid("'policy' parameter not supplied or empty"),
    };
    let text = match STANDARD
        .decode(sent.trim())
        .ok()
        .and_then(|it| String::from_utf8(it).ok())
    {
        Some(decoded) => decoded,
        None => sent.to_owned(),
    };
    let policy = Policy::parse(name, &text)
        .map_err(|err| HandleError::Invalid(format!("failed to parse policy: {err}")))?;
    warnings.extend(policy.warnings().iter().map(ToString::to_string));
    policy_store::write(&call.txn, name, &text).await?;
    warned(warnings)
}
