use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cqi_errors::{Error, Kind, Result};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::failure::Failure;
use super::wait::Wait;
use super::{ConnectionSettings, Host, transport};
use crate::wire::{Answer, Api, correlation_id, decode, encode};

/// Sends requests in order and gives each its answer, over one stream that a task of its own serves.
///
/// The task ends with the stream, or when this is dropped.
pub(super) struct Channel {
    shared: Arc<Shared>,
    /// Held by who begins requests; fair, so that they are written as they were begun.
    turn: tokio::sync::Mutex<()>,
    task: Mutex<JoinSet<()>>,
}

/// What callers and the task both work on.
pub(super) struct Shared {
    broker: Host,
    client_id: StrBytes,
    pub(super) max_frame_bytes: usize,
    /// One for each request that may await its answer.
    slots: Arc<Semaphore>,
    max_in_flight: usize,
    state: Mutex<State>,
    /// There is something to write.
    pub(super) unwritten: Notify,
    /// A request must be answered earlier than those before it.
    pub(super) sooner: Notify,
    /// Why the connection ended. Changes while the state is locked, so that no request comes after it.
    closed: watch::Sender<Option<Failure>>,
}

#[derive(Default)]
struct State {
    next_id: i32,
    /// Whole requests that are not written yet.
    frames: VecDeque<Bytes>,
    /// Requests in the order of their ids, which is that of their answers.
    waiting: VecDeque<Waiting>,
    throttled_until: Option<Instant>,
}

/// A request that has no answer yet.
pub(super) struct Waiting {
    id: i32,
    api: ApiKey,
    wait: Wait,
    deliver: Deliver,
    _slot: OwnedSemaphorePermit,
}

/// Reads the answer for the caller; returns how long the broker wants to hear nothing, or what is wrong
/// with the answer.
type Deliver = Box<dyn FnOnce(Result<Bytes>) -> std::result::Result<Duration, String> + Send>;

/// The right to begin requests, before all who come later.
pub(super) struct Turn<'a> {
    channel: &'a Channel,
    wait: Wait,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Channel {
    pub(super) fn start<S>(stream: S, broker: Host, settings: &ConnectionSettings) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let max_in_flight = settings.max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared {
            broker,
            client_id: settings.client_id.clone().into(),
            max_frame_bytes: settings.max_frame_bytes,
            slots: Arc::new(Semaphore::new(max_in_flight)),
            max_in_flight,
            state: Mutex::default(),
            unwritten: Notify::new(),
            sooner: Notify::new(),
            closed: watch::Sender::new(None),
        });
        let mut task = JoinSet::new();
        task.spawn(transport::run(stream, Arc::clone(&shared)));
        Self {
            shared,
            turn: tokio::sync::Mutex::new(()),
            task: Mutex::new(task),
        }
    }

    pub(super) async fn turn(&self, api: ApiKey, wait: Wait) -> Result<Turn<'_>> {
        let turn = timeout_at(wait.deadline, self.turn.lock()).await;
        let turn = turn.map_err(|_| {
            self.shared
                .unsent(api, wait, "requests before it wait to be sent")
        })?;
        Ok(Turn {
            channel: self,
            wait,
            _turn: turn,
        })
    }

    pub(super) fn broker(&self) -> &Host {
        &self.shared.broker
    }

    /// Waits for an answer that a turn began.
    pub(super) async fn answered<A>(
        &self,
        api: ApiKey,
        answer: oneshot::Receiver<Result<A>>,
    ) -> Result<A> {
        let gone = |_| Err(self.shared.refused(api));
        answer.await.unwrap_or_else(gone)
    }

    pub(super) fn is_open(&self) -> bool {
        self.shared.closed.borrow().is_none()
    }

    /// Ends the connection and waits for its task.
    pub(super) async fn close(&self, why: Failure) {
        self.shared.close(why);
        let mut task = {
            let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *task)
        };
        while task.join_next().await.is_some() {}
    }
}

