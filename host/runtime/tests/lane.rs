//! Where calls run: short ones on the server's threads, long ones on threads of their own. On a
//! server with one thread, so that whoever stays on it stands in the way of all.

mod support;

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use host_logical::{Ambient, Engine, EngineError, Imports, Operation, Options};
use host_runtime::RuntimeConfig;
use support::{Grants, Guest, host, host_with, mount, mounted, read, request};
use tokio::task::JoinHandle;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

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

const LANE: &str = "engine-lane";
const SERVER: &str = "server";

/// A hang, not a limit.
const HANGS: Duration = Duration::from_secs(60);

/// What the clock does when a guest asks for the time.
#[derive(Clone, Copy, Default, PartialEq)]
enum Order {
    #[default]
    GoOn,
    Stop,
    Panic,
    /// Keeps the thread.
    Hold,
}

/// Who remembers on which threads a guest asked for the time, last, and was dropped.
#[derive(Default)]
struct Witness {
    asked: Mutex<String>,
    dropped: Mutex<String>,
    order: Mutex<Order>,
}

impl Witness {
    fn saw_the_lane(&self) -> bool {
        *locked(&self.asked) == LANE
    }

    fn saw_the_server(&self) -> bool {
        *locked(&self.asked) == SERVER
    }

    fn orders(&self, order: Order) {
        *locked(&self.order) = order;
    }

    fn order(&self) -> Order {
        *locked(&self.order)
    }

    fn imports(self: &Arc<Self>) -> Imports {
        Imports {
            ambient: Arc::new(Clock(Arc::clone(self))),
            ..Grants::default().imports()
        }
    }
}

fn locked<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().expect("no test panics with it locked")
}

fn this_thread() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// It goes where the guest goes, and shows zero until it is told to stop.
struct Clock(Arc<Witness>);

impl Drop for Clock {
    fn drop(&mut self) {
        *locked(&self.0.dropped) = this_thread();
    }
}

#[async_trait]
impl Ambient for Clock {
    fn now_millis(&self) -> u64 {
        *locked(&self.0.asked) = this_thread();
        while self.0.order() == Order::Hold {
            thread::sleep(Duration::from_millis(1));
        }
        match self.0.order() {
            Order::Panic => panic!("as ordered"),
            order => u64::from(order == Order::Stop),
        }
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
        .thread_name(SERVER)
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
            witness.orders(Order::Stop);
            call.await.unwrap().unwrap();
        }
    });
}

/// A mount does not get the server's thread for nothing by ending each call in time.
#[test]
fn a_mount_whose_calls_are_long_begins_them_in_the_lane_for_a_while() {
    on_one_thread(async {
        let host = host();
        // Some milliseconds: a few times what a short call may take, and less than a tick.
        let body = "(drop (call $now))
            (if (i32.eq (i32.load8_u (i32.load offset={request.path} (local.get $request))) (i32.const 108))
                (then (loop $computes
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br_if $computes (i32.lt_u (local.get $i) (i32.const 10000000))))))";
        let engine = mounted(&host, &Guest::new(body)).await;
        let begun = Instant::now();
        loop {
            let (_, long) = runs(&engine, "long");
            long.await.unwrap().unwrap();
            let (witness, short) = runs(&engine, "short");
            short.await.unwrap().unwrap();
            if witness.saw_the_lane() {
                break;
            }
            assert!(begun.elapsed() < HANGS / 2, "it never begins in the lane");
        }
        loop {
            let (witness, call) = runs(&engine, "short");
            call.await.unwrap().unwrap();
            if witness.saw_the_server() {
                break;
            }
            assert!(begun.elapsed() < HANGS / 2, "it never comes back");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
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
        witness.orders(Order::Stop);
        call.await.unwrap().unwrap();

        let witness = Arc::<Witness>::default();
        let mut call = asked.open(witness.imports()).await.unwrap();
        let call = tokio::spawn(async move {
            call.exists(&read()).await?;
            call.initialize(None, &mount()).await
        });
        until("it is asked in the lane", || witness.saw_the_lane()).await;
        witness.orders(Order::Stop);
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
        witness.orders(Order::Stop);
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
        witness.orders(Order::Stop);
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
        witness.orders(Order::Stop);
        call.await.unwrap().unwrap();
    });
}

