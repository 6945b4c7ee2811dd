//! Version 2: each write makes a version, and versions can be deleted, brought back and destroyed.

mod config;
mod data;
mod metadata;
mod versions;

use std::collections::BTreeMap;

use coffer_sdk::{Answer, Engine, Error, Field, Host, Operation, Path, Request, Response};
use serde::Serialize;

use crate::key::{self, Key};
use crate::record::{Record, Version};
use crate::settings::Settings;

const PATH: Field = Field::text("path", "Where the secret is.");
const VERSION: Field = Field::integer("version", "Which version; the latest if not given, or 0.");
const VERSIONS: Field = Field::integer_list("versions", "The numbers of the versions.");
const MAX_VERSIONS: Field = Field::integer(
    "max_versions",
    "How many versions are kept; the larger of the mount's and the key's counts, 10 if neither is set.",
)
.default("0");
const CAS_REQUIRED: Field = Field::boolean(
    "cas_required",
    "Whether each write must say which version it replaces.",
)
.default("false");
const CUSTOM_METADATA: Field = Field::object(
    "custom_metadata",
    "Texts of your own: up to 64 keys of 128 bytes, with values of 512 bytes. Not secret.",
);
/// What an answer says about one version.
const VERSION_METADATA: &[Field] = &[
    Field::timestamp("created_time", "When the version was written."),
    Field::timestamp(
        "deletion_time",
        "When it is deleted, past or to come; empty if never.",
    ),
    Field::boolean("destroyed", "Whether its data is gone for good."),
    Field::integer("version", "Its number."),
    CUSTOM_METADATA,
];

pub(crate) static ENGINE: Engine = Engine::secrets(
    "kv",
    "Stores secrets under paths. Version 2 keeps the versions of each.",
)
.initialize(crate::initialize)
.paths(&[
    Path::new("config", "Settings of all keys of this mount.")
        .fields(&[
            MAX_VERSIONS,
            CAS_REQUIRED,
            Field::signed_seconds(
                "delete_version_after",
                "Deletes each version after this time. The smaller of the mount's and the key's \
                 counts; a negative one turns it off for the whole mount.",
            )
            .default("0"),
        ])
        .read("Read the settings.", config::read)
        .returns(
            Operation::Read,
            &[
                MAX_VERSIONS,
                CAS_REQUIRED,
                Field::text("delete_version_after", "A duration, such as `3h25m19s`."),
            ],
        )
        .write("Change settings.", config::write),
    Path::new("data/{path...}", "The data of a secret.")
        .fields(&[
            PATH,
            VERSION,
            Field::object("data", "The secret: an object of any fields."),
            Field::object(
                "options",
                "`cas`: write only if this is the current version; 0 if there must be none.",
            ),
        ])
        .exists(key::exists)
        .read("Read a version.", data::read)
        .returns(
            Operation::Read,
            &[
                Field::object("data", "The secret."),
                Field::object("metadata", "About this version."),
            ],
        )
        .write("Write a new version.", data::write)
        .returns(Operation::Update, VERSION_METADATA)
        .patch("Write a new version, merged into the latest.", data::patch)
        .returns(Operation::Patch, VERSION_METADATA)
        .delete("Delete the latest version.", data::delete),
    Path::new(
        "subkeys/{path...}",
        "The names in a secret, without the values.",
    )
    .fields(&[
        PATH,
        VERSION,
        Field::integer(
            "depth",
            "How deep to look into nested objects; 0 for all of it.",
        ),
    ])
    .read("Read the names.", data::subkeys)
    .returns(
        Operation::Read,
        &[
            Field::object("subkeys", "The names, with null for each value."),
            Field::object("metadata", "About this version."),
        ],
    ),
    Path::new(
        "delete/{path...}",
        "Deletes versions; they can be brought back.",
    )
    .fields(&[PATH, VERSIONS])
    .write("Delete versions.", versions::delete),
    Path::new("undelete/{path...}", "Brings deleted versions back.")
        .fields(&[PATH, VERSIONS])
        .write("Undelete versions.", versions::undelete),
    Path::new(
        "destroy/{path...}",
        "Removes the data of versions for good.",
    )
    .fields(&[PATH, VERSIONS])
    .write("Destroy versions.", versions::destroy),
    Path::new(
        "metadata/{path...}",
        "A key: its settings, its versions and its custom metadata.",
    )
    .fields(&[
        PATH,
        MAX_VERSIONS,
        CAS_REQUIRED,
        Field::seconds(
            "delete_version_after",
            "Deletes each version after this time, if the mount's is not smaller.",
        )
        .default("0"),
        CUSTOM_METADATA,
        Field::text("after", "Lists only what comes after this name."),
        Field::integer("limit", "Lists at most so many names."),
    ])
    .exists(key::exists)
    .read("Read about a key.", metadata::read)
    .returns(Operation::Read, metadata::RETURNS)
    .write(
        "Set what is given; creates the key if need be.",
        metadata::write,
    )
    .patch("Change what is given; null unsets.", metadata::patch)
    .delete("Remove a key with all its versions.", metadata::delete)
    .list("List keys and folders.", metadata::list),
    Path::new(
        "{path...}",
        "Any other path is a mistake, and the answer says which.",
    )
    .read("Nothing is here.", wrong_path)
    .write("Nothing is here.", wrong_path)
    .patch("Nothing is here.", wrong_path)
    .delete("Nothing is here.", wrong_path)
    .list("Nothing is here.", wrong_path),
]);

