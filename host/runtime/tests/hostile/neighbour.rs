//! The mount next door: the embedded KV engine, with a secret that is read over and over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use host_logical::{Engine, EngineKind, Engines as _, Operation};
use host_runtime::EngineHost;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use crate::support::{Grants, host, request};

const SECRET: &str = r#"{"password":"hunter2"}"#;

/// One host for all, as a server has it: whatever one case leaves behind is there in the next.
static HOUSE: OnceCell<House> = OnceCell::const_new();

struct House {
    host: Arc<EngineHost>,
    kv: Arc<dyn Engine>,
    grants: Grants,
}

impl House {
    async fn open() -> Self {
        let host = host();
        let kv = host.engine(EngineKind::Secrets, "kv").await;
        let kv = kv.expect("KV loads").expect("KV is built in");
        let grants = Grants::default();
        let mut write = request(Operation::Update, "app");
        write.params = vec![("path".to_owned(), "app".to_owned())];
        write.data = serde_json::from_str(SECRET).expect("the secret is JSON");
        let written = grants.handle(&kv, write).await;
        written.expect("KV keeps the secret");
        Self { host, kv, grants }
    }

    async fn read(&self) -> Result<(), String> {
        let mut read = request(Operation::Read, "app");
        read.params = vec![("path".to_owned(), "app".to_owned())];
        let answer = self.grants.handle(&self.kv, read).await;
        match answer {
            Ok(answer)
                if answer
                    .data
                    .as_ref()
                    .is_some_and(|data| data.get() == SECRET) =>
            {
                Ok(())
            }
            other => Err(format!("the neighbour answered {other:?}")),
        }
    }
}

/// It reads until it is asked whether all was well.
pub(crate) struct Neighbour {
    house: &'static House,
    answers: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    reading: JoinHandle<Result<(), String>>,
}

impl Neighbour {
    /// Returns when the first answer is there.
    pub(crate) async fn reads() -> Self {
        let house = HOUSE.get_or_init(House::open).await;
        house.read().await.expect("it reads while it is alone");
        let (answers, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counted, stopped) = (Arc::clone(&answers), Arc::clone(&stop));
        let reading = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                house.read().await?;
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
            house.read().await
        });
        Self {
            house,
            answers,
            stop,
            reading,
        }
    }

    pub(crate) fn host(&self) -> &EngineHost {
        &self.house.host
    }

    pub(crate) fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }

    /// Whether every answer was right, and one more still is.
    pub(crate) async fn still_reads(mut self) -> Result<(), String> {
        self.stop.store(true, Ordering::Relaxed);
        (&mut self.reading)
            .await
            .map_err(|error| error.to_string())?
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
