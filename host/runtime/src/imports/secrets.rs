//! `secrets`: plaintext that stays in the host. A guest holds a handle, passes it on, and never
//! reads what is behind it; the bytes are wiped with the last handle, or with the instance.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use host_logical::{EngineError, SecretBytes, Secrets, SecretsError};
use wasmtime::component::{Resource, ResourceTable};

use crate::bindings::coffer::engine::secrets;
use crate::limits;
use crate::meter::Meter;

pub(crate) struct SecretsImports<'a> {
    pub(crate) meter: &'a mut Meter,
    pub(crate) secrets: &'a dyn Secrets,
    pub(crate) table: &'a mut ResourceTable,
    /// What this call may still take into custody. Dropping a handle gives nothing back: the same
    /// plaintext may live on behind another.
    pub(crate) custody_bytes_left: &'a mut usize,
}

impl SecretsImports<'_> {
    fn hold(&mut self, secret: SecretBytes) -> wasmtime::Result<Resource<SecretBytes>> {
        if secret.len() > limits::SECRET_BYTES {
            return Err(self.over("a secret is", limits::SECRET_BYTES));
        }
        match self.custody_bytes_left.checked_sub(secret.len()) {
            Some(left) => *self.custody_bytes_left = left,
            None => return Err(self.over("the secrets of a call are", limits::CUSTODY_BYTES)),
        }
        self.table.push(secret).map_err(|_| {
            self.meter.end(EngineError::OverLimit(format!(
                "more than {} handles",
                limits::HANDLES
            )))
        })
    }

    fn over(&mut self, what: &str, limit_bytes: usize) -> wasmtime::Error {
        self.meter.end(EngineError::OverLimit(format!(
            "{what} at most {limit_bytes} bytes"
        )))
    }

    /// For functions that cannot say no: whatever went wrong ends the call.
    fn end(&mut self, error: SecretsError) -> wasmtime::Error {
        self.meter.end(match error {
            SecretsError::Broken(source) => EngineError::Host(source),
            SecretsError::TooLong(_) => EngineError::OverLimit(error.to_string()),
            other => EngineError::Host(Box::new(other)),
        })
    }

    /// For functions that can: the engine gets the text, unless the host is at fault.
    fn answer(
        &mut self,
        result: Result<SecretBytes, SecretsError>,
    ) -> wasmtime::Result<Result<Resource<SecretBytes>, String>> {
        match result {
            Ok(secret) => Ok(Ok(self.hold(secret)?)),
            Err(SecretsError::Broken(source)) => Err(self.meter.end(EngineError::Host(source))),
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}

impl secrets::Host for SecretsImports<'_> {
    async fn generate_password(
        &mut self,
        policy: Option<String>,
    ) -> wasmtime::Result<Result<Resource<SecretBytes>, String>> {
        let making = self.secrets.generate_password(policy.as_deref());
        let result = self.meter.wait(making).await?;
        self.answer(result)
    }

    async fn generate_token(&mut self, length: u32) -> wasmtime::Result<Resource<SecretBytes>> {
        self.meter.count()?;
        if usize::try_from(length).is_ok_and(|length| length > limits::SECRET_BYTES) {
            return Err(self.over("a secret is", limits::SECRET_BYTES));
        }
        match self.secrets.generate_token(length) {
            Ok(secret) => self.hold(secret),
            Err(error) => Err(self.end(error)),
        }
    }

    async fn from_bytes(&mut self, value: Vec<u8>) -> wasmtime::Result<Resource<SecretBytes>> {
        let secret = SecretBytes::new(value);
        self.meter.count()?;
        self.hold(secret)
    }

    async fn seal(
        &mut self,
        s: Resource<SecretBytes>,
        context: String,
    ) -> wasmtime::Result<Vec<u8>> {
        self.meter.count()?;
        match self.secrets.seal(self.table.get(&s)?, &context) {
            Ok(sealed) => Ok(sealed),
            Err(error) => Err(self.end(error)),
        }
    }

    async fn unseal(
        &mut self,
        sealed: Vec<u8>,
        context: String,
    ) -> wasmtime::Result<Result<Resource<SecretBytes>, String>> {
        self.meter.count()?;
        let result = self.secrets.unseal(&sealed, &context);
        self.answer(result)
    }

    async fn concat(
        &mut self,
        parts: Vec<Resource<SecretBytes>>,
    ) -> wasmtime::Result<Resource<SecretBytes>> {
        self.meter.count()?;
        let mut length = 0usize;
        for part in &parts {
            length = length.saturating_add(self.table.get(part)?.len());
        }
        if length > limits::SECRET_BYTES {
            return Err(self.over("a secret is", limits::SECRET_BYTES));
        }
        // Sized once: growing would leave copies behind that nobody wipes.
        let mut joined = Vec::with_capacity(length);
        for part in &parts {
            joined.extend_from_slice(self.table.get(part)?.expose());
        }
        self.hold(SecretBytes::new(joined))
    }

    async fn encode(
        &mut self,
        s: Resource<SecretBytes>,
        encoding: String,
    ) -> wasmtime::Result<Result<Resource<SecretBytes>, String>> {
        self.meter.count()?;
        let plain = self.table.get(&s)?.expose();
        let text = match encoding.as_str() {
            "base64" => STANDARD.encode(plain),
            // As JOSE has it: without padding.
            "base64url" => URL_SAFE_NO_PAD.encode(plain),
            "hex" => hex::encode(plain),
            _ => {
                return Ok(Err(format!(
                    "no encoding {encoding:?}: base64, base64url, hex"
                )));
            }
        };
        Ok(Ok(self.hold(SecretBytes::new(text.into_bytes()))?))
    }
}

impl secrets::HostSecret for SecretsImports<'_> {
    async fn length(&mut self, s: Resource<SecretBytes>) -> wasmtime::Result<u32> {
        self.meter.count()?;
        Ok(u32::try_from(self.table.get(&s)?.len()).unwrap_or(u32::MAX))
    }

    async fn drop(&mut self, s: Resource<SecretBytes>) -> wasmtime::Result<()> {
        self.table.delete(s)?;
        Ok(())
    }
}
