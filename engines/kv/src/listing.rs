//! Listing the keys and folders in a folder.

use coffer_sdk::{Answer, Error, Host, Response};
use serde::Serialize;

use crate::{key, limits};

/// Which part of a listing is asked for.
#[derive(Default)]
pub(crate) struct Part {
    /// Only what comes after this name.
    pub(crate) after: Option<String>,
    /// At most so many names; none for all.
    pub(crate) limit: Option<u32>,
}

/// What lies in `folder`; not found if that is nothing.
pub(crate) fn list(host: &Host, folder: &str, part: Part) -> Answer {
    let folder = folder.trim_end_matches('/');
    let prefix = match folder {
        "" => key::RECORDS.to_owned(),
        folder => format!("{}{folder}/", key::RECORDS),
    };
    let mut keys = Vec::new();
    let mut bytes = 0;
    let mut after = part.after;
    loop {
        // 0 asks storage for its most.
        let wanted = part
            .limit
            .map_or(0, |limit| limit.saturating_sub(keys.len() as u32));
        let page = host.storage().list(&prefix, after.as_deref(), wanted)?;
        bytes += page.keys.iter().map(|key| key.len() + 3).sum::<usize>();
        if bytes > limits::LISTING_BYTES {
            return Err(Error::invalid(
                "the folder has too many keys for one answer; list it in parts with \"limit\" and \"after\"",
            ));
        }
        keys.extend(page.keys);
        let full = part.limit.is_some_and(|limit| keys.len() >= limit as usize);
        match page.next {
            Some(next) if !full => after = Some(next),
            _ => break,
        }
    }
    if keys.is_empty() {
        return Err(Error::NotFound);
    }
    Ok(Response::data(Listing { keys }))
}

#[derive(Serialize)]
struct Listing {
    keys: Vec<String>,
}
