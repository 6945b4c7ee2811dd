//! OpenAPI and help, written from what the engines say of themselves.
//!
//! The document has Vault's shape: paths without `/v1`, LIST as GET with the query parameter
//! `list`, and the `x-vault-` marks that its generators and user interface look for. The help
//! has the headings of `vault path-help`.

use std::collections::BTreeSet;
use std::sync::Arc;

use host_logical::{
    Description, EngineKind, Field, FieldType, MountPath, Operation, OperationHelp,
    PathDescription, PathTrait,
};
use serde_json::{Map, Value, json};

use crate::pattern::{Routes, Segment, segments};

/// What is mounted where, as OpenAPI 3.0.2. `version` is the server's.
///
/// OpenAPI cannot tell `{name}` from `{path...}`: of two patterns that differ in that alone, the
/// one that the router prefers is described.
pub(crate) fn document(mounts: &[(MountPath, Arc<Description>)], version: &str) -> Value {
    let mut paths = Paths::default();
    for (mount, description) in mounts {
        paths.add(mount, description.kind, &description.paths);
    }
    paths.into_document(version)
}

/// The answer to `help=1` below a mount, outside the envelope; none where no path is served.
/// The empty path asks for the engine as a whole.
pub(crate) fn help(
    mount: &MountPath,
    description: &Description,
    routes: &Routes,
    path: &str,
) -> Option<Value> {
    let (text, shown) = if path.is_empty() {
        (engine_help(description), &description.paths[..])
    } else {
        let index = routes.find(path)?.index;
        let found = &description.paths[index];
        (path_help(mount, found, path), std::slice::from_ref(found))
    };
    let mut paths = Paths::default();
    paths.add(mount, description.kind, shown);
    Some(
        json!({ "help": text, "see_also": null, "openapi": paths.into_document(&description.version) }),
    )
}

fn engine_help(description: &Description) -> String {
    let mut text = format!(
        "## DESCRIPTION\n\n{}\n\n## PATHS\n\n\
         The following paths are supported by this backend. To view help for\n\
         any of the paths below, use the help command with any route matching\n\
         the path pattern. Note that depending on the policy of your auth token,\n\
         you may or may not be able to access certain paths.\n",
        description.help.trim()
    );
    for path in &description.paths {
        text.push('\n');
        push_indented(&mut text, 4, &path.pattern);
        push_indented(&mut text, 8, synopsis(path));
    }
    text
}

fn path_help(mount: &MountPath, path: &PathDescription, asked: &str) -> String {
    let mut text = format!(
        "Request:        {asked}\nMatching Route: {mount}{}\n",
        path.pattern
    );
    if !synopsis(path).is_empty() {
        text.push_str(&format!("\n{}\n", synopsis(path)));
    }
    if !path.operations.is_empty() {
        text.push_str("\n## OPERATIONS\n\n");
        for served in &path.operations {
            push_indented(
                &mut text,
                4,
                &format!("{}: {}", served.operation.as_str(), served.summary),
            );
        }
    }
    if !path.fields.is_empty() {
        text.push_str("\n## PARAMETERS\n");
        for field in &path.fields {
            text.push('\n');
            push_indented(
                &mut text,
                4,
                &format!("{} ({})", field.name, type_name(field.field_type)),
            );
            push_indented(&mut text, 8, &notes(field));
        }
    }
    if !path.help.trim().is_empty() {
        text.push_str(&format!("\n## DESCRIPTION\n\n{}\n", path.help.trim()));
    }
    text
}

/// The first line of a path's help.
fn synopsis(path: &PathDescription) -> &str {
    path.help.trim().lines().next().unwrap_or_default()
}

fn notes(field: &Field) -> String {
    let mut notes = field.description.trim().to_owned();
    let mut note = |text: String| {
        if !notes.is_empty() {
            notes.push('\n');
        }
        notes.push_str(&text);
    };
    if field.required {
        note("Required.".to_owned());
    }
    if let Some(default) = &field.default {
        note(format!("Default: {default}"));
    }
    if !field.allowed.is_empty() {
        note(format!("One of: {}", field.allowed.join(", ")));
    }
    notes
}

fn push_indented(text: &mut String, columns: usize, lines: &str) {
    for line in lines.lines() {
        if !line.is_empty() {
            text.extend(std::iter::repeat_n(' ', columns));
            text.push_str(line);
        }
        text.push('\n');
    }
}

