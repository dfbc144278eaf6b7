use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use cqi_errors::{Error, Kind};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower_layer::Layer;
use tower_service::Service;

use crate::session::Session;
use crate::{Budget, Retry};

/// Retries the calls of a tower client whose requests can be cloned.
///
/// A function says which results are failures: it returns their [`Error`], which the policy, the
/// hook and the suggested delay then work on. What the caller gets is the client's own last response
/// or error, unchanged. Unless `retry` has a [`Budget`], all services of the layer share a default
/// one.
///
/// A request is retried whatever its method: leave out, by the function, what must not be done
/// twice. [`attempt_timeout`](crate::RetryBuilder::attempt_timeout) is left to a timeout layer within
/// this one; [`Kind::of`] knows tower's.
///
/// ```
/// use cqi_errors::{Error, Kind};
/// use cqi_retry::{Retry, RetryLayer};
/// use http::{Request, Response};
/// use tower::{BoxError, ServiceBuilder, service_fn};
///
/// let failure = |result: Result<&Response<String>, &BoxError>| match result {
///     Ok(response) => Error::from_response(response),
///     Err(error) => Some(Error::new(Kind::of(error.as_ref()), error.to_string())),
/// };
/// let client = ServiceBuilder::new()
///     .layer(RetryLayer::new(Retry::default(), failure))
///     .service(service_fn(async |_: Request<String>| {
///         Ok::<_, BoxError>(Response::new("pong".to_owned()))
///     }));
/// # use tower::ServiceExt;
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let response = client.oneshot(Request::new("ping".to_owned())).await.unwrap();
/// assert_eq!(response.into_body(), "pong");
/// # });
/// ```
#[derive(Clone)]
#[must_use]
pub struct RetryLayer<C> {
    retry: Arc<Retry>,
    failure: C,
}

impl<C> RetryLayer<C> {
    /// Makes a layer that retries as `retry` says what `failure` returns an error for.
    pub fn new<Res, E>(mut retry: Retry, failure: C) -> Self
    where
        C: Fn(Result<&Res, &E>) -> Option<Error>,
    {
        retry.budget.get_or_insert_with(Budget::default);
        Self {
            retry: Arc::new(retry),
            failure,
        }
    }
}

/// Takes every response for a success and an error for what [`Kind::of`] says.
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
#[must_use]
pub fn on_error<Res, E: StdError + 'static>(result: Result<&Res, &E>) -> Option<Error> {
    let error = result.err()?;
    Some(Error::new(Kind::of(error), error.to_string()))
}

impl<C> fmt::Debug for RetryLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RetryLayer").field(&self.retry).finish()
    }
}

impl<S, C: Clone> Layer<S> for RetryLayer<C> {
    type Service = RetryService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        RetryService {
            inner,
            layer: self.clone(),
        }
    }
}

/// Retries the calls of a service; made by [`RetryLayer`].
#[derive(Clone)]
pub struct RetryService<S, C> {
    inner: S,
    layer: RetryLayer<C>,
}

impl<S: fmt::Debug, C> fmt::Debug for RetryService<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryService")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}

impl<S, C, Req> Service<Req> for RetryService<S, C>
where
    S: Service<Req> + Clone,
    C: Fn(Result<&S::Response, &S::Error>) -> Option<Error> + Clone,
    Req: Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, C, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        // The ready one is called; its clone is not ready and stays.
        let clone = self.inner.clone();
        let mut service = mem::replace(&mut self.inner, clone);
        let mut session = Session::start();
        session.begin_attempt(&self.layer.retry);
        let future = service.call(request.clone());
        ResponseFuture {
            request,
            service,
            layer: self.layer.clone(),
            session,
            state: State::Calling { future },
        }
    }
}

pin_project! {
    /// The future of a [`RetryService`].
    ///
    /// # Cancel safety
    /// Dropping it drops the attempt under way, or ends the pause; nothing runs on.
    pub struct ResponseFuture<S: Service<Req>, C, Req> {
        request: Req,
        service: S,
        layer: RetryLayer<C>,
        session: Session,
        #[pin]
        state: State<S::Future, S::Response, S::Error>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, Res, E> {
        Calling { #[pin] future: F },
        Pausing {
            #[pin] sleep: Sleep,
            #[pin] cancelled: Option<WaitForCancellationFutureOwned>,
            // What the caller gets if the pause is cancelled.
            last: Option<Result<Res, E>>,
        },
        Resuming,
    }
}

impl<S, C, Req> Future for ResponseFuture<S, C, Req>
where
    S: Service<Req>,
    C: Fn(Result<&S::Response, &S::Error>) -> Option<Error>,
    Req: Clone,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let retry = &this.layer.retry;
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Calling { future } => {
                    let result = ready!(future.poll(cx));
                    let Some(error) = (this.layer.failure)(result.as_ref()) else {
                        retry.succeeded();
                        return Poll::Ready(result);
                    };
                    let Some(pause) = this.session.pause(retry, &error) else {
                        return Poll::Ready(result);
                    };
                    State::Pausing {
                        sleep: sleep(pause),
                        cancelled: retry
                            .cancellation
                            .clone()
                            .map(CancellationToken::cancelled_owned),
                        last: Some(result),
                    }
                }
                StateProj::Pausing {
                    sleep,
                    cancelled,
                    last,
                } => {
                    if let Some(cancelled) = cancelled.as_pin_mut()
                        && cancelled.poll(cx).is_ready()
                        && let Some(last) = last.take()
                    {
                        return Poll::Ready(last);
                    }
                    ready!(sleep.poll(cx));
                    State::Resuming
                }
                StateProj::Resuming => {
                    ready!(this.service.poll_ready(cx))?;
                    this.session.begin_attempt(retry);
                    State::Calling {
                        future: this.service.call(this.request.clone()),
                    }
                }
            };
            this.state.set(next);
        }
    }
}

impl<S: Service<Req>, C, Req> fmt::Debug for ResponseFuture<S, C, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
