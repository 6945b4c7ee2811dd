//! Numbers from what was measured more than once. On a machine that others use, too, the median of
//! many short runs holds where one long run does not.

use std::time::Duration;

use crate::process::own_cpu;

/// The one in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count => values[count / 2],
    }
}

/// The value below which `percent` of the sorted `values` lie.
pub(crate) fn percentile(sorted: &[u32], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |value| f64::from(*value))
}

/// The median of `a/b`, each pair measured one after the other: what slows both is gone from it.
pub(crate) fn ratio(a: &[f64], b: &[f64]) -> f64 {
    median(a.iter().zip(b).map(|(a, b)| a / b).collect())
}

/// Microseconds for one of `count` things that took `time` together.
pub(crate) fn micros_each(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}

/// Batches of which the median is taken.
const BATCHES: usize = 30;

/// Microseconds of CPU time for one call of `work`: the median of batches of `calls`. On the calling
/// thread, so that others on the machine do not count.
pub(crate) fn micros(calls: usize, mut work: impl FnMut()) -> f64 {
    let batch = |_| {
        let begun = own_cpu();
        for _ in 0..calls {
            work();
        }
        micros_each(own_cpu() - begun, calls)
    };
    median((0..BATCHES).map(batch).collect())
}

/// As [`micros`], for what is awaited and runs on the calling thread all the same.
pub(crate) async fn micros_awaited<E>(
    calls: usize,
    mut work: impl AsyncFnMut() -> Result<(), E>,
) -> Result<f64, E> {
    let mut batches = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let begun = own_cpu();
        for _ in 0..calls {
            work().await?;
        }
        batches.push(micros_each(own_cpu() - begun, calls));
    }
    Ok(median(batches))
}
