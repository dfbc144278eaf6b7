use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};
use tokio_util::sync::CancellationToken;

use crate::problems::Problems;
use crate::{Backoff, Policy};

/// Says when to try again, and when to stop; [`retry`](crate::retry()) and `RetryLayer` follow it.
///
/// The default is 5 attempts within 30 s, with the default [`Backoff`] and [`Policy`]. It is made
/// once and used for any number of operations, also at the same time.
#[derive(Clone)]
pub struct Retry {
    pub(crate) backoff: Backoff,
    pub(crate) policy: Policy,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) max_elapsed: Option<Duration>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) cancellation: Option<CancellationToken>,
    pub(crate) on_retry: Option<Arc<OnRetry>>,
    #[cfg(feature = "tower")]
    pub(crate) budget: Option<crate::Budget>,
}

type OnRetry = dyn Fn(u32, Duration, &Error) + Send + Sync;

impl Default for Retry {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            policy: Policy::default(),
            max_attempts: Some(5),
            max_elapsed: Some(Duration::from_secs(30)),
            attempt_timeout: None,
            cancellation: None,
            on_retry: None,
            #[cfg(feature = "tower")]
            budget: None,
        }
    }
}

impl Retry {
    /// Starts from the defaults.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cqi_retry::{Policy, Retry};
    ///
    /// let retry = Retry::builder()
    ///     .max_attempts(10)
    ///     .max_elapsed(None)
    ///     .policy(Policy::All)
    ///     .on_retry(|attempt, delay, error| eprintln!("attempt {attempt}: {error:#}; again in {delay:?}"))
    ///     .build()?;
    /// # Ok::<(), cqi_errors::Error>(())
    /// ```
    pub fn builder() -> RetryBuilder {
        RetryBuilder(Self::default())
    }

    /// Sets the token that stops the operation, for settings that outlive it.
    #[must_use]
    pub fn with_cancellation(mut self, token: CancellationToken) -> Self {
        self.cancellation = Some(token);
        self
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        let token = self.cancellation.as_ref();
        token.is_some_and(CancellationToken::is_cancelled)
    }

    pub(crate) fn succeeded(&self) {
        #[cfg(feature = "tower")]
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
    }

    /// Takes one retry from the budget, where there is one.
    pub(crate) fn affords(&self) -> bool {
        #[cfg(feature = "tower")]
        if let Some(budget) = &self.budget {
            return budget.withdraw();
        }
        true
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("backoff", &self.backoff)
            .field("policy", &self.policy)
            .field("max_attempts", &self.max_attempts)
            .field("max_elapsed", &self.max_elapsed)
            .field("attempt_timeout", &self.attempt_timeout)
            .finish_non_exhaustive()
    }
}

/// Builds a [`Retry`].
#[derive(Clone, Debug)]
#[must_use = "call `build`"]
pub struct RetryBuilder(Retry);

impl RetryBuilder {
    /// Sets the pauses between attempts.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.0.backoff = backoff;
        self
    }

    /// Sets which errors are worth another attempt.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.0.policy = policy;
        self
    }

    /// Sets how often the operation is tried in all, the first time included: at least 1; `None`
    /// for no limit. Default 5.
    pub fn max_attempts(mut self, attempts: impl Into<Option<u32>>) -> Self {
        self.0.max_attempts = attempts.into();
        self
    }

    /// Sets how long after the start another attempt may begin: above zero; `None` for no limit.
    /// Default 30 s.
    ///
    /// A pause that would reach the limit is not begun: the last error returns at once. An attempt
    /// under way is not cut short, unless there is an
    /// [`attempt_timeout`](RetryBuilder::attempt_timeout).
    pub fn max_elapsed(mut self, elapsed: impl Into<Option<Duration>>) -> Self {
        self.0.max_elapsed = elapsed.into();
        self
    }

    /// Sets how long one attempt may take: above zero; `None` for no limit, the default.
    ///
    /// A longer one is dropped and fails with [`Kind::Timeout`](cqi_errors::Kind::Timeout). What is
    /// left of [`max_elapsed`](RetryBuilder::max_elapsed) bounds the attempt too, so that both
    /// together bound the whole call. `RetryLayer` leaves this to a timeout layer within it.
    pub fn attempt_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.0.attempt_timeout = timeout.into();
        self
    }

    /// Sets the token that stops the operation at once, be it in a pause or in an attempt.
    pub fn cancellation(mut self, token: CancellationToken) -> Self {
        self.0.cancellation = Some(token);
        self
    }

    /// Sets what is called before each pause, with the number of the attempt that failed (from 1),
    /// the pause and the error: for a log line or a counter. It must not block.
    pub fn on_retry(
        mut self,
        hook: impl Fn(u32, Duration, &Error) + Send + Sync + 'static,
    ) -> Self {
        self.0.on_retry = Some(Arc::new(hook));
        self
    }

    /// Sets the budget that retries are taken from; clones of it share one balance.
    #[cfg(feature = "tower")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
    pub fn budget(mut self, budget: crate::Budget) -> Self {
        self.0.budget = Some(budget);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// `InvalidInput` that names each wrong setting, what it is and what is allowed;
    /// [`Error::field`] names it where there is only one.
    pub fn build(self) -> Result<Retry> {
        let retry = self.0;
        let mut problems = Problems::default();
        retry.backoff.check(&mut problems);
        if retry.max_attempts == Some(0) {
            problems.add("max_attempts", "must be at least 1, or none for no limit");
        }
        for (field, limit) in [
            ("max_elapsed", retry.max_elapsed),
            ("attempt_timeout", retry.attempt_timeout),
        ] {
            if limit.is_some_and(|limit| limit.is_zero()) {
                problems.add(field, "must be above 0s, or none for no limit");
            }
        }
        problems.into_result()?;
        Ok(retry)
    }
}
