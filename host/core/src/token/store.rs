//! Where tokens are kept: in the host's own records,
//!
//! - `token/id/<hash>`: the token's record,
//! - `token/accessor/<accessor>`: the hash of its token,
//! - `token/parent/<hash>/<hash of child>`: who is whose child,
//! - `cubbyhole/<hash>/...`: what only this token can read,
//! - `wrapped/<hash>`: the answer that this token was made for,
//! - an entry in the index of what ends (`expiry.rs`).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use host_barrier::{Barrier, Random, Transaction, View};

use super::{TOKEN_CHARACTERS, TOKEN_PREFIX, Token, TokenHash, TokenRecord};
use crate::error::HandleError;
use crate::expiry::{self, DueToken};
use crate::limits;
use crate::random;
use crate::storage::{self, chain, from_barrier, from_commit, from_view, parse_json, to_json};
use crate::wrapping;

/// Finds, makes, renews and revokes tokens.
#[derive(Clone)]
pub(crate) struct TokenStore {
    barrier: Barrier,
    random: Arc<dyn Random>,
    /// Names tokens. None while sealed.
    hash_key: Arc<RwLock<Option<hmac::Key>>>,
}

/// What a new token is to be.
pub(crate) struct NewToken {
    /// Chosen by an operator; otherwise drawn.
    pub(crate) id: Option<Zeroizing<String>>,
    pub(crate) policies: Vec<String>,
    pub(crate) path: String,
    pub(crate) display_name: String,
    pub(crate) meta: Option<BTreeMap<String, String>>,
    pub(crate) num_uses: i64,
    /// None never ends.
    pub(crate) ttl: Option<u64>,
    pub(crate) explicit_max_ttl: u64,
    pub(crate) period: u64,
    pub(crate) renewable: bool,
    pub(crate) parent: Option<TokenHash>,
    pub(crate) role: Option<String>,
    pub(crate) bound_cidrs: Vec<String>,
}

impl TokenStore {
    pub(crate) fn new(barrier: Barrier, random: Arc<dyn Random>) -> Self {
        let hash_key = Arc::default();
        Self {
            barrier,
            random,
            hash_key,
        }
    }

    /// Begins to find tokens: the barrier is open.
    pub(crate) fn open(&self) -> Result<(), HandleError> {
        let key = self.barrier.derive("token-hash").map_err(from_barrier)?;
        self.set_hash_key(Some(hmac::Key::new(hmac::HMAC_SHA256, &*key)));
        Ok(())
    }

    /// Forgets how: the barrier is sealed.
    pub(crate) fn close(&self) {
        self.set_hash_key(None);
    }

