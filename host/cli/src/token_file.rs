//! The stored token: `~/.vault-token`, shared with Vault's own client, or the file that `VAULT_TOKEN_PATH` names.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::env::Env;
use crate::limits::TOKEN_FILE_MAX_BYTES;
use crate::secret::Token;

/// Where the token is kept.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    /// `None` if there is no home.
    pub(crate) fn find(env: &Env) -> Option<Self> {
        let path = match env.vault("TOKEN_PATH") {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(env.get("HOME")?).join(".vault-token"),
        };
        Some(Self { path })
    }

    /// The stored token, if there is one.
    pub(crate) fn read(&self) -> io::Result<Option<Token>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(err),
        };
        let mut text = String::new();
        file.take(TOKEN_FILE_MAX_BYTES).read_to_string(&mut text)?;
        Ok(Token::parse(&text))
    }

    /// Replaces the file as a whole, readable by its owner alone whatever it was before.
    pub(crate) fn store(&self, token: &Token) -> io::Result<()> {
        let mut next = self.path.clone().into_os_string();
        next.push(format!(".{}.tmp", std::process::id()));
        let next = PathBuf::from(next);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&next)
            .and_then(|mut file| file.write_all(token.expose().as_bytes()))
            .and_then(|()| fs::rename(&next, &self.path));
        if written.is_err() {
            // It may hold half a token; that it stays is not worth hiding the first error.
            let _ = fs::remove_file(&next);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_kept_for_its_owner_alone() {
        let path = std::env::temp_dir().join(format!("coffer-token-{}", std::process::id()));
        fs::write(&path, "older\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let env: Env = [("VAULT_TOKEN_PATH".to_owned(), path.display().to_string())]
            .into_iter()
            .collect();
        let file = TokenFile::find(&env).unwrap();
        assert_eq!(file.read().unwrap().unwrap().expose(), "older");

        file.store(&Token::parse("hvs.new").unwrap()).unwrap();
        assert_eq!(file.read().unwrap().unwrap().expose(), "hvs.new");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );

        fs::remove_file(&path).unwrap();
        assert!(file.read().unwrap().is_none());
    }

    #[test]
    fn without_a_home_there_is_no_file() {
        assert!(TokenFile::find(&Env::default()).is_none());
    }
}
