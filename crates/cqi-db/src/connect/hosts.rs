use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use cqi_errors::{Error, Result};
use tokio::net::lookup_host;

const FIELD: &str = "database.host";

/// One place where a server may listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) address: Address,
    pub(super) port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A name or an IP address without brackets.
    Tcp(Arc<str>),
    /// The folder of a Unix socket.
    Unix(PathBuf),
}

/// The very address a connection goes to: another one of the same name may be another server.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Host {
    pub(super) async fn peers(&self) -> io::Result<Vec<Peer>> {
        match &self.address {
            Address::Tcp(name) => {
                let found = lookup_host((&**name, self.port)).await?;
                Ok(found.map(Peer::Tcp).collect())
            }
            Address::Unix(_) => Ok(vec![Peer::Unix(self.to_string().into())]),
        }
    }

    pub(super) fn name(&self) -> Arc<str> {
        match &self.address {
            Address::Tcp(name) => Arc::clone(name),
            Address::Unix(folder) => folder.to_string_lossy().into(),
        }
    }

    pub(super) fn is_unix(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match &self.address {
            Address::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{port}"),
            Address::Tcp(name) => write!(f, "{name}:{port}"),
            Address::Unix(folder) => write!(f, "{}/.s.PGSQL.{port}", folder.display()),
        }
    }
}

/// Reads `db-1,db-2:5433,[::1]:5432,/var/run/postgresql`.
pub(super) fn parse(hosts: &str, default_port: u16) -> Result<Vec<Host>> {
    hosts
        .split(',')
        .map(|text| parse_one(text.trim(), default_port))
        .collect()
}

fn parse_one(text: &str, default_port: u16) -> Result<Host> {
    let (name, port) = if text.starts_with('/') {
        return Ok(Host {
            address: Address::Unix(text.into()),
            port: checked(text, default_port)?,
        });
    } else if let Some(rest) = text.strip_prefix('[') {
        let (name, after) = rest
            .split_once(']')
            .ok_or_else(|| invalid(text, "the closing `]` is missing"))?;
        match after.strip_prefix(':') {
            Some(port) => (name, Some(port)),
            None if after.is_empty() => (name, None),
            None => return Err(invalid(text, "only `:port` may follow `]`")),
        }
    } else if text.matches(':').count() > 1 {
        (text, None)
    } else {
        match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        }
    };
    if name.is_empty() {
        return Err(invalid(text, "a host has no name"));
    }
    if name.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@' | '?' | '=')) {
        return Err(invalid(
            text,
            "it is not a host name, address or socket folder",
        ));
    }
    let port = match port {
        Some(port) => port
            .parse()
            .map_err(|_| invalid(text, "the port is a number from 1 to 65535"))?,
        None => default_port,
    };
    Ok(Host {
        address: Address::Tcp(name.into()),
        port: checked(text, port)?,
    })
}

fn checked(text: &str, port: u16) -> Result<u16> {
    match port {
        0 => Err(invalid(text, "the port is a number from 1 to 65535")),
        port => Ok(port),
    }
}

/// Quotes nothing that looks like a URL or a connection string: it may hold a password.
fn invalid(text: &str, problem: &str) -> Error {
    let text = if text.contains(['@', '=']) {
        "…"
    } else {
        text
    };
    Error::invalid_input(
        FIELD,
        format!("{problem} in `{text}`: write hosts as `db-1,db-2:5433,[::1]:5432`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(hosts: &str) -> Vec<String> {
        let hosts = parse(hosts, 5432).unwrap();
        hosts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_host_may_have_its_own_port() {
        assert_eq!(
            shown("db-1, db-2:5433,[::1]:5434,[fe80::1],fe80::2,/run/pg,10.0.0.1:1"),
            [
                "db-1:5432",
                "db-2:5433",
                "[::1]:5434",
                "[fe80::1]:5432",
                "[fe80::2]:5432",
                "/run/pg/.s.PGSQL.5432",
                "10.0.0.1:1",
            ]
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (hosts, problem) in [
            ("", "no name"),
            ("db-1,,db-2", "no name"),
            (":5432", "no name"),
            ("db:0", "from 1 to 65535"),
            ("db:65536", "from 1 to 65535"),
            ("db:x", "from 1 to 65535"),
            ("[::1", "closing"),
            ("[::1]5432", "follow"),
            ("db 1", "not a host name"),
            ("host=db", "not a host name"),
        ] {
            let error = parse(hosts, 5432).unwrap_err();
            assert!(error.to_string().contains(problem), "{hosts}: {error}");
            assert_eq!(error.field(), Some(FIELD));
        }
        assert!(parse("/run/pg", 0).is_err());
    }

    #[test]
    fn a_url_is_refused_without_repeating_its_password() {
        let error = parse("postgres://app:hunter2@db", 5432).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