    fn set_hash_key(&self, key: Option<hmac::Key>) {
        *self
            .hash_key
            .write()
            .unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// The name under which a token's record would be. HMAC-SHA-256 under a key of the barrier:
    /// who reads the file, or the record, cannot go back to the token, nor guess one offline.
    pub(crate) fn hash(&self, token: &str) -> Result<TokenHash, HandleError> {
        let key = self.hash_key.read().unwrap_or_else(PoisonError::into_inner);
        let key = key.as_ref().ok_or(HandleError::Sealed)?;
        Ok(TokenHash(hex::encode(hmac::sign(key, token.as_bytes()))))
    }

    /// The record under `hash`, in whatever state it is.
    pub(crate) async fn find(
        &self,
        txn: &Transaction,
        hash: &TokenHash,
    ) -> Result<Option<TokenRecord>, HandleError> {
        let system = storage::system(txn).await?;
        match system.get(&id_key(hash)).await.map_err(from_view)? {
            Some(value) => parse_json(&value).map(Some),
            None => Ok(None),
        }
    }

    /// The token, if it is there and its time has not come. Its uses are not looked at.
    pub(crate) async fn lookup(
        &self,
        txn: &Transaction,
        token: &str,
        now_millis: u64,
    ) -> Result<Option<Token>, HandleError> {
        let hash = self.hash(token)?;
        let record = self.find(txn, &hash).await?;
        let record = record.filter(|record| !record.is_expired(now_millis));
        Ok(record.map(|record| Token { hash, record }))
    }

    /// As [`TokenStore::lookup`], for a token that is to be used: its ancestors must be in force,
    /// too, since a token ends with the one that made it.
    pub(crate) async fn in_force(
        &self,
        txn: &Transaction,
        token: &str,
        now_millis: u64,
    ) -> Result<Option<Token>, HandleError> {
        let Some(token) = self.lookup(txn, token, now_millis).await? else {
            return Ok(None);
        };
        let ancestors = self.ancestors(txn, &token.record, now_millis).await?;
        Ok(ancestors.map(|_| token))
    }

    /// How many ancestors a token has; none if one of them is not in force any more.
    async fn ancestors(
        &self,
        txn: &Transaction,
        record: &TokenRecord,
        now_millis: u64,
    ) -> Result<Option<usize>, HandleError> {
        let mut count = 0;
        let mut parent = record.parent.clone();
        while let Some(hash) = parent {
            match self.find(txn, &hash).await? {
                Some(record) if !record.is_expired(now_millis) => parent = record.parent,
                _ => return Ok(None),
            }
            count += 1;
        }
        Ok(Some(count))
    }

    /// The token behind an accessor, if it is in force.
    pub(crate) async fn by_accessor(
        &self,
        txn: &Transaction,
        accessor: &str,
        now_millis: u64,
    ) -> Result<Option<Token>, HandleError> {
        // Ours are letters and digits: anything else names no record and must not name another.
        let ours = accessor.len() == TOKEN_CHARACTERS
            && accessor.bytes().all(|b| b.is_ascii_alphanumeric());
        if !ours {
            return Ok(None);
        }
        let system = storage::system(txn).await?;
        let Some(value) = system
            .get(&accessor_key(accessor))
            .await
            .map_err(from_view)?
        else {
            return Ok(None);
        };
        let hash: TokenHash = parse_json(&value)?;
        let record = self.find(txn, &hash).await?;
        let Some(record) = record.filter(|r| !r.is_expired(now_millis) && !r.is_spent()) else {
            return Ok(None);
        };
        let ancestors = self.ancestors(txn, &record, now_millis).await?;
        Ok(ancestors.map(|_| Token { hash, record }))
    }

    /// All accessors, sorted.
    pub(crate) async fn accessors(&self, txn: &Transaction) -> Result<Vec<String>, HandleError> {
        storage::list_all(&storage::system(txn).await?, "token/accessor/").await
    }

    /// Makes a token in `txn`. The text of it is returned here and kept nowhere.
    pub(crate) async fn create(
        &self,
        txn: &Transaction,
        new: NewToken,
        now_millis: u64,
    ) -> Result<(Zeroizing<String>, TokenRecord), HandleError> {
        let token = match new.id {
            Some(id) => id,
            None => Zeroizing::new(format!(
                "{TOKEN_PREFIX}{}",
                *random::base62(&*self.random, TOKEN_CHARACTERS)?
            )),
        };
        let hash = self.hash(&token)?;
        if self.find(txn, &hash).await?.is_some() {
            return Err(HandleError::Invalid(
                "cannot create a token with a duplicate ID".into(),
            ));
        }
        let accessor = random::base62(&*self.random, TOKEN_CHARACTERS)?.to_string();
        let mut record = TokenRecord {
            accessor,
            policies: new.policies,
            path: new.path,
            display_name: new.display_name,
            meta: new.meta,
            num_uses: new.num_uses,
            issued_millis: now_millis,
            expires_millis: new.ttl.map(|ttl| crate::ttl::moment(now_millis, ttl)),
            creation_ttl: new.ttl.unwrap_or(0),
            explicit_max_ttl: new.explicit_max_ttl,
            period: new.period,
            renewable: new.renewable,
            parent: new.parent,
            last_renewal_millis: None,
            role: new.role,
            bound_cidrs: new.bound_cidrs,
            due_millis: None,
        };
        let ancestors = self.ancestors(txn, &record, now_millis).await?;
        if ancestors.ok_or(HandleError::InvalidToken)? > limits::MAX_TOKEN_ANCESTORS {
            return Err(HandleError::Invalid(format!(
                "a token has at most {} ancestors: make an orphan",
                limits::MAX_TOKEN_ANCESTORS
            )));
        }
        let system = storage::system(txn).await?;
        let end = record.expires_millis;
        write_record_due(&system, &hash, &mut record, end).await?;
        let accessor_key = accessor_key(&record.accessor);
        system
            .put(&accessor_key, &to_json(&hash)?)
            .await
            .map_err(from_view)?;
        if let Some(parent) = &record.parent {
            system
                .put(&child_key(parent, &hash), b"")
                .await
                .map_err(from_view)?;
        }
        Ok((token, record))
    }

    /// Writes a changed record in `txn`.
    pub(crate) async fn update(
        &self,
        txn: &Transaction,
        token: &mut Token,
    ) -> Result<(), HandleError> {
        let system = storage::system(txn).await?;
        let end = token.record.expires_millis;
        write_record_due(&system, &token.hash, &mut token.record, end).await
    }

    /// Spends one use, durably. Of many at once on the last use, one comes through.
    pub(crate) async fn spend(&self, hash: &TokenHash, now_millis: u64) -> Result<(), HandleError> {
        self.in_commits(|txn| async move {
            let mut record = match self.find(&txn, hash).await? {
                Some(record) if !record.is_spent() => record,
                _ => return Err(HandleError::InvalidToken),
            };
            record.num_uses = match record.num_uses {
                0 => return Ok(()),
                1 => -1,
                left => left - 1,
            };
            let due = match (record.is_spent(), record.due_millis) {
                // After its last request: that is still to come.
                (true, due) => Some(due.unwrap_or(u64::MAX).min(interrupted(now_millis))),
                (false, due) => due,
            };
            let system = storage::system(&txn).await?;
            write_record_due(&system, hash, &mut record, due).await
        })
        .await
    }

    /// Revokes a token and all that came of it. It is out of force with the first commit, and so are
    /// its descendants, since they ask for their ancestors; their records go in as many as it takes. If that
    /// fails they are revoked all the same, whoever asked for it is told so, and the expiry loop goes on with it.
    pub(crate) async fn revoke_tree(
        &self,
        root: &TokenHash,
        now_millis: u64,
    ) -> Result<(), HandleError> {
        if self.put_out_of_force(root, now_millis).await?
            && let Err(err) = self.remove_family(root).await
        {
            tracing::warn!(error = %chain(&err), "tokens are revoked, and records of them are left for now");
        }
        Ok(())
    }

    /// Takes away the records of a token that is out of force, and of all that came of it.
    async fn remove_family(&self, root: &TokenHash) -> Result<(), HandleError> {
        // From here on nobody can add to the family: who makes a child has read its ancestors.
        let family = self.family(root).await?;
        for batch in family.rchunks(limits::REVOKE_BATCH) {
            loop {
                let done = self.in_commits(|txn| async move {
                    let system = storage::system(&txn).await?;
                    let mut room = limits::REVOKE_RECORDS;
                    for hash in batch.iter().rev() {
                        if !self.remove(&system, hash, &mut room).await? {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                });
                if done.await? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Ends a token from this commit on. It is not checked against what others do with the token:
    /// a busy one must not be able to keep itself from being revoked. Says whether there was one.
    pub(crate) async fn put_out_of_force(
        &self,
        hash: &TokenHash,
        now_millis: u64,
    ) -> Result<bool, HandleError> {
        self.in_commits(|txn| async move {
            txn.uncheck_reads();
            let Some(mut record) = self.find(&txn, hash).await? else {
                return Ok(false);
            };
            record.expires_millis = Some(0);
            let system = storage::system(&txn).await?;
            // Also if it was before: whoever was at it may have been interrupted.
            let due = Some(interrupted(now_millis));
            write_record_due(&system, hash, &mut record, due).await?;
            Ok(true)
        })
        .await
    }

    /// Takes away tokens that have come due, with all that came of them. Their entries are gone in any case.
    pub(crate) async fn end(&self, due: &[DueToken], now_millis: u64) -> Result<(), HandleError> {
        let done = self.in_commits(|txn| async move {
            let system = storage::system(&txn).await?;
            let mut families = Vec::new();
            let mut room = limits::REVOKE_RECORDS;
            for entry in due {
                match self.find(&txn, entry.hash()).await? {
                    Some(record) if entry.is_entry_of(record.due_millis) => {
                        let is_alone = children(&system, entry.hash()).await?.is_empty();
                        if !is_alone || !self.remove(&system, entry.hash(), &mut room).await? {
                            families.push(entry.hash().clone());
                        }
                    }
                    _ => entry.forget(&system).await?,
                }
            }
            Ok(families)
        });
        for root in &done.await? {
            self.revoke_tree(root, now_millis).await?;
        }
        Ok(())
    }

    /// A token and its descendants, each after the one that made it.
    async fn family(&self, root: &TokenHash) -> Result<Vec<TokenHash>, HandleError> {
        let mut family = vec![root.clone()];
        let mut seen = 0;
        while seen < family.len() {
            // A transaction remembers all that it reads, so a large family is read in several.
            let txn = self.barrier.begin().await.map_err(from_barrier)?;
            let system = storage::system(&txn).await?;
            for _ in 0..limits::REVOKE_BATCH.min(family.len() - seen) {
                family.extend(children(&system, &family[seen]).await?);
                seen += 1;
            }
        }
        Ok(family)
    }

    /// Revokes a token alone, in `txn`; its children become orphans.
    pub(crate) async fn revoke_orphan(
        &self,
        txn: &Transaction,
        hash: &TokenHash,
    ) -> Result<(), HandleError> {
        let system = storage::system(txn).await?;
        for child in children(&system, hash).await? {
            if let Some(mut record) = self.find(txn, &child).await? {
                record.parent = None;
                write_record(&system, &child, &record).await?;
            }
            system
                .delete(&child_key(hash, &child))
                .await
                .map_err(from_view)?;
        }
        let mut room = limits::REVOKE_RECORDS;
        match self.remove(&system, hash, &mut room).await? {
            true => Ok(()),
            false => Err(HandleError::Invalid(
                "the token's cubbyhole holds too much to be removed at once: revoke the token"
                    .into(),
            )),
        }
    }

    /// Takes away one token's records and its cubbyhole. It has no children any more. False: there
    /// was not `room` for all of its cubbyhole in this transaction, and the rest is left.
    async fn remove(
        &self,
        system: &View,
        hash: &TokenHash,
        room: &mut usize,
    ) -> Result<bool, HandleError> {
        let Some(value) = system.get(&id_key(hash)).await.map_err(from_view)? else {
            return Ok(true);
        };
        let record: TokenRecord = parse_json(&value)?;
        if !storage::delete_tree(system, &cubbyhole_prefix(hash), room).await? {
            return Ok(false);
        }
        if let Some(parent) = &record.parent {
            system
                .delete(&child_key(parent, hash))
                .await
                .map_err(from_view)?;
        }
        expiry::move_token(system, hash, record.due_millis, None).await?;
        system
            .delete(&wrapping::key(hash))
            .await
            .map_err(from_view)?;
        system
            .delete(&accessor_key(&record.accessor))
            .await
            .map_err(from_view)?;
        system.delete(&id_key(hash)).await.map_err(from_view)?;
        Ok(true)
    }

    /// Runs `change` in a transaction of its own, again where others came between.
    async fn in_commits<T, Change>(
        &self,
        change: impl Fn(Transaction) -> Change,
    ) -> Result<T, HandleError>
    where
        Change: Future<Output = Result<T, HandleError>>,
    {
        for _ in 0..limits::MAX_TRIES {
            let txn = self.barrier.begin().await.map_err(from_barrier)?;
            match change(txn.clone()).await {
                Ok(value) => match txn.commit().await.map_err(from_commit) {
                    Ok(_) => return Ok(value),
                    Err(HandleError::Conflict) => {}
                    Err(err) => return Err(err),
                },
                Err(HandleError::Conflict) => {}
                Err(err) => return Err(err),
            }
        }
        Err(HandleError::Contended)
    }
}

/// Where a token's cubbyhole is in the host's own records.
pub(crate) fn cubbyhole_prefix(hash: &TokenHash) -> String {
    format!("cubbyhole/{}/", hash.as_str())
}

/// The direct children of a token.
async fn children(system: &View, parent: &TokenHash) -> Result<Vec<TokenHash>, HandleError> {
    let prefix = format!("token/parent/{}/", parent.as_str());
    let keys = storage::list_all(system, &prefix).await?;
    Ok(keys.into_iter().map(TokenHash).collect())
}

/// Writes a record that is due at `due_millis`, and its entry in the index.
async fn write_record_due(
    system: &View,
    hash: &TokenHash,
    record: &mut TokenRecord,
    due_millis: Option<u64>,
) -> Result<(), HandleError> {
    let before = std::mem::replace(&mut record.due_millis, due_millis);
    expiry::move_token(system, hash, before, due_millis).await?;
    write_record(system, hash, record).await
}

/// When what is begun now, and not done, was interrupted.
fn interrupted(now_millis: u64) -> u64 {
    now_millis.saturating_add(limits::INTERRUPTED_AFTER_MILLIS)
}

async fn write_record(
    system: &View,
    hash: &TokenHash,
    record: &TokenRecord,
) -> Result<(), HandleError> {
    system
        .put(&id_key(hash), &to_json(record)?)
        .await
        .map_err(from_view)
}

fn id_key(hash: &TokenHash) -> String {
    format!("token/id/{}", hash.as_str())
}

fn accessor_key(accessor: &str) -> String {
    format!("token/accessor/{accessor}")
}

fn child_key(parent: &TokenHash, child: &TokenHash) -> String {
    format!("token/parent/{}/{}", parent.as_str(), child.as_str())
}
