//! SQL to the server itself, on a thread without a runtime or with one that blocks.

use std::time::Duration;

use cqi_errors::{Error, Result, ResultExt};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use super::Address;
use crate::wait;

/// How long a statement may take, retries included; it makes or removes a database at most.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs statements on database `postgres`, again where the server is busy; blocks.
pub(crate) fn execute(address: &Address, sql: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("make a runtime to reach the test server")?;
    let mut last = None;
    let outcome = wait::poll(LIMIT, || {
        let outcome = runtime.block_on(async { timeout(LIMIT, attempt(address, sql)).await });
        match outcome {
            Ok(Ok(())) => Some(Ok(())),
            Ok(Err(error)) if is_passing(&error) => {
                last = Some(Error::temporary("the server is busy").with_source(error));
                None
            }
            Ok(Err(error)) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => Some(Ok(())),
            Ok(Err(error)) => Some(Err(
                Error::permanent("the server refused").with_source(error)
            )),
            Err(_) => Some(Err(Error::timeout(format!("no answer within {LIMIT:?}")))),
        }
    });
    outcome
        .or_else(|| last.map(Err))
        .unwrap_or_else(|| Err(Error::timeout(format!("no answer within {LIMIT:?}"))))
        .with_context(|| format!("run `{sql}` on test server {address:?}"))
}

/// Makes a database, unless there is one of that name; blocks.
///
/// Copies `template0`: nobody can be connected to that, so tests do not get into each other's way.
pub(crate) fn create(address: &Address, name: &str) -> Result<()> {
    let name = name.replace('"', "\"\"");
    execute(
        address,
        &format!("CREATE DATABASE \"{name}\" TEMPLATE template0"),
    )
}

async fn attempt(address: &Address, sql: &str) -> Result<(), tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    match &address.socket {
        Some(folder) => config.host_path(folder),
        None => config.host(&address.host),
    };
    let (client, connection) = config
        .port(address.port)
        .user(&address.user)
        .password(&address.password)
        .dbname("postgres")
        .application_name("cqi-testkit")
        .connect(NoTls)
        .await?;
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    client.batch_execute(sql).await
}

/// Says whether the server may do it soon: many tests make databases at the same time.
fn is_passing(error: &tokio_postgres::Error) -> bool {
    let busy = [
        &SqlState::OBJECT_IN_USE,
        &SqlState::TOO_MANY_CONNECTIONS,
        &SqlState::CANNOT_CONNECT_NOW,
    ];
    error.code().is_some_and(|code| busy.contains(&code))
}
