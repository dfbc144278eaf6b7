use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cqi_errors::{Kind, Result};
use kafka_protocol::messages::ApiKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::buffers::BufferPool;
use super::failure::Failure;
use super::requests::{Requests, Waiting};
use super::wait::Wait;
use super::{ConnectionSettings, Host, transport};
use crate::wire::{Api, encode};

/// Sends requests in order and gives each its answer, over one stream that a task of its own serves.
///
/// The task ends with the stream, or when this is dropped.
pub(super) struct Channel {
    requests: Arc<Requests>,
    /// Held by who begins requests; fair, so that they are written as they were begun.
    turn: tokio::sync::Mutex<()>,
    task: Mutex<JoinSet<()>>,
}

/// The right to begin requests, before all who come later.
pub(super) struct Turn<'a> {
    requests: &'a Requests,
    wait: Wait,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Channel {
    pub(super) fn start<S>(
        stream: S,
        broker: Host,
        settings: &ConnectionSettings,
        buffers: BufferPool,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let requests = Arc::new(Requests::new(broker, settings));
        let mut task = JoinSet::new();
        let limit = settings.max_frame_bytes;
        task.spawn(transport::run(
            stream,
            Arc::clone(&requests),
            limit,
            buffers,
        ));
        Self {
            requests,
            turn: tokio::sync::Mutex::new(()),
            task: Mutex::new(task),
        }
    }

    pub(super) async fn turn(&self, api: ApiKey, wait: Wait) -> Result<Turn<'_>> {
        let requests = &*self.requests;
        let turn = timeout_at(wait.deadline, self.turn.lock()).await;
        let turn =
            turn.map_err(|_| requests.late(api, wait, "requests before it wait to be sent"))?;
        Ok(Turn {
            requests,
            wait,
            _turn: turn,
        })
    }

    pub(super) fn broker(&self) -> &Host {
        self.requests.broker()
    }

    /// Waits for an answer that a turn began.
    pub(super) async fn answered<A>(
        &self,
        api: ApiKey,
        answer: oneshot::Receiver<Result<A>>,
    ) -> Result<A> {
        self.requests.answered(api, answer).await
    }

    pub(super) fn is_open(&self) -> bool {
        self.requests.is_open()
    }

    /// Ends the connection and waits for its task.
    pub(super) async fn close(&self, why: &Failure) {
        self.requests.close(why);
        let mut task = {
            let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *task)
        };
        while task.join_next().await.is_some() {}
    }
}

impl<'a> Turn<'a> {
    /// Has the request written next; waits for a slot, and while the broker throttles.
    ///
    /// # Cancel safety
    /// A dropped future has sent nothing.
    pub(super) async fn begin<R: Api>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<oneshot::Receiver<Result<R::Answer>>> {
        let slot = self.requests.slot(R::KEY, self.wait).await?;
        self.requests.wait_out_throttle(R::KEY, self.wait).await?;
        if self.wait.is_over() {
            // It would be written, and end the connection at once.
            let late = "no time is left to answer it";
            return Err(self.requests.late(R::KEY, self.wait, late));
        }
        // Nobody else takes an id during this turn.
        let id = self.requests.next_id();
        let frame = encode(request, version, id, self.requests.client_id())?;
        let (waiting, answer) = Waiting::new::<R>(id, version, self.wait, slot);
        self.requests.push(frame, waiting)?;
        Ok(answer)
    }

    pub(super) async fn send<R: Api>(&self, request: &R, version: i16) -> Result<R::Answer> {
        let answer = self.begin(request, version).await?;
        self.requests.answered(R::KEY, answer).await
    }

    /// Ends the connection unless what is begun here is done.
    pub(super) fn end_if_dropped(&self, why: &'static str) -> Unfinished<'a> {
        Unfinished {
            requests: Some(self.requests),
            why,
        }
    }
}

/// Ends a connection when dropped.
pub(super) struct Unfinished<'a> {
    requests: Option<&'a Requests>,
    why: &'static str,
}

impl Unfinished<'_> {
    pub(super) fn done(mut self) {
        self.requests = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(requests) = self.requests {
            requests.close(&Failure::new(Kind::Temporary, self.why));
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("broker", self.broker())
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}
