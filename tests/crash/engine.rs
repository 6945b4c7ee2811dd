//! A small engine without wasm, which keeps several records for each thing that it is told: they are there
//! together or not at all.
//!
//! `records/{path...}` keeps a value, a log entry and the count of changes; `state` shows count and log.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use host_core::{Custody, KeySource};
use host_logical::{
    Call, Description, Engine, EngineError, EngineKind, EngineRequest, EngineResponse, Engines,
    Field, FieldType, Imports, Mount, Operation, OperationHelp, Options, PathDescription, Refusal,
    SecretBytes, Secrets, SecretsError, StorageError,
};

/// The type by which it is mounted.
pub(crate) const NAME: &str = "records";

/// The catalog of this one engine.
pub(crate) struct Catalog;

#[async_trait]
impl Engines for Catalog {
    async fn engine(
        &self,
        kind: EngineKind,
        name: &str,
    ) -> Result<Option<Arc<dyn Engine>>, EngineError> {
        let is_it = kind == EngineKind::Secrets && name == NAME;
        Ok(is_it.then(|| Arc::new(Records) as Arc<dyn Engine>))
    }

    fn names(&self, _: EngineKind) -> Vec<(String, String)> {
        vec![(NAME.into(), "1.0.0".into())]
    }

    fn set_cache_key(&self, _: Option<[u8; 32]>) {}
}

struct Records;

#[async_trait]
impl Engine for Records {
    async fn describe(&self, _: &Options) -> Result<Arc<Description>, EngineError> {
        use Operation::{Delete, List, Read, Update};
        Ok(Arc::new(Description {
            name: NAME.into(),
            version: "1.0.0".into(),
            kind: EngineKind::Secrets,
            help: String::new(),
            paths: vec![
                path("records/{path...}", &[Read, Update, Delete, List]),
                path("state", &[Read]),
            ],
            storage_version: 1,
        }))
    }

    async fn open(&self, imports: Imports) -> Result<Box<dyn Call>, EngineError> {
        Ok(Box::new(RecordsCall(imports)))
    }
}

fn path(pattern: &str, operations: &[Operation]) -> PathDescription {
    let operations = operations.iter().map(|operation| OperationHelp {
        operation: *operation,
        summary: String::new(),
        returns: Vec::new(),
    });
    let value = Field {
        name: "value".into(),
        field_type: FieldType::Text,
        description: String::new(),
        required: false,
        default: None,
        allowed: Vec::new(),
        secret: false,
    };
    PathDescription {
        pattern: pattern.into(),
        traits: Vec::new(),
        operations: operations.collect(),
        fields: vec![value],
        help: String::new(),
        login_name: None,
    }
}

struct RecordsCall(Imports);

impl RecordsCall {
    async fn text(&self, key: &str) -> Result<Option<String>, EngineError> {
        let value = self.0.storage.get(key).await.map_err(host)?;
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }

    async fn count(&self) -> Result<u64, EngineError> {
        let count = self.text("count").await?;
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// The change to `key` is counted and written down with it.
    async fn log(&self, key: &str) -> Result<(), EngineError> {
        let count = self.count().await? + 1;
        let storage = &self.0.storage;
        let count_text = count.to_string();
        storage
            .put("count", count_text.as_bytes())
            .await
            .map_err(host)?;
        storage
            .put(&format!("log/{count:04}"), key.as_bytes())
            .await
            .map_err(host)
    }
}

#[async_trait]
impl Call for RecordsCall {
    async fn initialize(&mut self, _: Option<u32>, _: &Mount) -> Result<(), EngineError> {
        self.0.storage.put("made", b"1").await.map_err(host)
    }

    async fn exists(&mut self, _: &EngineRequest) -> Result<bool, EngineError> {
        Ok(true)
    }

    async fn handle(&mut self, request: EngineRequest) -> Result<EngineResponse, EngineError> {
        let storage = &self.0.storage;
        if request.path == "state" {
            let entries = storage.list("log/", None, 0).await.map_err(host)?.keys;
            let made = self.text("made").await?;
            let count = self.count().await?;
            return Ok(data(&json!({"count": count, "log": entries, "made": made})));
        }
        let below = request.params.first().map_or("", |(_, path)| path.as_str());
        let key = format!("data/{below}");
        match request.operation {
            Operation::Read => match self.text(&key).await? {
                Some(value) => Ok(data(&json!({ "value": value }))),
                None => Err(Refusal::NotFound.into()),
            },
            Operation::List => {
                let keys = storage.list(&key, None, 0).await.map_err(host)?.keys;
                Ok(data(&json!({ "keys": keys })))
            }
            Operation::Delete => {
                storage.delete(&key).await.map_err(host)?;
                self.log(&key).await?;
                Ok(EngineResponse::default())
            }
            _ => {
                let value = request.data.get("value").and_then(Value::as_str);
                let value = value.unwrap_or_default();
                storage.put(&key, value.as_bytes()).await.map_err(host)?;
                self.log(&key).await?;
                Ok(EngineResponse::default())
            }
        }
    }
}

fn data(data: &Value) -> EngineResponse {
    EngineResponse {
        data: serde_json::value::to_raw_value(data).ok(),
        ..EngineResponse::default()
    }
}

fn host(error: StorageError) -> EngineError {
    EngineError::Host(Box::new(error))
}

/// This engine has no use for custody.
pub(crate) struct NoCustody;

impl Custody for NoCustody {
    fn secrets(&self, _: KeySource) -> Arc<dyn Secrets> {
        Arc::new(NoCustody)
    }
}

#[async_trait]
impl Secrets for NoCustody {
    async fn generate_password(&self, _: Option<&str>) -> Result<SecretBytes, SecretsError> {
        Err(SecretsError::DoesNotOpen)
    }

    fn generate_token(&self, _: u32) -> Result<SecretBytes, SecretsError> {
        Err(SecretsError::DoesNotOpen)
    }

    fn seal(&self, _: &SecretBytes, _: &str) -> Result<Vec<u8>, SecretsError> {
        Err(SecretsError::DoesNotOpen)
    }

    fn unseal(&self, _: &[u8], _: &str) -> Result<SecretBytes, SecretsError> {
        Err(SecretsError::DoesNotOpen)
    }
}
