//! An observer that remembers all it was told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cqi_tower::{Ending, GrpcStatus, Observation, Observer, Outcome, RequestInfo};
use http::{Request, Response};
use tokio::sync::watch;

/// What an observer was told at the end of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) ending: Ending,
    pub(crate) status: u16,
    pub(crate) head: Option<u16>,
    pub(crate) grpc: Option<GrpcStatus>,
    pub(crate) grpc_method: Option<String>,
    pub(crate) server_error: bool,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) route: Option<String>,
    pub(crate) request_size: Option<u64>,
    pub(crate) response_size: u64,
    pub(crate) error: Option<String>,
    pub(crate) elapsed: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    ends: Arc<Mutex<Vec<End>>>,
    /// Requests started and ended.
    counts: Arc<watch::Sender<(usize, usize)>>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            ends: Arc::default(),
            counts: Arc::new(watch::Sender::new((0, 0))),
        }
    }

    pub(crate) fn started(&self) -> usize {
        self.counts.borrow().0
    }

    pub(crate) fn ends(&self) -> Vec<End> {
        self.ends.lock().unwrap().clone()
    }

    /// Returns the end of the only request.
    #[track_caller]
    pub(crate) fn only(&self) -> End {
        let ends = self.ends();
        assert_eq!((self.started(), ends.len()), (1, 1), "{ends:#?}");
        ends.into_iter().next().unwrap()
    }

    pub(crate) async fn until_started(&self, count: usize) {
        self.until(|&(started, _)| started >= count).await;
    }

    pub(crate) async fn until_ended(&self, count: usize) -> Vec<End> {
        self.until(|&(_, ended)| ended >= count).await;
        self.ends()
    }

    pub(crate) async fn until_all_ended(&self) {
        self.until(|(started, ended)| started == ended).await;
    }

    async fn until(&self, reached: impl FnMut(&(usize, usize)) -> bool) {
        let mut counts = self.counts.subscribe();
        let wait = counts.wait_for(reached);
        let outcome = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(
            outcome.is_ok(),
            "still {:?} after 20 s",
            self.counts.borrow()
        );
    }
}

impl Observer for Recorder {
    type Observation = Self;

    fn on_request<B>(&self, _: &mut Request<B>, _: &mut RequestInfo) -> Self {
        self.counts.send_modify(|(started, _)| *started += 1);
        self.clone()
    }
}

impl Observation for Recorder {
    fn on_response<B>(&mut self, response: &mut Response<B>, _: &RequestInfo) {
        response
            .headers_mut()
            .insert("x-observed", http::HeaderValue::from_static("yes"));
    }

    fn on_end(self, outcome: &Outcome<'_>) {
        self.ends.lock().unwrap().push(End {
            ending: outcome.ending,
            status: outcome.status().as_u16(),
            head: outcome.head.map(|head| head.as_u16()),
            grpc: outcome.grpc(),
            grpc_method: outcome.grpc_method().map(str::to_owned),
            server_error: outcome.is_server_error(),
            method: outcome.request.method().to_string(),
            path: outcome.request.path().to_owned(),
            route: outcome.request.route().map(str::to_owned),
            request_size: outcome.request_size,
            response_size: outcome.response_size,
            error: outcome.error.map(|error| format!("{error:#}")),
            elapsed: outcome.elapsed,
        });
        self.counts.send_modify(|(_, ended)| *ended += 1);
    }
}
