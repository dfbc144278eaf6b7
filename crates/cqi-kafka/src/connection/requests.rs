use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cqi_errors::{Error, Result};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::failure::Failure;
use super::wait::Wait;
use super::{ConnectionSettings, Host};
use crate::wire::{Answer, Api, correlation_id, decode};

/// The requests of a connection that have no answer yet: callers add to them, and its task writes
/// them, gives them their answers and watches their deadlines.
pub(super) struct Requests {
    broker: Host,
    client_id: StrBytes,
    /// One for each request that may await its answer.
    slots: Arc<Semaphore>,
    max_in_flight: usize,
    max_frame_bytes: usize,
    state: Mutex<State>,
    /// There is something to write.
    queued: Notify,
    /// A deadline was added that comes before all others.
    sooner: Notify,
    /// Why the connection ended. Changes while the state is locked, so that no request comes after it.
    closed: watch::Sender<Option<Failure>>,
}

#[derive(Default)]
struct State {
    next_id: i32,
    /// Whole requests that are not written yet.
    frames: VecDeque<Bytes>,
    /// In the order of their ids, which is that of their answers.
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

/// Tells the caller how its request ended.
type Deliver = Box<dyn FnOnce(&Requests, Result<Bytes>) + Send>;

impl Waiting {
    pub(super) fn new<R: Api>(
        id: i32,
        version: i16,
        wait: Wait,
        slot: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<Result<R::Answer>>) {
        let (sender, answer) = oneshot::channel();
        let deliver = move |requests: &Requests, frame: Result<Bytes>| {
            let answer = frame.and_then(|frame| requests.read::<R>(frame, version));
            // Who dropped the other end does not want it any more.
            let _ = sender.send(answer);
        };
        let waiting = Self {
            id,
            api: R::KEY,
            wait,
            deliver: Box::new(deliver),
            _slot: slot,
        };
        (waiting, answer)
    }
}

/// What callers do.
impl Requests {
    pub(super) fn new(broker: Host, settings: &ConnectionSettings) -> Self {
        let max_in_flight = settings.max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            broker,
            client_id: settings.client_id.clone().into(),
            slots: Arc::new(Semaphore::new(max_in_flight)),
            max_in_flight,
            max_frame_bytes: settings.max_frame_bytes,
            state: Mutex::default(),
            queued: Notify::new(),
            sooner: Notify::new(),
            closed: watch::Sender::new(None),
        }
    }

    pub(super) const fn broker(&self) -> &Host {
        &self.broker
    }

    pub(super) const fn client_id(&self) -> &StrBytes {
        &self.client_id
    }

    pub(super) fn is_open(&self) -> bool {
        self.closed.borrow().is_none()
    }

    pub(super) async fn slot(&self, api: ApiKey, wait: Wait) -> Result<OwnedSemaphorePermit> {
        let slot = timeout_at(wait.deadline, Arc::clone(&self.slots).acquire_owned()).await;
        slot.map_err(|_| {
            let busy = format!(
                "{} requests, the most allowed, await their answers",
                self.max_in_flight
            );
            self.late(api, wait, &busy)
        })?
        .map_err(|_closed| self.refused(api))
    }

    pub(super) async fn wait_out_throttle(&self, api: ApiKey, wait: Wait) -> Result<()> {
        loop {
            let until = self.state().throttled_until;
            let Some(until) = until.filter(|until| *until > Instant::now()) else {
                return Ok(());
            };
            tokio::select! {
                _ = self.closed() => return Err(self.refused(api)),
                () = sleep_until(until.min(wait.deadline)) => {}
            }
            if until > wait.deadline {
                let left = until.saturating_duration_since(Instant::now());
                let throttled = format!("it throttles this client for another {left:.1?}");
                return Err(self.late(api, wait, &throttled));
            }
        }
    }

    pub(super) fn next_id(&self) -> i32 {
        self.state().next_id
    }

    pub(super) fn push(&self, frame: Bytes, waiting: Waiting) -> Result<()> {
        let mut state = self.state();
        if !self.is_open() {
            return Err(self.refused(waiting.api));
        }
        let deadline = waiting.wait.deadline;
        let mut others = state.waiting.iter();
        let sooner = others.all(|other| deadline < other.wait.deadline);
        state.next_id = state.next_id.wrapping_add(1) & i32::MAX;
        state.frames.push_back(frame);
        state.waiting.push_back(waiting);
        drop(state);
        self.queued.notify_one();
        if sooner {
            self.sooner.notify_one();
        }
        Ok(())
    }

