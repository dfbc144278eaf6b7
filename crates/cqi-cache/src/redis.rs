mod backoff;
mod batch;
mod command;
mod connection;
mod error;
mod explain;
mod hosts;
mod inline;
mod lane;
mod language;
mod link;
mod notices;
mod sentinel;
mod settings;
mod supervisor;
mod tls;
mod versioned;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cqi_config::CacheConfig;
use cqi_errors::{Error, Result};
use fred::clients::Client;
use fred::error::ErrorKind;
use fred::interfaces::{ClientLike, FredResult};
use fred::types::Value;
use tokio::time::{Instant, timeout, timeout_at};

use self::command::Command;
pub use self::error::RedisError;
use self::lane::{Answer, Queue, Refused, Reply};
use self::link::Link;
use self::settings::Settings;
use crate::Cache;
use crate::backend::Backend;

/// Values in Redis: one server, a cluster, or what sentinels watch.
#[derive(Debug)]
pub(crate) struct Redis {
    links: Vec<Link>,
    next: AtomicUsize,
    settings: Arc<Settings>,
}

impl Cache {
    /// Returns fred's client of a connection to Redis, for commands that the cache does not have.
    ///
    /// It ends with its connection: ask for it each time. Its commands have `cache.command_timeout` and
    /// fail at once when the connection is lost. Keys are not prefixed, and values have to be left to
    /// the cache. fred's version is that of this crate, and a new one may come with any release.
    ///
    /// ```
    /// use fred::interfaces::ClientLike;
    ///
    /// # async fn ping(cache: &cqi_cache::Cache) -> Result<(), Box<dyn std::error::Error>> {
    /// cache.client()?.ping::<()>(None).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Kind::Temporary`](cqi_errors::Kind::Temporary) while there is no connection, and
    /// [`Kind::Permanent`](cqi_errors::Kind::Permanent) where the backend is memory.
    pub fn client(&self) -> Result<Client> {
        match &self.inner().backend {
            Backend::Redis(redis) => redis.link().client(),
            Backend::Memory(_) => Err(Error::permanent(
                "cache.backend is memory: it has no client",
            )),
        }
    }
}

impl Redis {
    /// Waits until there is a connection, or each host was tried once. A server that cannot be reached
    /// is tried on in the background; an error is what somebody has to put right first.
    pub(crate) async fn connect(config: &CacheConfig) -> Result<Self> {
        let settings = Arc::new(Settings::new(config)?);
        let (links, firsts): (Vec<_>, Vec<_>) = (0..config.connections.max(1))
            .map(|_| Link::start(Arc::clone(&settings)))
            .unzip();
        let redis = Self {
            links,
            next: AtomicUsize::new(0),
            settings,
        };
        let mut unreached = None;
        for first in firsts {
            match first.await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) if failure.is_permanent() => {
                    redis.close().await;
                    return Err(Error::from(&failure));
                }
                Ok(Err(failure)) => unreached = Some(failure),
                Err(_) => return Err(Error::permanent("the task of a connection ended")),
            }
        }
        if let Some(cause) = unreached {
            let cause = cause.full();
            tracing::warn!(
                cause,
                "redis cannot be reached: trying on in the background"
            );
        }
        Ok(redis)
    }

    pub(crate) async fn get(&self, key: Bytes) -> Result<Option<Bytes>> {
        let last = self.settings.last_byte();
        found(self.one(Command::Get { key, last }).await?)
    }

    /// Returns the first bytes of a value.
    pub(crate) async fn head(&self, key: Bytes, len: usize) -> Result<Option<Bytes>> {
        let last = len.saturating_sub(1);
        found(self.one(Command::Get { key, last }).await?)
    }

    pub(crate) async fn set(&self, key: Bytes, value: Bytes, keep: Option<Duration>) -> Result<()> {
        let keep = keep.map(millis);
        done(&self.one(Command::Set { key, value, keep }).await?)
    }

    /// Sets unless what is there has a higher version; whether it did.
    pub(crate) async fn set_newer(
        &self,
        key: Bytes,
        value: Bytes,
        keep: Option<Duration>,
    ) -> Result<bool> {
        let link = self.link();
        let client = link.client()?;
        let keep = keep.map(millis);
        let send = async || versioned::set_newer(&client, &key, &value, keep).await;
        let done = Box::pin(within(self.settings.command_timeout, async {
            match send().await {
                Err(error) if error::is_moved(&error) => send().await,
                done => done,
            }
        }));
        match self.answer(link, done.await)? {
            Value::Integer(done) => Ok(done == 1),
            _ => Err(self.failed(link, &out_of_step())),
        }
    }

    /// Whether it can be used now.
    pub(crate) async fn check(&self) -> Result<()> {
        let link = self.link();
        let client = link.client()?;
        let answer = client.ping::<Value>(None).await;
        self.answer(link, answer).map(drop)
    }

    pub(crate) async fn close(&self) {
        self.links.iter().for_each(Link::stop);
        for link in &self.links {
            link.close().await;
        }
    }

    /// The host that the settings name first, for people and spans.
    pub(crate) fn server(&self) -> (&str, u16) {
        let host = &self.settings.hosts[0];
        (&host.name, host.port)
    }

    /// Whether each connection is there.
    pub(crate) fn is_connected(&self) -> bool {
        self.links.iter().all(Link::is_connected)
    }

    /// How often a connection was made again.
    pub(crate) fn reconnects(&self) -> u64 {
        self.links.iter().map(Link::reconnects).sum()
    }

    /// The next connection, of those that are there.
    fn link(&self) -> &Link {
        if let [link] = &*self.links {
            return link;
        }
        let begin = self.next.fetch_add(1, Ordering::Relaxed);
        let link = |at: usize| &self.links[begin.wrapping_add(at) % self.links.len()];
        let mut links = (0..self.links.len()).map(link);
        links.find(|link| link.is_connected()).unwrap_or(link(0))
    }

    /// Sends a command by the short way, where it is open, and else by fred's, in one bound.
    async fn one(&self, command: Command) -> Result<Value> {
        let link = self.link();
        let deadline = Instant::now() + self.settings.command_timeout;
        let mut bounded = true;
        if let Some(queue) = link.lane()
            && let Some(answer) = quick(&queue, &command)
        {
            if let Some(answer) = settled(&command, answer).await {
                return answer.map_err(|error| self.failed(link, &error));
            }
            // Some of the time is gone, of which fred does not know.
            bounded = false;
        }
        let client = link.client()?;
        let answer = directed(&client, &command, deadline);
        let answer = if bounded {
            answer.await
        } else {
            timeout_at(deadline, answer)
                .await
                .unwrap_or_else(|_| Err(timed_out()))
        };
        self.answer(link, answer)
    }

    /// Looks at an answer of fred's.
    fn answer(&self, link: &Link, answer: FredResult<Value>) -> Result<Value> {
        match answer {
            Ok(value) => {
                link.answered();
                Ok(value)
            }
            Err(error) => Err(self.failed(link, &error)),
        }
    }

    fn failed(&self, link: &Link, error: &fred::error::Error) -> Error {
        match error::code(error.details()) {
            Some("READONLY" | "NOAUTH") => link.mislead(),
            None if *error.kind() == ErrorKind::Timeout => link.suspect(),
            None if *error.kind() == ErrorKind::Protocol => link.mislead(),
            _ => {}
        }
        error::failed(error, link.server())
    }
}

