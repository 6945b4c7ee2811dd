//! Random transactions, several open at a time, against a `BTreeMap`: whatever commits, commits as if it had
//! run alone at that moment, and the law of the directories holds.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

pub(super) type Model = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Get(String),
    Put(String, u8),
    Delete(String),
    List(String, Option<String>, usize),
}

/// What a step showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Value(Option<Vec<u8>>),
    Names(Vec<String>, Option<String>),
    Nothing,
}

/// Which of the open transactions goes on, and whether it commits or makes a step.
type Script = Vec<(usize, Option<Step>)>;

const OPEN: usize = 3;

fn key() -> impl Strategy<Value = String> + Clone {
    prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..4)
        .prop_map(|segments| segments.join("/"))
}

pub(super) fn step() -> impl Strategy<Value = Step> + Clone {
    prop_oneof![
        2 => key().prop_map(Step::Get),
        4 => (key(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        4 => key().prop_map(Step::Delete),
        2 => (prop::option::of(key()), prop::option::of(key()), 0..3usize).prop_map(|(prefix, after, limit)| {
            Step::List(prefix.map_or(String::new(), |prefix| prefix + "/"), after, limit)
        }),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    prop::collection::vec((0..OPEN, prop::option::weighted(0.7, step())), 1..80)
}

fn children(model: &Model, prefix: &str) -> BTreeSet<String> {
    model
        .keys()
        .filter_map(|key| key.strip_prefix(prefix))
        .map(|rest| {
            rest.find('/')
                .map_or(rest, |slash| &rest[..=slash])
                .to_owned()
        })
        .collect()
}

pub(super) fn run_on_model(model: &mut Model, step: &Step) -> Sight {
    match step {
        Step::Get(key) => Sight::Value(model.get(key).cloned()),
        Step::Put(key, value) => {
            model.insert(key.clone(), vec![*value; usize::from(*value)]);
            Sight::Nothing
        }
        Step::Delete(key) => {
            model.remove(key);
            Sight::Nothing
        }
        Step::List(prefix, after, limit) => {
            let rest: Vec<String> = children(model, prefix)
                .into_iter()
                .filter(|name| after.as_ref().is_none_or(|after| name > after))
                .collect();
            let page: Vec<String> = rest
                .iter()
                .take(if *limit == 0 { usize::MAX } else { *limit })
                .cloned()
                .collect();
            let next = if page.len() < rest.len() {
                page.last().cloned()
            } else {
                None
            };
            Sight::Names(page, next)
        }
    }
}

pub(super) async fn run_on_view(view: &View, step: &Step) -> Sight {
    match step {
        Step::Get(key) => Sight::Value(view.get(key).await.unwrap().map(|value| value.to_vec())),
        Step::Put(key, value) => {
            view.put(key, &vec![*value; usize::from(*value)])
                .await
                .unwrap();
            Sight::Nothing
        }
        Step::Delete(key) => {
            view.delete(key).await.unwrap();
            Sight::Nothing
        }
        Step::List(prefix, after, limit) => {
            let page = view.list(prefix, after.as_deref(), *limit).await.unwrap();
            Sight::Names(page.keys, page.next)
        }
    }
}

/// Everything below `prefix`, by listing and reading.
pub(super) async fn walk(view: &View, prefix: &str, found: &mut Model) {
    for name in view.list(prefix, None, 0).await.unwrap().keys {
        let path = format!("{prefix}{name}");
        if name.ends_with('/') {
            let before = found.len();
            Box::pin(walk(view, &path, found)).await;
            assert!(found.len() > before, "{path} is empty");
        } else {
            let value = view.get(&path).await.unwrap().expect("a name has a value");
            found.insert(path, value.to_vec());
        }
    }
}

struct Open {
    transaction: Transaction,
    view: View,
    /// The committed state in which it began, with its own writes.
    model: Model,
    steps: Vec<(Step, Sight)>,
}

async fn check(barrier: &Barrier, script: Script) {
    let mut committed = Model::new();
    let mut open: Vec<Option<Open>> = (0..OPEN).map(|_| None).collect();
    for (which, step) in script {
        if open[which].is_none() {
            let (transaction, view) = begin(barrier).await;
            open[which] = Some(Open {
                transaction,
                view,
                model: committed.clone(),
                steps: Vec::new(),
            });
        }
        let Some(step) = step else {
            let Open {
                transaction,
                view,
                steps,
                ..
            } = open[which].take().unwrap();
            drop(view);
            let writes = transaction.has_writes();
            match transaction.commit().await {
                Ok(_) if writes => {
                    // As if all of it had run now: every step would have shown the same.
                    for (step, sight) in &steps {
                        assert_eq!(
                            run_on_model(&mut committed, step),
                            *sight,
                            "{step:?} in {steps:?}"
                        );
                    }
                }
                Ok(_) | Err(CommitError::Conflict(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
            let (_, view) = begin(barrier).await;
            let mut found = Model::new();
            walk(&view, "", &mut found).await;
            assert_eq!(found, committed);
            continue;
        };
        let Open {
            view, model, steps, ..
        } = open[which].as_mut().unwrap();
        let sight = run_on_view(view, &step).await;
        assert_eq!(
            run_on_model(model, &step),
            sight,
            "{step:?} after {steps:?}"
        );
        steps.push((step, sight));
    }
    // A transaction that meets nobody always commits.
    drop(open);
    let (transaction, view) = begin(barrier).await;
    for key in committed.keys() {
        view.delete(key).await.unwrap();
    }
    transaction.commit().await.unwrap();
    assert!(list(barrier, "").await.is_empty());
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(2_000)))]
    #[test]
    fn what_commits_is_serializable_in_memory(script in script()) {
        block_on(async { check(&in_memory().await, script).await });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(24)))]
    #[test]
    fn what_commits_is_serializable_in_a_file(script in script()) {
        let directory = tempfile::tempdir().unwrap();
        block_on(async { check(&in_file(directory.path()).await, script).await });
    }
}
