use std::time::Duration;

use tokio::time::Instant;

use super::connection::Failure;
use super::hosts::Host;

/// The least time between two lines about losses, so that a server that comes and goes does not fill
/// the log.
const APART: Duration = Duration::from_secs(10);

/// Log lines about a connection that is lost and found.
#[derive(Debug, Default)]
pub(super) struct Notices {
    last: Option<Instant>,
    held_back: u64,
    /// There was a line about what is wrong now, so there is one when it is right again.
    told: bool,
}

impl Notices {
    pub(super) fn lost(&mut self, host: &Host, cause: &Failure) {
        self.told = false;
        if self.is_due() {
            let held_back = std::mem::take(&mut self.held_back);
            let cause = cause.full();
            tracing::warn!(server = %host, cause, held_back, "lost the connection to redis");
            self.told = true;
        } else {
            self.held_back += 1;
        }
    }

    /// Somebody else has said that there is no connection.
    pub(super) fn warned(&mut self) {
        self.told = true;
    }

    /// One attempt failed, of many perhaps.
    pub(super) fn refused(&mut self, host: &Host, cause: &Failure) {
        let text = cause.full();
        // What does not pass by itself deserves a line of its own.
        if cause.is_permanent() && self.is_due() {
            tracing::warn!(server = %host, cause = text, "there is no connection to redis");
            self.told = true;
        } else {
            tracing::debug!(server = %host, cause = text, "there is no connection to redis");
        }
    }

    pub(super) fn found(&mut self, host: &Host) {
        if std::mem::take(&mut self.told) {
            tracing::info!(server = %host, "there is a connection to redis");
        }
    }

    fn is_due(&mut self) -> bool {
        let due = self.last.is_none_or(|last| last.elapsed() >= APART);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_every_ten_seconds_is_enough() {
        let mut notices = Notices::default();
        assert!(notices.is_due());
        tokio::time::advance(APART / 2).await;
        assert!(!notices.is_due());
        tokio::time::advance(APART / 2).await;
        assert!(notices.is_due());
        assert!(!notices.is_due());
    }
}
