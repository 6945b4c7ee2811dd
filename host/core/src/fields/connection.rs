//! The password in a connection string, taken out of it.
//!
//! Three forms are known: a URL (`postgres://user:password@host/db`), the data source name of
//! Go's MySQL driver (`user:password@tcp(host:3306)/db`), and libpq's pairs (`host=h password=p`).
//! Where a password may be and cannot be told apart with certainty, the text is refused: the
//! other way it would reach the engine and its storage in clear.

use std::ops::Range;

use host_logical::SecretBytes;
use zeroize::Zeroizing;

use super::Fault;

/// Replaces a password by `{{password}}`. Percent-encoding and quotes around it are undone: the
/// secret is the password itself, and who puts it back quotes it for the place.
pub(super) fn take_password(text: String) -> Result<(String, Option<SecretBytes>), Fault> {
    let text = Zeroizing::new(text);
    let found = match scheme_end(&text) {
        Some(authority) => in_url(&text, authority)?,
        None if starts_with_key(&text) => in_pairs(&text)?,
        None => match in_mysql_name(&text) {
            Some(found) => Some(found),
            None if text.contains('@') && text.contains(':') => return Err(Fault::PasswordUnclear),
            None => None,
        },
    };
    let found =
        found.filter(|found| !found.value.is_empty() && **found.value != *PLACEHOLDER.as_bytes());
    let (text, password) = match found {
        None => (text.to_string(), None),
        Some(Found { place, value }) => {
            let replaced = [&text[..place.start], PLACEHOLDER, &text[place.end..]].concat();
            (replaced, Some(SecretBytes::new(value.to_vec())))
        }
    };
    match still_names_a_password(&text) {
        true => Err(Fault::PasswordUnclear),
        false => Ok((text, password)),
    }
}

const PLACEHOLDER: &str = "{{password}}";

/// A password in a connection string.
struct Found {
    /// All that stands for it, quotes included.
    place: Range<usize>,
    /// What it says.
    value: Zeroizing<Vec<u8>>,
}

/// Where the authority of a URL begins.
fn scheme_end(text: &str) -> Option<usize> {
    let (scheme, _) = text.split_once("://")?;
    let mut bytes = scheme.bytes();
    let is_scheme = bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    is_scheme.then_some(scheme.len() + "://".len())
}

fn in_url(text: &str, start: usize) -> Result<Option<Found>, Fault> {
    let end = text[start..]
        .find(['/', '?', '#'])
        .map_or(text.len(), |at| start + at);
    let (authority, after) = (&text[start..end], &text[end..]);

    // An `@` further on belongs to a query value, or to a password with a raw `/`, `?` or `#`.
    if after
        .split(['?', '&'])
        .any(|part| part.contains('@') && !part.contains('='))
    {
        return Err(Fault::PasswordUnclear);
    }
    if let Some(at) = authority.rfind('@') {
        return Ok(authority[..at].find(':').map(|colon| {
            let place = start + colon + 1..start + at;
            Found {
                value: percent_decoded(&text[place.clone()]),
                place,
            }
        }));
    }
    let query = match after.find('?') {
        Some(at) => end + at + 1,
        None => return Ok(None),
    };
    let query_end = text[query..].find('#').map_or(text.len(), |at| query + at);
    let mut at = query;
    for pair in text[query..query_end].split('&') {
        if let Some(value) = pair.strip_prefix("password=") {
            let place = at + pair.len() - value.len()..at + pair.len();
            return Ok(Some(Found {
                value: percent_decoded(value),
                place,
            }));
        }
        at += pair.len() + 1;
    }
    Ok(None)
}

/// `user:password@net(address)/db`: the last `@` that a network and a slash follow ends the
/// password, and the first colon begins it, whatever is in between.
fn in_mysql_name(text: &str) -> Option<Found> {
    let (at, _) = text.rmatch_indices('@').find(|&(at, _)| {
        let after = text[at + 1..].trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        match after
            .strip_prefix('(')
            .and_then(|address| address.split_once(')'))
        {
            Some((_, after)) => after.starts_with('/'),
            None => after.starts_with('/'),
        }
    })?;
    let place = text[..at].find(':')? + 1..at;
    Some(Found {
        value: text.as_bytes()[place.clone()].to_vec().into(),
        place,
    })
}

