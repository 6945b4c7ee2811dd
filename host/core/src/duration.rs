//! Spans of time as Vault's clients write and read them: Go's texts, days, plain seconds.

/// Nanoseconds in a second, and the seconds in the units above it.
const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A signed span of time with Go's precision and Go's range, about 292 years either way.
///
/// Its `Display` is what Go prints, such as `1h0m0s` or `1.5s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration {
    nanos: i64,
}

/// Why a text is no duration. The text itself is not repeated: it may stand in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Neither a whole number of seconds nor numbers with units.
    #[error(
        "expected a duration such as \"90s\", \"1h30m\" or \"7d\", or a whole number of seconds"
    )]
    Syntax,
    /// Beyond what Go holds.
    #[error("duration is out of range")]
    Range,
    /// Below zero, where that says nothing.
    #[error("a duration cannot be negative here")]
    Negative,
}

impl TryFrom<GoDuration> for std::time::Duration {
    type Error = DurationError;

    fn try_from(duration: GoDuration) -> Result<Self, DurationError> {
        let nanos = u64::try_from(duration.nanos).map_err(|_| DurationError::Negative)?;
        Ok(Self::from_nanos(nanos))
    }
}

impl GoDuration {
    /// Reads `1h30m`, `90s`, `500ms`, `2.5h`, `-1s` as Go does; also days (`7d`, `1d12h`), a
    /// whole number of seconds, and the empty text, which is zero.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let (negative, magnitude) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let nanos = if magnitude.bytes().all(|b| b.is_ascii_digit()) {
            whole_seconds(magnitude)?
        } else {
            sum_of_units(magnitude)?
        };
        let nanos = if negative {
            -i128::from(nanos)
        } else {
            i128::from(nanos)
        };
        let nanos = i64::try_from(nanos).map_err(|_| DurationError::Range)?;
        Ok(Self { nanos })
    }

    /// So many seconds; what Go cannot hold becomes the longest span that it can.
    pub(crate) fn from_seconds(seconds: i64) -> Self {
        Self {
            nanos: seconds.saturating_mul(SECOND),
        }
    }

    /// Whole seconds; a part of one is dropped, as Vault does.
    pub fn seconds(self) -> i64 {
        self.nanos / SECOND
    }

    /// As warnings about TTLs print it: without the units that are zero, `96h` and not `96h0m0s`.
    pub(crate) fn short(self) -> String {
        let parts = Parts::of(self);
        if parts.hours == 0 && parts.minutes == 0 {
            return self.to_string();
        }
        let mut text = String::from(parts.sign);
        for (amount, unit) in [(parts.hours, 'h'), (parts.minutes, 'm')] {
            if amount != 0 {
                text.push_str(&format!("{amount}{unit}"));
            }
        }
        if parts.nanos != 0 {
            text.push_str(&decimal(parts.nanos, 9));
            text.push('s');
        }
        text
    }
}

impl std::fmt::Display for GoDuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Parts {
            sign,
            hours,
            minutes,
            nanos,
        } = Parts::of(*self);
        let seconds = decimal(nanos, 9);
        match (hours, minutes, nanos) {
            (0, 0, 0) => f.write_str("0s"),
            (0, 0, 1..1_000) => write!(f, "{sign}{nanos}ns"),
            (0, 0, 1_000..1_000_000) => write!(f, "{sign}{}µs", decimal(nanos, 3)),
            (0, 0, 1_000_000..1_000_000_000) => write!(f, "{sign}{}ms", decimal(nanos, 6)),
            (0, 0, _) => write!(f, "{sign}{seconds}s"),
            (0, _, _) => write!(f, "{sign}{minutes}m{seconds}s"),
            (_, _, _) => write!(f, "{sign}{hours}h{minutes}m{seconds}s"),
        }
    }
}

/// A duration taken apart; `nanos` is below a minute.
struct Parts {
    sign: &'static str,
    hours: u64,
    minutes: u64,
    nanos: u64,
}

impl Parts {
    fn of(duration: GoDuration) -> Self {
        let total = duration.nanos.unsigned_abs();
        let minute = MINUTE.unsigned_abs() * SECOND.unsigned_abs();
        let minutes = total / minute;
        Self {
            sign: if duration.nanos < 0 { "-" } else { "" },
            hours: minutes / 60,
            minutes: minutes % 60,
            nanos: total % minute,
        }
    }
}

/// `amount` with its last `places` digits behind a point, and no zeros at the end.
fn decimal(amount: u64, places: u32) -> String {
    let scale = 10u64.pow(places);
    let (whole, part) = (amount / scale, amount % scale);
    if part == 0 {
        return whole.to_string();
    }
    let part = format!("{part:0width$}", width = places as usize);
    format!("{whole}.{}", part.trim_end_matches('0'))
}

fn whole_seconds(digits: &str) -> Result<u64, DurationError> {
    if digits.is_empty() {
        return Err(DurationError::Syntax);
    }
    let seconds: u64 = digits.parse().map_err(|_| DurationError::Range)?;
    seconds
        .checked_mul(SECOND.unsigned_abs())
        .ok_or(DurationError::Range)
}