/// In the words of `vault path-help`, where it has one.
fn type_name(field_type: FieldType) -> &'static str {
    match field_type {
        FieldType::Text => "string",
        FieldType::LowercaseText => "lowercase string",
        FieldType::Integer => "int",
        FieldType::Boolean => "bool",
        FieldType::Timestamp => "time",
        FieldType::Object => "map",
        FieldType::Any => "any",
        FieldType::Bytes => "base64 string",
        FieldType::Seconds => "duration (sec)",
        FieldType::SignedSeconds => "signed duration (sec)",
        FieldType::TextList => "slice",
        FieldType::CommaList => "comma-separated list",
        FieldType::IntegerList => "comma-separated list of ints",
        FieldType::TextMap => "keypair",
        FieldType::ConnectionString => "connection string",
        FieldType::Pem => "PEM string",
    }
}

/// The paths of a document, while it is being written.
#[derive(Default)]
struct Paths {
    items: Map<String, Value>,
    /// Paths with their names left out: OpenAPI holds `/a/{x}` and `/a/{y}` for the same.
    shapes: BTreeSet<String>,
    operation_ids: BTreeSet<String>,
}

impl Paths {
    fn add(&mut self, mount: &MountPath, kind: EngineKind, described: &[PathDescription]) {
        let mut described: Vec<_> = described
            .iter()
            .filter_map(|path| Some((path, segments(&path.pattern).ok()?)))
            .collect();
        // A pattern with a rest gives way to one without, as in the router. The sort is stable.
        described
            .sort_by_key(|(_, segments)| segments.iter().any(|s| matches!(s, Segment::Rest(_))));
        for (path, segments) in described {
            let mut template = format!("/{}", percent_encoded(mount.trimmed()));
            let mut shape = template.clone();
            for segment in &segments {
                match segment {
                    Segment::Literal(text) => {
                        let text = percent_encoded(text);
                        template.push_str(&format!("/{text}"));
                        shape.push_str(&format!("/{text}"));
                    }
                    Segment::Name(name) | Segment::Rest(name) => {
                        template.push_str(&format!("/{{{name}}}"));
                        shape.push_str("/{}");
                    }
                }
            }
            if self.shapes.insert(shape) {
                let item = self.path_item(mount, kind, path, &segments);
                self.items.insert(template, item);
            }
        }
    }

    fn path_item(
        &mut self,
        mount: &MountPath,
        kind: EngineKind,
        path: &PathDescription,
        segments: &[Segment<'_>],
    ) -> Value {
        let captured: Vec<&str> = segments.iter().filter_map(Segment::name).collect();
        let mut item = Map::new();
        item.insert("description".to_owned(), json!(path.help.trim()));
        if !captured.is_empty() {
            let parameters = captured.iter().map(|name| path_parameter(name, path));
            item.insert("parameters".to_owned(), parameters.collect());
        }
        for (mark, wanted) in [
            ("x-vault-sudo", PathTrait::Sudo),
            ("x-vault-unauthenticated", PathTrait::Unauthenticated),
            ("x-vault-createSupported", PathTrait::ExistenceCheck),
        ] {
            if path.has(wanted) {
                item.insert(mark.to_owned(), json!(true));
            }
        }
        // Where nothing is written, the fields that are not in the path can only come as a query.
        let writes = path
            .operations
            .iter()
            .any(|served| served.operation.is_write());
        // A name twice, or one that the query has already, would make the document invalid.
        let mut known: BTreeSet<&str> = captured.iter().copied().collect();
        if !writes {
            known.insert("list");
        }
        let sent: Vec<&Field> = path
            .fields
            .iter()
            .filter(|field| known.insert(&field.name))
            .collect();
        let query: Vec<Value> = match writes {
            true => vec![],
            false => sent.iter().map(|field| query_parameter(field)).collect(),
        };
        for (method, served) in methods(path) {
            let words = segments.iter().map(|segment| match segment {
                Segment::Literal(text) | Segment::Name(text) | Segment::Rest(text) => *text,
            });
            let words = std::iter::once(mount.trimmed())
                .chain([served.operation.as_str()])
                .chain(words);
            let mut operation = Map::new();
            operation.insert("summary".to_owned(), json!(served.summary));
            operation.insert("operationId".to_owned(), json!(self.operation_id(words)));
            operation.insert("tags".to_owned(), json!([tag(mount, kind)]));
            if path.has(PathTrait::Unauthenticated) {
                operation.insert("security".to_owned(), json!([]));
            }
            let mut parameters = query.clone();
            if method == "get" && serves_exactly(path, Operation::List) {
                parameters.insert(0, list_parameter(!serves_exactly(path, Operation::Read)));
            }
            if !parameters.is_empty() {
                operation.insert("parameters".to_owned(), json!(parameters));
            }
            if served.operation.is_write() {
                operation.insert(
                    "requestBody".to_owned(),
                    request_body(path, served.operation, &sent),
                );
            }
            operation.insert("responses".to_owned(), responses(served));
            item.insert(method.to_owned(), Value::Object(operation));
        }
        Value::Object(item)
    }

    /// Words joined by dashes; a number is added where two paths give the same.
    fn operation_id<'w>(&mut self, words: impl Iterator<Item = &'w str>) -> String {
        let words: Vec<&str> = words.collect();
        let mut id = String::new();
        for word in words
            .join("-")
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
        {
            if !id.is_empty() {
                id.push('-');
            }
            id.push_str(word);
        }
        let candidates =
            std::iter::once(id.clone()).chain((2u64..).map(|number| format!("{id}-{number}")));
        for candidate in candidates {
            if self.operation_ids.insert(candidate.clone()) {
                return candidate;
            }
        }
        id
    }

