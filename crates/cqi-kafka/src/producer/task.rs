use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use kafka_protocol::messages::ProduceRequest;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::request;
use super::sequencer::{Attempt, Ending, Route};
use super::shared::{Shared, State};
use crate::client::{Cluster, Link, Pauses};
use crate::code;
use crate::connection::Pending;
use crate::wire::{InitProducerIdAnswer, ProduceAnswer};

/// The resolution of timers.
const JUST_BEFORE: Duration = Duration::from_millis(1);

/// Carries out what the sequencer decides.
pub(super) struct Task {
    shared: Arc<Shared>,
    cluster: watch::Receiver<Arc<Cluster>>,
    connections: HashMap<Route, Connection>,
    /// What is asked of brokers.
    requests: FuturesUnordered<BoxFuture<'static, Event>>,
    identity: Identity,
    /// When topics that are not used any more are looked for.
    forget_at: Duration,
}

struct Connection {
    link: Arc<Link>,
    in_flight: usize,
}

/// Whether a producer id is asked for.
struct Identity {
    asking: bool,
    /// Not before.
    at: Instant,
    pauses: Pauses,
}

enum Event {
    Begun(Route, Result<Pending<ProduceRequest>>),
    Answered(Route, Vec<Attempt>, Result<ProduceAnswer>),
    Identified(Result<InitProducerIdAnswer>),
}

/// However the task ends, nobody is left to wait for an outcome.
impl Drop for Task {
    fn drop(&mut self) {
        // What was about to leave is not sent any more.
        self.requests.clear();
        self.shared.give_up();
    }
}

