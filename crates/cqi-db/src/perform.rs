use cqi_errors::{Error, Result};
use deadpool_postgres::ClientWrapper;
use futures_util::TryStreamExt as _;
use tokio_postgres::RowStream;
use tokio_postgres::error::{DbError, Severity};
use tokio_postgres::types::{ToSql, Type};

use crate::Row;
use crate::collect::Collect;
use crate::error::{Failure, Fate, Message, described, is_farewell, is_transport};
use crate::session::{Session, State};
use crate::sqlstate;
use crate::statements::{Form, Plan, Statements};

/// What is asked of the server.
#[derive(Clone, Copy)]
pub(crate) enum Request<'a> {
    /// One statement with parameters, prepared and cached.
    Query(&'a str, &'a [&'a (dyn ToSql + Sync)]),
    /// Any number of statements without parameters, in one round trip.
    Simple(&'a str),
}

impl Request<'_> {
    pub(crate) fn sql(&self) -> &str {
        match self {
            Request::Query(sql, _) | Request::Simple(sql) => sql,
        }
    }
}

/// Where and why a request stopped.
pub(crate) struct Stopped {
    phase: Phase,
    cause: Cause,
    /// It had no parameters.
    bare: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was asked that has an effect.
    Preparing,
    /// It was handed to the driver, and the server has not said that it accepts the parameters,
    /// which it says before it executes anything.
    Sent,
    /// The server has begun.
    Begun,
}

enum Cause {
    Driver(tokio_postgres::Error),
    Ours(Error),
}

impl Stopped {
    fn driver(phase: Phase) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |error| Self {
            phase,
            cause: Cause::Driver(error),
            bare: false,
        }
    }

    fn ours(error: Error) -> Self {
        Self {
            phase: Phase::Begun,
            cause: Cause::Ours(error),
            bare: true,
        }
    }

    /// Tells from how the request and its connection ended what became of it.
    pub(crate) fn judge(self, session: &mut Session, sql: &str) -> Failure {
        let what = session.what(sql);
        let error = match self.cause {
            Cause::Ours(error) => return Failure::refused(error.context(format!("{what} failed"))),
            Cause::Driver(error) => error,
        };
        let lost = match error.as_db_error() {
            Some(error) => is_fatal(error),
            None => is_transport(&error),
        };
        // The driver keeps named statements for its own questions about types, and cannot forget them.
        let astray = self.phase == Phase::Preparing
            && session.statements.are_unnamed()
            && error
                .code()
                .is_some_and(crate::statements::is_of_another_session);
        let lost = lost || astray;
        session.state.broken |= lost;
        let fate = if !lost {
            Fate::Refused
        } else if self.phase == Phase::Preparing
            || self.phase == Phase::Sent && was_never_begun(&error, session)
        {
            Fate::NotExecuted
        } else {
            Fate::Unknown
        };
        // The parameters went out with the statement itself; what prepares it has none.
        let message = if self.phase == Phase::Preparing || self.bare {
            Message::Plain
        } else {
            Message::MayQuote
        };
        Failure::new(fate, described(error, what, message))
    }

    fn is_stale_statement(&self) -> bool {
        let Cause::Driver(error) = &self.cause else {
            return false;
        };
        self.phase == Phase::Sent
            && error
                .code()
                .is_some_and(|code| sqlstate::is_stale_statement(code.code()))
    }
}

fn is_fatal(error: &DbError) -> bool {
    matches!(
        error.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    ) || is_farewell(error)
}

/// The server's goodbye is proof in two cases: it came in place of the acceptance of the parameters,
/// or it came while no request was in flight, so that ours was still unwritten. A pooler between may
/// say goodbye at any time, so its word is no proof of the first.
fn was_never_begun(error: &tokio_postgres::Error, session: &Session) -> bool {
    let answered =
        !session.statements.are_unnamed() && error.as_db_error().is_some_and(is_farewell);
    answered || session.wire.farewell().is_some_and(is_farewell)
}

/// Makes one request and takes its rows; returns how many rows the server says it affected.
pub(crate) async fn perform<C: Collect>(
    client: &ClientWrapper,
    statements: &mut Statements,
    state: &mut State,
    request: Request<'_>,
    collect: &mut C,
) -> Result<u64, Stopped> {
    let (sql, params) = match request {
        Request::Query(sql, params) => (sql, params),
        Request::Simple(sql) => {
            client.batch_execute(sql).await.map_err(|error| Stopped {
                bare: true,
                ..Stopped::driver(Phase::Sent)(error)
            })?;
            return Ok(0);
        }
    };
    let rows = match start(client, statements, state, sql, params).await {
        Err(stopped) if !statements.are_unnamed() && stopped.is_stale_statement() => {
            statements.forget(sql);
            if state.in_transaction {
                return Err(stopped);
            }
            start(client, statements, state, sql, params).await?
        }
        other => other?,
    };
    let mut rows = std::pin::pin!(rows);
    let mut refused = None;
    while let Some(row) = rows
        .try_next()
        .await
        .map_err(Stopped::driver(Phase::Begun))?
    {
        // The rest is read all the same, so that the connection is clean.
        if refused.is_none() {
            refused = collect.row(&Row::new(&row)).err();
        }
    }
    match refused {
        Some(error) => Err(Stopped::ours(error)),
        None => Ok(rows.rows_affected().unwrap_or(0)),
    }
}

/// Sends a statement and waits until the server has accepted its parameters.
pub(crate) async fn start(
    client: &ClientWrapper,
    statements: &mut Statements,
    state: &mut State,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<RowStream, Stopped> {
    let plan = statements.plan(client, state, sql).await;
    let Plan { form, taints } = plan.map_err(Stopped::driver(Phase::Preparing))?;
    check_count(form.params(), params.len()).map_err(Stopped::ours)?;
    state.tainted |= taints;
    let (started, phase) = match &form {
        Form::Named(statement) => {
            let params = params.iter().copied();
            (client.query_raw(statement, params).await, Phase::Sent)
        }
        // It asks for types of columns after the statement has run.
        Form::Unnamed(types) => {
            let params = typed(params, types);
            (client.query_typed_raw(sql, params).await, Phase::Begun)
        }
    };
    if started.is_err() {
        // Its types may be gone.
        statements.forget(sql);
    }
    started.map_err(Stopped::driver(phase))
}

fn typed<'a>(
    params: &'a [&'a (dyn ToSql + Sync)],
    types: &'a [Type],
) -> impl Iterator<Item = (&'a (dyn ToSql + Sync), Type)> {
    params.iter().copied().zip(types.iter().cloned())
}

fn check_count(wanted: usize, given: usize) -> Result<()> {
    if wanted == given {
        return Ok(());
    }
    Err(Error::permanent(format!(
        "the statement takes {wanted} parameters and was given {given}"
    )))
}
