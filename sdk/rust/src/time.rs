//! Times and durations as Vault's clients write and read them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time, to the millisecond. Prints as clients read it (RFC 3339, UTC, nine digits);
/// serializes as a number, milliseconds since 1970, for storage.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// This much later, or the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil(days);
        let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
        let (second, milli) = (rest / 1000 % 60, rest % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}000000Z"
        )
    }
}

/// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar, counted in
/// eras of 400 years that begin in March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// Seconds as Go writes a duration: `0s`, `1m30s`, `3h25m19s`, `-1s`.
pub fn duration_text(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let total = seconds.unsigned_abs();
    let (hours, minutes, seconds) = (total / 3600, total / 60 % 60, total % 60);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// Whole seconds of a duration as clients write it: `90`, `90s`, `1h30m`, `500ms`, `7d`, or
/// nothing for 0. Parts of a second are dropped. None if it is no such text, is negative, or
/// exceeds what Go's durations hold (292 years).
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Duration::ZERO);
    }
    if let Ok(seconds) = text.parse::<u64>() {
        return within(u128::from(seconds) * NANOS);
    }
    let mut rest = text;
    let mut nanos = 0_u128;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        nanos += amount(number, unit_nanos(unit)?)?;
        within(nanos)?;
        rest = tail;
    }
    within(nanos)
}

const NANOS: u128 = 1_000_000_000;

fn unit_nanos(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1000,
        "ms" => 1_000_000,
        "s" => NANOS,
        "m" => 60 * NANOS,
        "h" => 3600 * NANOS,
        "d" => 24 * 3600 * NANOS,
        _ => return None,
    })
}

/// `number` of a unit, where `number` is digits with at most one point among them.
fn amount(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = match whole {
        "" => 0,
        digits => u128::from(digits.parse::<u64>().ok()?),
    };
    // Below a nanosecond nothing counts; eighteen digits fit whatever the unit.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let part = match fraction {
        "" => 0,
        digits => u128::from(digits.parse::<u64>().ok()?) * unit / 10_u128.pow(digits.len() as u32),
    };
    Some(whole * unit + part)
}

fn within(nanos: u128) -> Option<Duration> {
    let nanos = i64::try_from(nanos).ok()?;
    Some(Duration::from_secs(nanos.unsigned_abs() / NANOS as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_prints_as_rfc_3339_with_nanoseconds() {
        let check = |millis, text: &str| {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        };
        check(0, "1970-01-01T00:00:00.000000000Z");
        check(951_782_399_999, "2000-02-28T23:59:59.999000000Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000000000Z");
        check(951_868_800_000, "2000-03-01T00:00:00.000000000Z");
        check(1_767_225_600_123, "2026-01-01T00:00:00.123000000Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000000000Z");
        // The end of time is no year that clients know, but it prints.
        assert!(Timestamp::from_millis(u64::MAX).to_string().ends_with('Z'));
    }

    #[test]
    fn a_duration_prints_as_go_does() {
        let check = |seconds, text: &str| assert_eq!(duration_text(seconds), text);
        check(0, "0s");
        check(59, "59s");
        check(90, "1m30s");
        check(3600, "1h0m0s");
        check(12_319, "3h25m19s");
        check(86_400 * 32, "768h0m0s");
        check(-1, "-1s");
        check(-3_600, "-1h0m0s");
    }

    #[test]
    fn a_duration_is_read_as_vault_does() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(
                parse_duration(text).map(|duration| duration.as_secs()),
                seconds,
                "{text}"
            );
        };
        check("", Some(0));
        check("3600", Some(3600));
        check("30m", Some(1800));
        check("1h30m", Some(5400));
        check("1.5h", Some(5400));
        check(".5m", Some(30));
        check("500ms", Some(0));
        check("7d", Some(7 * 86_400));
        check("3h25m19s", Some(12_319));
        check("1.0000000000000000000000001s", Some(1));
        for text in [
            "abc",
            "1.5",
            "-5s",
            "-5",
            "5x",
            "s",
            ".s",
            "1..5s",
            "5s5",
            "1 h",
            "99999999999999999999h",
            "300000d",
        ] {
            check(text, None);
        }
    }
}
