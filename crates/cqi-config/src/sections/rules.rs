//! Checks that several sections share.

use std::time::Duration;

use garde::Error;

/// Refuses a zero wait: it would fail every time, and never means "no limit".
pub(super) fn positive(duration: &Duration, (): &()) -> garde::Result {
    match duration.is_zero() {
        true => Err(Error::new("must be longer than 0s")),
        false => Ok(()),
    }
}

/// Refuses a URL that is not HTTP, names no host, or carries a password, which would be printed.
pub(super) fn http_url(url: &str, (): &()) -> garde::Result {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
        .ok_or_else(|| Error::new("must start with http:// or https://"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Error::new("must not carry a user or password"));
    }
    if authority.is_empty() || url.contains(char::is_whitespace) {
        return Err(Error::new("must be a URL such as https://host:port/path"));
    }
    Ok(())
}

/// Refuses a URL or a connection string where one part of it belongs: its password would be printed.
pub(super) fn one_part(text: &str, (): &()) -> garde::Result {
    let assigns = |name: &str| {
        let text = text.to_ascii_lowercase();
        let mut names = text.split('=').rev().skip(1);
        names.any(|before| before.trim_end().ends_with(name))
    };
    match text.contains("://") || assigns("password") || assigns("pwd") {
        true => Err(Error::new(
            "must not be a URL or a connection string: host, port, user and password are settings of their own",
        )),
        false => Ok(()),
    }
}

/// Refuses hosts with a user or password, as [`one_part`] does.
pub(super) fn hosts(text: &str, (): &()) -> garde::Result {
    match text.contains('@') {
        true => Err(Error::new(
            "must not carry a user or password: they are settings of their own",
        )),
        false => one_part(text, &()),
    }
}

/// Refuses a list of addresses of which one is not `host:port`.
pub(super) fn addresses(addresses: &[String], (): &()) -> garde::Result {
    let valid = |address: &String| {
        address.rsplit_once(':').is_some_and(|(host, port)| {
            let bare = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
            !host.is_empty() && bare && !host.contains(['/', '@']) && port.parse::<u16>().is_ok()
        })
    };
    match addresses.iter().position(|address| !valid(address)) {
        Some(index) => Err(Error::new(format!("entry {} must be host:port", index + 1))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        assert!(http_url("http://localhost:4317", &()).is_ok());
        assert!(http_url("https://[::1]/v1?x=1", &()).is_ok());
        assert!(http_url("https://host/@me", &()).is_ok());
        for url in [
            "",
            "localhost:4317",
            "ftp://x",
            "http://",
            "http:///x",
            "http://a b",
            "http://u:p@h",
        ] {
            assert!(http_url(url, &()).is_err(), "{url}");
        }
    }

    #[test]
    fn connection_strings() {
        for text in [
            "db",
            "db-1,db-2:5433",
            "/run/postgresql",
            "u@tenant",
            "password",
            "a=b",
        ] {
            assert!(one_part(text, &()).is_ok(), "{text}");
        }
        for text in ["postgres://h", "host=h password=x", "h;Pwd = x"] {
            assert!(
                one_part(text, &()).is_err() && hosts(text, &()).is_err(),
                "{text}"
            );
        }
        assert!(hosts("db-1,db-2:5433", &()).is_ok());
        assert!(hosts("u:p@h", &()).is_err());
    }

    #[test]
    fn host_and_port() {
        let check = |address: &str| addresses(&[address.to_owned()], &()).is_ok();
        assert!(check("kafka-1:9092"));
        assert!(check("[::1]:9092"));
        for address in [
            "",
            "kafka-1",
            ":9092",
            "kafka:x",
            "kafka:99999",
            "::1:9092",
            "redis://h:1",
            "u@h:1",
        ] {
            assert!(!check(address), "{address}");
        }
    }
}
