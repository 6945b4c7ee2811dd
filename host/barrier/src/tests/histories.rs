//! Histories of clients that work at the same time, judged by trying every order.
//!
//! `model` knows when each transaction commits and compares with that moment. Here nobody knows: clients run, and
//! afterwards some order of all transactions must explain what each of them saw and what is left, and must not
//! put one before another that had ended before it began. Transactions that lost are in it, too: they left
//! nothing, but what they saw must have been one state.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier as Gate, Mutex};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redb::StorageBackend as _;
use redb::backends::InMemoryBackend;

use super::model::{Model, Sight, Step, block_on, run_on_model, run_on_view, step, walk};
use super::*;

/// More would make too many orders.
const TRANSACTIONS: usize = 8;

/// One transaction, as its client saw it.
#[derive(Clone, Debug)]
struct Seen {
    began: usize,
    ended: usize,
    steps: Vec<(Step, Sight)>,
    committed: bool,
}

/// An order of `history` that leads from `first` to `last`.
fn serial_order(first: &Model, history: &[Seen], last: &Model) -> Option<Vec<usize>> {
    fn search(state: &Model, history: &[Seen], last: &Model, order: &mut Vec<usize>) -> bool {
        let left: Vec<usize> = (0..history.len()).filter(|n| !order.contains(n)).collect();
        if left.is_empty() {
            return state == last;
        }
        left.iter().any(|next| {
            let Seen {
                began,
                steps,
                committed,
                ..
            } = &history[*next];
            if left.iter().any(|other| history[*other].ended < *began) {
                return false;
            }
            let mut after = state.clone();
            let explained = steps
                .iter()
                .all(|(step, sight)| run_on_model(&mut after, step) == *sight);
            order.push(*next);
            let found = explained
                && search(
                    if *committed { &after } else { state },
                    history,
                    last,
                    order,
                );
            if !found {
                order.pop();
            }
            found
        })
    }
    let mut order = Vec::new();
    search(first, history, last, &mut order).then_some(order)
}

// ---- The judge ------------------------------------------------------------------------------------------

fn get(key: &str, value: Option<u8>) -> (Step, Sight) {
    let value = value.map(|value| vec![value; usize::from(value)]);
    (Step::Get(key.to_owned()), Sight::Value(value))
}

fn put(key: &str, value: u8) -> (Step, Sight) {
    (Step::Put(key.to_owned(), value), Sight::Nothing)
}

fn names(directory: &str, names: &[&str]) -> (Step, Sight) {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    (
        Step::List(directory.to_owned(), None, 0),
        Sight::Names(names, None),
    )
}

fn seen(began: usize, ended: usize, committed: bool, steps: &[(Step, Sight)]) -> Seen {
    Seen {
        began,
        ended,
        steps: steps.to_vec(),
        committed,
    }
}

fn state(values: &[(&str, u8)]) -> Model {
    let values = values.iter();
    values
        .map(|(key, value)| ((*key).to_owned(), vec![*value; usize::from(*value)]))
        .collect()
}

#[track_caller]
fn judge(first: &[(&str, u8)], history: &[Seen], last: &[(&str, u8)], wanted: Option<&[usize]>) {
    let order = serial_order(&state(first), history, &state(last));
    assert_eq!(order.as_deref(), wanted);
}

#[test]
fn the_judge_finds_the_order() {
    let reader = seen(0, 9, true, &[get("a", Some(2)), names("", &["a", "b"])]);
    let writer = seen(1, 2, true, &[get("a", Some(1)), put("a", 2), put("b", 1)]);
    let loser = seen(
        0,
        9,
        false,
        &[get("a", Some(1)), put("a", 7), get("a", Some(7))],
    );
    judge(
        &[("a", 1)],
        &[reader, writer, loser],
        &[("a", 2), ("b", 1)],
        Some(&[2, 1, 0]),
    );
}

#[test]
fn the_judge_refuses_what_serializable_forbids() {
    // Lost update.
    let update = |value| seen(0, 9, true, &[get("a", Some(1)), put("a", value)]);
    judge(&[("a", 1)], &[update(2), update(3)], &[("a", 3)], None);
    // Write skew: each leaves because the other is there.
    let leave = |own, other| seen(0, 9, true, &[get(other, Some(1)), put(own, 2)]);
    let both = [leave("a", "b"), leave("b", "a")];
    judge(&[("a", 1), ("b", 1)], &both, &[("a", 2), ("b", 2)], None);
    // Phantoms: each takes the first free name.
    let take = |name: &str| seen(0, 9, true, &[names("d/", &[]), put(name, 1)]);
    judge(
        &[],
        &[take("d/a"), take("d/b")],
        &[("d/a", 1), ("d/b", 1)],
        None,
    );
    // Half of a transaction.
    let writer = seen(0, 9, true, &[put("a", 2), put("b", 2)]);
    let torn = seen(0, 9, true, &[get("a", Some(2)), get("b", Some(1))]);
    let (first, last) = ([("a", 1), ("b", 1)], [("a", 2), ("b", 2)]);
    judge(&first, &[writer.clone(), torn.clone()], &last, None);
    // Also for one that lost.
    let lost = Seen {
        committed: false,
        ..torn
    };
    judge(&first, &[writer, lost], &last, None);
    // A stale read, after the write was answered.
    let writer = seen(0, 1, true, &[put("a", 2)]);
    let stale = seen(2, 3, true, &[get("a", Some(1))]);
    judge(&[("a", 1)], &[writer, stale], &[("a", 2)], None);
    // A loser that left something, and a winner that left nothing.
    let writer = |committed| seen(0, 1, committed, &[put("a", 2)]);
    judge(&[("a", 1)], &[writer(false)], &[("a", 2)], None);
    judge(&[("a", 1)], &[writer(true)], &[("a", 1)], None);
}