fn sum_of_units(mut text: &str) -> Result<u64, DurationError> {
    let mut nanos = 0u64;
    while !text.is_empty() {
        let (whole, rest) = split_where(text, |c| !c.is_ascii_digit());
        let (part, rest) = match rest.strip_prefix('.') {
            Some(rest) => split_where(rest, |c| !c.is_ascii_digit()),
            None => ("", rest),
        };
        let (unit, rest) = split_where(rest, |c| c == '.' || c.is_ascii_digit());
        if whole.is_empty() && part.is_empty() {
            return Err(DurationError::Syntax);
        }
        let unit = nanos_of(unit).ok_or(DurationError::Syntax)?;
        let amount = match whole {
            "" => 0,
            whole => whole.parse::<u64>().map_err(|_| DurationError::Range)?,
        };
        nanos = amount
            .checked_mul(unit)
            .and_then(|amount| amount.checked_add(part_of(unit, part)))
            .and_then(|amount| amount.checked_add(nanos))
            .ok_or(DurationError::Range)?;
        text = rest;
    }
    Ok(nanos)
}

fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

fn nanos_of(unit: &str) -> Option<u64> {
    let nanos = match unit {
        "ns" => 1,
        // The micro sign and the Greek letter, as Go.
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => MINUTE * SECOND,
        "h" => HOUR * SECOND,
        "d" => DAY * SECOND,
        _ => return None,
    };
    Some(nanos.unsigned_abs())
}

/// `0.<digits>` of `unit`, in the arithmetic that Go uses, so that the last nanosecond agrees.
fn part_of(unit: u64, digits: &str) -> u64 {
    let (mut amount, mut scale) = (0u64, 1f64);
    for digit in digits.bytes() {
        let Some(next) = amount
            .checked_mul(10)
            .and_then(|a| a.checked_add(u64::from(digit - b'0')))
        else {
            break; // Digits beyond these do not reach a nanosecond.
        };
        if next > i64::MAX.unsigned_abs() {
            break;
        }
        amount = next;
        scale *= 10.0;
    }
    (amount as f64 * (unit as f64 / scale)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` reads as a duration that Go prints as `go` and warnings as `short`.
    #[track_caller]
    fn check(text: &str, go: &str, short: &str) {
        let duration = GoDuration::parse(text).unwrap_or_else(|err| panic!("{text}: {err}"));
        assert_eq!(duration.to_string(), go, "{text}");
        assert_eq!(duration.short(), short, "{text}");
        assert_eq!(
            GoDuration::parse(go),
            Ok(duration),
            "what {text} prints reads back"
        );
        assert_eq!(
            GoDuration::parse(short),
            Ok(duration),
            "what {text} prints reads back"
        );
    }

    #[test]
    fn a_duration_is_printed_as_go_prints_it() {
        check("", "0s", "0s");
        check("0", "0s", "0s");
        check("-0", "0s", "0s");
        check("1ns", "1ns", "1ns");
        check("1100ns", "1.1µs", "1.1µs");
        check("2200us", "2.2ms", "2.2ms");
        check("500ms", "500ms", "500ms");
        check("3300ms", "3.3s", "3.3s");
        check("5m30.001s", "5m30.001s", "5m30.001s");
        check("1m", "1m0s", "1m");
        check("12319s", "3h25m19s", "3h25m19s");
        check("3605", "1h0m5s", "1h5s");
        check("768h", "768h0m0s", "768h");
        check("767h59m59s", "767h59m59s", "767h59m59s");
        check("4d", "96h0m0s", "96h");
        check("-5s", "-5s", "-5s");
        check("-90m", "-1h30m0s", "-1h30m");
        check(
            "2562047h47m16.854775807s",
            "2562047h47m16.854775807s",
            "2562047h47m16.854775807s",
        );
        check(
            "-2562047h47m16.854775808s",
            "-2562047h47m16.854775808s",
            "-2562047h47m16.854775808s",
        );
    }

    #[test]
    fn every_form_that_clients_send_is_read() {
        for (text, seconds) in [
            ("3600", 3600),
            ("+3600", 3600),
            ("-5", -5),
            ("1h30m", 5400),
            ("90s", 90),
            ("2.5h", 9000),
            (".5m", 30),
            ("1.m", 60),
            ("500ms", 0),
            ("-1500ms", -1),
            ("1500ms", 1),
            ("7d", 604_800),
            ("1d12h", 129_600),
            ("1.5d", 129_600),
            ("0.3333333333333333333h", 1200),
            ("1µs", 0),
            ("9223372036", 9_223_372_036),
        ] {
            assert_eq!(
                GoDuration::parse(text).map(GoDuration::seconds),
                Ok(seconds),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "abc", "1.5", "-", "+", ".", ".s", "3x", "1h30", "1 h", " 1h", "1h ", "h", "--1s",
            "1e3", "1H", "1w", "1,5h", "١s",
        ] {
            assert_eq!(
                GoDuration::parse(text),
                Err(DurationError::Syntax),
                "{text}"
            );
        }
    }

    #[test]
    fn what_go_cannot_hold_is_refused() {
        for text in [
            "9223372037",
            "99999999999999999999",
            "106752d",
            "2562048h",
            "99999999999999999999h",
            "2562047h47m16.854775808s",
        ] {
            assert_eq!(GoDuration::parse(text), Err(DurationError::Range), "{text}");
        }
        assert_eq!(
            GoDuration::from_seconds(i64::MAX).to_string(),
            "2562047h47m16.854775807s"
        );
        assert_eq!(GoDuration::from_seconds(2_764_800).to_string(), "768h0m0s");
    }
}
