//! vaultrs, unmodified. Of all clients it is the strictest about what an answer must hold: a field
//! that is missing or null where Vault's is not fails the whole call.

use std::collections::HashMap;
use std::fmt::Debug;

use rustify::errors::ClientError::ServerResponseError;
use serde_json::{Value, json};
use vaultrs::api::kv2::requests::{
    ReadSecretRequest, SetConfigurationRequest, SetSecretMetadataRequest, SetSecretRequestOptions,
};
use vaultrs::api::sys::requests::{EnableEngineDataConfigBuilder, EnableEngineRequest};
use vaultrs::api::token::requests::{CreateOrphanTokenRequest, CreateTokenRequest};
use vaultrs::client::{Client as _, VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::sys::ServerStatus;
use vaultrs::{cubbyhole, kv1, kv2, sys, token};

use crate::support::TestVault;

const DENIED: &str = "1 error occurred:\n\t* permission denied\n\n";
const UNKNOWN: &str = "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n";
const NOT_THE_CURRENT: &str = "check-and-set parameter did not match the current version";
const READER: &str = r#"path "secret/data/app/*" { capabilities = ["read"] }"#;

/// Unsealed, with KV version 2 at `secret/`; the client has the root token.
async fn with_kv() -> (TestVault, VaultClient) {
    let vault = TestVault::start();
    let keys = vault.initialize(1, 1);
    vault.unseal(&keys);
    let client = client(&vault, &keys.root);
    enable_kv(&client, "secret", "2").await;
    (vault, client)
}

fn client(vault: &TestVault, token: &str) -> VaultClient {
    let settings = VaultClientSettingsBuilder::default()
        .address(format!("http://{}", vault.address()))
        .token(token)
        .build();
    VaultClient::new(settings.expect("settings")).expect("a client")
}

async fn enable_kv(client: &VaultClient, path: &str, version: &str) {
    let options = HashMap::from([("version".to_owned(), version.to_owned())]);
    let mut wanted = EnableEngineRequest::builder();
    wanted.options(options).description("of a test");
    sys::mount::enable(client, path, "kv", Some(&mut wanted))
        .await
        .expect("enabled");
}

/// That a call is refused with this status and these words, which vaultrs hands on as they are.
fn refused<T: Debug>(result: Result<T, ClientError>, status: u16, words: &[&str]) {
    match result.expect_err("a refusal") {
        ClientError::APIError { code, errors } => {
            assert_eq!(
                (code, errors),
                (status, words.iter().map(|&w| w.to_owned()).collect())
            );
        }
        other => panic!("not an answer of the server's: {other:?}"),
    }
}

/// A 404 that has the metadata of what is gone: vaultrs looks for words, finds none and hands on the
/// body as it came.
fn gone(result: Result<Value, ClientError>) -> Value {
    let content = match result.expect_err("a 404") {
        ClientError::RestClientError {
            source: ServerResponseError { code: 404, content },
        } => content,
        other => panic!("no 404 with a body: {other:?}"),
    };
    let body: Value = serde_json::from_str(&content.expect("a body")).expect("an envelope");
    assert!(body["data"]["data"].is_null(), "{body}");
    body["data"]["metadata"].clone()
}

#[tokio::test]
async fn a_secret_is_put_read_and_listed() {
    let (_vault, client) = with_kv().await;
    let secret = json!({
        "text": "Ünïcödé ✓ \n", "empty": "", "null": null, "yes": true, "one": 1,
        "deep": {"list": [1, "two", [null], {}]},
    });
    let written = kv2::set(&client, "secret", "deep/app", &secret)
        .await
        .expect("written");
    assert_eq!((written.version, written.destroyed), (1, false));
    assert_eq!(written.deletion_time, "");
    assert_eq!(written.custom_metadata, None);
    let read: Value = kv2::read(&client, "secret", "deep/app")
        .await
        .expect("read");
    assert_eq!(read, secret);
    kv2::set(&client, "secret", "app", &json!({}))
        .await
        .expect("written");
    assert_eq!(
        kv2::list(&client, "secret", "").await.expect("listed"),
        ["app", "deep/"]
    );
    assert_eq!(
        kv2::list(&client, "secret", "deep").await.expect("listed"),
        ["app"]
    );
}

#[tokio::test]
async fn versions_are_deleted_brought_back_and_destroyed() {
    let (_vault, client) = with_kv().await;
    for n in 1..=3 {
        let written = kv2::set(&client, "secret", "app", &json!({"n": n}))
            .await
            .expect("written");
        assert_eq!(written.version, n);
    }
    let first: Value = kv2::read_version(&client, "secret", "app", 1)
        .await
        .expect("read");
    assert_eq!(first, json!({"n": 1}));

    kv2::delete_latest(&client, "secret", "app")
        .await
        .expect("deleted");
    let metadata = gone(kv2::read(&client, "secret", "app").await);
    assert_eq!(
        (&metadata["version"], &metadata["destroyed"]),
        (&json!(3), &json!(false))
    );
    kv2::delete_versions(&client, "secret", "app", vec![1, 2])
        .await
        .expect("deleted");
    kv2::destroy_versions(&client, "secret", "app", vec![2])
        .await
        .expect("destroyed");
    kv2::undelete_versions(&client, "secret", "app", vec![1, 2, 3])
        .await
        .expect("brought back");
    let latest: Value = kv2::read(&client, "secret", "app").await.expect("read");
    assert_eq!(latest, json!({"n": 3}));
    let second = gone(kv2::read_version(&client, "secret", "app", 2).await);
    assert_eq!(second["destroyed"], true);

    let metadata = kv2::read_metadata(&client, "secret", "app")
        .await
        .expect("read");
    assert_eq!((metadata.current_version, metadata.versions.len()), (3, 3));
    assert!(metadata.versions["2"].destroyed);
    assert_eq!(metadata.versions["1"].deletion_time, "");
    kv2::delete_metadata(&client, "secret", "app")
        .await
        .expect("deleted");
    refused(kv2::read_metadata(&client, "secret", "app").await, 404, &[]);
}

#[tokio::test]
async fn check_and_set_lets_one_writer_through() {
    let (_vault, client) = with_kv().await;
    let put = async |n: u32, cas: u32| {
        let options = SetSecretRequestOptions { cas };
        kv2::set_with_options(&client, "secret", "app", &json!({"n": n}), options).await
    };
    assert_eq!(put(1, 0).await.expect("the first").version, 1);
    refused(put(2, 0).await, 400, &[NOT_THE_CURRENT]);
    refused(put(2, 2).await, 400, &[NOT_THE_CURRENT]);
    assert_eq!(put(2, 1).await.expect("the next").version, 2);
}

#[tokio::test]
async fn what_is_missing_is_a_404_without_words() {
    let (_vault, client) = with_kv().await;
    refused(
        kv2::read::<Value>(&client, "secret", "nothing").await,
        404,
        &[],
    );
    refused(
        kv2::read_version::<Value>(&client, "secret", "nothing", 1).await,
        404,
        &[],
    );
    refused(kv2::list(&client, "secret", "nothing").await, 404, &[]);
    let nowhere = r#"no handler for route "nope/data/x". route entry not found."#;
    refused(
        kv2::read::<Value>(&client, "nope", "x").await,
        404,
        &[nowhere],
    );
}

#[tokio::test]
async fn a_key_and_a_mount_have_settings() {
    let (_vault, client) = with_kv().await;
    let owner = HashMap::from([("owner".to_owned(), "ops".to_owned())]);
    let mut wanted = SetSecretMetadataRequest::builder();
    wanted
        .max_versions(5u64)
        .delete_version_after("1h30m")
        .custom_metadata(owner.clone());
    kv2::set_metadata(&client, "secret", "app", Some(&mut wanted))
        .await
        .expect("set");
    let metadata = kv2::read_metadata(&client, "secret", "app")
        .await
        .expect("read");
    assert_eq!((metadata.max_versions, metadata.cas_required), (5, false));
    assert_eq!(metadata.delete_version_after, "1h30m0s");
    assert_eq!(metadata.custom_metadata, Some(owner));
    assert_eq!((metadata.current_version, metadata.versions.len()), (0, 0));

    let config = kv2::config::read(&client, "secret").await.expect("read");
    assert_eq!((config.max_versions, config.cas_required), (0, false));
    assert_eq!(config.delete_version_after, "0s");
    let mut wanted = SetConfigurationRequest::builder();
    wanted.cas_required(true);
    kv2::config::set(&client, "secret", Some(&mut wanted))
        .await
        .expect("set");
    assert!(
        kv2::config::read(&client, "secret")
            .await
            .expect("read")
            .cas_required
    );
    let put = kv2::set(&client, "secret", "app", &json!({})).await;
    refused(
        put,
        400,
        &["check-and-set parameter required for this call"],
    );
}

#[tokio::test]
async fn version_1_keeps_one_value() {
    let (_vault, client) = with_kv().await;
    enable_kv(&client, "kv1", "1").await;
    let secret = HashMap::from([
        ("user", json!("ada")),
        ("n", json!(1)),
        ("ttl", json!("30m")),
    ]);
    kv1::set(&client, "kv1", "deep/app", &secret)
        .await
        .expect("written");
    let read: HashMap<String, Value> = kv1::get(&client, "kv1", "deep/app").await.expect("read");
    assert_eq!(read.get("user"), Some(&json!("ada")));
    let raw = kv1::get_raw(&client, "kv1", "deep/app")
        .await
        .expect("read");
    assert_eq!(raw.data, json!({"user": "ada", "n": 1, "ttl": "30m"}));
    assert_eq!((raw.lease_duration, raw.renewable), (1800, false));
    assert_eq!(
        kv1::list(&client, "kv1", "deep")
            .await
            .expect("listed")
            .data
            .keys,
        ["app"]
    );
    kv1::delete(&client, "kv1", "deep/app")
        .await
        .expect("deleted");
    refused(
        kv1::get::<Value>(&client, "kv1", "deep/app").await,
        404,
        &[],
    );
    refused(kv1::list(&client, "kv1", "deep").await, 404, &[]);
}

#[tokio::test]
async fn an_engine_is_enabled_moved_and_disabled() {
    let (_vault, client) = with_kv().await;
    let config = EnableEngineDataConfigBuilder::default()
        .default_lease_ttl("1h")
        .build();
    let mut wanted = EnableEngineRequest::builder();
    wanted.config(config.expect("a configuration"));
    sys::mount::enable(&client, "from", "kv-v2", Some(&mut wanted))
        .await
        .expect("enabled");
    let mounts = sys::mount::list(&client).await.expect("listed");
    assert_eq!(mounts["from/"].mount_type, "kv");
    assert_eq!(mounts["from/"].config.default_lease_ttl, 3600);
    assert_eq!(mounts["secret/"].description, "of a test");
    let version = mounts["secret/"]
        .options
        .as_ref()
        .and_then(|options| options.get("version"));
    assert_eq!(version.map(String::as_str), Some("2"));

    kv2::set(&client, "from", "app", &json!({"a": 1}))
        .await
        .expect("written");
    let moved = sys::remount::remount(&client, "from", "to")
        .await
        .expect("moved");
    let status = sys::remount::remount_status(&client, &moved.migration_id)
        .await
        .expect("asked");
    assert_eq!(
        (
            &*status.migration_info.source_mount,
            &*status.migration_info.target_mount
        ),
        ("from/", "to/")
    );
    assert_eq!(status.migration_info.status, "success");
    let one = sys::mount::get_configuration_of_a_secret_engine(&client, "to")
        .await
        .expect("read");
    assert_eq!(one.uuid, mounts["from/"].uuid);
    assert_eq!(
        kv2::read::<Value>(&client, "to", "app")
            .await
            .expect("read"),
        json!({"a": 1})
    );

    sys::mount::disable(&client, "to").await.expect("disabled");
    let missing = sys::mount::get_configuration_of_a_secret_engine(&client, "to").await;
    refused(missing, 400, &["No secret engine mount at to/"]);
    let taken = sys::mount::enable(&client, "secret", "kv", None).await;
    refused(taken, 400, &["path is already in use at secret/"]);
    let unknown = sys::mount::enable(&client, "x", "nothing-like-it", None).await;
    refused(
        unknown,
        400,
        &["plugin not found in the catalog: nothing-like-it"],
    );
}

#[tokio::test]
async fn auth_methods_are_listed() {
    let (_vault, client) = with_kv().await;
    let methods = sys::auth::list(&client).await.expect("listed");
    assert_eq!(methods["token/"].mount_type, "token");
    assert_eq!(methods["token/"].config.token_type, "default-service");
    let unknown = sys::auth::enable(&client, "x", "nothing-like-it", None).await;
    refused(
        unknown,
        400,
        &["plugin not found in the catalog: nothing-like-it"],
    );
}

#[tokio::test]
async fn a_policy_is_set_read_listed_and_deleted() {
    let (_vault, client) = with_kv().await;
    sys::policy::set(&client, "reader", READER)
        .await
        .expect("set");
    let read = sys::policy::read(&client, "reader").await.expect("read");
    assert_eq!((&*read.name, &*read.rules), ("reader", READER));
    let listed = sys::policy::list(&client).await.expect("listed");
    assert_eq!(listed.policies, ["default", "reader", "root"]);
    sys::policy::delete(&client, "reader")
        .await
        .expect("deleted");
    refused(sys::policy::read(&client, "reader").await, 404, &[]);
    refused(
        sys::policy::set(&client, "root", READER).await,
        400,
        &["cannot update \"root\" policy"],
    );
}

#[tokio::test]
async fn a_token_is_created_looked_up_renewed_and_revoked() {
    let (vault, root) = with_kv().await;
    sys::policy::set(&root, "reader", READER)
        .await
        .expect("set");
    let mut wanted = CreateTokenRequest::builder();
    wanted
        .policies(vec!["reader".to_owned()])
        .ttl("1h")
        .display_name("of a test");
    wanted.meta(HashMap::from([("team".to_owned(), "a".to_owned())]));
    let made = token::new(&root, Some(&mut wanted)).await.expect("created");
    assert_eq!(made.policies, ["default", "reader"]);
    assert_eq!(made.token_policies, ["default", "reader"]);
    assert_eq!(
        (made.lease_duration, made.renewable, made.orphan),
        (3600, true, false)
    );
    assert_eq!((&*made.token_type, &*made.entity_id), ("service", ""));

    let user = client(&vault, &made.client_token);
    let itself = user.lookup().await.expect("looked up");
    assert_eq!(
        (&itself.id, &itself.accessor),
        (&made.client_token, &made.accessor)
    );
    assert_eq!(
        (&*itself.display_name, &*itself.path),
        ("token-of-a-test", "auth/token/create")
    );
    assert_eq!(itself.meta, made.metadata);
    let looked = token::lookup(&root, &made.client_token)
        .await
        .expect("looked up");
    assert_eq!(
        (looked.creation_ttl, looked.num_uses, looked.orphan),
        (3600, 0, false)
    );
    let looked = token::lookup_accessor(&root, &made.accessor)
        .await
        .expect("looked up");
    assert_eq!((&*looked.id, &looked.accessor), ("", &made.accessor));
    let of_root = token::lookup_self(&root).await.expect("looked up");
    assert_eq!(
        (&*of_root.policies, of_root.ttl, of_root.expire_time),
        (&["root".to_owned()][..], 0, None)
    );

    let renewed = user.renew(Some("30m")).await.expect("renewed");
    assert_eq!(
        (renewed.lease_duration, &renewed.client_token),
        (1800, &made.client_token)
    );
    let renewed = token::renew(&root, &made.client_token, Some("20m"))
        .await
        .expect("renewed");
    assert_eq!(renewed.lease_duration, 1200);
    let renewed = token::renew_accessor(&root, &made.accessor, Some("10m"))
        .await
        .expect("renewed");
    assert_eq!((renewed.lease_duration, &*renewed.client_token), (600, ""));

    refused(
        kv2::set(&user, "secret", "app/x", &json!({})).await,
        403,
        &[DENIED],
    );
    refused(kv2::read::<Value>(&user, "secret", "app/x").await, 404, &[]);
    token::revoke(&root, &made.client_token)
        .await
        .expect("revoked");
    refused(user.lookup().await, 403, &[UNKNOWN]);
    refused(
        token::lookup(&root, &made.client_token).await,
        403,
        &["bad token"],
    );
}

#[tokio::test]
async fn a_token_ends_with_its_parent_unless_it_is_an_orphan() {
    let (vault, root) = with_kv().await;
    let mut powerful = CreateTokenRequest::builder();
    powerful.policies(vec!["root".to_owned()]).ttl("1h");
    let parent = token::new(&root, Some(&mut powerful))
        .await
        .expect("created");
    let parent = client(&vault, &parent.client_token);
    let mut plain = CreateTokenRequest::builder();
    plain.policies(vec!["default".to_owned()]);
    let child = token::new(&parent, Some(&mut plain))
        .await
        .expect("created");
    let mut alone = CreateOrphanTokenRequest::builder();
    alone.policies(vec!["default".to_owned()]);
    let orphan = token::new_orphan(&parent, Some(&mut alone))
        .await
        .expect("created");
    assert!(orphan.orphan);
    parent.revoke().await.expect("revoked");
    refused(
        client(&vault, &child.client_token).lookup().await,
        403,
        &[UNKNOWN],
    );
    client(&vault, &orphan.client_token)
        .lookup()
        .await
        .expect("still there");
    token::revoke_accessor(&root, &orphan.accessor)
        .await
        .expect("revoked");
    refused(
        client(&vault, &orphan.client_token).lookup().await,
        403,
        &[UNKNOWN],
    );

    let parent = token::new(&root, Some(&mut powerful))
        .await
        .expect("created");
    let parent_client = client(&vault, &parent.client_token);
    let child = token::new(&parent_client, Some(&mut plain))
        .await
        .expect("created");
    token::revoke_orphan(&root, &parent.client_token)
        .await
        .expect("revoked");
    let left = client(&vault, &child.client_token)
        .lookup()
        .await
        .expect("still there");
    assert!(left.orphan);
}

#[tokio::test]
async fn a_cubbyhole_is_its_tokens_own() {
    let (vault, root) = with_kv().await;
    let secret = HashMap::from([("a", 1)]);
    cubbyhole::set(&root, "cubbyhole", "mine", &secret)
        .await
        .expect("written");
    let read: HashMap<String, u32> = cubbyhole::get(&root, "cubbyhole", "mine")
        .await
        .expect("read");
    assert_eq!(read, HashMap::from([("a".to_owned(), 1)]));
    let other = token::new(&root, None).await.expect("created");
    let other = client(&vault, &other.client_token);
    refused(
        cubbyhole::get::<Value>(&other, "cubbyhole", "mine").await,
        404,
        &[],
    );
    cubbyhole::delete(&root, "cubbyhole", "mine")
        .await
        .expect("deleted");
    refused(
        cubbyhole::get::<Value>(&root, "cubbyhole", "mine").await,
        404,
        &[],
    );
}

#[tokio::test]
async fn a_wrong_token_is_forbidden() {
    let (vault, _root) = with_kv().await;
    let stranger = client(&vault, "hvs.this-is-not-a-token");
    refused(
        kv2::read::<Value>(&stranger, "secret", "app").await,
        403,
        &[UNKNOWN],
    );
    refused(
        kv2::set(&stranger, "secret", "app", &json!({})).await,
        403,
        &[UNKNOWN],
    );
    refused(kv2::list(&stranger, "secret", "").await, 403, &[UNKNOWN]);
    let nobody = client(&vault, "");
    refused(
        kv2::read::<Value>(&nobody, "secret", "app").await,
        403,
        &["permission denied"],
    );
}

#[tokio::test]
async fn random_bytes_are_drawn() {
    let (_vault, client) = with_kv().await;
    let drawn = sys::tools::random(&client, None).await.expect("drawn");
    assert_eq!(drawn.random_bytes.len(), 44);
}

#[tokio::test]
async fn a_new_server_is_initialised_unsealed_used_and_sealed() {
    let vault = TestVault::start();
    let mut client = client(&vault, "");
    let status = async |client: &VaultClient| client.status().await.expect("a status");
    assert!(matches!(status(&client).await, ServerStatus::UNINITIALIZED));
    let wrong = sys::start_initialization(&client, 2, 3, None).await;
    refused(
        wrong,
        400,
        &["invalid seal configuration: threshold cannot be larger than shares"],
    );
    let made = sys::start_initialization(&client, 3, 2, None)
        .await
        .expect("initialised");
    assert_eq!((made.keys.len(), made.keys_base64.len()), (3, 3));
    let again = sys::start_initialization(&client, 3, 2, None).await;
    refused(again, 400, &["Vault is already initialized"]);
    assert!(matches!(status(&client).await, ServerStatus::SEALED));

    // The token would be good; that is not even looked at.
    client.set_token(&made.root_token);
    refused(
        kv2::read::<Value>(&client, "secret", "app").await,
        503,
        &["Vault is sealed"],
    );
    refused(
        kv2::set(&client, "secret", "app", &json!({})).await,
        503,
        &["Vault is sealed"],
    );
    refused(
        kv2::list(&client, "secret", "").await,
        503,
        &["Vault is sealed"],
    );
    refused(client.lookup().await, 503, &["Vault is sealed"]);
    refused(sys::mount::list(&client).await, 503, &["Vault is sealed"]);

    let unseal = async |client: &VaultClient, key: &str| {
        sys::unseal(client, Some(key.to_owned()), None, None)
            .await
            .expect("taken")
    };
    let progress = unseal(&client, &made.keys[0]).await;
    assert_eq!((progress.sealed, progress.progress), (true, 1));
    assert_eq!((progress.threshold, progress.n_shares), (2, 3));
    let reset = sys::unseal(&client, None, Some(true), None)
        .await
        .expect("taken back");
    assert_eq!(reset.progress, 0);
    unseal(&client, &made.keys_base64[2]).await;
    let open = unseal(&client, &made.keys[0]).await;
    assert!(!open.sealed && open.cluster_id.is_some());
    assert!(matches!(status(&client).await, ServerStatus::OK));
    let health = sys::health(&client).await.expect("health");
    assert_eq!(
        (health.initialized, health.sealed, health.standby),
        (true, false, false)
    );

    enable_kv(&client, "secret", "2").await;
    kv2::set(&client, "secret", "app", &json!({"kept": "while sealed"}))
        .await
        .expect("written");
    sys::seal(&client).await.expect("sealed");
    assert!(matches!(status(&client).await, ServerStatus::SEALED));
    refused(
        kv2::read::<Value>(&client, "secret", "app").await,
        503,
        &["Vault is sealed"],
    );
    unseal(&client, &made.keys[1]).await;
    unseal(&client, &made.keys_base64[2]).await;
    let read: Value = kv2::read(&client, "secret", "app").await.expect("read");
    assert_eq!(read, json!({"kept": "while sealed"}));
}

#[tokio::test]
async fn what_is_wrapped_is_looked_up_and_unwrapped_once() {
    let (_vault, client) = with_kv().await;
    let value = HashMap::from([("password", "hunter2")]);
    kv2::set(&client, "secret", "app", &value)
        .await
        .expect("put");
    let read = ReadSecretRequest::builder()
        .mount("secret")
        .path("app")
        .build();
    let wrapped = vaultrs::api::wrap(&client, read.expect("a request"))
        .await
        .expect("wrapped");
    // vaultrs asks for ten minutes.
    assert_eq!(wrapped.info.ttl, 600);
    let looked = wrapped.lookup(&client).await.expect("looked up");
    assert_eq!(looked.creation_path, "secret/data/app");
    let inner = wrapped.unwrap(&client).await.expect("unwrapped");
    assert_eq!(inner.data["password"], "hunter2");
    let gone = wrapped.lookup(&client).await;
    assert!(
        matches!(gone, Err(ClientError::WrapInvalidError)),
        "{gone:?}"
    );
}
