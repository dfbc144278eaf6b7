use std::fmt;
use std::path::{Path, PathBuf};

use cqi_errors::{Error, Result};
use tokio_postgres::config::Host;

use crate::Proxy;
use crate::percent::encode;

/// Where a server is, and who to be there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    /// The folder of the server's socket, where that is one of ours: nothing is asked there, neither
    /// for a password nor to encrypt.
    pub(crate) socket: Option<PathBuf>,
}

impl Address {
    /// The superuser of a server of ours; where no password is asked for, any will do.
    pub(crate) fn local(port: u16, password: Option<&str>, socket: &Path) -> Self {
        let [host, user] = ["127.0.0.1", "postgres"].map(str::to_owned);
        let password = password.unwrap_or("postgres").to_owned();
        Self {
            host,
            port,
            user,
            password,
            socket: Some(socket.to_owned()),
        }
    }

    /// Reads a URL; its database is not kept.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let config: tokio_postgres::Config = url.parse().map_err(|error| {
            Error::invalid_input("URL", "is not like postgres://user:password@host:5432")
                .with_source(error)
        })?;
        let host = match config.get_hosts() {
            [Host::Tcp(host), ..] => host.clone(),
            _ => return Err(Error::invalid_input("URL", "has no host to reach by TCP")),
        };
        let password = config.get_password().unwrap_or_default();
        Ok(Self {
            host,
            port: config.get_ports().first().copied().unwrap_or(5432),
            user: config.get_user().unwrap_or("postgres").to_owned(),
            password: String::from_utf8_lossy(password).into_owned(),
            socket: None,
        })
    }

    /// Returns a URL that leads through a proxy.
    pub(crate) fn url_through(&self, proxy: &Proxy, database: &str) -> String {
        let (host, port) = (proxy.addr().ip().to_string(), proxy.port());
        Self {
            host,
            port,
            ..self.clone()
        }
        .url(database)
    }

    pub(crate) fn url(&self, database: &str) -> String {
        let Self {
            host,
            port,
            user,
            password,
            ..
        } = self;
        let (user, password) = (encode(user), encode(password));
        format!(
            "postgres://{user}:{password}@{host}:{port}/{}",
            encode(database)
        )
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.user, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_with_every_kind_of_character_survives_the_url() {
        let address = Address {
            host: "127.0.0.1".to_owned(),
            port: 5433,
            user: "röt/@".to_owned(),
            password: "a b'\"=@:/?#%\\ü".to_owned(),
            socket: None,
        };
        assert_eq!(Address::parse(&address.url("x")).unwrap(), address);
        assert!(!format!("{address:?}").contains("a b"));
    }
}
