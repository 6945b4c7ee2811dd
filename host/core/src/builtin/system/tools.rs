//! `sys/tools`: chance and digests for people without either at hand.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use host_logical::{EngineRequest, EngineResponse, FieldType, Operation, PathDescription};

use super::super::describe::{Describe, path};
use super::super::{Fields, NativeCall, data, invalid, param};
use crate::error::HandleError;
use crate::{limits, random};

pub(super) fn paths() -> Vec<PathDescription> {
    let random = |pattern: &str| {
        path(pattern, "Random bytes.", &[Operation::Update])
            .field("bytes", FieldType::Integer, "How many; 32 if absent.")
            .field("format", FieldType::Text, "base64 or hex.")
            .field("source", FieldType::Text, "platform.")
    };
    let hash = |pattern: &str| {
        path(pattern, "The digest of data.", &[Operation::Update])
            .field("input", FieldType::Text, "Base64.")
            .field("algorithm", FieldType::Text, "sha2-256 if absent.")
            .field("format", FieldType::Text, "hex or base64.")
    };
    vec![
        random("tools/random"),
        random("tools/random/{source}"),
        random("tools/random/{source}/{bytes}"),
        hash("tools/hash"),
        hash("tools/hash/{algorithm}"),
    ]
}

pub(super) fn serves(pattern: &str) -> bool {
    pattern.starts_with("tools/")
}

pub(super) fn handle(
    call: &NativeCall,
    pattern: &str,
    request: &EngineRequest,
) -> Result<EngineResponse, HandleError> {
    if pattern.starts_with("tools/random") {
        chance(call, request)
    } else {
        hash(request)
    }
}

fn chance(call: &NativeCall, request: &EngineRequest) -> Result<EngineResponse, HandleError> {
    let fields = Fields::of(request);
    // `tools/random/64` and `tools/random/platform/64` are both Vault's.
    let in_path = [param(request, "bytes"), param(request, "source")];
    let in_path = in_path.iter().find_map(|text| text.parse::<i64>().ok());
    let count = in_path.or(fields.integer("bytes")).unwrap_or(32);
    if count < 1 {
        return invalid("'bytes' cannot be less than 1");
    }
    if count >= limits::MAX_RANDOM_BYTES {
        return invalid(format!(
            "'bytes' should be less than {}",
            limits::MAX_RANDOM_BYTES
        ));
    }
    let bytes = random::bytes(&*call.core.random, usize::try_from(count).unwrap_or(1))?;
    let text = encode(&bytes, fields.said("format").unwrap_or("base64"))?;
    data(&json!({ "random_bytes": text }))
}

fn hash(request: &EngineRequest) -> Result<EngineResponse, HandleError> {
    let fields = Fields::of(request);
    let name = Some(param(request, "algorithm")).filter(|name| !name.is_empty());
    let name = name.or(fields.said("algorithm")).unwrap_or("sha2-256");
    let algorithm = match name {
        "sha2-224" => &digest::SHA224,
        "sha2-256" => &digest::SHA256,
        "sha2-384" => &digest::SHA384,
        "sha2-512" => &digest::SHA512,
        "sha3-256" => &digest::SHA3_256,
        "sha3-384" => &digest::SHA3_384,
        "sha3-512" => &digest::SHA3_512,
        _ => return invalid(format!("unsupported algorithm {name}")),
    };
    let input = STANDARD
        .decode(fields.text("input").unwrap_or_default())
        .map_err(|err| HandleError::Invalid(format!("unable to decode input as base64: {err}")))?;
    let sum = digest::digest(algorithm, &input);
    let text = encode(sum.as_ref(), fields.said("format").unwrap_or("hex"))?;
    data(&json!({ "sum": text }))
}

fn encode(bytes: &[u8], format: &str) -> Result<String, HandleError> {
    match format {
        "hex" => Ok(hex::encode(bytes)),
        "base64" => Ok(STANDARD.encode(bytes)),
        _ => invalid(format!(
            "unsupported encoding format {format}; must be \"hex\" or \"base64\""
        )),
    }
}
