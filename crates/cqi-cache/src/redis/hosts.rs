use std::fmt;

use cqi_errors::{Error, Result};
use fred::types::config::Server;

/// A server that the settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// A name or an IP address without brackets.
    pub(super) name: String,
    pub(super) port: u16,
}

impl Host {
    pub(super) fn server(&self) -> Server {
        Server::new(self.name.as_str(), self.port)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        if name.contains(':') {
            write!(f, "[{name}]:{port}")
        } else {
            write!(f, "{name}:{port}")
        }
    }
}

/// Reads `host:port` and `[::1]:6379`.
pub(super) fn parse(hosts: &[String]) -> Result<Vec<Host>> {
    if hosts.is_empty() {
        return Err(invalid("name at least one as host:port"));
    }
    let parsed = hosts.iter().enumerate().map(|(at, text)| {
        // Not quoted: what is no address may be a URL with a password.
        parse_one(text).ok_or_else(|| invalid(format!("entry {} must be host:port", at + 1)))
    });
    parsed.collect()
}

fn parse_one(text: &str) -> Option<Host> {
    let (name, port) = text.rsplit_once(':')?;
    let bracketed = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let name = bracketed.unwrap_or(name);
    let valid = !name.is_empty()
        && name.contains(':') == bracketed.is_some()
        && !name.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@' | '?' | '='));
    valid.then_some(Host {
        name: name.to_owned(),
        port: port.parse().ok().filter(|&port| port != 0)?,
    })
}

fn invalid(problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::invalid_input("cache.hosts", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<String> {
        parse_one(text).map(|host| host.to_string())
    }

    #[test]
    fn names_and_addresses() {
        for text in ["redis:6379", "10.0.0.1:1", "[::1]:6380", "a.b:65535"] {
            assert_eq!(parsed(text).as_deref(), Some(text));
        }
        assert_eq!(parse_one("[::1]:1").unwrap().name, "::1");
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_quoted() {
        for text in [
            "",
            "redis",
            ":6379",
            "redis:",
            "redis:0",
            "redis:65536",
            "::1:6379",
            "[]:1",
            "[redis]:1",
            "redis://:hunter2@h:1",
            "a b:1",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
        let error = parse(&["redis://:hunter2@h:1".to_owned()]).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