/// Where a guest's lines are written: an engine that describes itself is granted no witness.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "engine"
    }

    fn event(&self, _: &Event<'_>) {
        locked(&self.0).push(this_thread());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn an_engine_that_takes_long_to_describe_itself_does_so_in_the_lane() {
    let lines = Arc::<Lines>::default();
    let log = Arc::clone(&lines) as Arc<dyn Subscriber + Send + Sync>;
    tracing::subscriber::set_global_default(log).expect("no other test listens");
    on_one_thread(async move {
        let says =
            "(call $log (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))";
        let describes = format!(
            "{says}
            (loop $computes
                (global.set $n (i32.add (global.get $n) (i32.const 1)))
                (br_if $computes (i32.lt_u (global.get $n) (i32.const 200000000))))
            {says}"
        );
        let guest = Guest::new("").describe(&describes);
        let guest = guest.functions("(global $n (mut i32) (i32.const 0))");
        let engine = mounted(&host(), &guest).await;
        engine.describe(&Options::new()).await.unwrap();
        assert_eq!(*locked(&lines.0), [SERVER, LANE]);
    });
}

/// To wipe what it made of its memory takes a while too.
#[test]
fn a_call_ends_where_it_computed() {
    on_one_thread(async {
        let host = host();
        let engine = mounted(&host, &Guest::new(COMPUTES_UNTIL_TOLD)).await;
        let (witness, call) = runs(&engine, "any");
        until("it computes in the lane", || witness.saw_the_lane()).await;
        witness.orders(Order::Stop);
        call.await.unwrap().unwrap();
        until("it is dropped", || !locked(&witness.dropped).is_empty()).await;
        assert_eq!(*locked(&witness.dropped), LANE);

        let short = mounted(&host, &Guest::new("")).await;
        let (witness, call) = runs(&short, "any");
        call.await.unwrap().unwrap();
        assert_eq!(*locked(&witness.dropped), SERVER);
    });
}

/// Guest or host: the error is its own, and its place is free again.
#[test]
fn what_fails_in_the_lane_fails_alone() {
    on_one_thread(async {
        let host = host();
        let traps = format!("{COMPUTES_UNTIL_TOLD} (unreachable)");
        let engine = mounted(&host, &Guest::new(&traps)).await;
        let fails = async |order| {
            let (witness, call) = runs(&engine, "any");
            until("it computes in the lane", || witness.saw_the_lane()).await;
            witness.orders(order);
            call.await.expect("the server's task goes on")
        };
        // More often than there are places.
        for _ in 0..CALLS {
            let trapped = fails(Order::Stop).await;
            assert!(
                matches!(trapped, Err(EngineError::Trapped { .. })),
                "{trapped:?}"
            );
            let panicked = fails(Order::Panic).await;
            assert!(
                matches!(panicked, Err(EngineError::Host(_))),
                "{panicked:?}"
            );
        }
    });
}

/// The lane is behind all others, so nobody knows when a call there gets its turn.
#[test]
fn a_call_that_gets_no_turn_ends_at_its_deadline() {
    on_one_thread(async {
        let processors = thread::available_parallelism().map_or(1, |number| number.get());
        let threads = (processors - 1).max(1);
        let host = host_with(RuntimeConfig {
            calls_per_mount: threads + 1,
            ..RuntimeConfig::default()
        });
        let engine = mounted(&host, &Guest::new(COMPUTES_UNTIL_TOLD)).await;
        let calls: Vec<_> = (0..threads).map(|_| runs(&engine, "any")).collect();
        for (witness, _) in &calls {
            until("it computes in the lane", || witness.saw_the_lane()).await;
            witness.orders(Order::Hold);
        }

        let mut imports = Arc::<Witness>::default().imports();
        imports.limits.wall = Duration::from_millis(100);
        let late = async { engine.open(imports).await?.handle(read()).await };
        match late.await {
            Err(EngineError::OverLimit(limit)) => {
                assert_eq!(limit, "past the deadline of the call");
            }
            other => panic!("it ended as {other:?}"),
        }
        for (witness, call) in calls {
            assert!(!call.is_finished());
            witness.orders(Order::Stop);
            call.await.unwrap().unwrap();
        }
    });
}
