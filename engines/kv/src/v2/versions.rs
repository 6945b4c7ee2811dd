//! `delete`, `undelete`, `destroy`: what happens to versions after they were written.
//!
//! A key or a version that is not there is no error: a client that repeats itself gets the same
//! answer.

use coffer_sdk::{Answer, Error, Host, Request, Response};

use crate::key::Key;
use crate::record::{Record, State};
use crate::settings::InEffect;
use crate::v2;

pub(super) fn delete(host: &Host, request: &Request) -> Answer {
    let (key, numbers) = addressed(request, "No version number provided")?;
    let Some(mut record) = Record::load(host, &key)? else {
        return Ok(Response::empty());
    };
    let now = host.now();
    for number in numbers {
        if let Some(version) = record.version_mut(number)
            && version.state.is_live(now)
        {
            version.state = State::DeletedAt(now);
        }
    }
    record.save(host, &key)?;
    Ok(Response::empty())
}

/// The time until a version is deleted by itself begins again.
pub(super) fn undelete(host: &Host, request: &Request) -> Answer {
    let (key, numbers) = addressed(request, "No version number provided")?;
    let (mount, record) = v2::load(host, &key)?;
    let Some(mut record) = record else {
        return Ok(Response::empty());
    };
    let settings = InEffect {
        mount: &mount,
        key: &record.settings,
    };
    let fresh = settings.fresh_state(host.now());
    for number in numbers {
        if let Some(version) = record.version_mut(number)
            && !version.state.is_destroyed()
        {
            version.state = fresh.clone();
        }
    }
    record.save(host, &key)?;
    Ok(Response::empty())
}

pub(super) fn destroy(host: &Host, request: &Request) -> Answer {
    let (key, numbers) = addressed(request, "no version number provided")?;
    let Some(mut record) = Record::load(host, &key)? else {
        return Ok(Response::empty());
    };
    for number in numbers {
        record.destroy(host, &key, number)?;
    }
    record.save(host, &key)?;
    Ok(Response::empty())
}

fn addressed<'r>(request: &'r Request, none_given: &str) -> Result<(Key<'r>, Vec<u64>), Error> {
    let key = Key::to_write(request)?;
    let numbers: Vec<i64> = request.optional("versions")?.unwrap_or_default();
    if numbers.is_empty() {
        return Err(Error::invalid(none_given));
    }
    // No version has a negative number.
    let numbers = numbers
        .into_iter()
        .filter_map(|number| u64::try_from(number).ok());
    Ok((key, numbers.collect()))
}