impl Turn<'_> {
    /// Has the request written next; waits for a slot, and while the broker throttles.
    ///
    /// # Cancel safety
    /// A dropped future has sent nothing.
    pub(super) async fn begin<R: Api>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<oneshot::Receiver<Result<R::Answer>>> {
        let shared = &self.channel.shared;
        let wait = self.wait;
        let slot = timeout_at(wait.deadline, Arc::clone(&shared.slots).acquire_owned()).await;
        let slot = slot
            .map_err(|_| {
                let busy = format!(
                    "{} requests, the most allowed, await their answers",
                    shared.max_in_flight
                );
                shared.unsent(R::KEY, wait, &busy)
            })?
            .map_err(|_closed| shared.refused(R::KEY))?;
        shared.wait_out_throttle(R::KEY, wait).await?;
        // The turn is ours: nobody else takes an id.
        let id = shared.state().next_id;
        let frame = encode(request, version, id, &shared.client_id)?;
        let (sender, receiver) = oneshot::channel();
        shared.push(
            frame,
            Waiting {
                id,
                api: R::KEY,
                wait,
                deliver: deliver::<R>(version, sender),
                _slot: slot,
            },
        )?;
        Ok(receiver)
    }

    pub(super) async fn send<R: Api>(&self, request: &R, version: i16) -> Result<R::Answer> {
        let answer = self.begin(request, version).await?;
        self.channel.answered(R::KEY, answer).await
    }
}

impl<'a> Turn<'a> {
    /// Ends the connection unless what is begun here is done.
    pub(super) fn end_if_dropped(&self, why: &'static str) -> Unfinished<'a> {
        Unfinished {
            shared: Some(&self.channel.shared),
            why,
        }
    }
}

/// Ends a connection when dropped.
pub(super) struct Unfinished<'a> {
    shared: Option<&'a Shared>,
    why: &'static str,
}

impl Unfinished<'_> {
    pub(super) fn done(mut self) {
        self.shared = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared {
            shared.close(Failure::new(Kind::Temporary, self.why));
        }
    }
}

