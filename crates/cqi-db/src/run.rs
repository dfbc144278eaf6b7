use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cqi_config::TargetSessionAttrs;
use cqi_errors::{Error, Kind};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::bound::{Ended, after, bounded};
use crate::collect::Collect;
use crate::connection::given_up;
use crate::error::{Failure, Fate, SqlError};
use crate::perform::{Request, perform};
use crate::session::Session;
use crate::summary::summary;
use crate::{Connection, span, sqlstate};

impl Connection {
    /// Makes a request within `query_timeout`, and again on another connection where the server
    /// provably did not begin it and nothing else has happened on this one.
    pub(crate) async fn run<C: Collect>(
        &mut self,
        request: Request<'_>,
        mut collect: C,
    ) -> Result<C::Output, Failure> {
        let started = Instant::now();
        let deadline = after(started, self.pool.config().query_timeout);
        let mut spares = self.pool.config().max_connections;
        loop {
            let span = span::of(request.sql(), self.object.as_ref());
            let outcome = {
                let attempt = pin!(self.attempt(request, started, deadline, &mut collect));
                if span.is_disabled() {
                    attempt.await
                } else {
                    attempt.instrument(span.clone()).await
                }
            };
            span::record(&span, outcome.as_ref().err());
            match outcome {
                Err(failure) if failure.fate == Fate::NotExecuted && self.fresh && spares > 0 => {
                    spares -= 1;
                    self.pool
                        .counters()
                        .replayed
                        .fetch_add(1, Ordering::Relaxed);
                    Box::pin(self.replace(deadline)).await?;
                }
                outcome => {
                    self.fresh = false;
                    let collected = outcome.map(|affected| collect.finish(affected))?;
                    return collected.map_err(|error| self.explain(error, request.sql()));
                }
            }
        }
    }

    async fn attempt<C: Collect>(
        &mut self,
        request: Request<'_>,
        started: Instant,
        deadline: Instant,
        collect: &mut C,
    ) -> Result<u64, Failure> {
        let mut flight = Flight {
            connection: self,
            landed: false,
        };
        let Self {
            object: Some(session),
            pool,
            ..
        } = &mut *flight.connection
        else {
            return Err(Failure::not_executed(given_up()));
        };
        let session: &mut Session = session;
        let Session {
            client,
            wire,
            statements,
            state,
            canceller,
            ..
        } = &mut *session;
        let ended = {
            let work = pin!(perform(client, statements, state, request, collect));
            let work = pin!(wire.drive(work));
            bounded(deadline, canceller, work).await
        };
        let now = Instant::now();
        session.used = now;
        pool.note(request.sql(), &session.peer, now - started);

        match &ended {
            Ended::InTime(Ok(_)) => pool.counters().heard(now),
            Ended::InTime(Err(_)) => {}
            Ended::Cancelled { .. } | Ended::Running => pool.counters().lost(),
        }
        let outcome = match ended {
            Ended::InTime(outcome) => {
                outcome.map_err(|stopped| stopped.judge(session, request.sql()))
            }
            Ended::Cancelled { output, confirmed } => {
                session.state.broken |= !confirmed;
                output.map_err(|stopped| {
                    let failure = stopped.judge(session, request.sql());
                    pool.timed_out(&session.what(request.sql()), "was cancelled", failure)
                })
            }
            Ended::Running => {
                let failure = Failure::new(
                    Fate::Unknown,
                    Error::temporary("the server does not answer"),
                );
                let failure = pool.timed_out(&session.what(request.sql()), "was given up", failure);
                flight.landed = true;
                flight.connection.abandon();
                return Err(failure);
            }
        };
        let loose = session.canceller.is_loose();
        if session.state.broken {
            pool.counters().lost();
        }
        let outcome = outcome.map_err(|failure| pool.demoted(session, failure));
        flight.landed = true;
        if loose {
            flight.connection.abandon();
        }
        outcome
    }

    fn explain(&self, error: Error, sql: &str) -> Failure {
        let what = self
            .object
            .as_ref()
            .map_or_else(|| summary(sql), |session| session.what(sql));
        Failure::refused(error.context(format!("{what} failed")))
    }
}

impl crate::Pool {
    fn note(&self, sql: &str, peer: &crate::session::Peer, elapsed: Duration) {
        self.counters().queries.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        if let Some(durations) = self.counters().durations.get() {
            durations.observe(elapsed.as_secs_f64());
        }
        if elapsed >= self.config().slow_query_threshold {
            tracing::warn!(
                elapsed = ?elapsed,
                db.query.text = sql,
                server = %peer,
                "slow query"
            );
        }
    }

    fn timed_out(&self, what: &str, then: &str, failure: Failure) -> Failure {
        self.counters()
            .query_timeouts
            .fetch_add(1, Ordering::Relaxed);
        let bound = self.config().query_timeout;
        let message =
            format!("{what} reached its bound of {bound:?} (database.query_timeout) and {then}");
        let error = Error::timeout(message).with_source(failure.error);
        Failure::new(failure.fate, error)
    }

    /// A primary that has become a replica refuses writes for good: its connections are replaced,
    /// by ones to the new primary.
    fn demoted(&self, session: &mut Session, failure: Failure) -> Failure {
        let wants_writes = self.config().target_session_attrs == TargetSessionAttrs::ReadWrite;
        let code = SqlError::of(&failure.error).and_then(SqlError::sqlstate);
        if code != Some(sqlstate::READ_ONLY)
            || !wants_writes
            || session.state.in_transaction
            || session.state.tainted
        {
            return failure;
        }
        session.state.broken = true;
        Failure::new(failure.fate, failure.error.with_kind(Kind::Temporary))
    }
}

/// A request on its way. One that does not come back takes its connection with it.
struct Flight<'a> {
    connection: &'a mut Connection,
    landed: bool,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if !self.landed && self.connection.object.is_some() {
            self.connection
                .pool
                .counters()
                .abandoned
                .fetch_add(1, Ordering::Relaxed);
            self.connection.abandon();
        }
    }
}
