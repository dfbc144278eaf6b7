use std::fmt;
use std::path::PathBuf;

use cqi_errors::{Error, Result};

use crate::Proxy;
use crate::percent;

/// Where a server is, and who to be there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    /// The user `default`, where there is none.
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    /// The number of the logical database.
    pub(super) database: u32,
    pub(super) tls: bool,
    /// The server's socket, where that is one of ours: nothing is encrypted there.
    pub(super) socket: Option<PathBuf>,
}

impl Address {
    /// Reads `redis://user:password@host:port/database`, of which the host alone must be there.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        // Not the URL itself, which may hold a password.
        Self::read(url).ok_or_else(|| {
            Error::invalid_input("URL", "is not like redis://user:password@host:6379/0")
        })
    }

    fn read(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("redis://")?;
        let (login, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = login.split_once(':').unwrap_or(("", login));
        let (place, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (place, 6379),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let some = |text: &str| Some(percent::decode(text)).filter(|_| !text.is_empty());
        let database = Some(database).filter(|database| !database.is_empty());
        (!host.is_empty()).then_some(())?;
        Some(Self {
            host: host.to_owned(),
            port,
            user: some(user).map_or(Some(None), |user| user.map(Some))?,
            password: some(password).map_or(Some(None), |password| password.map(Some))?,
            database: database.map_or(Some(0), |database| database.parse().ok())?,
            tls: false,
            socket: None,
        })
    }

    pub(super) fn as_user(&self, user: &str, password: &str) -> Self {
        Self {
            user: Some(user.to_owned()),
            password: Some(password.to_owned()),
            ..self.clone()
        }
    }

    pub(super) fn through(&self, proxy: &Proxy) -> Self {
        Self {
            host: proxy.addr().ip().to_string(),
            port: proxy.port(),
            ..self.clone()
        }
    }

    /// Returns `redis://user:password@host:port/database`, or `rediss` for TLS, without what there
    /// is none of.
    pub(super) fn url(&self) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        // Named, though it may be left out: redis-cli 7 takes no name for an empty one.
        let user = percent::encode(self.user.as_deref().unwrap_or("default"));
        let login = self.password.as_deref();
        let login = login.map(|password| format!("{user}:{}@", percent::encode(password)));
        let database = (self.database > 0).then(|| format!("/{}", self.database));
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        format!(
            "{scheme}://{}{host}:{}{}",
            login.unwrap_or_default(),
            self.port,
            database.unwrap_or_default()
        )
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.port, self.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_with_every_kind_of_character_survives_the_url() {
        let address = Address {
            host: "::1".to_owned(),
            port: 6380,
            user: Some("röt/@".to_owned()),
            password: Some("a b'\"=@:/?#%\\ü".to_owned()),
            database: 7,
            tls: false,
            socket: None,
        };
        assert_eq!(Address::parse(&address.url()).unwrap(), address);
        assert!(!format!("{address:?}").contains("a b"));
    }

    #[test]
    fn what_a_url_leaves_out_is_the_default() {
        let plain = Address::parse("redis://host").unwrap();
        assert_eq!(plain.url(), "redis://host:6379");
        for (url, full) in [
            ("redis://host/", "redis://host:6379"),
            ("redis://:pw@host:1", "redis://default:pw@host:1"),
            ("redis://pw@host:1", "redis://default:pw@host:1"),
            ("redis://[::1]/2", "redis://[::1]:6379/2"),
        ] {
            assert_eq!(Address::parse(url).unwrap().url(), full);
        }
        for bad in [
            "host:6379",
            "rediss://host",
            "redis://",
            "redis://host:port",
            "redis://host/db",
            "redis://:%zz@host",
        ] {
            let error = Address::parse(bad).unwrap_err().to_string();
            assert!(error.contains("redis://user:password@host"), "{error}");
        }
    }
}