    fn into_document(self, version: &str) -> Value {
        json!({
            "openapi": "3.0.2",
            "info": {
                "title": "Coffer",
                "description": "HTTP API of a secrets engine host, in the words of Vault. All paths are below `/v1`.",
                "version": version,
                "license": {
                    "name": "Apache License 2.0",
                    "url": "https://www.apache.org/licenses/LICENSE-2.0",
                },
            },
            "servers": [{ "url": "/v1" }],
            "security": [{ "token": [] }, { "bearer": [] }],
            "paths": self.items,
            "components": {
                "securitySchemes": {
                    "token": { "type": "apiKey", "in": "header", "name": "X-Vault-Token" },
                    "bearer": { "type": "http", "scheme": "bearer" },
                },
                "schemas": { "Envelope": envelope(), "Errors": errors() },
                "responses": {
                    "Error": {
                        "description": "The request was refused or failed.",
                        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Errors" } } },
                    },
                    "NotFound": {
                        "description": "There is nothing, or what there was is deleted: then the envelope says when.",
                        "content": { "application/json": { "schema": { "anyOf": [
                            { "$ref": "#/components/schemas/Errors" },
                            { "$ref": "#/components/schemas/Envelope" },
                        ] } } },
                    },
                },
            },
        })
    }
}

fn envelope() -> Value {
    json!({
        "type": "object",
        "required": ["request_id", "lease_id", "renewable", "lease_duration"],
        "properties": {
            "request_id": { "type": "string" },
            "lease_id": { "type": "string" },
            "renewable": { "type": "boolean" },
            "lease_duration": { "type": "integer", "format": "seconds" },
            "data": { "type": "object", "nullable": true },
            "wrap_info": { "type": "object", "nullable": true },
            "warnings": { "type": "array", "nullable": true, "items": { "type": "string" } },
            "auth": { "type": "object", "nullable": true },
            "mount_type": { "type": "string" },
        },
    })
}

fn errors() -> Value {
    json!({
        "type": "object",
        "required": ["errors"],
        "properties": { "errors": { "type": "array", "items": { "type": "string" } } },
    })
}

/// HTTP methods, each with the operation that describes it. LIST shares GET with read.
fn methods(path: &PathDescription) -> impl Iterator<Item = (&'static str, &OperationHelp)> {
    [
        ("get", &[Operation::Read, Operation::List][..]),
        ("head", &[Operation::Head]),
        ("post", &[Operation::Update, Operation::Create]),
        ("patch", &[Operation::Patch]),
        ("delete", &[Operation::Delete]),
    ]
    .into_iter()
    .filter_map(|(method, operations)| {
        let described = |operation| {
            path.operations
                .iter()
                .find(|served| served.operation == operation)
        };
        let served = operations.iter().copied().find_map(described)?;
        Some((method, served))
    })
}

fn serves_exactly(path: &PathDescription, operation: Operation) -> bool {
    path.operations
        .iter()
        .any(|served| served.operation == operation)
}

fn tag(mount: &MountPath, kind: EngineKind) -> &'static str {
    match (mount.as_str(), kind) {
        ("sys/", _) => "system",
        ("identity/", _) => "identity",
        (_, EngineKind::Auth) => "auth",
        (_, EngineKind::Secrets) => "secrets",
    }
}

fn path_parameter(name: &str, path: &PathDescription) -> Value {
    let field = path.fields.iter().find(|field| field.name == name);
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": field.map(|field| field.description.trim()).unwrap_or_default(),
        "schema": field.map_or_else(|| json!({ "type": "string" }), |field| schema(field, Way::Request)),
    })
}

