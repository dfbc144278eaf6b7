use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::connect::Canceller;

/// How long a cancelled query may take to end before its connection is given up.
pub(crate) const GRACE: Duration = Duration::from_millis(150);

/// Returns the moment at which a bound ends, however long it is.
pub(crate) fn after(start: Instant, bound: Duration) -> Instant {
    start + bound.min(Duration::from_secs(10 * 365 * 86_400))
}

/// How work that has a bound ended.
pub(crate) enum Ended<T> {
    InTime(T),
    /// It ended after the server was asked to cancel it. Unless the request is known to have been
    /// dealt with, it may still hit the next query of the session.
    Cancelled {
        output: T,
        confirmed: bool,
    },
    Running,
}

/// Runs work until a deadline; then has it cancelled on the server and gives it a short grace.
pub(crate) async fn bounded<T>(
    deadline: Instant,
    canceller: &Canceller,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Ended<T> {
    if let Ok(output) = timeout_at(deadline, work.as_mut()).await {
        return Ended::InTime(output);
    }
    let grace = Instant::now() + GRACE;
    let cancel = timeout_at(grace, canceller.cancel());
    match tokio::join!(cancel, timeout_at(grace, work)) {
        (cancelled, Ok(output)) => Ended::Cancelled {
            output,
            confirmed: matches!(cancelled, Ok(Ok(()))),
        },
        (_, Err(_)) => Ended::Running,
    }
}
