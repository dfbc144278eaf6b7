//! Migrations embedded in the program and applied once, whoever starts first.

use std::path::Path;
use std::time::Duration;

use cqi_errors::{Error, Result};
use refinery::error::Kind as Problem;
use refinery::{Migration, Runner};
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;

use crate::Pool;
use crate::connect::{Canceller, Connected, Connector};
use crate::error::postgres;
use crate::sqlstate;

/// SQL files of the program, made by [`embed_migrations!`](crate::embed_migrations).
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    files: &'static [(&'static str, &'static str)],
    timeout: Duration,
}

/// Embeds SQL files into the program as [`Migrations`].
///
/// Paths are relative to the folder of the crate's `Cargo.toml`. A file is named
/// `V{version}__{name}.sql`; versions are applied in rising order, each in a transaction of its own,
/// and a file is never changed after it has been applied anywhere.
///
/// ```
/// const MIGRATIONS: cqi_db::Migrations = cqi_db::embed_migrations![
///     "tests/it/migrations/V1__create_assets.sql",
///     "tests/it/migrations/V2__add_symbol.sql",
/// ];
///
/// # async fn start(pool: &cqi_db::Pool) -> cqi_errors::Result<()> {
/// pool.migrate(&MIGRATIONS).await?;
/// # Ok(())
/// # }
/// ```
#[macro_export]
#[cfg_attr(docsrs, doc(cfg(feature = "migrate")))]
macro_rules! embed_migrations {
    ($($path:literal),+ $(,)?) => {
        $crate::Migrations::new(&[$(
            ($path, ::core::include_str!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/", $path)))
        ),+])
    };
}

impl Migrations {
    /// Takes pairs of a file's path and its SQL.
    #[must_use]
    pub const fn new(files: &'static [(&'static str, &'static str)]) -> Self {
        Self {
            files,
            timeout: Duration::from_secs(300),
        }
    }

    /// Sets the longest time for all of it, waiting for another instance included; 5 minutes by
    /// default.
    #[must_use]
    pub const fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn runner(&self) -> Result<Runner> {
        let migrations: Result<Vec<_>> = self.files.iter().map(|file| read(*file)).collect();
        let mut migrations = migrations?;
        migrations.sort();
        for pair in migrations.windows(2) {
            if pair[0].version() == pair[1].version() {
                let (one, other) = (&pair[0], &pair[1]);
                let message = format!("migrations {one} and {other} have the same version");
                return Err(Error::permanent(message));
            }
        }
        Ok(Runner::new(&migrations))
    }
}

fn read((path, sql): (&str, &str)) -> Result<Migration> {
    let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str());
    Migration::unapplied(stem.unwrap_or_default(), sql).map_err(|error| {
        Error::permanent(format!(
            "migration `{path}` is not named like `V1__create_assets.sql`: {error}"
        ))
    })
}

impl Pool {
    /// Applies the migrations the database has not seen and returns their names.
    ///
    /// Several instances may start at once: one applies them, the others wait for it. Connections of
    /// their own are used, two of them, and neither `query_timeout` nor `acquire_timeout` counts.
    /// A database that is ahead of this program is left alone, so that an old instance can restart
    /// while a new version is rolled out.
    ///
    /// # Errors
    /// - `Timeout`: not done within [`Migrations::within`], or another instance did not finish.
    /// - `Permanent`: a migration was changed after it had been applied, is missing between others,
    ///   or its SQL fails. The message names it; those before it stay applied.
    /// - Of any other kind: the database cannot be reached.
    ///
    /// # Cancel safety
    /// Dropping the future rolls back the migration that runs; those before it stay applied.
    #[cfg_attr(docsrs, doc(cfg(feature = "migrate")))]
    pub async fn migrate(&self, migrations: &Migrations) -> Result<Vec<String>> {
        let runner = migrations.runner()?;
        let connector = self.connector();
        let mut lock = Link::open(connector).await?;
        let mut work = Link::open(connector).await?;
        let done = timeout(migrations.timeout, async {
            lock.acquire().await?;
            work.unbound(self.config().pgbouncer).await?;
            run(&runner, &mut work.client).await
        });
        match done.await {
            Ok(applied) => {
                let applied = applied?;
                for migration in &applied {
                    tracing::info!(migration, "migration applied");
                }
                Ok(applied)
            }
            Err(_) => {
                // What still runs is undone at once instead of when the server next looks for us.
                let _ = tokio::join!(lock.canceller.cancel(), work.canceller.cancel());
                Err(Error::timeout(format!(
                    "migrations were not done within {:?}: one takes too long, or another \
                     instance has not finished its own",
                    migrations.timeout
                )))
            }
        }
    }
}

