//! Go durations: what people type after `-ttl`, and how Vault prints a number of seconds.

use std::fmt;
use std::str::FromStr;

const SECOND: i128 = 1_000_000_000;

/// A span of time in Go's notation: `90s`, `1h30m`, `1.5h`, also plain seconds and whole days (`7d`). May be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GoDuration {
    nanos: i64,
}

/// A text that is no duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("time: invalid duration {0:?}")]
pub(crate) struct DurationError(String);

impl GoDuration {
    pub(crate) fn from_seconds(seconds: i64) -> Self {
        Self {
            nanos: seconds.saturating_mul(SECOND as i64),
        }
    }

    pub(crate) fn is_zero(self) -> bool {
        self.nanos == 0
    }

    pub(crate) fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whole seconds; what is left of a second is dropped, and a negative span counts as none.
    pub(crate) fn whole_seconds(self) -> u64 {
        u64::try_from(self.nanos).unwrap_or(0) / SECOND as u64
    }

    /// Without the zeros that `Display` has: `768h` for `768h0m0s`.
    pub(crate) fn short(self) -> String {
        let mut text = self.to_string();
        if text.ends_with("m0s") {
            text.truncate(text.len() - "0s".len());
        }
        if let Some(at) = text.find("h0m").filter(|at| *at > 0) {
            text.replace_range(at + 1..at + "h0m".len(), "");
        }
        text
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let error = || DurationError(text.to_owned());
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest.is_empty() {
            return Err(error());
        }
        let mut nanos: i128 = 0;
        while !rest.is_empty() {
            let number_end = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len());
            let (number, tail) = rest.split_at(number_end);
            let unit_end = tail
                .find(|c: char| c.is_ascii_digit() || c == '.')
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_end);
            // A bare number is seconds, as Vault's flags read it.
            let unit = unit_nanos(if unit.is_empty() { "s" } else { unit }).ok_or_else(error)?;
            nanos = nanos
                .checked_add(scaled(number, unit).ok_or_else(error)?)
                .ok_or_else(error)?;
            rest = tail;
        }
        let nanos = i64::try_from(if negative { -nanos } else { nanos }).map_err(|_| error())?;
        Ok(Self { nanos })
    }
}

/// Go's own notation, `1h0m0s`: servers parse it, and Vault's client sends it.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.nanos.unsigned_abs();
        if self.nanos < 0 {
            f.write_str("-")?;
        }
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write!(f, "{}µs", decimal(nanos, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", decimal(nanos, 1_000_000)),
            _ => {
                let minutes = nanos / (60 * SECOND as u64);
                let seconds = decimal(nanos % (60 * SECOND as u64), SECOND as u64);
                match (minutes / 60, minutes % 60) {
                    (0, 0) => write!(f, "{seconds}s"),
                    (0, minutes) => write!(f, "{minutes}m{seconds}s"),
                    (hours, minutes) => write!(f, "{hours}h{minutes}m{seconds}s"),
                }
            }
        }
    }
}

fn unit_nanos(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        "d" => 86_400 * SECOND,
        _ => return None,
    })
}

/// `number` (`12`, `1.5`, `.5`) times `unit`, without rounding through floating point.
fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    // Beyond 18 digits nothing is left of a nanosecond.
    let fraction = &fraction[..fraction.len().min(18)];
    let part: i128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    whole
        .checked_mul(unit)?
        .checked_add(part * unit / 10_i128.pow(fraction.len() as u32))
}

/// `value / unit` as a decimal number without trailing zeros.
fn decimal(value: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let fraction = format!("{:0digits$}", value % unit);
    match fraction.trim_end_matches('0') {
        "" => (value / unit).to_string(),
        fraction => format!("{}.{fraction}", value / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, display: &str, short: &str) {
        let parsed: GoDuration = text.parse().unwrap();
        assert_eq!(
            (parsed.to_string().as_str(), parsed.short().as_str()),
            (display, short),
            "{text}"
        );
    }

    #[test]
    fn what_people_type_is_sent_as_go_writes_it() {
        check("0", "0s", "0s");
        check("90", "1m30s", "1m30s");
        check("90s", "1m30s", "1m30s");
        check("768h", "768h0m0s", "768h");
        check("1h30m", "1h30m0s", "1h30m");
        check("1.5h", "1h30m0s", "1h30m");
        check("10m", "10m0s", "10m");
        check("7d", "168h0m0s", "168h");
        check("500ms", "500ms", "500ms");
        check("1500ms", "1.5s", "1.5s");
        check("1us", "1µs", "1µs");
        check("-1s", "-1s", "-1s");
        check("3601s", "1h0m1s", "1h1s");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "-",
            "s",
            "1x",
            "1..5s",
            "abc",
            "1h-1m",
            ".",
            "9999999999999h",
            "99999999999999999999999999999999999999999s",
        ] {
            assert_eq!(
                text.parse::<GoDuration>(),
                Err(DurationError(text.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn seconds_are_cut_not_rounded() {
        assert_eq!("1900ms".parse::<GoDuration>().unwrap().whole_seconds(), 1);
        assert_eq!("-5s".parse::<GoDuration>().unwrap().whole_seconds(), 0);
        assert_eq!(GoDuration::from_seconds(2_764_800).short(), "768h");
    }
}
