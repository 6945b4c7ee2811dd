//! Time as an argument: nothing in core reads the system's clock but [`SystemClock`].

use std::time::{SystemTime, UNIX_EPOCH};

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn now_millis(&self) -> u64;
}

/// The clock of the machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the system's clock"
    )]
    fn now_millis(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// RFC 3339 in UTC with nanoseconds, as Vault writes times. What no calendar reaches is its end.
pub(crate) fn rfc3339(millis: u64) -> String {
    let end = time::UtcDateTime::MAX;
    let at = i64::try_from(millis / 1000)
        .ok()
        .and_then(|seconds| time::UtcDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(end);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}000000Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        millis % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_read_as_vault_writes_them() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000000000Z"),
            (1_767_225_600_123, "2026-01-01T00:00:00.123000000Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999000000Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
        }
    }
}
