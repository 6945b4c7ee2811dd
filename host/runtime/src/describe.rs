//! What an engine says of itself, checked before the host makes routes, help and forms of it.
//!
//! It is asked with nothing granted: no record, no secret, a clock at zero and a die that always
//! shows the same side. Two tries give the same description.

#[cfg(test)]
mod fuzz;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use host_logical::{
    Ambient, CallLimits, Description, EngineError, EngineKind, Field, FieldType, Imports, Mount,
    Operation, OperationHelp, Options, Page, PathDescription, PathTrait, RequestId, SecretBytes,
    Secrets, SecretsError, Storage, StorageError,
};

use crate::bindings::coffer::engine::types;
use crate::bindings::exports::coffer::engine::metadata as wit;
use crate::convert::check_json;
use crate::limits;

/// The imports of a call that may reach nothing.
pub(crate) fn nothing_granted(options: &Options) -> Imports {
    Imports {
        request_id: RequestId::from_random([0; 16]),
        mount: Arc::new(Mount {
            options: options.clone(),
            ..Mount::default()
        }),
        storage: Arc::new(Nothing),
        ambient: Arc::new(Nothing),
        secrets: Arc::new(Nothing),
        limits: CallLimits {
            wall: limits::DESCRIBE_WALL,
            compute: limits::DESCRIBE_COMPUTE,
            memory_bytes: limits::MEMORY_BYTES,
        },
    }
}

/// The description, if the host can work with it. `kind` is what the engine was registered as.
pub(crate) fn description(
    kind: EngineKind,
    described: wit::Description,
) -> Result<Description, EngineError> {
    check(kind, &described)
        .map_err(|why| EngineError::Malformed(format!("its description: {why}")))?;
    Ok(Description {
        name: described.name,
        version: described.version,
        kind,
        help: described.help,
        paths: described.paths.into_iter().map(path).collect(),
        storage_version: described.storage_version,
    })
}

/// Everything that the host relies on. The text is for whoever writes the engine.
fn check(kind: EngineKind, described: &wit::Description) -> Result<(), String> {
    let mut texts = Texts {
        bytes_left: limits::DESCRIPTION_BYTES,
    };
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    texts.name("name", &described.name)?;
    if described.name.is_empty() || !described.name.chars().all(is_name_char) {
        return Err(format!(
            "name {:?} has more than letters, digits, - and _",
            described.name
        ));
    }
    texts.name("version", &described.version)?;
    if kind != self::kind(described.type_) {
        return Err(format!(
            "says {:?}, and is registered as {kind:?}",
            described.type_
        ));
    }
    texts.help("help", &described.help)?;
    count("paths", described.paths.len(), limits::PATHS)?;

    let mut shapes = BTreeSet::new();
    for path in &described.paths {
        let at = |why: String| format!("path {:?}: {why}", path.pattern);
        texts.name("pattern", &path.pattern)?;
        let pattern = Pattern::parse(&path.pattern).map_err(at)?;
        if !shapes.insert(pattern.shape) {
            return Err(at("another path matches the same".to_owned()));
        }
        check_path(&mut texts, path, &pattern.params).map_err(at)?;
    }
    Ok(())
}

fn check_path(texts: &mut Texts, path: &wit::Path, params: &[String]) -> Result<(), String> {
    texts.help("help", &path.help)?;
    check_fields(texts, &path.fields)?;
    if path.operations.is_empty() {
        return Err("no operation".to_owned());
    }
    let mut served = BTreeSet::new();
    for help in &path.operations {
        if !served.insert(operation(help.operation)) {
            return Err(format!("{:?} twice", help.operation));
        }
        texts.help("summary", &help.summary)?;
        check_fields(texts, &help.returns)?;
    }
    if let Some(name) = &path.login_name
        && !params.contains(name)
        && !path.fields.iter().any(|field| &field.name == name)
    {
        return Err(format!(
            "login name {name:?} is neither a field nor a parameter"
        ));
    }
    Ok(())
}

fn check_fields(texts: &mut Texts, fields: &[wit::Field]) -> Result<(), String> {
    count("fields", fields.len(), limits::FIELDS)?;
    let mut names = BTreeSet::new();
    for field in fields {
        texts.name("field", &field.name)?;
        if field.name.is_empty() || field.name.chars().any(char::is_control) {
            return Err(format!("field name {:?}", field.name));
        }
        if !names.insert(&field.name) {
            return Err(format!("field {:?} twice", field.name));
        }
        texts.help("description", &field.description)?;
        count("allowed values", field.allowed.len(), limits::ALLOWED)?;
        for value in &field.allowed {
            texts.name("allowed value", value)?;
        }
        if let Some(default) = &field.default {
            texts.help_bytes("default", default.len())?;
            check_json(default)
                .map_err(|why| format!("default of field {:?} is {why}", field.name))?;
        }
    }
    Ok(())
}

