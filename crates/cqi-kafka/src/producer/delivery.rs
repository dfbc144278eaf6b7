use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use cqi_errors::{Error, Result};
use tokio::sync::oneshot;

use super::sequencer::Written;

/// A batch on its way: resolves with where it is in the log, or with why it is not known to be there.
///
/// Dropping it changes nothing: the batch is sent all the same. See [`Written::of`] for what an
/// error means.
#[must_use = "only its outcome says whether the batch was written"]
#[derive(Debug)]
pub struct Delivery {
    outcome: oneshot::Receiver<Result<Delivered>>,
}

/// Where a batch is in the log of its partition: replicated, and there once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// The offset of its first record; `None` when brokers know only that it is there, as after a
    /// restart.
    pub offset: Option<i64>,
    /// When the broker appended it, in milliseconds since 1970, if the topic's
    /// `message.timestamp.type` is `LogAppendTime`.
    pub timestamp: Option<i64>,
}

impl Delivery {
    pub(super) const fn new(outcome: oneshot::Receiver<Result<Delivered>>) -> Self {
        Self { outcome }
    }
}

impl Future for Delivery {
    type Output = Result<Delivered>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = Pin::new(&mut self.outcome).poll(context);
        outcome.map(|outcome| {
            outcome.unwrap_or_else(|_| {
                let error = Error::cancelled(
                    "the Kafka producer was dropped before the batch had its outcome",
                );
                Err(Undelivered::mark(error, Written::Unknown))
            })
        })
    }
}

impl Written {
    /// Tells what the error of a [`Delivery`], or of [`Producer::send`](super::Producer::send),
    /// means for the log; of any other error, that nothing is known.
    ///
    /// ```
    /// use cqi_errors::Error;
    /// use cqi_kafka::producer::Written;
    ///
    /// assert_eq!(Written::of(&Error::timeout("publish")), Written::Unknown);
    /// ```
    #[must_use]
    pub fn of(error: &Error) -> Self {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = next {
            if let Some(Undelivered(written)) = error.downcast_ref() {
                return *written;
            }
            next = error.source();
        }
        Self::Unknown
    }
}

/// Carries the knowledge in an error's chain, and says it there.
#[derive(Debug)]
pub(super) struct Undelivered(Written);

impl Undelivered {
    pub(super) fn mark(error: Error, written: Written) -> Error {
        error.with_source(Self(written))
    }
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Written::No => "the batch was not written",
            Written::Unknown => "the batch may have been written",
        })
    }
}

impl std::error::Error for Undelivered {}
