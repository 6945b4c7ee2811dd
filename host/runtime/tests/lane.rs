//! Where calls run: short ones on the server's threads, long ones on threads of their own. On a
//! server with one thread, so that whoever stays on it stands in the way of all.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use host_logical::{Ambient, Engine, EngineError, Imports, Operation};
use support::{Grants, Guest, host, mount, mounted, read, request};
use tokio::task::JoinHandle;

/// Asks the host for the time, again and again, until it is other than zero. A million turns of a
/// loop between two questions keep it within the calls to the host that it may make.
const COMPUTES_UNTIL_TOLD: &str = "(loop $asks
    (local.set $i (i32.const 1000000))
    (loop $computes
        (local.set $i (i32.sub (local.get $i) (i32.const 1)))
        (br_if $computes (local.get $i)))
    (br_if $asks (i64.eqz (call $now))))";

/// As many calls as a mount may have at a time.
const CALLS: usize = 16;

/// A hang, not a limit.
const HANGS: Duration = Duration::from_secs(60);

/// A clock that remembers which thread asked it last, and shows zero until it is told to stop.
#[derive(Default)]
struct Witness {
    thread: Mutex<String>,
    stop: AtomicBool,
}

impl Witness {
    fn saw_the_lane(&self) -> bool {
        *self.thread.lock().expect("no test panics with it locked") == "engine-lane"
    }

    fn saw_the_server(&self) -> bool {
        *self.thread.lock().expect("no test panics with it locked") == "server"
    }

    fn imports(self: &Arc<Self>) -> Imports {
        let ambient = Arc::clone(self) as Arc<dyn Ambient>;
        Imports {
            ambient,
            ..Grants::default().imports()
        }
    }
}

#[async_trait]
impl Ambient for Witness {
    fn now_millis(&self) -> u64 {
        let name = thread::current().name().unwrap_or_default().to_owned();
        *self.thread.lock().expect("no test panics with it locked") = name;
        u64::from(self.stop.load(Ordering::Relaxed))
    }