/// Most often somebody who addresses version 2 as if it were version 1. Clients show the warning.
fn wrong_path(_: &Host, request: &Request) -> Answer {
    let warning = match request.path.as_str() {
        "data" | "metadata" | "delete" | "undelete" | "destroy" | "subkeys" => {
            "Non-listing operations on the root of a K/V v2 mount are not supported.".to_owned()
        }
        _ => {
            let command = match request.operation {
                Operation::Create | Operation::Update => "put",
                Operation::Read | Operation::Head => "get",
                Operation::List => "list",
                Operation::Delete => "delete",
                Operation::Patch => "patch",
            };
            format!(
                "Invalid path for a versioned K/V secrets engine. See the API docs for the \
                 appropriate API endpoints to use. If using the Vault CLI, use 'vault kv {command}' \
                 for this operation."
            )
        }
    };
    Ok(Response::empty().status(404).warning(warning))
}

/// What an answer says about one version.
#[derive(Serialize)]
struct VersionMetadata<'r> {
    created_time: String,
    custom_metadata: Option<&'r BTreeMap<String, String>>,
    deletion_time: String,
    destroyed: bool,
    version: u64,
}

impl<'r> VersionMetadata<'r> {
    fn new(record: &'r Record, number: u64, version: &Version) -> Self {
        let deletion_time = version.state.deletion_time();
        Self {
            created_time: version.created.to_string(),
            custom_metadata: some_custom_metadata(record),
            deletion_time: deletion_time.map_or_else(String::new, |time| time.to_string()),
            destroyed: version.state.is_destroyed(),
            version: number,
        }
    }
}

/// Empty custom metadata shows as null.
fn some_custom_metadata(record: &Record) -> Option<&BTreeMap<String, String>> {
    Some(&record.custom_metadata).filter(|texts| !texts.is_empty())
}

/// The settings of the mount and the record of a key, in one crossing.
fn load(host: &Host, key: &Key<'_>) -> Result<(Settings, Option<Record>), Error> {
    let keys = [config::KEY.to_owned(), key.record()];
    let mut values = host.storage().get_many(&keys)?.into_iter();
    let settings = match values.next().flatten() {
        Some(stored) => config::parse(&stored)?,
        None => Settings::default(),
    };
    let record = values.next().flatten().map(Record::parse).transpose()?;
    Ok((settings, record))
}
