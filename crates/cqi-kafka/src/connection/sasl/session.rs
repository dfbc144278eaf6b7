use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cqi_errors::Result;
use tokio::time::Instant;

use super::Sasl;
use super::exchange::Exchange;
use crate::connection::Host;
use crate::connection::channel::Turn;
use crate::connection::versions::Spoken;

/// What a broker was proven, for as long as it believes it (KIP-368).
///
/// It is proven anew on the same connection, in turn with the requests and before the first of them
/// that comes when most of the time has passed. So requests keep their order, and an idle connection
/// does nothing: brokers accept a late proof.
#[derive(Debug)]
pub(in crate::connection) struct Session {
    sasl: Arc<Sasl>,
    renew_at: Mutex<Option<Instant>>,
}

impl Session {
    pub(in crate::connection) async fn begin(
        sasl: &Arc<Sasl>,
        turn: &Turn<'_>,
        broker: &Host,
        spoken: &Spoken,
    ) -> Result<Self> {
        let session = Self {
            sasl: Arc::clone(sasl),
            renew_at: Mutex::new(None),
        };
        session.authenticate(turn, broker, spoken).await?;
        Ok(session)
    }

    /// Proves it anew when it is time to; ends the connection when that fails or is dropped midway.
    pub(in crate::connection) async fn renew(
        &self,
        turn: &Turn<'_>,
        broker: &Host,
        spoken: &Spoken,
    ) -> Result<()> {
        let renew_at = *self.renew_at();
        if renew_at.is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        tracing::debug!(%broker, "authentication is renewed");
        let unfinished =
            turn.end_if_dropped("the connection is closed, as it could not be authenticated anew");
        self.authenticate(turn, broker, spoken).await?;
        unfinished.done();
        Ok(())
    }

    async fn authenticate(&self, turn: &Turn<'_>, broker: &Host, spoken: &Spoken) -> Result<()> {
        let exchange = Exchange {
            turn,
            broker,
            spoken,
            sasl: &self.sasl,
        };
        // The broker counts from before its answer came.
        let began = Instant::now();
        let lifetime = exchange.run().await?;
        *self.renew_at() = (!lifetime.is_zero()).then(|| began + most(lifetime));
        Ok(())
    }

    fn renew_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.renew_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 85 to 95 % as Java has it, so that clients do not all come at once; a year at most.
fn most(lifetime: Duration) -> Duration {
    const YEAR: Duration = Duration::from_secs(86_400 * 365);
    lifetime
        .min(YEAR)
        .mul_f64(fastrand::f64().mul_add(0.1, 0.85))
}
