//! How long things last: the only place where times to live are added, compared and cut.
//!
//! Everything saturates: no input makes something last longer than its maximum, or for ever by
//! running over. Seconds for durations, milliseconds since 1970 for moments.

/// What bounds a token or a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Where nothing is asked for.
    pub(crate) default: u64,
    /// Of the mount, or else of the system; counted from the issue.
    pub(crate) max: u64,
    /// Of the token itself, counted from the issue; 0 is none.
    pub(crate) explicit_max: u64,
    /// Of a periodic token: each renewal starts anew with it; 0 is none.
    pub(crate) period: u64,
}

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    /// Seconds from now.
    pub(crate) ttl: u64,
    /// What was wanted, where it was more than the bounds allow.
    pub(crate) capped_from: Option<u64>,
}

/// The time to live from `now`, for something issued at `issued`, when `asked` seconds are asked
/// for (0 or none asks for the default). None: its end has come, nothing can be granted.
pub(crate) fn grant(
    bounds: Bounds,
    issued_millis: u64,
    now_millis: u64,
    asked: Option<u64>,
) -> Option<Granted> {
    let wanted = match (bounds.period, asked) {
        (0, Some(asked)) if asked > 0 => asked,
        (0, _) => bounds.default,
        (period, _) => period,
    };
    // A clock that went back makes nothing younger than its issue.
    let age = now_millis.saturating_sub(issued_millis) / 1000;
    // A period is renewed without end: only its own length and the explicit maximum bound it.
    let by_max = if bounds.period > 0 {
        bounds.max
    } else {
        bounds.max.saturating_sub(age)
    };
    let by_explicit = match bounds.explicit_max {
        0 => u64::MAX,
        explicit => explicit.saturating_sub(age),
    };
    let most = by_max.min(by_explicit);
    match (most, wanted > most) {
        (0, _) => None,
        (_, true) => Some(Granted {
            ttl: most,
            capped_from: Some(wanted),
        }),
        (_, false) => Some(Granted {
            ttl: wanted,
            capped_from: None,
        }),
    }
}

/// The moment `seconds` after `now_millis`.
pub(crate) fn moment(now_millis: u64, seconds: u64) -> u64 {
    now_millis.saturating_add(seconds.saturating_mul(1000))
}

/// Whole seconds from now to `moment`, 0 when it has passed.
pub(crate) fn seconds_left(moment_millis: u64, now_millis: u64) -> u64 {
    moment_millis.saturating_sub(now_millis) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const SYSTEM: Bounds = Bounds {
        default: 768 * HOUR,
        max: 768 * HOUR,
        explicit_max: 0,
        period: 0,
    };

    fn check(bounds: Bounds, age: u64, asked: u64, expected: Option<(u64, Option<u64>)>) {
        let granted = grant(bounds, 1_000_000, 1_000_000 + age * 1000, Some(asked));
        let expected = expected.map(|(ttl, capped_from)| Granted { ttl, capped_from });
        assert_eq!(granted, expected, "{bounds:?} at {age} s, asked {asked} s");
    }

    #[test]
    fn what_is_asked_for_is_granted_up_to_what_is_left() {
        check(SYSTEM, 0, 0, Some((768 * HOUR, None)));
        check(SYSTEM, 0, HOUR, Some((HOUR, None)));
        check(
            SYSTEM,
            0,
            1000 * HOUR,
            Some((768 * HOUR, Some(1000 * HOUR))),
        );
        check(SYSTEM, 767 * HOUR, 2 * HOUR, Some((HOUR, Some(2 * HOUR))));
        check(SYSTEM, 768 * HOUR, HOUR, None);
    }

    #[test]
    fn an_explicit_maximum_counts_from_the_issue() {
        let bounds = Bounds {
            explicit_max: 2 * HOUR,
            ..SYSTEM
        };
        check(bounds, HOUR, 3 * HOUR, Some((HOUR, Some(3 * HOUR))));
        check(bounds, 2 * HOUR, HOUR, None);
    }

    #[test]
    fn a_period_starts_anew_at_each_renewal() {
        let bounds = Bounds {
            period: HOUR,
            ..SYSTEM
        };
        check(bounds, 10_000 * HOUR, 5 * HOUR, Some((HOUR, None)));
        check(
            Bounds {
                explicit_max: 2 * HOUR,
                ..bounds
            },
            2 * HOUR - 60,
            0,
            Some((60, Some(HOUR))),
        );
    }

    #[test]
    fn no_input_runs_over() {
        let bounds = Bounds {
            default: u64::MAX,
            max: u64::MAX,
            explicit_max: u64::MAX,
            period: 0,
        };
        check(bounds, 0, u64::MAX, Some((u64::MAX, None)));
        assert_eq!(moment(u64::MAX - 1, u64::MAX), u64::MAX);
        assert_eq!(seconds_left(5, 10), 0);
        // A clock set back by a year: no more than the maximum from now.
        let back = grant(SYSTEM, 1_800_000_000_000, 1_768_464_000_000, Some(u64::MAX));
        assert_eq!(back.map(|granted| granted.ttl), Some(768 * HOUR));
    }
}