/// A path pattern: `roles/{name}`, `data/{path...}`.
struct Pattern {
    params: Vec<String>,
    /// With the names of parameters left out: what is equal here matches the same paths.
    shape: String,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let mut params = Vec::new();
        let mut shape = Vec::new();
        let segments: Vec<&str> = match text {
            "" => Vec::new(),
            text => text.split('/').collect(),
        };
        for (index, segment) in segments.iter().enumerate() {
            let Some(param) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) else {
                if segment.is_empty()
                    || matches!(*segment, "." | "..")
                    || segment.contains(['{', '}'])
                {
                    return Err(format!("segment {segment:?}"));
                }
                shape.push((*segment).to_owned());
                continue;
            };
            let (name, rest) = match param.strip_suffix("...") {
                Some(name) => (name, true),
                None => (param, false),
            };
            if rest && index + 1 != segments.len() {
                return Err(format!("{{{name}...}} is not the last segment"));
            }
            let is_name_char = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || !name.chars().all(is_name_char) {
                return Err(format!("parameter {segment:?}"));
            }
            if params.iter().any(|other| other == name) {
                return Err(format!("parameter {name:?} twice"));
            }
            params.push(name.to_owned());
            shape.push(if rest { "{...}" } else { "{}" }.to_owned());
        }
        Ok(Self {
            params,
            shape: shape.join("/"),
        })
    }
}

/// Counts the texts of a description down to its limit.
struct Texts {
    bytes_left: usize,
}

impl Texts {
    fn name(&mut self, what: &str, text: &str) -> Result<(), String> {
        self.spend(what, text.len(), limits::NAME_BYTES)
    }

    fn help(&mut self, what: &str, text: &str) -> Result<(), String> {
        self.help_bytes(what, text.len())
    }

    fn help_bytes(&mut self, what: &str, length: usize) -> Result<(), String> {
        self.spend(what, length, limits::HELP_BYTES)
    }

    fn spend(&mut self, what: &str, length: usize, limit_bytes: usize) -> Result<(), String> {
        if length > limit_bytes {
            return Err(format!("{what} is longer than {limit_bytes} bytes"));
        }
        self.bytes_left = self
            .bytes_left
            .checked_sub(length)
            .ok_or_else(|| format!("more than {} bytes of text", limits::DESCRIPTION_BYTES))?;
        Ok(())
    }
}

fn count(what: &str, count: usize, limit: usize) -> Result<(), String> {
    if count > limit {
        return Err(format!("{count} {what}, of {limit} at most"));
    }
    Ok(())
}

fn path(path: wit::Path) -> PathDescription {
    PathDescription {
        pattern: path.pattern,
        traits: path.traits.into_iter().map(path_trait).collect(),
        operations: path
            .operations
            .into_iter()
            .map(|help| OperationHelp {
                operation: operation(help.operation),
                summary: help.summary,
                returns: help.returns.into_iter().map(field).collect(),
            })
            .collect(),
        fields: path.fields.into_iter().map(field).collect(),
        help: path.help,
        login_name: path.login_name,
    }
}

fn field(field: wit::Field) -> Field {
    Field {
        name: field.name,
        field_type: field_type(field.type_),
        description: field.description,
        required: field.required,
        // Checked above; what does not parse is left out.
        default: field
            .default
            .and_then(|json| serde_json::from_slice(&json).ok()),
        allowed: field.allowed,
        secret: field.secret,
    }
}

fn kind(kind: wit::EngineType) -> EngineKind {
    match kind {
        wit::EngineType::Secrets => EngineKind::Secrets,
        wit::EngineType::Auth => EngineKind::Auth,
    }
}

fn operation(operation: types::Operation) -> Operation {
    match operation {
        types::Operation::Create => Operation::Create,
        types::Operation::Read => Operation::Read,
        types::Operation::Update => Operation::Update,
        types::Operation::Patch => Operation::Patch,
        types::Operation::Delete => Operation::Delete,
        types::Operation::List => Operation::List,
        types::Operation::Head => Operation::Head,
    }
}

fn path_trait(path_trait: wit::PathTrait) -> PathTrait {
    match path_trait {
        wit::PathTrait::Sudo => PathTrait::Sudo,
        wit::PathTrait::Unauthenticated => PathTrait::Unauthenticated,
        wit::PathTrait::ExistenceCheck => PathTrait::ExistenceCheck,
        wit::PathTrait::FreeForm => PathTrait::FreeForm,
        wit::PathTrait::RawBody => PathTrait::RawBody,
        wit::PathTrait::EmptySegments => PathTrait::EmptySegments,
    }
}

fn field_type(field_type: wit::FieldType) -> FieldType {
    match field_type {
        wit::FieldType::Text => FieldType::Text,
        wit::FieldType::LowercaseText => FieldType::LowercaseText,
        wit::FieldType::Integer => FieldType::Integer,
        wit::FieldType::Boolean => FieldType::Boolean,
        wit::FieldType::Timestamp => FieldType::Timestamp,
        wit::FieldType::Object => FieldType::Object,
        wit::FieldType::Any => FieldType::Any,
        wit::FieldType::Bytes => FieldType::Bytes,
        wit::FieldType::Seconds => FieldType::Seconds,
        wit::FieldType::SignedSeconds => FieldType::SignedSeconds,
        wit::FieldType::TextList => FieldType::TextList,
        wit::FieldType::CommaList => FieldType::CommaList,
        wit::FieldType::IntegerList => FieldType::IntegerList,
        wit::FieldType::TextMap => FieldType::TextMap,
        wit::FieldType::ConnectionString => FieldType::ConnectionString,
        wit::FieldType::Pem => FieldType::Pem,
    }
}

