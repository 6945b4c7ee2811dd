//! What is left when time passes: nothing, and never too early.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use serde_json::{Value, json};

use host_logical::Operation;

use super::*;
use crate::response::Body;
use crate::tests::TestCore;

const FOLDERS: [&str; 5] = ["token/", "expiry/", "cubbyhole/", "wrapped/", "none/"];

/// Every record of tokens, and what goes with them.
async fn records(vault: &TestCore) -> Vec<String> {
    let txn = vault.core.barrier.begin().await.unwrap();
    let system = storage::system(&txn).await.unwrap();
    let mut found = Vec::new();
    let mut folders = FOLDERS.map(str::to_owned).to_vec();
    while let Some(folder) = folders.pop() {
        for name in storage::list_all(&system, &folder).await.unwrap() {
            let path = format!("{folder}{name}");
            match path.ends_with('/') {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found
}

fn pass(vault: &TestCore, seconds: u64) {
    vault.clock.0.fetch_add(seconds * 1000, Ordering::SeqCst);
}

async fn create(vault: &TestCore, token: &str, body: Value) -> Option<String> {
    let made = vault.send(token, Operation::Update, "auth/token/create", body);
    match made.await.ok()?.body {
        Body::Envelope(envelope) => Some(envelope.auth?.client_token.to_string()),
        _ => None,
    }
}

async fn renew(vault: &TestCore, token: &str, seconds: u64) -> bool {
    let body = json!({"token": token, "increment": seconds});
    let renewed = vault.send(&vault.root, Operation::Update, "auth/token/renew", body);
    renewed.await.is_ok()
}

async fn is_in_force(vault: &TestCore, token: &str) -> bool {
    let looked = vault.send(
        token,
        Operation::Read,
        "auth/token/lookup-self",
        Value::Null,
    );
    looked.await.is_ok()
}

#[tokio::test]
async fn of_what_expired_nothing_is_left() {
    let vault = TestCore::start().await;
    let before = records(&vault).await;
    let parent = create(
        &vault,
        &vault.root,
        json!({"ttl": "10s", "policies": ["root"]}),
    );
    let parent = parent.await.unwrap();
    for n in 0..3 {
        let child = create(&vault, &parent, json!({"ttl": "1h"})).await.unwrap();
        let path = format!("cubbyhole/mine/{n}");
        let written = vault.send(&child, Operation::Update, &path, json!({"a": 1}));
        written.await.unwrap();
    }
    pass(&vault, 9);
    vault.core.end_what_is_due().await.unwrap();
    assert!(is_in_force(&vault, &parent).await);
    pass(&vault, 1);
    assert!(!is_in_force(&vault, &parent).await);
    vault.core.end_what_is_due().await.unwrap();
    assert_eq!(records(&vault).await, before);
}

#[tokio::test]
async fn what_is_renewed_stays() {
    let vault = TestCore::start().await;
    let token = create(&vault, &vault.root, json!({"ttl": "10s"}))
        .await
        .unwrap();
    for _ in 0..5 {
        pass(&vault, 9);
        assert!(renew(&vault, &token, 10).await);
        vault.core.end_what_is_due().await.unwrap();
        assert!(is_in_force(&vault, &token).await);
    }
}

#[tokio::test]
async fn what_is_renewed_while_the_loop_comes_to_it_stays() {
    let vault = TestCore::start().await;
    let token = create(&vault, &vault.root, json!({"ttl": "10s"}))
        .await
        .unwrap();
    let txn = vault.core.barrier.begin().await.unwrap();
    let end = vault.core.clock.now_millis() + 10_000;
    let due = due_tokens(&txn, end, 10).await.unwrap();
    assert_eq!(due.len(), 1);
    drop(txn);
    assert!(renew(&vault, &token, 100).await);
    pass(&vault, 10);
    vault.core.tokens.end(&due, end).await.unwrap();
    assert!(is_in_force(&vault, &token).await);
    pass(&vault, 90);
    vault.core.end_what_is_due().await.unwrap();
    assert!(!is_in_force(&vault, &token).await);
}

#[tokio::test]
async fn a_clock_that_goes_back_ends_nothing_and_forgets_nothing() {
    let vault = TestCore::start().await;
    let before = records(&vault).await;
    let token = create(&vault, &vault.root, json!({"ttl": "1h"}))
        .await
        .unwrap();
    let year = 365 * 86_400 * 1000;
    vault.clock.0.fetch_sub(year, Ordering::SeqCst);
    vault.core.end_what_is_due().await.unwrap();
    assert!(is_in_force(&vault, &token).await);
    vault.clock.0.fetch_add(2 * year, Ordering::SeqCst);
    vault.core.end_what_is_due().await.unwrap();
    assert_eq!(records(&vault).await, before);
}

#[tokio::test]
async fn a_revocation_that_was_interrupted_is_gone_on_with() {
    let vault = TestCore::start().await;
    let before = records(&vault).await;
    let parent = create(&vault, &vault.root, json!({"policies": ["root"]}));
    let parent = parent.await.unwrap();
    for _ in 0..300 {
        create(&vault, &parent, json!({})).await.unwrap();
    }
    let tokens = &vault.core.tokens;
    let now = vault.core.clock.now_millis();
    let hash = tokens.hash(&parent).unwrap();
    // All that the first commit does, and no more.
    assert!(tokens.put_out_of_force(&hash, now).await.unwrap());
    assert!(!is_in_force(&vault, &parent).await);
    vault.core.end_what_is_due().await.unwrap();
    assert!(records(&vault).await.len() > 900);
    pass(&vault, limits::INTERRUPTED_AFTER_MILLIS / 1000);
    vault.core.end_what_is_due().await.unwrap();
    assert_eq!(records(&vault).await, before);
}

#[tokio::test]
async fn a_spent_token_whose_request_was_interrupted_goes_too() {
    let vault = TestCore::start().await;
    let before = records(&vault).await;
    let token = create(&vault, &vault.root, json!({"num_uses": 1, "ttl": "1h"}));
    let hash = vault.core.tokens.hash(&token.await.unwrap()).unwrap();
    let now = vault.core.clock.now_millis();
    vault.core.tokens.spend(&hash, now).await.unwrap();
    pass(&vault, limits::INTERRUPTED_AFTER_MILLIS / 1000);
    vault.core.end_what_is_due().await.unwrap();
    assert_eq!(records(&vault).await, before);
}

#[tokio::test]
async fn thousands_may_expire_in_one_second() {
    let vault = TestCore::start().await;
    let before = records(&vault).await;
    let txn = vault.core.barrier.begin().await.unwrap();
    for _ in 0..3_000 {
        let new = crate::token::NewToken {
            ttl: Some(5),
            ..crate::operate::new_root_token(None)
        };
        let now = vault.core.clock.now_millis();
        vault.core.tokens.create(&txn, new, now).await.unwrap();
    }
    txn.commit().await.unwrap();
    pass(&vault, 5);
    vault.core.end_what_is_due().await.unwrap();
    assert_eq!(records(&vault).await, before);
}

#[derive(Clone, Debug)]
enum Step {
    /// A child of one of those that were made, or of the root token.
    Create {
        parent: usize,
        ttl: u64,
        uses: u64,
    },
    Renew {
        token: usize,
        ttl: u64,
    },
    Use {
        token: usize,
    },
    Revoke {
        token: usize,
    },
    Pass {
        seconds: u64,
    },
    Tend,
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..8usize;
    prop_oneof![
        4 => (which.clone(), 1..200u64, 0..3u64)
            .prop_map(|(parent, ttl, uses)| Step::Create { parent, ttl, uses }),
        2 => (which.clone(), 1..200u64).prop_map(|(token, ttl)| Step::Renew { token, ttl }),
        2 => which.clone().prop_map(|token| Step::Use { token }),
        1 => which.prop_map(|token| Step::Revoke { token }),
        3 => (0..100u64).prop_map(|seconds| Step::Pass { seconds }),
        2 => Just(Step::Tend),
    ]
}

async fn play(steps: Vec<Step>) {
    let vault = TestCore::start().await;
    let before = records(&vault).await;
    let mut made: Vec<String> = Vec::new();
    // Of those without children of their own: until when they are in force.
    let mut ends: BTreeMap<usize, u64> = BTreeMap::new();
    let now = |vault: &TestCore| vault.core.clock.now_millis();
    for step in steps {
        match step {
            Step::Create { parent, ttl, uses } => {
                let by = made.get(parent).unwrap_or(&vault.root).clone();
                let body = json!({"ttl": ttl, "num_uses": uses, "policies": ["root"]});
                if let Some(token) = create(&vault, &by, body).await {
                    if by == vault.root && uses == 0 {
                        ends.insert(made.len(), now(&vault) + ttl * 1000);
                    }
                    made.push(token);
                }
            }
            Step::Renew { token, ttl } => {
                if let Some(text) = made.get(token)
                    && renew(&vault, text, ttl).await
                {
                    let at = now(&vault) + ttl * 1000;
                    ends.entry(token).and_modify(|end| *end = at);
                }
            }
            Step::Use { token } => {
                if let Some(text) = made.get(token) {
                    is_in_force(&vault, text).await;
                }
            }
            Step::Revoke { token } => {
                if let Some(text) = made.get(token) {
                    let body = json!({"token": text});
                    let path = "auth/token/revoke";
                    let revoked = vault.send(&vault.root, Operation::Update, path, body);
                    revoked.await.ok();
                    ends.remove(&token);
                }
            }
            Step::Pass { seconds } => pass(&vault, seconds),
            Step::Tend => vault.core.end_what_is_due().await.unwrap(),
        }
        // Never too early.
        for (token, end) in &ends {
            let in_force = is_in_force(&vault, &made[*token]).await;
            assert_eq!(in_force, *end > now(&vault));
        }
    }
    pass(&vault, 40 * 86_400);
    vault.core.end_what_is_due().await.unwrap();
    assert_eq!(records(&vault).await, before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_was_done_nothing_outlives_its_time(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(play(steps));
    }
}
