//! Every limit of this crate, with its reason.

/// Characters of a generated password where no policy says otherwise: as Vault's default policy.
pub(crate) const PASSWORD_CHARACTERS: usize = 20;

/// Characters of a token that an engine may ask for. The longest known in the field are API keys
/// of some hundred; 4,096 leaves room and costs one page.
pub(crate) const MAX_TOKEN_CHARACTERS: u32 = 4096;

/// Bytes of one secret. A PEM bundle with its chain is some 20 KiB; key stores reach a megabyte.
pub(crate) const MAX_SECRET_BYTES: usize = 1 << 20;

/// Bytes of a context. It names a place, such as `config/pg/password`.
pub(crate) const MAX_CONTEXT_BYTES: usize = 1024;
