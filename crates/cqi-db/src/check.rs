use std::time::Duration;

use cqi_errors::{Error, Result};
use deadpool_postgres::Timeouts;
use tokio::time::{Instant, timeout};

use crate::Pool;
use crate::error::postgres;
use crate::session::Session;

/// A server that has answered this recently is well.
const RECENT: Duration = Duration::from_secs(1);

impl Pool {
    /// Says whether the database answers, within `connect_timeout`.
    ///
    /// A pool whose connections are all in use is not an outage: the check does not queue behind
    /// callers. It passes at once when a query was answered within the last second, else it uses an
    /// idle connection, else one of its own.
    ///
    /// # Errors
    /// Temporary, when the database does not answer; the kind of the failure, when a connection is
    /// refused for another reason.
    ///
    /// # Cancel safety
    /// Safe: nothing is left behind.
    pub async fn check(&self) -> Result<()> {
        if !self.sessions().is_closed() && self.counters().heard_within(RECENT) {
            return Ok(());
        }
        let bound = self.config().connect_timeout;
        let late = |_| {
            let target = self.connector().target();
            Error::temporary(format!(
                "{target} did not answer the check within {bound:?}"
            ))
        };
        timeout(bound, self.probe()).await.map_err(late)?
    }

    async fn probe(&self) -> Result<()> {
        let mut at_once = Timeouts::new();
        at_once.wait = Some(Duration::ZERO);
        let idle = self.sessions().timeout_get(&at_once).await;
        if self.sessions().is_closed() {
            return Err(self.closed());
        }
        if let Ok(mut object) = idle {
            // A reply that does not come back would be left to the next user of the connection.
            object.state.broken = true;
            if object.ping().await.is_ok() {
                object.state.broken = false;
                self.counters().heard(Instant::now());
                return Ok(());
            }
        }
        let mut session = self.sessions().manager().open().await?;
        let answer = Session::ping(&mut session).await;
        answer.map_err(|error| {
            postgres(error, format_args!("check {}", self.connector().target()))
        })?;
        self.counters().heard(Instant::now());
        Ok(())
    }
}
