//! Networks from which a token may be used.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::error::HandleError;
use crate::limits;

/// Networks as they were sent, each checked; an address alone is a network of one.
pub(crate) fn parse_all(texts: &[String]) -> Result<Vec<String>, HandleError> {
    if texts.len() > limits::MAX_BOUND_CIDRS {
        return Err(HandleError::Invalid(format!(
            "at most {} networks can be named",
            limits::MAX_BOUND_CIDRS
        )));
    }
    let checked = texts
        .iter()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty());
    checked
        .map(|text| match network(text) {
            Some(_) => Ok(text.to_owned()),
            None => Err(HandleError::Invalid(format!(
                "error parsing address {text:?}: neither an IP address nor a network such as 10.0.0.0/8"
            ))),
        })
        .collect()
}

/// Whether a client at `address` is in one of `networks`. Where none are named, it need not be.
pub(crate) fn allow(networks: &[String], address: Option<&str>) -> bool {
    if networks.is_empty() {
        return true;
    }
    // A client without an address is in no network.
    let Some(address) = address.and_then(|text| text.parse::<IpAddr>().ok()) else {
        return false;
    };
    // An IPv4 client of a socket for both is what it is to people.
    let address = address.to_canonical();
    let networks = networks.iter().filter_map(|text| network(text));
    networks
        .into_iter()
        .any(|network| network.contains(&address))
}

fn network(text: &str) -> Option<IpNet> {
    match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address)),
        Err(_) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_let_in_by_a_network_that_it_is_in() {
        let networks = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|text| (*text).to_owned()).collect()
        };
        for (named, address, expected) in [
            (networks(&[]), None, true),
            (networks(&["10.0.0.0/8"]), Some("10.200.3.4"), true),
            (networks(&["10.0.0.0/8"]), Some("11.0.0.1"), false),
            (networks(&["10.0.0.0/8"]), Some("::ffff:10.1.1.1"), true),
            (networks(&["127.0.0.1"]), Some("127.0.0.1"), true),
            (networks(&["127.0.0.1"]), Some("127.0.0.2"), false),
            (networks(&["fe80::/10", "::1"]), Some("::1"), true),
            (networks(&["::/0"]), Some("10.0.0.1"), false),
            (networks(&["10.0.0.0/8"]), None, false),
            (networks(&["10.0.0.0/8"]), Some("nobody"), false),
        ] {
            assert_eq!(allow(&named, address), expected, "{named:?} {address:?}");
        }
        assert!(parse_all(&networks(&["10.0.0.0/33"])).is_err());
        assert!(parse_all(&networks(&["example.com"])).is_err());
        assert_eq!(
            parse_all(&networks(&[" 10.0.0.1 ", ""])).ok(),
            Some(networks(&["10.0.0.1"]))
        );
    }
}
