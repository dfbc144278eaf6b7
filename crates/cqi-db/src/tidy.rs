use std::pin::pin;

use cqi_errors::Result;
use deadpool::managed::Object;
use tokio::time::timeout;

use crate::Pool;
use crate::error::postgres;
use crate::lifecycle::Lifecycle;
use crate::session::{Session, State};

/// Leaves nothing of one user for the next: transactions, locks, settings, temporary tables.
const CLEAN: &str = "ROLLBACK; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
    SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

impl Pool {
    /// Cleans a session in the background and gives it back, or closes it where that does not
    /// succeed within `recycle_timeout`.
    pub(crate) fn tidy(&self, mut object: Object<Lifecycle>, busy: bool) {
        let config = self.config();
        let (bound, connect_timeout) = (config.recycle_timeout, config.connect_timeout);
        let pooler = config.pgbouncer;
        // Until it is clean, also when the task is dropped with its runtime.
        object.state.broken = true;
        let loose = object.canceller.is_loose();
        self.spawn(async move {
            let canceller = object.canceller.clone();
            let mut cancel = pin!(async move {
                if busy {
                    canceller.cancel().await
                } else {
                    Ok(())
                }
            });
            let mut cancelled = false;
            let tidied = timeout(bound, async {
                cancel.as_mut().await?;
                cancelled = true;
                clean(&mut object, pooler).await
            });
            let tidied = matches!(tidied.await, Ok(Ok(()))) && !loose;
            if tidied {
                return;
            }
            drop(Object::take(object));
            if busy && !cancelled {
                // The slot is free again; the server is still told, should it come back.
                let _ = timeout(connect_timeout, cancel).await;
            }
        });
    }
}

async fn clean(session: &mut Session, pooler: bool) -> Result<()> {
    session.wire.call_back().await;
    let State {
        in_transaction,
        tainted,
        ..
    } = session.state;
    let sql = match (tainted, in_transaction) {
        (true, _) if !pooler => CLEAN,
        (false, false) => "",
        _ => "ROLLBACK",
    };
    // Ends when everything asked before has been answered, an empty statement included.
    let work = pin!(session.client.batch_execute(sql));
    let done = session.wire.drive(work).await;
    done.map_err(|error| postgres(error, "clean a connection"))?;
    session.state = State::default();
    Ok(())
}