fn query_parameter(field: &Field) -> Value {
    json!({
        "name": field.name,
        "in": "query",
        // The host asks for required fields where something is written.
        "required": false,
        "description": field.description.trim(),
        "schema": schema(field, Way::Request),
    })
}

fn list_parameter(required: bool) -> Value {
    json!({
        "name": "list",
        "in": "query",
        "required": required,
        "description": "Lists the names below the path. The method LIST does the same.",
        "schema": { "type": "string", "enum": ["true"] },
    })
}

fn request_body(path: &PathDescription, operation: Operation, sent: &[&Field]) -> Value {
    let media_type = match operation {
        Operation::Patch => "application/merge-patch+json",
        _ => "application/json",
    };
    // A PATCH sends what changes, so nothing is required of it.
    let required: Vec<&str> = match operation {
        Operation::Patch => vec![],
        _ => sent
            .iter()
            .filter(|field| field.required)
            .map(|field| field.name.as_str())
            .collect(),
    };
    let mut body = object_schema(sent.iter().copied(), Way::Request);
    if !required.is_empty() {
        body.insert("required".to_owned(), json!(required));
    }
    if path.has(PathTrait::FreeForm) {
        body.insert("additionalProperties".to_owned(), json!(true));
    }
    let mut content = Map::new();
    content.insert(media_type.to_owned(), json!({ "schema": body }));
    if path.has(PathTrait::RawBody) {
        content.insert(
            "*/*".to_owned(),
            json!({ "schema": { "type": "string", "format": "binary" } }),
        );
    }
    json!({ "required": !required.is_empty(), "content": content })
}

/// What any request may be refused with, and how that is described. Each is written out, with no
/// `default` beside them: a status that is not here is a mistake, and a test may say so.
const REFUSALS: [(&str, &str); 8] = [
    ("400", "Error"),
    ("403", "Error"),
    ("404", "NotFound"),
    // A GET without `list` where there is nothing but a list.
    ("405", "Error"),
    ("429", "Error"),
    ("500", "Error"),
    ("502", "Error"),
    ("503", "Error"),
];

/// The same, of requests that have a body: too slow, too large, compressed or of another type.
const REFUSALS_OF_BODIES: [(&str, &str); 3] =
    [("408", "Error"), ("413", "Error"), ("415", "Error")];

fn responses(served: &OperationHelp) -> Value {
    let with_data = |data: Map<String, Value>| {
        json!({
            "description": "OK",
            "content": { "application/json": { "schema": {
                "allOf": [
                    { "$ref": "#/components/schemas/Envelope" },
                    { "type": "object", "properties": { "data": data } },
                ],
            } } },
        })
    };
    let response = match served.operation {
        Operation::Head => json!({ "description": "OK" }),
        _ if !served.returns.is_empty() => with_data(object_schema(&served.returns, Way::Answer)),
        Operation::List => {
            let keys = json!({ "keys": { "type": "array", "items": { "type": "string" } } });
            with_data(Map::from_iter([
                ("type".to_owned(), json!("object")),
                ("properties".to_owned(), keys),
            ]))
        }
        _ => {
            let envelope = json!({ "schema": { "$ref": "#/components/schemas/Envelope" } });
            json!({ "description": "OK", "content": { "application/json": envelope } })
        }
    };
    let mut responses = Map::new();
    responses.insert("200".to_owned(), response);
    // What changes something may have nothing to say, or a warning only.
    let reads = matches!(
        served.operation,
        Operation::Read | Operation::List | Operation::Head
    );
    if !reads && served.returns.is_empty() {
        responses.insert(
            "204".to_owned(),
            json!({ "description": "Done; there is nothing to say." }),
        );
    }
    let of_bodies: &[_] = match served.operation.is_write() {
        true => &REFUSALS_OF_BODIES,
        false => &[],
    };
    for (status, described) in REFUSALS.iter().chain(of_bodies) {
        let reference = format!("#/components/responses/{described}");
        responses.insert((*status).to_owned(), json!({ "$ref": reference }));
    }
    Value::Object(responses)
}

fn object_schema<'f>(fields: impl IntoIterator<Item = &'f Field>, way: Way) -> Map<String, Value> {
    let properties: Map<String, Value> = fields
        .into_iter()
        .map(|field| (field.name.clone(), described_schema(field, way)))
        .collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema
}