/// A connection outside the pool.
struct Link {
    client: Client,
    canceller: Canceller,
    _driver: AbortOnDropHandle<()>,
}

/// The advisory lock of all programs that migrate a database with this crate: `cqi_migr` in ASCII.
const LOCK: i64 = 0x6371_695f_6d69_6772;

impl Link {
    async fn open(connector: &Connector) -> Result<Self> {
        let Connected {
            client,
            driver,
            canceller,
            ..
        } = connector.connect().await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "aborted when the link is dropped"
        )]
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "connection of the migrations ended");
            }
        });
        Ok(Self {
            client,
            canceller,
            _driver: AbortOnDropHandle::new(driver),
        })
    }

    /// Waits for the lock. A transaction holds it, since behind PgBouncer nothing else keeps a
    /// session; refinery runs transactions of its own, hence the second connection.
    async fn acquire(&mut self) -> Result<()> {
        let sql = format!(
            "BEGIN; SET LOCAL statement_timeout = 0; \
             SET LOCAL idle_in_transaction_session_timeout = 0; \
             SELECT pg_advisory_xact_lock({LOCK})"
        );
        let locked = self.client.batch_execute(&sql).await;
        locked.map_err(|error| postgres(error, "waiting for the lock of the migrations"))
    }

    /// Lifts `statement_timeout`: a migration has the time of all of them.
    async fn unbound(&mut self, pgbouncer: bool) -> Result<()> {
        if pgbouncer {
            return Ok(());
        }
        let lifted = self.client.batch_execute("SET statement_timeout = 0").await;
        lifted.map_err(|error| postgres(error, "preparing the migrations"))
    }
}

async fn run(runner: &Runner, client: &mut Client) -> Result<Vec<String>> {
    match runner.run_async(client).await {
        Ok(report) => Ok(report
            .applied_migrations()
            .iter()
            .map(ToString::to_string)
            .collect()),
        Err(error) => match error.kind() {
            Problem::MissingVersion(later) if is_ahead(runner, later, client).await? => {
                tracing::warn!(migration = %later, "the database is ahead of this program");
                Ok(Vec::new())
            }
            _ => Err(explained(error)),
        },
    }
}

/// Says whether the database has all of our migrations and what is missing came after them.
async fn is_ahead(runner: &Runner, missing: &Migration, client: &mut Client) -> Result<bool> {
    let applied = runner
        .get_applied_migrations_async(client)
        .await
        .map_err(explained)?;
    let ours = runner.get_migrations();
    Ok(ours
        .iter()
        .all(|migration| migration.version() < missing.version() && applied.contains(migration)))
}

fn explained(error: refinery::Error) -> Error {
    match error.kind() {
        Problem::DivergentVersion(applied, _) => Error::permanent(format!(
            "migration {applied} was changed after it had been applied: restore it and write a \
             new one"
        )),
        Problem::MissingVersion(migration) => Error::permanent(format!(
            "migration {migration} is out of order: the database has later ones without it, or \
             has it and this program does not: give it a higher version, or embed it"
        )),
        Problem::Connection(what, cause) => match cause.downcast_ref::<tokio_postgres::Error>() {
            Some(cause) => refused(what, cause),
            None => Error::permanent(format!("{what}: {cause}")),
        },
        _ => Error::permanent("migrations cannot be applied").with_source(error),
    }
}

/// Leaves out the detail of the server's answer, which holds values of rows.
fn refused(what: &str, cause: &tokio_postgres::Error) -> Error {
    match cause.as_db_error() {
        Some(answer) => {
            let (code, message) = (answer.code().code(), answer.message());
            Error::new(
                sqlstate::kind(code),
                format!("{what}: {message} (SQLSTATE {code})"),
            )
        }
        None => Error::temporary(format!("{what}: {cause}")),
    }
}
