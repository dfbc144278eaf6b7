use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use super::server::Inner;
use super::{Address, admin};
use crate::Proxy;
use crate::supervisor::Supervisor;

/// How long dropping a handle may wait for a server that is not ours.
const REMOVAL: Duration = Duration::from_secs(5);

/// A database for one test, made by [`Postgres::start`](crate::Postgres::start) or
/// [`Postgres::create_database`](crate::Postgres::create_database).
///
/// While it exists, so does its server. When it is dropped, the database on a shared server is
/// removed in the background, with the connections to it; in any case it goes with its server.
#[must_use = "the database is removed when this is dropped"]
pub struct Database {
    address: Address,
    name: String,
    keeper: Keeper,
    removal: Removal,
}

/// What keeps the server running.
pub(super) enum Keeper {
    Shared(Supervisor),
    Private(Arc<Inner>),
}

/// How the database goes.
pub(super) enum Removal {
    /// With its server.
    WithServer,
    /// By the supervisor, which outlives this process.
    BySupervisor,
    /// By this process.
    Direct,
}

impl Database {
    pub(super) fn new(address: Address, name: String, keeper: Keeper, removal: Removal) -> Self {
        Self {
            address,
            name,
            keeper,
            removal,
        }
    }

    /// Returns the host to connect to.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.address.host
    }

    /// Returns the port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port
    }

    /// Returns the user to connect as; it may do everything.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.address.user
    }

    /// Returns the password of the user; never empty, and not looked at where the server asks for none.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.address.password
    }

    /// Returns the name of the database.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the URL of the database, `postgres://user:password@host:port/name`.
    #[must_use]
    pub fn url(&self) -> String {
        self.address.url(&self.name)
    }

    /// Returns the URL that leads there through a proxy to this server.
    #[must_use]
    pub fn url_through(&self, proxy: &Proxy) -> String {
        self.address.url_through(proxy, &self.name)
    }
}

impl Database {
    pub(crate) fn backend(&self) -> (Address, Option<Arc<Inner>>) {
        let server = match &self.keeper {
            Keeper::Private(server) => Some(Arc::clone(server)),
            Keeper::Shared(_) => None,
        };
        (self.address.clone(), server)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        match (&self.removal, &self.keeper) {
            (Removal::BySupervisor, Keeper::Shared(supervisor)) => {
                // A supervisor that is gone, or too busy for the line, removes the whole server.
                let _ = supervisor.drop_database(&self.name);
            }
            (Removal::Direct, _) => {
                let address = self.address.clone();
                let sql = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name);
                let (done, ended) = sync_channel(1);
                // A thread of its own: this one may be inside a runtime, which cannot block.
                let _ = thread::Builder::new()
                    .name("cqi-testkit-drop".to_owned())
                    .spawn(move || {
                        let _ = admin::execute(&address, &sql);
                        let _ = done.send(());
                    });
                let _ = ended.recv_timeout(REMOVAL);
            }
            _ => {}
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("server", &self.address)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