    fn fill_random(&self, buf: &mut [u8]) {
        buf.fill(0);
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Runs `test` on a server with one thread.
fn on_one_thread(test: impl Future<Output = ()> + Send + 'static) {
    let server = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("server")
        .enable_all()
        .build()
        .expect("a runtime starts");
    let test = async { tokio::time::timeout(HANGS, tokio::spawn(test)).await };
    let ended = server.block_on(test).expect("it hangs");
    ended.expect("the test passes");
}

type Ended = Result<(), EngineError>;

/// A call of `engine` that runs in a task of its own, and who sees where.
fn runs(engine: &Arc<dyn Engine>, path: &str) -> (Arc<Witness>, JoinHandle<Ended>) {
    let witness = Arc::<Witness>::default();
    let (engine, imports) = (Arc::clone(engine), witness.imports());
    let request = request(Operation::Read, path);
    let call = async move { engine.open(imports).await?.handle(request).await.map(drop) };
    (witness, tokio::spawn(call))
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < HANGS / 2, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn calls_that_compute_for_long_leave_the_servers_thread_to_the_short_ones() {
    on_one_thread(async {
        let host = host();
        let long = mounted(&host, &Guest::new(COMPUTES_UNTIL_TOLD)).await;
        let short = mounted(&host, &Guest::new("(drop (call $now))")).await;
        let calls: Vec<_> = (0..CALLS).map(|_| runs(&long, "any")).collect();
        until("all of them compute in the lane", || {
            calls.iter().all(|(witness, _)| witness.saw_the_lane())
        })
        .await;

        let mut on_the_server = 0;
        for _ in 0..100 {
            let (witness, call) = runs(&short, "any");
            call.await.unwrap().unwrap();
            on_the_server += usize::from(witness.saw_the_server());
        }
        // On a machine that does not run the server for a tick, a short call looks long.
        assert!(on_the_server > 90, "{on_the_server} of 100");

        for (witness, call) in calls {
            assert!(!call.is_finished() && witness.saw_the_lane());
            witness.stop.store(true, Ordering::Relaxed);
            call.await.unwrap().unwrap();
        }
    });
}

/// A mount that computes takes a turn of the server's thread once, and not at each call.
#[test]
fn a_call_begins_where_the_one_before_it_ended() {
    on_one_thread(async {
        let host = host();
        let body = format!(
            "(drop (call $now))
            (if (i32.eq (i32.load8_u (i32.load offset={{request.path}} (local.get $request))) (i32.const 108))
                (then {COMPUTES_UNTIL_TOLD}))"
        );
        let engine = mounted(&host, &Guest::new(&body)).await;
        let (witness, call) = runs(&engine, "long");
        until("it computes in the lane", || witness.saw_the_lane()).await;
        witness.stop.store(true, Ordering::Relaxed);
        call.await.unwrap().unwrap();

        let (witness, call) = runs(&engine, "short");
        call.await.unwrap().unwrap();
        assert!(witness.saw_the_lane());
        // The next, were it not for a machine that does not run it for a tick.
        for _ in 0..100 {
            let (witness, call) = runs(&engine, "short");
            call.await.unwrap().unwrap();
            if witness.saw_the_server() {
                return;
            }
        }
        panic!("the mount does not come back from the lane");
    });
}

/// What else of a guest may loop: when it starts, or is asked whether.
#[test]
fn nothing_of_a_guest_computes_for_long_on_the_servers_thread() {
    on_one_thread(async {
        let host = host();
        let loops = COMPUTES_UNTIL_TOLD.replace("(local.get $i)", "(global.get $n)");
        let loops = loops.replace("local.set $i", "global.set $n");
        let count = "(global $n (mut i32) (i32.const 0))";
        let start = format!("{count} (start $s) (func $s {loops})");
        let starting = mounted(&host, &Guest::new("").functions(&start)).await;
        let asked = Guest::new("").exists(&loops).functions(count);
        let asked = mounted(&host, &asked).await;

        let (witness, call) = runs(&starting, "any");
        until("it starts in the lane", || witness.saw_the_lane()).await;
        witness.stop.store(true, Ordering::Relaxed);
        call.await.unwrap().unwrap();

        let witness = Arc::<Witness>::default();
        let mut call = asked.open(witness.imports()).await.unwrap();
        let call = tokio::spawn(async move {
            call.exists(&read()).await?;
            call.initialize(None, &mount()).await
        });
        until("it is asked in the lane", || witness.saw_the_lane()).await;
        witness.stop.store(true, Ordering::Relaxed);
        call.await.unwrap().unwrap();
    });
}

/// Its room comes back too, once the guest has given its thread away.
#[test]
fn a_long_call_that_is_dropped_ends() {
    on_one_thread(async {
        let host = host();
        let engine = mounted(&host, &Guest::new(COMPUTES_UNTIL_TOLD)).await;
        let calls: Vec<_> = (0..CALLS).map(|_| runs(&engine, "any")).collect();
        until("all of them compute in the lane", || {
            calls.iter().all(|(witness, _)| witness.saw_the_lane())
        })
        .await;
        for (_, call) in &calls {
            call.abort();
        }
        let (witness, call) = runs(&engine, "any");
        witness.stop.store(true, Ordering::Relaxed);
        call.await.unwrap().unwrap();
        until("nobody holds what they were granted", || {
            calls
                .iter()
                .all(|(witness, _)| Arc::strong_count(witness) == 1)
        })
        .await;
    });
}

/// What a call waits for may hold a timer; and it does not compute meanwhile.
#[test]
fn a_long_call_may_wait() {
    on_one_thread(async {
        let host = host();
        let naps = format!("{COMPUTES_UNTIL_TOLD} (call $sleep (i32.const 20)) (drop (call $now))");
        let engine = mounted(&host, &Guest::new(&naps)).await;
        let (witness, call) = runs(&engine, "any");
        until("it computes in the lane", || witness.saw_the_lane()).await;
        witness.stop.store(true, Ordering::Relaxed);
        call.await.unwrap().unwrap();
        assert!(witness.saw_the_lane());
    });
}

/// The lane ends with its host, in a task or out of it, and a call that runs is none the worse.
#[test]
fn a_long_call_outlives_its_host() {
    on_one_thread(async {
        let host = host();
        let engine = mounted(&host, &Guest::new(COMPUTES_UNTIL_TOLD)).await;
        let (witness, call) = runs(&engine, "any");
        until("it computes in the lane", || witness.saw_the_lane()).await;
        drop(engine);
        drop(host);
        witness.stop.store(true, Ordering::Relaxed);
        call.await.unwrap().unwrap();
    });
}