fn described_schema(field: &Field, way: Way) -> Value {
    let mut described = schema(field, way);
    if let Value::Object(schema) = &mut described {
        schema.insert("description".to_owned(), json!(field.description.trim()));
        // An engine may answer null for what is not there. OpenAPI 3.0 has that for types only.
        if way == Way::Answer && schema.contains_key("type") && !schema.contains_key("enum") {
            schema.insert("nullable".to_owned(), json!(true));
        }
    }
    described
}

/// Clients write some types in more forms than engines answer in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Answer,
}

fn schema(field: &Field, way: Way) -> Value {
    let mut schema = match field.field_type {
        FieldType::Seconds | FieldType::SignedSeconds => match way {
            Way::Request => json!({ "type": "string", "format": "duration" }),
            Way::Answer => json!({ "type": "integer", "format": "seconds" }),
        },
        FieldType::Text
        | FieldType::LowercaseText
        | FieldType::ConnectionString
        | FieldType::Pem => {
            json!({ "type": "string" })
        }
        FieldType::Integer => json!({ "type": "integer", "format": "int64" }),
        FieldType::Boolean => json!({ "type": "boolean" }),
        FieldType::Timestamp => match way {
            Way::Request => json!({ "type": "string", "format": "date-time" }),
            // As Vault: empty where something never happens.
            Way::Answer => json!({ "type": "string" }),
        },
        FieldType::Object => json!({ "type": "object" }),
        FieldType::Any => json!({}),
        FieldType::Bytes => json!({ "type": "string", "format": "byte" }),
        FieldType::TextList | FieldType::CommaList => {
            json!({ "type": "array", "items": { "type": "string" } })
        }
        FieldType::IntegerList => {
            json!({ "type": "array", "items": { "type": "integer", "format": "int64" } })
        }
        FieldType::TextMap => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
    };
    let allowed = allowed_values(field);
    if !allowed.is_empty() {
        match schema["type"].as_str() {
            Some("array") => schema["items"]["enum"] = json!(allowed),
            Some(_) => schema["enum"] = json!(allowed),
            None => {}
        }
    }
    if let Some(default) = default_for(&schema, field) {
        schema["default"] = default;
    }
    if field.secret {
        if schema["type"] == "string" && schema.get("format").is_none() {
            schema["format"] = json!("password");
        }
        schema["x-vault-displayAttrs"] = json!({ "sensitive": true });
    }
    schema
}

/// `allowed` in the field's own type; empty if one of them is not of it.
fn allowed_values(field: &Field) -> Vec<Value> {
    let value = |text: &String| match field.field_type {
        FieldType::Integer | FieldType::IntegerList => {
            text.parse::<i64>().ok().map(|number| json!(number))
        }
        FieldType::Boolean => text.parse::<bool>().ok().map(|value| json!(value)),
        _ => Some(json!(text)),
    };
    field
        .allowed
        .iter()
        .map(value)
        .collect::<Option<_>>()
        .unwrap_or_default()
}

/// The default as the schema has it. An engine may write it in any form that the field takes;
/// one that does not fit would make the whole document invalid and is left to the help.
fn default_for(schema: &Value, field: &Field) -> Option<Value> {
    let default = field.default.clone()?;
    let default = match (schema["type"].as_str(), default) {
        (Some("string"), Value::Number(number)) => Value::String(number.to_string()),
        (_, default) => default,
    };
    let is = |wanted: Option<&str>, value: &Value| match wanted {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        _ => true,
    };
    let is_listed = |schema: &Value, value: &Value| {
        schema["enum"]
            .as_array()
            .is_none_or(|all| all.contains(value))
    };
    let fits = is(schema["type"].as_str(), &default)
        && is_listed(schema, &default)
        && schema["format"] != "date-time"
        && schema["format"] != "byte"
        && match &default {
            Value::Array(values) => {
                let items = &schema["items"];
                values
                    .iter()
                    .all(|value| is(items["type"].as_str(), value) && is_listed(items, value))
            }
            Value::Object(map) => {
                let values = schema["additionalProperties"]["type"].as_str();
                map.values().all(|value| is(values, value))
            }
            _ => true,
        };
    fits.then_some(default)
}

