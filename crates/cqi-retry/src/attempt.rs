use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use cqi_errors::{Error, Result};
use pin_project_lite::pin_project;
use tokio::time::{Timeout, timeout};

use crate::Retry;
use crate::session::Session;

/// What the attempts of one call share.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    retry: &'a Retry,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    session: Session,
    /// The driver drops an error before it pauses; a cancellation then still has it to tell.
    last: Option<Error>,
}

impl<'a> Call<'a> {
    pub(crate) fn start(retry: &'a Retry) -> Self {
        let session = Session::start();
        let state = Mutex::new(State {
            session,
            last: None,
        });
        Self { retry, state }
    }

    pub(crate) fn attempt<F: Future>(&'a self, operation: impl FnOnce() -> F) -> Attempt<'a, F> {
        let operation = if self.retry.is_cancelled() {
            Operation::Cancelled
        } else {
            match self.state().session.begin_attempt(self.retry) {
                None => Operation::Unbounded {
                    operation: operation(),
                },
                Some(limit) => Operation::Bounded {
                    limit,
                    operation: timeout(limit, operation()),
                },
            }
        };
        Attempt {
            call: self,
            operation,
        }
    }

    pub(crate) fn pause(&self) -> Option<Duration> {
        let State { session, last } = &mut *self.state();
        session.pause(self.retry, last.as_ref()?)
    }

    pub(crate) fn error(&self) -> Error {
        let State { session, last } = &mut *self.state();
        session.fail(self.retry, last.take())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error is in the [`Call`].
#[derive(Debug)]
pub(crate) struct Failed;

pin_project! {
    /// Runs an operation once, within its bound.
    pub(crate) struct Attempt<'a, F> {
        call: &'a Call<'a>,
        #[pin]
        operation: Operation<F>,
    }
}

pin_project! {
    #[project = OperationProj]
    enum Operation<F> {
        Cancelled,
        Unbounded { #[pin] operation: F },
        Bounded { limit: Duration, #[pin] operation: Timeout<F> },
    }
}

impl<T, F: Future<Output = Result<T>>> Future for Attempt<'_, F> {
    type Output = Result<T, Failed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = match this.operation.project() {
            OperationProj::Cancelled => return Poll::Ready(Err(Failed)),
            OperationProj::Unbounded { operation } => ready!(operation.poll(cx)),
            OperationProj::Bounded { limit, operation } => ready!(operation.poll(cx))
                .unwrap_or_else(|elapsed| {
                    let message = format!("the attempt did not end within {limit:?}");
                    Err(Error::timeout(message).with_source(elapsed))
                }),
        };
        Poll::Ready(result.map_err(|error| {
            this.call.state().last = Some(error);
            Failed
        }))
    }
}