// ---- The histories --------------------------------------------------------------------------------------

/// What a client does: its transactions, and how often it lets others go first before each step.
type Script = Vec<Vec<(Step, usize)>>;

fn scripts() -> impl Strategy<Value = Vec<Script>> {
    let transaction = prop::collection::vec((step(), 0..4_usize), 1..5);
    prop_oneof![
        prop::collection::vec(prop::collection::vec(transaction.clone(), 1..=4), 2),
        prop::collection::vec(
            prop::collection::vec(transaction, 1..=2),
            3..=TRANSACTIONS / 2
        ),
    ]
}

/// Runs one client, and keeps what it saw. Where it has a thread of its own, the system decides who goes first. Time is a number that everybody counts up.
async fn run(barrier: &Barrier, script: &Script, time: &AtomicUsize, history: &Mutex<Vec<Seen>>) {
    let now = || time.fetch_add(1, Ordering::SeqCst);
    for transaction in script {
        let began = now();
        let (handle, view) = begin(barrier).await;
        let mut steps = Vec::new();
        for (step, pauses) in transaction {
            for _ in 0..*pauses {
                tokio::task::yield_now().await;
            }
            steps.push((step.clone(), run_on_view(&view, step).await));
        }
        let committed = match handle.commit().await {
            Ok(_) => true,
            Err(CommitError::Conflict(_)) => false,
            Err(error) => panic!("{error:?}"),
        };
        history.lock().unwrap().push(Seen {
            began,
            ended: now(),
            steps,
            committed,
        });
    }
}

#[derive(Clone, Copy, Debug)]
enum Clients {
    /// On one thread, in turns that the script decides.
    Tasks,
    /// Each on a thread of its own, let go at once.
    Threads,
}

/// What the clients saw, and how many of their transactions lost.
fn check(barrier: &Barrier, clients: Clients, scripts: Vec<Script>) -> (usize, usize) {
    let first = block_on(async {
        put_all(barrier, &["a", "b/a", "a/b/a"]).await;
        everything(barrier).await
    });
    let shared = Arc::new((AtomicUsize::new(0), Mutex::new(Vec::new())));
    match clients {
        Clients::Tasks => block_on(async {
            let tasks: Vec<_> = scripts
                .into_iter()
                .map(|script| {
                    let (barrier, shared) = (barrier.clone(), shared.clone());
                    tokio::spawn(async move { run(&barrier, &script, &shared.0, &shared.1).await })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        }),
        Clients::Threads => {
            let gate = Gate::new(scripts.len());
            std::thread::scope(|scope| {
                for script in &scripts {
                    let (gate, shared) = (&gate, &shared);
                    scope.spawn(move || {
                        gate.wait();
                        block_on(run(barrier, script, &shared.0, &shared.1));
                    });
                }
            });
        }
    }
    let last = block_on(everything(barrier));
    let history = shared.1.lock().unwrap();
    assert!(
        serial_order(&first, &history, &last).is_some(),
        "no order of these leads from {first:?} to {last:?}: {history:#?}"
    );
    let lost = history.iter().filter(|seen| !seen.committed).count();
    (history.len(), lost)
}

async fn everything(barrier: &Barrier) -> Model {
    let (_, view) = begin(barrier).await;
    let mut found = Model::new();
    walk(&view, "", &mut found).await;
    found
}

/// Runs random histories, each on a barrier of its own. At least one in `lose` transactions must have lost, or the
/// clients hardly met.
fn check_all(histories: u32, clients: Clients, lose: usize, barrier: impl Fn() -> Barrier) {
    let config = Config {
        cases: cases(histories),
        failure_persistence: None,
        ..Config::default()
    };
    let (transactions, losers) = (AtomicUsize::new(0), AtomicUsize::new(0));
    TestRunner::new(config)
        .run(&scripts(), |scripts| {
            let (ran, lost) = check(&barrier(), clients, scripts);
            transactions.fetch_add(ran, Ordering::Relaxed);
            losers.fetch_add(lost, Ordering::Relaxed);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let (transactions, losers) = (transactions.into_inner(), losers.into_inner());
    assert!(
        losers.saturating_mul(lose) >= transactions,
        "of {transactions} transactions {losers} lost"
    );
}

fn in_redb() -> Barrier {
    block_on(async {
        let (file, journal) = (InMemoryBackend::new(), InMemoryBackend::new());
        // Some commits find it full.
        journal.set_len(64 << 10).unwrap();
        let barrier = Barrier::open_backend(file, journal, Arc::new(Counting::new()))
            .await
            .unwrap();
        let share = initialize(&barrier, 1, 1).await.unwrap().remove(0);
        barrier.unseal(share).await.unwrap();
        barrier
    })
}

#[test]
fn histories_of_tasks_are_serializable_in_memory() {
    check_all(3_000, Clients::Tasks, 10, || block_on(in_memory()));
}

#[test]
fn histories_of_threads_are_serializable_in_memory() {
    check_all(400, Clients::Threads, usize::MAX, || block_on(in_memory()));
}

#[test]
fn histories_of_tasks_are_serializable_in_redb() {
    check_all(200, Clients::Tasks, 10, in_redb);
}

#[test]
fn histories_of_threads_are_serializable_in_redb() {
    check_all(150, Clients::Threads, usize::MAX, in_redb);
}
