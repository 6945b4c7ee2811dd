//! Durations as Vault's clients and files write them: `3600`, `90s`, `1h30m`, `500ms`, `7d`.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    /// Not of the form.
    #[error(
        "not a duration: use seconds, or a number with one of the units ms, s, m, h, d, such as \"90s\" or \"1h30m\""
    )]
    Malformed,
    /// Below zero.
    #[error("a duration cannot be negative")]
    Negative,
    /// More than can be counted.
    #[error("the duration is too long")]
    TooLong,
}

/// Reads a duration. Empty text is zero, and a bare number counts seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    if text.starts_with('-') {
        return Err(DurationError::Negative);
    }
    if text.is_empty() {
        return Ok(Duration::ZERO);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text
            .parse()
            .map(Duration::from_secs)
            .map_err(|_| DurationError::TooLong);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or(DurationError::Malformed)?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        total = total
            .checked_add(part(number, unit)?)
            .ok_or(DurationError::TooLong)?;
        rest = tail;
    }
    Ok(total)
}

fn part(number: &str, unit: &str) -> Result<Duration, DurationError> {
    let unit = match unit {
        "ns" => Duration::from_nanos(1),
        "us" | "µs" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3600),
        "d" => Duration::from_secs(24 * 3600),
        _ => return Err(DurationError::Malformed),
    };
    if let Ok(whole) = number.parse::<u32>() {
        return unit.checked_mul(whole).ok_or(DurationError::TooLong);
    }
    let number: f64 = number.parse().map_err(|_| DurationError::Malformed)?;
    Duration::try_from_secs_f64(number * unit.as_secs_f64()).map_err(|_| DurationError::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_vault_reads_them() {
        let millis = |text| parse(text).map(|duration| duration.as_millis());
        for (text, expected) in [
            ("", Ok(0)),
            ("0", Ok(0)),
            ("3600", Ok(3_600_000)),
            ("90s", Ok(90_000)),
            ("1h30m", Ok(5_400_000)),
            ("500ms", Ok(500)),
            ("1.5h", Ok(5_400_000)),
            ("7d", Ok(604_800_000)),
            ("768h", Ok(2_764_800_000)),
            ("-1s", Err(DurationError::Negative)),
            ("1.5", Err(DurationError::Malformed)),
            ("h", Err(DurationError::Malformed)),
            ("1w", Err(DurationError::Malformed)),
            ("1 h", Err(DurationError::Malformed)),
            ("1.2.3s", Err(DurationError::Malformed)),
            ("99999999999999999999", Err(DurationError::TooLong)),
            ("99999999999999999999h", Err(DurationError::TooLong)),
        ] {
            assert_eq!(millis(text), expected, "{text:?}");
        }
    }
}
