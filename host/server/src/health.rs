//! `sys/health`: the state of the server as a status code, which load balancers choose themselves.

use hyper::StatusCode;

use host_core::SealView;

use crate::request::{Pairs, switch};

/// Which code stands for which state; clients override them in the query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Codes {
    active: StatusCode,
    sealed: StatusCode,
    uninitialized: StatusCode,
}

/// A parameter that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodesError {
    /// A switch that is neither true nor false.
    #[error("bad value for {0}: it must be true or false")]
    Switch(&'static str),
    /// A code that HTTP does not have, or that ends no request.
    #[error("bad value for {0}: it must be a status code from 200 to 599")]
    Code(&'static str),
}

/// Codes of states that a server on its own is never in; they are read to be checked.
const OTHER_CODES: [&str; 5] = [
    "standbycode",
    "drsecondarycode",
    "performancestandbycode",
    "removedcode",
    "haunhealthycode",
];

impl Codes {
    /// Reads the query. What is unknown is ignored: Go's client sends a misspelt name.
    pub(crate) fn parse(mut query: Pairs) -> Result<Self, CodesError> {
        for name in ["standbyok", "perfstandbyok"] {
            // Without a value it is meant: `?standbyok`.
            let given = query.take(name).filter(|text| !text.is_empty());
            given
                .map_or(Some(true), |text| switch(&text))
                .ok_or(CodesError::Switch(name))?;
        }
        for name in OTHER_CODES {
            code(&mut query, name, StatusCode::OK)?;
        }
        Ok(Self {
            active: code(&mut query, "activecode", StatusCode::OK)?,
            sealed: code(&mut query, "sealedcode", StatusCode::SERVICE_UNAVAILABLE)?,
            uninitialized: code(&mut query, "uninitcode", StatusCode::NOT_IMPLEMENTED)?,
        })
    }

    /// The code of a state.
    pub(crate) fn of(&self, view: &SealView) -> StatusCode {
        match (view.initialized, view.sealed) {
            (false, _) => self.uninitialized,
            (true, true) => self.sealed,
            (true, false) => self.active,
        }
    }
}

fn code(
    query: &mut Pairs,
    name: &'static str,
    default: StatusCode,
) -> Result<StatusCode, CodesError> {
    let Some(text) = query.take(name) else {
        return Ok(default);
    };
    let code = text.parse().ok().filter(|code| (200..600).contains(code));
    code.and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(CodesError::Code(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_choose_their_own_codes() {
        let codes = |query| Pairs::parse(query).map(Codes::parse).expect("a query");
        let check = |query, expected: Result<[u16; 3], CodesError>| {
            let seen = codes(query).map(|codes| {
                [codes.active, codes.sealed, codes.uninitialized].map(|code| code.as_u16())
            });
            assert_eq!(seen, expected, "{query}");
        };
        check("", Ok([200, 503, 501]));
        check(
            "standbyok=true&sealedcode=204&uninitcode=204",
            Ok([200, 204, 204]),
        );
        check(
            "activecode=299&haunhealhty=x&standbyok",
            Ok([299, 503, 501]),
        );
        check("standbyok=maybe", Err(CodesError::Switch("standbyok")));
        check("sealedcode=many", Err(CodesError::Code("sealedcode")));
        check("sealedcode=99", Err(CodesError::Code("sealedcode")));
        check("removedcode=1000", Err(CodesError::Code("removedcode")));
    }
}
