//! PostgreSQL servers and databases on them.

mod address;
pub(crate) mod admin;
mod builder;
mod cluster;
mod database;
mod server;
mod shared;
mod standby;
#[cfg(feature = "tls")]
mod tls;

use cqi_errors::{Error, Result};

pub(crate) use address::Address;
pub use builder::PostgresBuilder;
#[cfg(feature = "kafka")]
pub(crate) use cluster::bind;
pub(crate) use cluster::{free_port, free_port_of};
pub use database::Database;
pub(crate) use server::Inner;
pub use server::Postgres;

/// Fails where no server answers at a URL; blocks.
pub(crate) fn probe(url: &str) -> Result<()> {
    admin::execute(&Address::parse(url)?, "SELECT 1")
}

/// Runs what waits for processes and files where that may block.
///
/// While it runs, a paused clock of the test's runtime stands still.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => {
            Err(Error::permanent("the work on a test server was broken off").with_source(error))
        }
    }
}