fn starts_with_key(text: &str) -> bool {
    text.split_once('=').is_some_and(|(key, _)| {
        let key = key.trim();
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

/// `key = value` with blanks between, values in single quotes where they hold blanks, and a
/// backslash before what is meant literally, as libpq reads it.
fn in_pairs(text: &str) -> Result<Option<Found>, Fault> {
    let bytes = text.as_bytes();
    let skip_blanks = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    let mut found = None;
    let mut at = skip_blanks(0);
    while at < bytes.len() {
        let equals = at + text[at..].find('=').ok_or(Fault::PasswordUnclear)?;
        let key = text[at..equals].trim();
        at = skip_blanks(equals + 1);
        let start = at;
        let quoted = bytes.get(at) == Some(&b'\'');
        at += usize::from(quoted);
        let mut value = Zeroizing::new(Vec::with_capacity(bytes.len() - at));
        loop {
            match bytes.get(at) {
                Some(b'\'') if quoted => {
                    at += 1;
                    break;
                }
                None if quoted => return Err(Fault::PasswordUnclear),
                None => break,
                Some(b) if !quoted && b.is_ascii_whitespace() => break,
                Some(b'\\') => {
                    value.extend(bytes.get(at + 1));
                    at += 2;
                }
                Some(b) => {
                    value.push(*b);
                    at += 1;
                }
            }
        }
        let end = at.min(bytes.len());
        if key.eq_ignore_ascii_case("password") {
            found = Some(Found {
                place: start..end,
                value,
            });
        }
        at = skip_blanks(end);
    }
    Ok(found)
}

/// Another pair for a password: in a query beside one in the authority, twice, or in a form
/// that is not known here, such as `Server=h;Pwd=p`.
fn still_names_a_password(text: &str) -> bool {
    let plain: Zeroizing<String> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .flat_map(char::to_lowercase)
        .collect::<String>()
        .into();
    ["password=", "pwd="].iter().any(|key| {
        plain.match_indices(key).any(|(at, _)| {
            let value = &plain[at + key.len()..];
            let value = value.strip_prefix('\'').unwrap_or(value);
            !value.is_empty()
                && !value.starts_with(['&', ';', '\''])
                && !value.starts_with(PLACEHOLDER)
        })
    })
}

/// A `%` that no two hexadecimal digits follow stands for itself.
fn percent_decoded(text: &str) -> Zeroizing<Vec<u8>> {
    let hex = |b: Option<&u8>| {
        b.and_then(|b| char::from(*b).to_digit(16))
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let bytes = text.as_bytes();
    let mut decoded = Zeroizing::new(Vec::with_capacity(bytes.len()));
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        match (b, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                at += 3;
            }
            _ => {
                decoded.push(b);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, left: &str, password: Option<&str>) {
        let Ok((kept, taken)) = take_password(text.to_owned()) else {
            panic!("refused: {text}");
        };
        let taken = taken.map(|secret| String::from_utf8_lossy(secret.expose()).into_owned());
        assert_eq!(
            (kept.as_str(), taken.as_deref()),
            (left, password),
            "{text}"
        );
    }

    #[test]
    fn a_url_gives_up_its_password() {
        check(
            "postgresql://root:hunter2@db:5432/app?sslmode=disable",
            "postgresql://root:{{password}}@db:5432/app?sslmode=disable",
            Some("hunter2"),
        );
        check(
            "postgres://u:p%40s%2Fs%@[::1]:5432/d",
            "postgres://u:{{password}}@[::1]:5432/d",
            Some("p@s/s%"),
        );
        check(
            "postgres://u:p@ss:x@h1:1,h2:2/d",
            "postgres://u:{{password}}@h1:1,h2:2/d",
            Some("p@ss:x"),
        );
        check("postgres://:p@h", "postgres://:{{password}}@h", Some("p"));
        check(
            "postgres://h/d?user=a@b&password=p%26q&x=1#f",
            "postgres://h/d?user=a@b&password={{password}}&x=1#f",
            Some("p&q"),
        );
        check(
            "mongodb+srv://u:p@h/d?w=majority",
            "mongodb+srv://u:{{password}}@h/d?w=majority",
            Some("p"),
        );
    }

    #[test]
    fn a_mysql_name_gives_up_its_password() {
        check(
            "root:hunter2@tcp(db:3306)/app?tls=true",
            "root:{{password}}@tcp(db:3306)/app?tls=true",
            Some("hunter2"),
        );
        check(
            "root:a:b@c/d%40@tcp(db:3306)/",
            "root:{{password}}@tcp(db:3306)/",
            Some("a:b@c/d%40"),
        );
        check(
            "u:p@unix(/run/mysql.sock)/d",
            "u:{{password}}@unix(/run/mysql.sock)/d",
            Some("p"),
        );
        check(
            "root:a=b@tcp(db)/d",
            "root:{{password}}@tcp(db)/d",
            Some("a=b"),
        );
        check("u:p@/d", "u:{{password}}@/d", Some("p"));
        check("u:p@tcp/d?x=a/b", "u:{{password}}@tcp/d?x=a/b", Some("p"));
    }

    #[test]
    fn pairs_give_up_their_password() {
        check(
            "host=h user=u password=p dbname=d",
            "host=h user=u password={{password}} dbname=d",
            Some("p"),
        );
        check(
            r"host=h password = 'a b\'c\\d' user=u",
            "host=h password = {{password}} user=u",
            Some(r"a b'c\d"),
        );
        check(r"password=a\ b", "password={{password}}", Some("a b"));
        check(
            "host=h:1 password=x@y/z",
            "host=h:1 password={{password}}",
            Some("x@y/z"),
        );
        check(
            "host=/run/pg password=x@y/z:w",
            "host=/run/pg password={{password}}",
            Some("x@y/z:w"),
        );
    }

    #[test]
    fn what_holds_no_password_stays_as_it_is() {
        for text in [
            "",
            "localhost:5432",
            "postgresql://{{username}}:{{password}}@db:5432/app",
            "{{username}}:{{password}}@tcp(db:3306)/",
            "host=h user={{username}} password={{password}}",
            "host=h user={{username}} password='{{password}}'",
            "postgres://h/d",
            "postgres://u@h/d?application_name=a@b",
            "postgres://u:@h/d",
            "u@tcp(h)/d",
            "host=h password='' user=u",
        ] {
            check(text, text, None);
        }
    }

    #[test]
    fn a_password_that_cannot_be_told_apart_is_refused() {
        for text in [
            "postgres://u:pa/ss@h/d",
            "postgres://u:pa?ss@h/d",
            "postgres://u:pa#ss@h/d",
            "postgres://u:p@ss/word@h/d",
            "postgres://u:p@h/d?password=q",
            "host=h password=a password=b",
            "host=h password='a",
            "Server=h;User Id=u;Password=p;",
            "Server=h;Pwd=p",
            "Data Source=h;Password = p",
            "u:p@h",
        ] {
            assert_eq!(
                take_password(text.to_owned()).err(),
                Some(Fault::PasswordUnclear),
                "{text}"
            );
        }
    }
}