    pub(super) async fn answered<A>(
        &self,
        api: ApiKey,
        answer: oneshot::Receiver<Result<A>>,
    ) -> Result<A> {
        answer.await.unwrap_or_else(|_| Err(self.refused(api)))
    }

    /// A request that could not be sent in time; the connection is none the worse for it.
    pub(super) fn late(&self, api: ApiKey, wait: Wait, because: &str) -> Error {
        Error::timeout(format!(
            "{api:?} was not sent to kafka broker {} within {:?}: {because}",
            self.broker, wait.timeout
        ))
    }

    /// A request to a connection that has ended.
    fn refused(&self, api: ApiKey) -> Error {
        self.why().unsent(&self.broker, api)
    }
}

/// What the connection's task does.
impl Requests {
    /// Waits until there is something to write.
    pub(super) async fn queued(&self) {
        self.queued.notified().await;
    }

    pub(super) fn next_frame(&self) -> Option<Bytes> {
        self.state().frames.pop_front()
    }

    /// Waits until a deadline comes that is before all that there were.
    pub(super) async fn sooner(&self) {
        self.sooner.notified().await;
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let state = self.state();
        let deadlines = state.waiting.iter().map(|waiting| waiting.wait.deadline);
        deadlines.min()
    }

    /// Says which request has not been answered in time, if there is one.
    pub(super) fn expired(&self) -> Option<Failure> {
        let state = self.state();
        let mut waiting = state.waiting.iter();
        let expired = waiting.find(|next| next.wait.is_over())?;
        Some(Failure::silence(expired.api, expired.wait.timeout))
    }

    /// Gives an answer to its request.
    pub(super) fn deliver(&self, frame: Bytes) -> std::result::Result<(), Failure> {
        let id = correlation_id(&frame).ok_or_else(|| {
            Failure::out_of_step("the broker sent an answer too short for a correlation id")
        })?;
        let waiting = {
            let mut state = self.state();
            match state.waiting.front() {
                Some(next) if next.id == id => state.waiting.pop_front(),
                _ => None,
            }
        };
        let waiting = waiting.ok_or_else(|| self.unexpected(id))?;
        (waiting.deliver)(self, Ok(frame));
        Ok(())
    }

    fn unexpected(&self, id: i32) -> Failure {
        match self.state().waiting.front() {
            Some(next) => Failure::out_of_step(format_args!(
                "the broker answered correlation id {id} where {} was due, that of {:?}",
                next.id, next.api
            )),
            None => Failure::out_of_step(format_args!(
                "the broker answered correlation id {id}, and no request awaits an answer"
            )),
        }
    }

    /// Reads an answer; ends the connection with one that cannot be read.
    fn read<R: Api>(&self, frame: Bytes, version: i16) -> Result<R::Answer> {
        let answer = decode::<R>(frame, version, self.max_frame_bytes).map_err(|error| {
            self.close(&Failure::out_of_step(&error));
            error.context(format!("cannot read from kafka broker {}", self.broker))
        })?;
        let throttle = Duration::from_millis(answer.throttle_ms().try_into().unwrap_or(0));
        if !throttle.is_zero() {
            tracing::debug!(broker = %self.broker, api = ?R::KEY, ?throttle, "throttled");
            let until = Some(Instant::now() + throttle);
            let mut state = self.state();
            state.throttled_until = state.throttled_until.max(until);
        }
        Ok(answer)
    }

    /// Ends the connection and tells all who wait; the first reason stays.
    pub(super) fn close(&self, why: &Failure) {
        let waiting = {
            let mut state = self.state();
            if !self.is_open() {
                return;
            }
            tracing::debug!(broker = %self.broker, reason = why.reason(), "connection closed");
            self.closed.send_replace(Some(why.clone()));
            state.frames.clear();
            std::mem::take(&mut state.waiting)
        };
        let now = Instant::now();
        for Waiting {
            api, wait, deliver, ..
        } in waiting
        {
            let error = match wait.is_over() {
                true => Error::timeout(format!(
                    "kafka broker {} did not answer {api:?} within {:?}: the connection is closed",
                    self.broker, wait.timeout
                )),
                false => why.unanswered(&self.broker, api, now.duration_since(wait.began)),
            };
            deliver(self, Err(error));
        }
    }

    /// Waits until the connection has ended.
    pub(super) async fn closed(&self) -> Failure {
        let mut closed = self.closed.subscribe();
        let _ = closed.wait_for(Option::is_some).await;
        self.why()
    }

    fn why(&self) -> Failure {
        let closed = self.closed.borrow();
        closed.clone().unwrap_or_else(Failure::end_of_stream)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is done under the lock does not panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
