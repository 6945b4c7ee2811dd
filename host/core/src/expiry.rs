//! What ends by itself, and the loop that ends it.
//!
//! An index in the host's own records says what is due when, to the second:
//!
//! - `expiry/<4,096 seconds>/<second of them>/t<hash>`: a token.
//!
//! Nothing of it is loaded when the server opens: the loop lists what has come due, and no more. Directories of
//! moments keep each listing short, whatever there is in all.
//!
//! Invariants
//! - What has a moment has an entry there, which moves in the commit that moves the moment. One that is left over
//!   is forgotten when it comes due.
//! - The index promises nothing to clients: a token whose time has come is refused whether or not the loop has
//!   come to it.
//! - An entry is a reminder, not an order: who acts on it reads the record, and may find that it was renewed.

#[cfg(test)]
mod tests;

use std::sync::Weak;

use host_barrier::{Transaction, View};

use crate::error::HandleError;
use crate::storage::{self, chain, from_barrier, from_view};
use crate::token::TokenHash;
use crate::{Core, limits};

const INDEX: &str = "expiry/";
const TOKEN: &str = "t";
/// Seconds in one directory of the index, as bits: 68 minutes.
const STRETCH: u32 = 12;

/// The second at which something that ends at `millis` has ended.
fn second(millis: u64) -> u64 {
    millis.div_ceil(1000)
}

fn stretch_key(stretch: u64) -> String {
    format!("{INDEX}{stretch:013x}/")
}

fn second_key(second: u64) -> String {
    let within = second & ((1 << STRETCH) - 1);
    format!("{}{within:03x}/", stretch_key(second >> STRETCH))
}

fn token_key(second: u64, hash: &TokenHash) -> String {
    format!("{}{TOKEN}{}", second_key(second), hash.as_str())
}

/// Moves a token's entry from one moment to another; none is no entry.
pub(crate) async fn move_token(
    system: &View,
    hash: &TokenHash,
    from_millis: Option<u64>,
    to_millis: Option<u64>,
) -> Result<(), HandleError> {
    let (from, to) = (from_millis.map(second), to_millis.map(second));
    if from == to {
        return Ok(());
    }
    if let Some(from) = from {
        system
            .delete(&token_key(from, hash))
            .await
            .map_err(from_view)?;
    }
    if let Some(to) = to {
        system
            .put(&token_key(to, hash), b"")
            .await
            .map_err(from_view)?;
    }
    Ok(())
}

/// A token that has come due.
pub(crate) struct DueToken {
    hash: TokenHash,
    second: u64,
}

impl DueToken {
    /// Whose.
    pub(crate) fn hash(&self) -> &TokenHash {
        &self.hash
    }

    /// Whether the entry is that of a record which is due at `due_millis`. One that is not is left over.
    pub(crate) fn is_entry_of(&self, due_millis: Option<u64>) -> bool {
        due_millis.map(second) == Some(self.second)
    }

    /// Takes the entry away alone.
    pub(crate) async fn forget(&self, system: &View) -> Result<(), HandleError> {
        let key = token_key(self.second, &self.hash);
        system.delete(&key).await.map_err(from_view)
    }
}

/// The first tokens in time that have come due at `now_millis`, at most so many.
async fn due_tokens(
    txn: &Transaction,
    now_millis: u64,
    most: usize,
) -> Result<Vec<DueToken>, HandleError> {
    let system = storage::system(txn).await?;
    let now = now_millis / 1000;
    let mut due = Vec::new();
    for stretch in numbers(&system, INDEX).await? {
        if stretch > now >> STRETCH {
            break;
        }
        for within in numbers(&system, &stretch_key(stretch)).await? {
            let second = (stretch << STRETCH) + within;
            if second > now || due.len() >= most {
                return Ok(due);
            }
            let rest = most - due.len();
            let page = system.list(&second_key(second), None, rest).await;
            let names = page.map_err(from_view)?.keys.into_iter();
            due.extend(names.filter_map(|name| {
                let hash = TokenHash::from_name(name.strip_prefix(TOKEN)?);
                Some(DueToken { hash, second })
            }));
        }
    }
    Ok(due)
}

/// The directories of a directory of the index, in their order.
async fn numbers(system: &View, directory: &str) -> Result<Vec<u64>, HandleError> {
    let names = storage::list_all(system, directory).await?;
    let numbers = names.iter().map(|name| {
        let digits = name.trim_end_matches('/');
        u64::from_str_radix(digits, 16).map_err(HandleError::internal)
    });
    numbers.collect()
}

/// Ends what has come due, until `core` is sealed or gone.
pub(crate) async fn run(core: Weak<Core>) {
    let resumed = match core.upgrade() {
        Some(core) => core.resume_purges().await,
        None => return,
    };
    if let Err(err) = resumed {
        tracing::error!(error = %chain(&err), "records of disabled mounts may be left in the file, without their key; the next start tries again");
    }
    while let Some(core) = core.upgrade() {
        match core.end_what_is_due().await {
            Ok(()) => {}
            Err(HandleError::Sealed) => return,
            Err(err) => {
                tracing::error!(error = %chain(&err), "what has expired could not be removed; it is refused all the same, and tried again");
            }
        }
        drop(core);
        tokio::time::sleep(limits::EXPIRY_TICK).await;
    }
}

impl Core {
    /// Ends all that has come due.
    pub(crate) async fn end_what_is_due(&self) -> Result<(), HandleError> {
        loop {
            let now = self.clock.now_millis();
            let txn = self.barrier.begin().await.map_err(from_barrier)?;
            let due = due_tokens(&txn, now, limits::EXPIRY_BATCH).await?;
            // Nothing of it is checked: the records are read again.
            drop(txn);
            if due.is_empty() {
                return Ok(());
            }
            self.tokens.end(&due, now).await?;
        }
    }
}