fn deliver<R: Api>(version: i16, sender: oneshot::Sender<Result<R::Answer>>) -> Deliver {
    Box::new(move |frame| {
        let answer = match frame {
            Ok(frame) => decode::<R>(frame, version),
            Err(error) => {
                let _ = sender.send(Err(error));
                return Ok(Duration::ZERO);
            }
        };
        let outcome = match &answer {
            Ok(answer) => Ok(Duration::from_millis(
                answer.throttle_ms().try_into().unwrap_or(0),
            )),
            Err(error) => Err(format!("{error:#}")),
        };
        // Who dropped the other end does not want it any more.
        let _ = sender.send(answer);
        outcome
    })
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // What is done under the lock does not panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_out_throttle(&self, api: ApiKey, wait: Wait) -> Result<()> {
        loop {
            let until = self.state().throttled_until;
            let Some(until) = until.filter(|until| *until > Instant::now()) else {
                return Ok(());
            };
            tokio::select! {
                _ = self.closed() => return Err(self.refused(api)),
                () = tokio::time::sleep_until(until.min(wait.deadline)) => {}
            }
            if until > wait.deadline {
                let left = until.saturating_duration_since(Instant::now());
                let throttled = format!("it throttles this client for another {left:.1?}");
                return Err(self.unsent(api, wait, &throttled));
            }
        }
    }

    fn push(&self, frame: Bytes, waiting: Waiting) -> Result<()> {
        let mut state = self.state();
        if self.closed.borrow().is_some() {
            return Err(self.refused(waiting.api));
        }
        let deadline = waiting.wait.deadline;
        let sooner = state
            .waiting
            .iter()
            .all(|before| deadline < before.wait.deadline);
        state.next_id = state.next_id.wrapping_add(1) & i32::MAX;
        state.frames.push_back(frame);
        state.waiting.push_back(waiting);
        drop(state);
        self.unwritten.notify_one();
        if sooner {
            self.sooner.notify_one();
        }
        Ok(())
    }

    /// Takes what is to be written next.
    pub(super) fn next_frame(&self) -> Option<Bytes> {
        self.state().frames.pop_front()
    }

    /// Says when the next request has waited for too long.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let state = self.state();
        let deadlines = state.waiting.iter().map(|waiting| waiting.wait.deadline);
        deadlines.min()
    }

    /// Gives an answer to its request.
    pub(super) fn deliver(&self, frame: Bytes) -> std::result::Result<(), Failure> {
        let id = correlation_id(&frame)
            .ok_or_else(|| Failure::out_of_step("its answer is too short for a correlation id"))?;
        let waiting = {
            let mut state = self.state();
            match state.waiting.front() {
                Some(next) if next.id == id => state.waiting.pop_front(),
                Some(next) => {
                    return Err(Failure::out_of_step(format!(
                        "it answered correlation id {id} where {} was due, that of {:?}",
                        next.id, next.api
                    )));
                }
                None => None,
            }
        };
        let Some(waiting) = waiting else {
            return Err(Failure::out_of_step(format!(
                "it answered correlation id {id}, and no request awaits an answer"
            )));
        };
        let api = waiting.api;
        match (waiting.deliver)(Ok(frame)) {
            Ok(Duration::ZERO) => Ok(()),
            Ok(throttle) => {
                tracing::debug!(broker = %self.broker, ?api, ?throttle, "broker throttles");
                let until = Instant::now() + throttle;
                let mut state = self.state();
                state.throttled_until = state.throttled_until.max(Some(until));
                Ok(())
            }
            Err(problem) => Err(Failure::out_of_step(format!(
                "its answer to {api:?} cannot be read: {problem}"
            ))),
        }
    }

    /// Ends the connection for a request that was not answered in time, if there is one.
    pub(super) fn expired(&self) -> Option<Failure> {
        let now = Instant::now();
        let state = self.state();
        let expired = state
            .waiting
            .iter()
            .find(|next| next.wait.deadline <= now)?;
        Some(Failure::silence(expired.api, expired.wait.timeout))
    }

    /// Waits until the connection has ended.
    pub(super) async fn closed(&self) -> Failure {
        let mut closed = self.closed.subscribe();
        let _ = closed.wait_for(Option::is_some).await;
        self.why()
    }

    /// Ends the connection and tells all who wait; the first reason stays.
    pub(super) fn close(&self, why: Failure) {
        let (waiting, why) = {
            let mut state = self.state();
            let first = self.closed.send_if_modified(|closed| {
                let first = closed.is_none();
                closed.get_or_insert(why);
                first
            });
            if !first {
                return;
            }
            self.slots.close();
            state.frames.clear();
            (std::mem::take(&mut state.waiting), self.why())
        };
        tracing::debug!(broker = %self.broker, reason = why.reason(), "connection closed");
        let now = Instant::now();
        for waiting in waiting {
            let error = match waiting.wait.deadline <= now {
                true => self.unanswered(waiting.api, waiting.wait),
                false => {
                    let waited = now.saturating_duration_since(waiting.wait.began);
                    why.unanswered(&self.broker, waiting.api, waited)
                }
            };
            let _ = (waiting.deliver)(Err(error));
        }
    }

    fn why(&self) -> Failure {
        let closed = self.closed.borrow();
        closed.clone().unwrap_or_else(Failure::end_of_stream)
    }

    fn refused(&self, api: ApiKey) -> Error {
        self.why().unsent(&self.broker, api)
    }

    fn unanswered(&self, api: ApiKey, wait: Wait) -> Error {
        Error::timeout(format!(
            "kafka broker {} did not answer {api:?} within {:?}; the connection is closed",
            self.broker, wait.timeout
        ))
    }

    fn unsent(&self, api: ApiKey, wait: Wait, because: &str) -> Error {
        Error::timeout(format!(
            "{api:?} was not sent to kafka broker {} within {:?}: {because}",
            self.broker, wait.timeout
        ))
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("broker", &self.shared.broker)
            .field("closed", &*self.shared.closed.borrow())
            .finish_non_exhaustive()
    }
}
