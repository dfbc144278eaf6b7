use std::fmt;
use std::path::PathBuf;

use super::Redis;
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
        let user = percent::encode(self.user.as_deref().unwrap_or_default());
        let login = self.password.as_deref();
        let login = login.map(|password| format!("{user}:{}@", percent::encode(password)));
        let database = (self.database > 0).then(|| format!("/{}", self.database));
        format!(
            "{scheme}://{}{}:{}{}",
            login.unwrap_or_default(),
            self.host,
            self.port,
            database.unwrap_or_default()
        )
    }
}

/// Returns the URL of a group of servers, as fred reads it, with the users and passwords of `like`.
pub(super) fn url_of_group(
    kind: &str,
    like: &Redis,
    group: &[Redis],
    parameters: &[(&str, &str)],
) -> String {
    let Some((first, others)) = group.split_first() else {
        return String::new();
    };
    let first = Address {
        port: first.port(),
        ..like.inner.address.clone()
    };
    let nodes = others.iter().map(|node| ("node", node.address()));
    let parameters = parameters
        .iter()
        .map(|(name, value)| (*name, percent::encode(value)));
    let query: Vec<String> = nodes
        .chain(parameters)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let url = first.url().replacen("://", &format!("-{kind}://"), 1);
    format!("{url}?{}", query.join("&"))
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.port, self.database)
    }
}