/// What may stand in the path of a URL stays; braces would be read as a template.
fn percent_encoded(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b'/'
            | b':'
            | b'@' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, field_type: FieldType, description: &str) -> Field {
        Field {
            name: name.to_owned(),
            field_type,
            description: description.to_owned(),
            required: false,
            default: None,
            allowed: vec![],
            secret: false,
        }
    }

    fn serves(operation: Operation, summary: &str) -> OperationHelp {
        OperationHelp {
            operation,
            summary: summary.to_owned(),
            returns: vec![],
        }
    }

    fn path(
        pattern: &str,
        help: &str,
        operations: Vec<OperationHelp>,
        fields: Vec<Field>,
    ) -> PathDescription {
        PathDescription {
            pattern: pattern.to_owned(),
            traits: vec![],
            operations,
            fields,
            help: help.to_owned(),
            login_name: None,
        }
    }

    /// An engine with something of everything.
    fn engine() -> Description {
        let every_type = [
            FieldType::Text,
            FieldType::LowercaseText,
            FieldType::Integer,
            FieldType::Boolean,
            FieldType::Timestamp,
            FieldType::Object,
            FieldType::Any,
            FieldType::Bytes,
            FieldType::Seconds,
            FieldType::SignedSeconds,
            FieldType::TextList,
            FieldType::CommaList,
            FieldType::IntegerList,
            FieldType::TextMap,
            FieldType::ConnectionString,
            FieldType::Pem,
        ];
        let every_type: Vec<Field> = every_type
            .into_iter()
            .map(|of| field(&format!("{of:?}"), of, "One of each."))
            .collect();
        let versions = Field {
            required: true,
            default: Some(json!([1])),
            ..field("versions", FieldType::IntegerList, "Which versions.")
        };
        let kind = Field {
            allowed: vec!["rsa".to_owned(), "ec".to_owned()],
            default: Some(json!("rsa")),
            ..field("type", FieldType::Text, "Kind of key.")
        };
        let bits = Field {
            allowed: vec!["256".to_owned(), "384".to_owned()],
            default: Some(json!("not a number")),
            ..field("bits", FieldType::Integer, "")
        };
        let ttl = Field {
            default: Some(json!(3600)),
            ..field("ttl", FieldType::Seconds, "How long.")
        };
        let pin = Field {
            secret: true,
            ..field("pin", FieldType::Text, "Kept apart.")
        };
        let name = field("path", FieldType::Text, "Where the secret is.");
        let read = OperationHelp {
            returns: every_type.clone(),
            ..serves(Operation::Read, "Reads a secret.")
        };
        let data = PathDescription {
            traits: vec![PathTrait::ExistenceCheck],
            ..path(
                "data/{path...}",
                "Secrets.\n\nThe newest version is read unless one is asked for.",
                vec![
                    read,
                    serves(Operation::Create, "Writes a secret."),
                    serves(Operation::Update, "Writes a secret."),
                    serves(Operation::Patch, "Changes a secret."),
                    serves(Operation::Delete, "Deletes the newest version."),
                ],
                [vec![name.clone()], every_type.clone()].concat(),
            )
        };
        let listed = path(
            "metadata/{path...}",
            "",
            vec![serves(Operation::List, "Lists secrets.")],
            vec![name.clone()],
        );
        let both = path(
            "roles",
            "Roles.",
            vec![
                serves(Operation::Read, "Counts."),
                serves(Operation::List, "Lists."),
            ],
            vec![
                field("after", FieldType::Text, "Where to go on."),
                field("list", FieldType::Text, "The host's own."),
                field("after", FieldType::Text, "Twice."),
            ],
        );
        let destroy = PathDescription {
            traits: vec![PathTrait::Sudo],
            ..path(
                "destroy/{path...}",
                "Destroys for good.",
                vec![serves(Operation::Update, "Destroys versions.")],
                vec![name, versions, kind, bits, ttl, pin],
            )
        };
        let raw = PathDescription {
            traits: vec![
                PathTrait::Unauthenticated,
                PathTrait::RawBody,
                PathTrait::FreeForm,
            ],
            ..path(
                "ocsp/{request}",
                "",
                vec![
                    serves(Operation::Update, "Answers."),
                    serves(Operation::Head, ""),
                ],
                vec![],
            )
        };
        Description {
            name: "test".to_owned(),
            version: "1.2.3".to_owned(),
            kind: EngineKind::Secrets,
            help: "An engine for tests.\n".to_owned(),
            paths: vec![
                path("", "The mount.", vec![serves(Operation::Read, "")], vec![]),
                data,
                listed,
                both,
                destroy,
                raw,
                path("a/b-c", "", vec![serves(Operation::Read, "")], vec![]),
                path("a-b/c", "", vec![serves(Operation::Read, "")], vec![]),
                path(
                    "ocsp/{request...}",
                    "Gives way.",
                    vec![serves(Operation::Read, "")],
                    vec![],
                ),
                path(
                    "mounts/{path...}/tune",
                    "",
                    vec![serves(Operation::Read, "")],
                    vec![],
                ),
            ],
            storage_version: 1,
        }
    }

    fn mount(path: &str) -> MountPath {
        MountPath::parse(path).unwrap_or_else(|err| panic!("{path}: {err}"))
    }

    fn sample() -> Value {
        let engine = Arc::new(engine());
        let auth = Arc::new(Description {
            kind: EngineKind::Auth,
            ..(*engine).clone()
        });
        let mounts = [
            (mount("secret"), engine.clone()),
            (mount("odd {name}%"), engine.clone()),
            (mount("team/a"), engine.clone()),
            (mount("team-a"), engine),
            (mount("auth/test"), auth),
        ];
        document(&mounts, "1.18.5")
    }

    /// Every operation of the document, with its path.
    fn operations(document: &Value) -> Vec<(&str, &str, &Value, &Value)> {
        let mut operations = Vec::new();
        for (path, item) in document["paths"]
            .as_object()
            .unwrap_or_else(|| panic!("no paths"))
        {
            for method in ["get", "head", "post", "patch", "delete"] {
                if let Some(operation) = item.get(method) {
                    operations.push((path.as_str(), method, item, operation));
                }
            }
        }
        operations
    }

    #[test]
    fn every_operation_has_an_id_of_its_own() {
        let document = sample();
        let operations = operations(&document);
        let ids: BTreeSet<&str> = operations
            .iter()
            .filter_map(|(_, _, _, operation)| operation["operationId"].as_str())
            .collect();
        assert_eq!(ids.len(), operations.len());
        assert!(operations.len() > 60, "{}", operations.len());
        for id in [
            "secret-read-data-path",
            "secret-read-a-b-c",
            "secret-read-a-b-c-2",
            "auth-test-read",
        ] {
            assert!(ids.contains(id), "{id} in {ids:?}");
        }
    }

    #[test]
    fn every_parameter_of_a_path_is_declared_and_no_other() {
        let document = sample();
        let paths = document["paths"]
            .as_object()
            .unwrap_or_else(|| panic!("no paths"));
        for (path, item) in paths {
            assert!(path.starts_with('/') && !path.ends_with('/'), "{path}");
            let in_path: Vec<&str> = path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            let declared: Vec<&str> = item["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path" && parameter["required"] == true)
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            assert_eq!(in_path, declared, "{path}");
            assert_eq!(path.matches('{').count(), in_path.len(), "{path}");
        }
        assert!(paths.contains_key("/odd%20%7Bname%7D%25/data/{path}"));
        assert!(paths.contains_key("/secret/mounts/{path}/tune"));
        assert_eq!(
            document["paths"]["/secret/ocsp/{request}"]["description"], "",
            "the more special is described"
        );
    }

    #[test]
    fn every_answer_is_described_and_every_reference_leads_somewhere() {
        let document = sample();
        for (path, method, _, operation) in operations(&document) {
            let responses = operation["responses"]
                .as_object()
                .unwrap_or_else(|| panic!("{path} {method}"));
            let documented: Vec<&str> = responses.keys().map(String::as_str).collect();
            let (done, refused) = documented.split_at(
                documented
                    .iter()
                    .position(|status| *status == "400")
                    .unwrap_or_else(|| panic!("{path} {method}: {documented:?}")),
            );
            let expected: &[&str] = match method {
                "get" | "head" => &["200"],
                _ => &["200", "204"],
            };
            assert_eq!(done, expected, "{path} {method}");
            let of_bodies = refused.contains(&"413");
            assert_eq!(
                of_bodies,
                matches!(method, "post" | "patch"),
                "{path} {method}"
            );
            assert!(!documented.contains(&"default"), "{path} {method}");
            assert_eq!(
                operation.get("requestBody").is_some(),
                matches!(method, "post" | "patch"),
                "{path} {method}"
            );
        }
        let text = document.to_string();
        for (at, _) in text.match_indices(r##""$ref":"#"##) {
            let pointer: String = text[at + r##""$ref":"#"##.len()..]
                .chars()
                .take_while(|&c| c != '"')
                .collect();
            assert!(document.pointer(&pointer).is_some(), "{pointer}");
        }
    }

    #[test]
    fn the_marks_of_vault_are_there() {
        let document = sample();
        let paths = &document["paths"];
        assert_eq!(
            paths["/secret/data/{path}"]["x-vault-createSupported"],
            true
        );
        assert_eq!(paths["/secret/destroy/{path}"]["x-vault-sudo"], true);
        assert_eq!(
            paths["/secret/ocsp/{request}"]["x-vault-unauthenticated"],
            true
        );
        assert_eq!(
            paths["/secret/ocsp/{request}"]["post"]["security"],
            json!([])
        );
        assert_eq!(paths["/secret/roles"]["get"]["tags"], json!(["secrets"]));
        assert_eq!(paths["/auth/test/roles"]["get"]["tags"], json!(["auth"]));
    }

    #[test]
    fn a_list_is_a_get_with_a_query() {
        let document = sample();
        let list = |path: &str| document["paths"][path]["get"]["parameters"][0].clone();
        assert_eq!(
            (
                &list("/secret/metadata/{path}")["name"],
                &list("/secret/metadata/{path}")["required"]
            ),
            (&json!("list"), &json!(true))
        );
        assert_eq!(
            (
                &list("/secret/roles")["name"],
                &list("/secret/roles")["required"]
            ),
            (&json!("list"), &json!(false))
        );
        assert_eq!(
            document["paths"]["/secret/roles"]["get"]["parameters"][1]["name"],
            "after"
        );
        let parameters = document["paths"]["/secret/roles"]["get"]["parameters"].as_array();
        assert_eq!(parameters.map(Vec::len), Some(2), "each name once");
        assert_eq!(
            list("/secret/data/{path}"),
            Value::Null,
            "what is written comes in the body"
        );
    }

    #[test]
    fn a_body_has_the_fields_that_are_not_in_the_path() {
        let document = sample();
        let body = &document["paths"]["/secret/destroy/{path}"]["post"]["requestBody"];
        assert_eq!(
            body["content"]["application/json"]["schema"],
            json!({
                "type": "object",
                "properties": {
                    "versions": {
                        "type": "array", "items": { "type": "integer", "format": "int64" },
                        "default": [1], "description": "Which versions.",
                    },
                    "type": {
                        "type": "string", "enum": ["rsa", "ec"], "default": "rsa", "description": "Kind of key.",
                    },
                    "bits": { "type": "integer", "format": "int64", "enum": [256, 384], "description": "" },
                    "ttl": {
                        "type": "string", "format": "duration", "default": "3600", "description": "How long.",
                    },
                    "pin": {
                        "type": "string", "format": "password",
                        "x-vault-displayAttrs": { "sensitive": true }, "description": "Kept apart.",
                    },
                },
                "required": ["versions"],
            })
        );
        let patch = &document["paths"]["/secret/data/{path}"]["patch"]["requestBody"]["content"];
        assert!(patch.get("application/merge-patch+json").is_some());
    }

    #[track_caller]
    fn check_help(path: &str, expected: &str) {
        let description = engine();
        let routes = Routes::new(&description).unwrap_or_else(|err| panic!("{err}"));
        let answer =
            help(&mount("secret"), &description, &routes, path).unwrap_or_else(|| panic!("{path}"));
        assert_eq!(answer["see_also"], Value::Null);
        assert_eq!(answer["openapi"]["openapi"], "3.0.2");
        assert_eq!(answer["help"].as_str(), Some(expected));
    }

    #[test]
    fn help_tells_what_a_path_takes() {
        check_help(
            "destroy/app",
            "Request:        destroy/app
Matching Route: secret/destroy/{path...}

Destroys for good.

## OPERATIONS

    update: Destroys versions.

## PARAMETERS

    path (string)
        Where the secret is.

    versions (comma-separated list of ints)
        Which versions.
        Required.
        Default: [1]

    type (string)
        Kind of key.
        Default: \"rsa\"
        One of: rsa, ec

    bits (int)
        Default: \"not a number\"
        One of: 256, 384

    ttl (duration (sec))
        How long.
        Default: 3600

    pin (string)
        Kept apart.

## DESCRIPTION

Destroys for good.
",
        );
    }

    #[test]
    fn help_on_the_mount_lists_its_paths() {
        let description = Description {
            paths: engine().paths.into_iter().skip(1).take(2).collect(),
            ..engine()
        };
        assert_eq!(
            engine_help(&description),
            "## DESCRIPTION

An engine for tests.

## PATHS

The following paths are supported by this backend. To view help for
any of the paths below, use the help command with any route matching
the path pattern. Note that depending on the policy of your auth token,
you may or may not be able to access certain paths.

    data/{path...}
        Secrets.

    metadata/{path...}
"
        );
        let engine = engine();
        let routes = Routes::new(&engine).unwrap_or_else(|err| panic!("{err}"));
        assert!(help(&mount("secret"), &engine, &routes, "").is_some());
        assert_eq!(
            help(&mount("secret"), &engine, &routes, "nothing/here"),
            None
        );
    }
}
