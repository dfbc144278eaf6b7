use std::time::Duration;

use cqi_errors::Error;
use tokio::time::Instant;

use crate::{Delays, Retry};

/// One operation with all its attempts.
#[derive(Debug)]
pub(crate) struct Session {
    started: Instant,
    attempts: u32,
    delays: Option<Delays>,
}

impl Session {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            attempts: 0,
            delays: None,
        }
    }

    /// Counts an attempt that begins now and returns how long it may take.
    pub(crate) fn begin_attempt(&mut self, retry: &Retry) -> Option<Duration> {
        self.attempts = self.attempts.saturating_add(1);
        let timeout = retry.attempt_timeout?;
        let left = retry
            .max_elapsed
            .map(|max| max.saturating_sub(self.started.elapsed()));
        Some(left.map_or(timeout, |left| left.min(timeout)))
    }

    /// Says whether the error and the number of attempts allow another.
    pub(crate) fn may_retry(&self, retry: &Retry, error: &Error) -> bool {
        retry.max_attempts.is_none_or(|max| self.attempts < max) && retry.policy.retries(error)
    }

    /// Returns the pause before the next attempt, or `None` where there is to be none.
    pub(crate) fn pause(&mut self, retry: &Retry, error: &Error) -> Option<Duration> {
        if retry.is_cancelled() || !self.may_retry(retry, error) {
            return None;
        }
        let delays = self.delays.get_or_insert_with(|| retry.backoff.into_iter());
        let delay = delays.next()?;
        let delay = match error.retry_after() {
            Some(asked) => delay.max(asked).min(retry.backoff.max),
            None => delay,
        };
        let resumes = self.started.elapsed().saturating_add(delay);
        if retry.max_elapsed.is_some_and(|max| resumes >= max) || !retry.affords() {
            return None;
        }
        if let Some(hook) = &retry.on_retry {
            hook(self.attempts, delay, error);
        }
        Some(delay)
    }

    /// Says what happened so far: "3 attempts in 1.2s".
    fn summary(&self) -> String {
        let elapsed = self.started.elapsed();
        let elapsed = if elapsed < Duration::from_millis(1) {
            elapsed
        } else {
            Duration::from_millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
        };
        let plural = if self.attempts == 1 { "" } else { "s" };
        format!("{} attempt{plural} in {elapsed:?}", self.attempts)
    }

    /// Makes the error of the whole out of that of the last attempt.
    pub(crate) fn fail(&self, retry: &Retry, last: Option<Error>) -> Error {
        let retryable = last
            .as_ref()
            .is_none_or(|error| self.may_retry(retry, error));
        match last {
            Some(last) if !(retryable && retry.is_cancelled()) => match self.attempts {
                ..=1 => last,
                _ => last.context(format!("failed after {}", self.summary())),
            },
            last => {
                let stopped = match self.attempts {
                    0 => Error::cancelled("cancelled before the first attempt"),
                    _ => Error::cancelled(format!("cancelled after {}", self.summary())),
                };
                match last {
                    Some(last) => stopped.with_source(last),
                    None => stopped,
                }
            }
        }
    }
}
