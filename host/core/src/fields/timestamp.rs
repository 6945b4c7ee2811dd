//! Points in time, as RFC 3339 or as seconds since 1970.

use serde_json::Value;

use super::Fault;

/// Milliseconds since 1970. Parts of a millisecond are dropped; years 1970 to 9999.
pub(super) fn unix_millis(value: &Value) -> Result<i64, Fault> {
    let millis = match value {
        Value::Number(number) => from_seconds(&number.to_string()),
        Value::String(text) => from_seconds(text).or_else(|| from_rfc3339(text)),
        _ => None,
    };
    millis
        .filter(|millis| (0..END).contains(millis))
        .ok_or(Fault::Expected(
            "a time from 1970 to 9999 such as \"2026-01-02T03:04:05Z\", or seconds since 1970",
        ))
}

/// The first millisecond of the year 10000, which RFC 3339 cannot write.
const END: i64 = 253_402_300_800_000;

fn from_seconds(text: &str) -> Option<i64> {
    text.parse::<i64>().ok()?.checked_mul(1000)
}

/// `2026-01-02T03:04:05Z`, with any number of decimals and an offset instead of `Z`.
fn from_rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let date = date.as_bytes();
    let &[_, _, _, _, b'-', _, _, b'-', _, _] = date else {
        return None;
    };
    let (year, month, day) = (
        digits(&date[..4])?,
        digits(&date[5..7])?,
        digits(&date[8..])?,
    );
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }

    let zone = time.find(['Z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let (clock, decimals) = match clock.split_once('.') {
        Some((clock, decimals)) => (clock, millis(decimals)?),
        None => (clock, 0),
    };
    let clock = clock.as_bytes();
    let &[_, _, b':', _, _, b':', _, _] = clock else {
        return None;
    };
    let (hour, minute, second) = (
        digits(&clock[..2])?,
        digits(&clock[3..5])?,
        digits(&clock[6..])?,
    );
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }

    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some((seconds - offset_seconds(zone)?) * 1000 + decimals)
}

/// How far ahead of UTC a zone is.
fn offset_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let zone = zone.as_bytes();
    let &[sign, _, _, b':', _, _] = zone else {
        return None;
    };
    let (hours, minutes) = (digits(&zone[1..3])?, digits(&zone[4..])?);
    let ahead = hours * 3600 + minutes * 60;
    (hours <= 23 && minutes <= 59).then_some(if sign == b'-' { -ahead } else { ahead })
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, &b| {
        b.is_ascii_digit()
            .then(|| number * 10 + i64::from(b - b'0'))
    })
}

/// The first three of any number of decimals.
fn millis(decimals: &str) -> Option<i64> {
    if decimals.is_empty() || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut padded = [b'0'; 3];
    padded
        .iter_mut()
        .zip(decimals.bytes())
        .for_each(|(place, digit)| *place = digit);
    digits(&padded)
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Leap days before `year`, counted from the year 0 of the proleptic calendar.
    let leap_days = |year: i64| (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
    let before_year = (year - 1970) * 365 + leap_days(year) - leap_days(1970);
    let before_month: i64 = (1..month).map(|month| days_in(year, month)).sum();
    before_year + before_month + day - 1
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, millis: Option<i64>) {
        assert_eq!(unix_millis(&json!(text)).ok(), millis, "{text}");
    }

    #[test]
    fn a_time_is_read_to_the_millisecond() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("2000-02-29T12:00:00Z", Some(951_825_600_000));
        check("2000-03-01T00:00:00Z", Some(951_868_800_000));
        check("2024-12-31T23:59:59Z", Some(1_735_689_599_000));
        check("2026-01-02T03:04:05.123456789Z", Some(1_767_323_045_123));
        check("2026-01-02T03:04:05.5Z", Some(1_767_323_045_500));
        check("2026-01-02T05:04:05+02:00", Some(1_767_323_045_000));
        check("2026-01-01T21:34:05-05:30", Some(1_767_323_045_000));
        check("2100-03-01T00:00:00Z", Some(4_107_542_400_000));
        check("9999-12-31T23:59:59Z", Some(253_402_300_799_000));
        check("1767323045", Some(1_767_323_045_000));
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = 0;
        for year in 1970..=9999 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month) {
                    assert_eq!(
                        days_since_1970(year, month, day),
                        expected,
                        "{year}-{month}-{day}"
                    );
                    expected += 1;
                }
            }
        }
        assert_eq!(expected * 86_400_000, END);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "2026-01-02",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05",
            "2026-01-02t03:04:05z",
            "2026-1-2T03:04:05Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T03:04:60Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05.xZ",
            "2026-01-02T03:04:05Zx",
            "2026-01-02T03:04:05+2:00",
            "2026-01-02T03:04:05+24:00",
            "-026-01-02T03:04:05Z",
            "1969-12-31T23:59:59Z",
            "-1",
            "1.5",
            "253402300800",
            "9223372036854775807",
            "tomorrow",
            "2026-01-02T03:04:05é",
            "é026-01-02T03:04:05Z",
        ] {
            check(text, None);
        }
    }
}