/// Storage without records, secrets that do not open, time that does not pass.
struct Nothing;

#[async_trait]
impl Storage for Nothing {
    async fn get(&self, _key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(None)
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        Ok(vec![None; keys.len()])
    }

    async fn put(&self, _key: &str, _value: &[u8]) -> Result<(), StorageError> {
        Err(StorageError::ReadOnly)
    }

    async fn delete(&self, _key: &str) -> Result<(), StorageError> {
        Err(StorageError::ReadOnly)
    }

    async fn list(
        &self,
        _prefix: &str,
        _after: Option<&str>,
        _limit: usize,
    ) -> Result<Page, StorageError> {
        Ok(Page::default())
    }

    fn uncheck_reads(&self) {}
}

#[async_trait]
impl Ambient for Nothing {
    fn now_millis(&self) -> u64 {
        0
    }

    fn fill_random(&self, buf: &mut [u8]) {
        buf.fill(0);
    }

    async fn sleep(&self, _duration: Duration) {}
}

#[async_trait]
impl Secrets for Nothing {
    async fn generate_password(&self, policy: Option<&str>) -> Result<SecretBytes, SecretsError> {
        Err(SecretsError::NoSuchPolicy(
            policy.unwrap_or_default().to_owned(),
        ))
    }

    fn generate_token(&self, _length: u32) -> Result<SecretBytes, SecretsError> {
        Err(SecretsError::TooLong(0))
    }

    fn seal(&self, _secret: &SecretBytes, _context: &str) -> Result<Vec<u8>, SecretsError> {
        Err(SecretsError::TooLong(0))
    }

    fn unseal(&self, _sealed: &[u8], _context: &str) -> Result<SecretBytes, SecretsError> {
        Err(SecretsError::DoesNotOpen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(pattern: &str) -> wit::Description {
        wit::Description {
            name: "kv".to_owned(),
            version: "0.1.0".to_owned(),
            type_: wit::EngineType::Secrets,
            help: String::new(),
            paths: vec![wit_path(pattern)],
            storage_version: 1,
        }
    }

    fn wit_path(pattern: &str) -> wit::Path {
        wit::Path {
            pattern: pattern.to_owned(),
            traits: Vec::new(),
            operations: vec![wit::OperationHelp {
                operation: types::Operation::Read,
                summary: String::new(),
                returns: Vec::new(),
            }],
            fields: Vec::new(),
            help: String::new(),
            login_name: None,
        }
    }

    fn wit_field(name: &str) -> wit::Field {
        wit::Field {
            name: name.to_owned(),
            type_: wit::FieldType::Text,
            description: String::new(),
            required: false,
            default: None,
            allowed: Vec::new(),
            secret: false,
        }
    }

    fn refused(described: wit::Description) -> String {
        description(EngineKind::Secrets, described)
            .expect_err("the description is bad")
            .to_string()
    }

    #[test]
    fn a_pattern_says_what_it_matches() {
        for good in [
            "",
            "config",
            "roles/{name}",
            "data/{path...}",
            "a/{b}/c/{d...}",
            "{path...}",
        ] {
            assert!(
                description(EngineKind::Secrets, described(good)).is_ok(),
                "{good}"
            );
        }
        for bad in [
            "/a", "a/", "a//b", "a/../b", "{a", "x{a}", "{}", "{a...}/b", "{a}/{a}", "{a b}",
        ] {
            refused(described(bad));
        }
    }

    #[test]
    fn two_paths_never_match_the_same() {
        let mut twice = described("roles/{name}");
        twice.paths.push(wit_path("roles/{role}"));
        assert!(refused(twice).ends_with("path \"roles/{role}\": another path matches the same"));
    }

    #[test]
    fn fields_and_operations_are_named_once() {
        let mut twice = described("a");
        twice.paths[0].fields = vec![wit_field("ttl"), wit_field("ttl")];
        assert!(refused(twice).ends_with("field \"ttl\" twice"));

        let mut twice = described("a");
        let read = twice.paths[0].operations[0].clone();
        twice.paths[0].operations.push(read);
        refused(twice);

        let mut nobody = described("login");
        nobody.paths[0].login_name = Some("username".to_owned());
        assert!(refused(nobody).contains("neither a field nor a parameter"));
    }

    #[test]
    fn a_default_is_json_and_texts_are_bounded() {
        let mut bad = described("a");
        bad.paths[0].fields = vec![wit::Field {
            default: Some(b"{".to_vec()),
            ..wit_field("x")
        }];
        assert!(refused(bad).contains("default of field \"x\" is not JSON"));

        let mut long = described("a");
        long.help = "h".repeat(limits::HELP_BYTES + 1);
        refused(long);

        let mut auth = described("a");
        auth.type_ = wit::EngineType::Auth;
        refused(auth);
    }
}