/// Queues a command for the short way; `None` for one that it cannot do.
fn quick(queue: &Queue, command: &Command) -> Option<Answer> {
    match command {
        Command::Get { key, last } => Some(queue.get(key, *last)),
        Command::Set { key, value, keep } => {
            let keep = keep.map(i64::unsigned_abs);
            Some(queue.set(key, value, keep))
        }
        Command::Unlink { .. } => None,
    }
}

/// Waits for what came of a command on the short way; `None` where fred is to send it.
///
/// A write that the server may have seen is not sent again: it could be carried out a second time,
/// from the broken connection, after a newer one.
async fn settled(command: &Command, answer: Answer) -> Option<FredResult<Value>> {
    match answer.await {
        Ok(Reply::Bulk(bytes)) => Some(Ok(Value::Bytes(bytes))),
        Ok(Reply::Text) => Some(Ok(Value::from_static_str("OK"))),
        Ok(_) => Some(Ok(Value::Null)),
        Err(Refused::TimedOut) => Some(Err(timed_out())),
        Err(Refused::Lost) if !command.is_get() => Some(Err(lost())),
        Err(Refused::Lost | Refused::Elsewhere) => None,
    }
}

/// Sends a command by fred, a second time where a node of a cluster has said that another one is to be
/// asked: fred has looked for that one by then.
async fn directed(client: &Client, command: &Command, deadline: Instant) -> FredResult<Value> {
    // In a box: what fred does for one command is large, and rarely needed.
    let send = || Box::pin(command.send(client));
    let answer = match send().await {
        Err(error) if error::is_moved(&error) => {
            let answer = timeout_at(deadline, send()).await;
            answer.unwrap_or_else(|_| Err(timed_out()))
        }
        answer => answer,
    };
    foreign(command, answer)
}

/// Makes of a value of another type one that nobody takes for an entry, and of an answer to another
/// command an error.
fn foreign(command: &Command, answer: FredResult<Value>) -> FredResult<Value> {
    match answer {
        Err(error) if command.is_get() && error::code(error.details()) == Some("WRONGTYPE") => {
            Ok(Value::Queued)
        }
        Ok(value) if !command.is_answered_by(&value) => Err(out_of_step()),
        answer => answer,
    }
}

fn done(answer: &Value) -> Result<()> {
    if answer.is_ok() {
        return Ok(());
    }
    Err(unexpected())
}

/// An empty string is a missing one, to `GETRANGE`; no entry is empty.
fn found(value: Value) -> Result<Option<Bytes>> {
    match value {
        Value::Bytes(bytes) => Ok((!bytes.is_empty()).then_some(bytes)),
        Value::String(text) => Ok((!text.is_empty()).then(|| text.into_inner())),
        Value::Null => Ok(None),
        // Rejected by whoever reads it, since an entry has a header.
        Value::Queued => Ok(Some(Bytes::new())),
        _ => Err(unexpected()),
    }
}

async fn within<T>(bound: Duration, call: impl Future<Output = FredResult<T>>) -> FredResult<T> {
    timeout(bound, call)
        .await
        .unwrap_or_else(|_| Err(timed_out()))
}

fn timed_out() -> fred::error::Error {
    fred::error::Error::new(ErrorKind::Timeout, "no answer in time")
}

fn lost() -> fred::error::Error {
    let text = "it was lost before the answer: the write may be carried out later";
    fred::error::Error::new(ErrorKind::IO, text)
}

fn out_of_step() -> fred::error::Error {
    let text = "it answered something else than was asked for";
    fred::error::Error::new(ErrorKind::Protocol, text)
}

fn unexpected() -> Error {
    Error::permanent("redis answered something else than was asked for")
}

fn millis(keep: Duration) -> i64 {
    i64::try_from(keep.as_millis()).unwrap_or(i64::MAX).max(1)
}