impl Task {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let identity = Identity {
            asking: false,
            at: Instant::now(),
            pauses: Pauses::new(
                shared.settings.retry_backoff,
                shared.settings.retry_backoff_max,
            ),
        };
        Self {
            cluster: shared.client.cluster(),
            connections: HashMap::new(),
            requests: FuturesUnordered::new(),
            identity,
            forget_at: shared.now() + shared.settings.metadata_max_idle,
            shared,
        }
    }

    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let wake_at = self.advance();
            let sleep = async {
                match wake_at {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                Some(event) = self.requests.next() => self.take(event),
                () = shared.wake.notified() => {}
                // The client outlives its producers.
                Ok(()) = self.cluster.changed() => self.follow_leaders(),
                () = sleep => {}
            }
            // What is ready as well is done together.
            while let Some(Some(event)) =
                futures_util::FutureExt::now_or_never(self.requests.next())
            {
                self.take(event);
            }
        }
    }

    /// Does all that can be done now; returns when there is more to do.
    fn advance(&mut self) -> Option<Instant> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state();
        let now = shared.now();
        state.sequencer.tick(now);
        shared.resolve(&mut state);
        if state.sequencer.take_stale() {
            shared.client.refresh();
        }
        let wake_at = self.identify(&state);
        self.send(&mut state);
        let deadline = state.sequencer.deadline(now);
        let deadlines = deadline.into_iter().chain(self.forget(&mut state, now));
        let deadlines = deadlines.map(|at| shared.instant(at));
        deadlines.chain(wake_at).min()
    }

    /// Lets go of topics that are not used any more; returns when to do so again.
    fn forget(&mut self, state: &mut State, now: Duration) -> Option<Duration> {
        let idle = self.shared.settings.metadata_max_idle;
        if self.forget_at <= now {
            state.forget(now, idle);
            self.forget_at = now + idle;
        }
        (!state.topics.is_empty()).then_some(self.forget_at)
    }

    /// Asks for a producer id, if one is wanted.
    fn identify(&mut self, state: &State) -> Option<Instant> {
        let identity = &mut self.identity;
        if identity.asking || !state.sequencer.wants_identity() {
            return None;
        }
        if identity.at > Instant::now() {
            return Some(identity.at);
        }
        identity.asking = true;
        let client = self.shared.client.clone();
        let timeout = self.shared.settings.request_timeout;
        self.requests.push(Box::pin(async move {
            Event::Identified(client.ask(&request::identity(), timeout).await)
        }));
        None
    }

    /// Sends what may be sent.
    fn send(&mut self, state: &mut State) {
        let mut routes: Vec<Route> = state
            .sequencer
            .busy()
            .filter_map(|(_, leader)| leader)
            .collect();
        routes.sort_unstable();
        routes.dedup();
        for route in routes {
            let connection = self.connections.entry(route).or_insert_with(|| Connection {
                link: Arc::new(self.shared.client.link(route.node)),
                in_flight: 0,
            });
            let settings = &self.shared.settings;
            // Requests are begun one after another, that their order is that of the batches.
            let leaving = state.leaving.contains_key(&route);
            if leaving || connection.in_flight >= settings.max_in_flight {
                continue;
            }
            let now = self.shared.now();
            let most = settings.max_request_bytes;
            let attempts = state.sequencer.drain(now, route, most);
            if attempts.is_empty() {
                continue;
            }
            let timeout = settings.request_timeout;
            let mut until = now + timeout;
            let batches = attempts.iter().filter_map(|attempt| {
                let batch = state.batches.get_mut(&attempt.batch)?;
                until = until.min(batch.deadline);
                Some((attempt, batch.numbered(attempt.producer)?))
            });
            let request = request::produce(batches, timeout);
            let until = self.shared.instant(until.saturating_sub(JUST_BEFORE));
            connection.in_flight += 1;
            state.leaving.insert(route, attempts);
            let link = Arc::clone(&connection.link);
            self.requests.push(Box::pin(async move {
                // Given up before its batches are, it has certainly sent none of them.
                let begun = timeout_at(until, link.begin(&request, timeout)).await;
                let begun = begun.unwrap_or_else(|_| {
                    Err(Error::timeout(format!(
                        "broker {} took no request in time",
                        route.node
                    )))
                });
                Event::Begun(route, begun)
            }));
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Begun(route, begun) => {
                let attempts = self
                    .shared
                    .state()
                    .leaving
                    .remove(&route)
                    .unwrap_or_default();
                match begun {
                    Ok(pending) => self.requests.push(Box::pin(async move {
                        Event::Answered(route, attempts, pending.answer().await)
                    })),
                    Err(error) => {
                        self.ended(route);
                        self.failed(&attempts, Ending::Unsent, &error);
                    }
                }
            }
            Event::Answered(route, attempts, Ok(answer)) => {
                self.ended(route);
                let mut state = self.shared.state();
                let now = self.shared.now();
                let endings = request::endings(&answer, &attempts);
                for (attempt, ending) in attempts.iter().zip(endings) {
                    state.sequencer.end(now, attempt, ending);
                }
                self.shared.resolve(&mut state);
            }
            Event::Answered(route, attempts, Err(error)) => {
                self.ended(route);
                self.shared.client.refresh();
                self.failed(&attempts, Ending::Lost, &error);
            }
            Event::Identified(answer) => self.identified(answer),
        }
    }

    fn ended(&mut self, route: Route) {
        if let Some(connection) = self.connections.get_mut(&route) {
            connection.in_flight -= 1;
        }
    }

    fn failed(&self, attempts: &[Attempt], ending: Ending, error: &Error) {
        let problem: Arc<str> = format!("{error:#}").into();
        let mut state = self.shared.state();
        let now = self.shared.now();
        for attempt in attempts {
            if let Some(batch) = state.batches.get_mut(&attempt.batch) {
                batch.problem = Some(Arc::clone(&problem));
            }
            state.sequencer.end(now, attempt, ending);
        }
        self.shared.resolve(&mut state);
    }

    fn identified(&mut self, answer: Result<InitProducerIdAnswer>) {
        self.identity.asking = false;
        self.identity.at = Instant::now() + self.identity.pauses.next();
        let answer = answer.and_then(|answer| match answer.error_code {
            0 if answer.producer_id >= 0 && answer.producer_epoch >= 0 => Ok(answer),
            0 => Err(Error::permanent(
                "the broker gave a negative producer id or epoch",
            )),
            code => Err(code::refused("InitProducerId", code, "this producer")),
        });
        let mut state = self.shared.state();
        match answer {
            Ok(answer) => {
                self.identity.pauses.reset();
                tracing::debug!(id = answer.producer_id, "got a producer id");
                let (id, epoch) = (answer.producer_id, answer.producer_epoch);
                state.sequencer.identify(id, epoch);
            }
            Err(error) => {
                let problem: Arc<str> = format!("{error:#}").into();
                tracing::warn!(error = &*problem, "no broker gives a producer id");
                for batch in state.batches.values_mut() {
                    batch.problem.get_or_insert_with(|| Arc::clone(&problem));
                }
                if !error.kind().is_retryable() {
                    state.refusal = Some((error.kind(), problem.to_string()));
                    state.sequencer.unidentified();
                    self.shared.resolve(&mut state);
                }
            }
        }
    }

    fn follow_leaders(&mut self) {
        let cluster = Arc::clone(&self.cluster.borrow_and_update());
        let mut state = self.shared.state();
        let busy: Vec<_> = state.sequencer.busy().map(|(p, _)| p.clone()).collect();
        for partition in busy {
            let leader = cluster.leader(&partition).map(|leader| leader.node);
            state.sequencer.lead(&partition, leader);
        }
        // A broker that left, and is asked nothing, needs none.
        self.connections.retain(|route, connection| {
            connection.in_flight > 0 || cluster.brokers.contains_key(&route.node)
        });
    }
}
