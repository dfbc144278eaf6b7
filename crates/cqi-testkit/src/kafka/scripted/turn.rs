//! Carrying out one request.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};
use tokio::sync::watch;
use tokio::time::Instant;

use super::answer::UNSUPPORTED_VERSION;
use super::api::Api;
use super::reply::Reply;
use super::state::State;

/// How often a request that waits looks at what only time changes.
const TICK: Duration = Duration::from_millis(20);

/// What all connections share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) state: Mutex<State>,
    /// Rises with each change of the state.
    pub(super) changes: watch::Sender<u64>,
}

impl World {
    /// Changes the state.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let outcome = work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changes.send_modify(|changes| *changes += 1);
        outcome
    }

    /// Looks at the state.
    pub(super) fn look<T>(&self, work: impl FnOnce(&State) -> T) -> T {
        work(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Login {
    pub(super) mechanism: Option<String>,
    pub(super) is_done: bool,
}

/// One look at a request.
pub(super) struct Turn<'a> {
    pub(super) state: &'a mut State,
    pub(super) login: &'a mut Login,
    /// The broker that was asked.
    pub(super) node: i32,
    pub(super) version: i16,
    /// What the client calls itself.
    pub(super) client: &'a str,
    pub(super) now: Instant,
    /// Since the request came.
    pub(super) waited: Duration,
    /// What a look leaves for the next: the id of a member that waits.
    pub(super) member: &'a mut Option<String>,
}

impl Turn<'_> {
    /// Whether a request that may wait so long still has time.
    pub(super) fn may_wait(&self, limit: Duration) -> bool {
        self.waited < limit
    }
}

/// How a broker carries out a request.
pub(super) trait Handle: Request {
    /// Answers; nothing, while the answer has to wait.
    fn handle(&self, turn: &mut Turn<'_>) -> Option<Self::Response>;
}

/// Where an answer has its error codes.
pub(super) trait Fail {
    /// Puts a code where it speaks of the whole request, else into each item.
    fn fail(&mut self, code: i16);

    /// Puts a code into each item, else where it speaks of the whole request.
    fn fail_items(&mut self, code: i16) {
        self.fail(code);
    }

    fn throttle(&mut self, _ms: i32) {}
}

/// A request as it came.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) api: Api,
    pub(super) version: i16,
    pub(super) correlation_id: i32,
    pub(super) client_id: Option<String>,
    frame: Bytes,
}

impl Asked {
    /// Reads what all versions of the header begin with; nothing, where we do not know the API.
    pub(super) fn read(frame: Bytes) -> Option<Self> {
        let number = |at: usize| Some(i16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
        let api = Api::of(number(0)?)?;
        let version = number(2)?;
        let correlation_id = i32::from_be_bytes(frame.get(4..8)?.try_into().ok()?);
        let client_id = match usize::try_from(number(8)?) {
            Ok(length) => Some(String::from_utf8(frame.get(10..10 + length)?.to_vec()).ok()?),
            Err(_) => None,
        };
        Some(Self {
            api,
            version,
            correlation_id,
            client_id,
            frame,
        })
    }

    /// Carries the request out and returns the answer, with its header; nothing, where a broker would
    /// close the connection.
    pub(super) async fn answer<R>(
        &self,
        world: &World,
        login: &mut Login,
        node: i32,
        reply: Reply,
    ) -> Option<Bytes>
    where
        R: Handle,
        R::Response: Fail,
    {
        let mut frame = self.frame.clone();
        RequestHeader::decode(&mut frame, R::header_version(self.version)).ok()?;
        let request = R::decode(&mut frame, self.version).ok()?;
        let mut answer = match reply.is_done() {
            true => self.carry_out(&request, world, login, node).await?,
            false => self.pretend(&request, world, login, node)?,
        };
        let mut version = self.version;
        match reply {
            Reply::Error(code) => {
                answer.fail(code);
                // Whoever asked in a version too high can read the lowest.
                if self.api == Api::ApiVersions && code == UNSUPPORTED_VERSION {
                    version = 0;
                }
            }
            Reply::ItemError(code) | Reply::DoneButError(code) => answer.fail_items(code),
            Reply::Throttle(pause) => {
                answer.throttle(i32::try_from(pause.as_millis()).unwrap_or(i32::MAX));
            }
            _ => {}
        }
        self.encode(&answer, version)
    }

    async fn carry_out<R: Handle>(
        &self,
        request: &R,
        world: &World,
        login: &mut Login,
        node: i32,
    ) -> Option<R::Response> {
        let begin = Instant::now();
        let mut changes = world.changes.subscribe();
        let mut member = None;
        let mut is_first = true;
        loop {
            changes.mark_unchanged();
            let now = Instant::now();
            let answer = {
                let state = world.state.lock();
                request.handle(&mut Turn {
                    state: &mut state.unwrap_or_else(PoisonError::into_inner),
                    login,
                    node,
                    version: self.version,
                    client: self.client_id.as_deref().unwrap_or_default(),
                    now,
                    waited: now.duration_since(begin),
                    member: &mut member,
                })
            };
            // A look that has found nothing has changed nothing, but for the first.
            if is_first || answer.is_some() {
                world.changes.send_modify(|changes| *changes += 1);
            }
            if answer.is_some() {
                return answer;
            }
            is_first = false;
            let _ = tokio::time::timeout(TICK, changes.changed()).await;
        }
    }

    /// Answers as if all waiting were over, and changes nothing.
    fn pretend<R: Handle>(
        &self,
        request: &R,
        world: &World,
        login: &Login,
        node: i32,
    ) -> Option<R::Response> {
        let state = world.state.lock();
        let mut state = state.unwrap_or_else(PoisonError::into_inner).clone();
        let mut login = login.clone();
        request.handle(&mut Turn {
            state: &mut state,
            login: &mut login,
            node,
            version: self.version,
            client: self.client_id.as_deref().unwrap_or_default(),
            now: Instant::now(),
            waited: Duration::MAX,
            member: &mut None,
        })
    }

    pub(super) fn encode<A: Encodable + HeaderVersion>(
        &self,
        answer: &A,
        version: i16,
    ) -> Option<Bytes> {
        let mut bytes = BytesMut::new();
        ResponseHeader::default()
            .with_correlation_id(self.correlation_id)
            .encode(&mut bytes, A::header_version(version))
            .ok()?;
        answer.encode(&mut bytes, version).ok()?;
        Some(bytes.freeze())
    }
}
