//! A corpus of hostile guests, each with how it must end. `H01` and so on are the names that the
//! threat model has for them; a letter tells variants apart.
//!
//! Every case runs three times on one mount, and must end the same way each time. Meanwhile another
//! mount, the embedded KV engine, is read without a pause, and must answer right throughout and
//! afterwards. Time is bounded by the limits of the call: those that never end are told by the
//! verdict that names the limit. Memory is bounded by [`PEAK_BYTES`], which is measured.
//!
//! What needs a real transaction or the HTTP surface to be told is in `tests/guests/hostile.rs`.

#[path = "../support/mod.rs"]
mod support;

mod abi;
mod authority;
mod border;
mod computing;
mod memory;
mod neighbour;
mod peak;
mod stateful;

use std::time::{Duration, Instant};

use host_logical::{CallLimits, EngineError, EngineKind, Engines as _, Refusal};
use support::{Grants, Guest, read};
use tokio::sync::Mutex;

use neighbour::Neighbour;
use peak::Peak;

/// How a guest ends. What a client sees of it: an answer, a 4xx with the text, or a 500 without. The
/// texts are parts of what the log or, at registration, the operator is told.
enum Verdict {
    /// Refused when it is registered.
    NotAdmitted(&'static str),
    /// Refused when it is first mounted.
    NotLoaded(&'static str),
    /// 500: it ran into a limit of the host.
    OverLimit(&'static str),
    /// 500
    Trapped(&'static str),
    /// 500: what it passed to the host is nothing that the world allows.
    Malformed(&'static str),
    /// 400, in these words.
    Refused(&'static str),
    /// It harms itself at most, and what it says is an answer.
    Answers,
}
use Verdict::{Answers, Malformed, NotAdmitted, NotLoaded, OverLimit, Refused, Trapped};

struct Case {
    /// Its name in the threat model, and what it does.
    name: &'static str,
    component: Vec<u8>,
    limits: CallLimits,
    verdict: Verdict,
}

fn case(name: &'static str, guest: Guest, verdict: Verdict) -> Case {
    raw_case(name, guest.component(), verdict)
}

fn raw_case(name: &'static str, component: Vec<u8>, verdict: Verdict) -> Case {
    let mut limits = Grants::default().limits;
    // The others have all the time that a busy machine needs.
    if matches!(verdict, OverLimit(OUT_OF_TIME)) {
        limits.compute = Duration::from_millis(50);
    }
    Case {
        name,
        component,
        limits,
        verdict,
    }
}

const OUT_OF_TIME: &str = "out of computing time";

/// The same mount must end the same way again.
const ROUNDS: usize = 3;

/// What a call may add to the process at its peak: the guest's own 64 MiB, what it may hand over in
/// one crossing (32 MiB, and once more while lists of it grow), and an answer (16 MiB).
const PEAK_BYTES: usize = (64 + 2 * 32 + 16) << 20;

/// A hang, not a limit: every call ends long before.
const HANGS: Duration = Duration::from_secs(60);

/// Cases are measured, so they run one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Runs a family, and says of all that ended otherwise how they did.
async fn check(cases: Vec<Case>) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let mut wrong = String::new();
    for case in cases {
        let name = case.name;
        if let Err(why) = run(case).await {
            wrong += &format!("\n{name}: {why}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

async fn run(case: Case) -> Result<(), String> {
    let neighbour = Neighbour::reads().await;
    let host = neighbour.host();
    let registered = host.register(EngineKind::Secrets, case.name, "1.0.0", case.component);
    let engine = match registered {
        Err(refused) => return is(&case.verdict, Err(refused)),
        Ok(_) => host.engine(EngineKind::Secrets, case.name).await,
    };
    let engine = match engine {
        Err(refused) => return is(&case.verdict, Err(refused)),
        Ok(engine) => engine.ok_or("it was registered and is not there")?,
    };
    let grants = Grants {
        limits: case.limits,
        ..Grants::default()
    };
    let mut alone = 0;
    for round in 1..=ROUNDS {
        let (peak, before) = (Peak::begin(), neighbour.answers());
        let begun = Instant::now();
        let ended = tokio::time::timeout(HANGS, grants.handle(&engine, read())).await;
        let (took, grown) = (begun.elapsed(), peak.grown_bytes());
        let ended = ended.map_err(|_| format!("round {round}: it hangs"))?;
        is(&case.verdict, ended.map(drop)).map_err(|why| format!("round {round}: {why}"))?;
        if grown > PEAK_BYTES {
            return Err(format!("round {round}: the process grew by {grown} bytes"));
        }
        // A read takes microseconds. Where nothing at all was run for so long, the machine was busy;
        // that it is so in every round is not believed.
        if took > Duration::from_millis(40) && neighbour.answers() == before {
            alone += 1;
        }
    }
    if alone == ROUNDS {
        return Err("the neighbour did not answer while it ran".to_owned());
    }
    neighbour.still_reads().await
}

fn is(verdict: &Verdict, ended: Result<(), EngineError>) -> Result<(), String> {
    let (expected, as_expected) = match (verdict, &ended) {
        (NotAdmitted(part) | NotLoaded(part), Err(EngineError::Load(text)))
        | (OverLimit(part), Err(EngineError::OverLimit(text)))
        | (Trapped(part), Err(EngineError::Trapped { reason: text, .. }))
        | (Malformed(part), Err(EngineError::Malformed(text)))
        | (Refused(part), Err(EngineError::Refused(Refusal::InvalidRequest(text)))) => {
            (*part, text.contains(part))
        }
        (Answers, Ok(())) => ("", true),
        (
            NotAdmitted(part) | NotLoaded(part) | OverLimit(part) | Trapped(part) | Malformed(part)
            | Refused(part),
            _,
        ) => (*part, false),
        (Answers, _) => ("an answer", false),
    };
    match as_expected {
        true => Ok(()),
        false => Err(format!("expected {expected:?}, and it ended as {ended:?}")),
    }
}
