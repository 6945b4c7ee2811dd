//! Version 1: one value for a key, no history.

use std::time::Duration;

use coffer_sdk::time::parse_duration;
use coffer_sdk::{Answer, Engine, Error, Host, Path, Request, Response};

use crate::key::{self, Key};
use crate::listing::{self, Part};
use crate::record::Record;

pub(crate) static ENGINE: Engine = Engine::secrets(
    "kv",
    "Stores secrets under paths. Version 1 keeps one value for a path.",
)
.initialize(crate::initialize)
.paths(&[Path::new(
    "{path...}",
    "A secret: an object of any fields. A write replaces all of it. Its field \"ttl\" says after \
     which time clients should read it again.",
)
.free_form()
.exists(key::exists)
.read("Read a secret.", read)
.write("Store a secret.", write)
.delete("Delete a secret.", delete)
.list("List secrets and folders.", list)]);

fn read(host: &Host, request: &Request) -> Answer {
    let key = Key::find(request)?.ok_or(Error::NotFound)?;
    let record = Record::load(host, &key)?.ok_or(Error::NotFound)?;
    let refresh_after = record
        .refresh_after
        .map_or(request.mount.default_lease_ttl, Duration::from_secs);
    let data = record.into_live_data(host.now()).ok_or(Error::NotFound)?;
    Ok(Response::json(data).refresh_after(refresh_after))
}

fn write(host: &Host, request: &Request) -> Answer {
    let key = Key::to_write(request)?;
    if request.fields().len() == 0 {
        return Err(Error::invalid("missing data fields"));
    }
    let record = Record::single(host.now(), request.body().into(), refresh_after(request));
    record.save(host, &key)?;
    Ok(Response::empty())
}

fn delete(host: &Host, request: &Request) -> Answer {
    if let Some(key) = Key::find(request)? {
        host.storage().delete(&key.record())?;
    }
    Ok(Response::empty())
}

fn list(host: &Host, request: &Request) -> Answer {
    listing::list(host, request.param("path"), Part::default())
}

/// The secret's own `ttl`, or else its `lease`: seconds or a duration's text. Anything else there
/// is data like any other.
fn refresh_after(request: &Request) -> Option<u64> {
    let json = request.raw("ttl").or_else(|| request.raw("lease"))?;
    if let Ok(seconds) = serde_json::from_str::<u64>(json) {
        return Some(seconds);
    }
    let text: String = serde_json::from_str(json).ok()?;
    parse_duration(&text).map(|duration| duration.as_secs())
}
