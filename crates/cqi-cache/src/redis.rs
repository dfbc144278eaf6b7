mod backoff;
mod connection;
mod error;
mod explain;
mod hosts;
#[allow(dead_code)]
mod lane;
mod language;
mod link;
mod sentinel;
mod settings;
mod tls;
mod versioned;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cqi_config::CacheConfig;
use cqi_errors::{Error, Result};
use fred::clients::Client;
use fred::interfaces::{ClientLike, FredResult, KeysInterface};
use fred::types::{Expiration, Value};
use tokio::time::timeout;

pub use self::error::RedisError;
use self::link::Link;
use self::settings::Settings;
use crate::entry::HEADER;

/// The most keys that one request asks for.
const BATCH: usize = 512;

/// Values in Redis: one server, a cluster, or what sentinels watch.
#[derive(Debug)]
pub(crate) struct Redis {
    links: Vec<Link>,
    next: AtomicUsize,
    settings: Arc<Settings>,
    /// The last byte that is read of a value: one more than a value may have.
    last: usize,
}

impl Redis {
    pub(crate) async fn connect(config: &CacheConfig) -> Result<Self> {
        let settings = Arc::new(Settings::new(config)?);
        let (links, firsts): (Vec<_>, Vec<_>) = (0..config.connections.max(1))
            .map(|_| Link::start(Arc::clone(&settings)))
            .unzip();
        let redis = Self {
            links,
            next: AtomicUsize::new(0),
            settings,
            last: usize::try_from(config.max_value_size).unwrap_or(usize::MAX - HEADER) + HEADER,
        };
        for first in firsts {
            match first.await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) if failure.is_permanent() => {
                    redis.close().await;
                    return Err(Error::from(&failure));
                }
                Ok(Err(failure)) => {
                    tracing::warn!(
                        cause = %failure,
                        "redis cannot be reached: trying on in the background"
                    );
                }
                Err(_) => return Err(Error::permanent("the connection's task ended")),
            }
        }
        Ok(redis)
    }

    pub(crate) async fn get(&self, key: Bytes) -> Result<Option<Bytes>> {
        self.range(key, self.last).await
    }

    /// Returns the first bytes of a value.
    pub(crate) async fn head(&self, key: Bytes, len: usize) -> Result<Option<Bytes>> {
        self.range(key, len - 1).await
    }

    /// `GETRANGE` in place of `GET`: whatever somebody put there, the answer has a bound.
    async fn range(&self, key: Bytes, last: usize) -> Result<Option<Bytes>> {
        let link = self.link();
        let client = link.client()?;
        let value = client.getrange::<Value, _>(key, 0, last).await;
        found(self.answer(link, value, true)?)
    }

    /// One answer for each key, in order.
    pub(crate) async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>> {
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(BATCH) {
            let link = self.link();
            let pipeline = link.client()?.pipeline();
            for key in keys {
                let queued = pipeline.getrange::<(), _>(key.clone(), 0, self.last).await;
                self.answer(link, queued, false)?;
            }
            let answers = pipeline.try_all::<Value>().await;
            if answers.len() != keys.len() {
                let error = answers.into_iter().find_map(FredResult::err);
                return Err(self.unanswered(link, error));
            }
            for answer in answers {
                values.push(found(self.answer(link, answer, true)?)?);
            }
        }
        Ok(values)
    }

    pub(crate) async fn set(&self, key: Bytes, value: Bytes, keep: Option<Duration>) -> Result<()> {
        let link = self.link();
        let client = link.client()?;
        let done = client
            .set::<(), _, _>(key, value, expiry(keep), None, false)
            .await;
        self.answer(link, done, false).map(drop)
    }

    /// Sets them in order; after an error those before it are set, and those behind it may be.
    pub(crate) async fn set_many(
        &self,
        entries: Vec<(Bytes, Bytes)>,
        keep: Option<Duration>,
    ) -> Result<()> {
        let total = entries.len();
        let mut failed = 0;
        let mut first = None;
        for entries in entries.chunks(BATCH) {
            let link = self.link();
            let pipeline = link.client()?.pipeline();
            for (key, value) in entries {
                let (key, value) = (key.clone(), value.clone());
                let queued = pipeline
                    .set::<(), _, _>(key, value, expiry(keep), None, false)
                    .await;
                self.answer(link, queued, false)?;
            }
            let answers = pipeline.try_all::<Value>().await;
            if answers.len() != entries.len() {
                failed += entries.len();
                let error = answers.into_iter().find_map(FredResult::err);
                first.get_or_insert(self.unanswered(link, error));
                continue;
            }
            for answer in answers {
                if let Err(error) = self.answer(link, answer, false) {
                    failed += 1;
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            Some(error) => Err(error.context(format!("{failed} of {total} values were not set"))),
            None => Ok(()),
        }
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
        let done = timeout(
            self.settings.command_timeout,
            versioned::set_newer(&client, key, value, keep.map(millis)),
        );
        let done = done.await.unwrap_or_else(|_| {
            let kind = fred::error::ErrorKind::Timeout;
            Err(fred::error::Error::new(kind, "no answer"))
        });
        Ok(self.answer(link, done, false)? == Some(1))
    }

    /// How many there were.
    pub(crate) async fn delete(&self, keys: Vec<Bytes>) -> Result<u64> {
        let mut deleted = 0;
        for keys in keys.chunks(BATCH) {
            let link = self.link();
            let pipeline = link.client()?.pipeline();
            for key in keys {
                let queued = pipeline.unlink::<(), _>(key.clone()).await;
                self.answer(link, queued, false)?;
            }
            let answers = pipeline.try_all::<u64>().await;
            if answers.len() != keys.len() {
                let error = answers.into_iter().find_map(FredResult::err);
                return Err(self.unanswered(link, error));
            }
            for answer in answers {
                deleted += self.answer(link, answer, false)?.unwrap_or(0);
            }
        }
        Ok(deleted)
    }

    /// Whether it can be used now.
    pub(crate) async fn check(&self) -> Result<()> {
        let link = self.link();
        let client = link.client()?;
        let answer = client.ping::<Value>(None).await;
        self.answer(link, answer, false).map(drop)
    }

    pub(crate) async fn close(&self) {
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

    /// The client of a connection as it is now.
    pub(crate) fn client(&self) -> Result<Client> {
        self.link().client()
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

    /// Looks at an answer; `None` is one of another type than a string, where one is read.
    fn answer<T>(&self, link: &Link, answer: FredResult<T>, reads: bool) -> Result<Option<T>> {
        match answer {
            Ok(answer) => {
                link.answered();
                Ok(Some(answer))
            }
            Err(error) if reads && error::code(error.details()) == Some("WRONGTYPE") => Ok(None),
            Err(error) => Err(self.unanswered(link, Some(error))),
        }
    }

    fn unanswered(&self, link: &Link, error: Option<fred::error::Error>) -> Error {
        let error = error.unwrap_or_else(|| {
            let kind = fred::error::ErrorKind::Protocol;
            fred::error::Error::new(kind, "the number of answers is wrong")
        });
        if *error.kind() == fred::error::ErrorKind::Timeout {
            link.suspect();
        }
        error::failed(&error, &self.settings.hosts[0])
    }
}

/// An empty string is a missing one, to `GETRANGE`; no entry is empty.
fn found(value: Option<Value>) -> Result<Option<Bytes>> {
    match value {
        // Of another type: rejected by whoever reads it.
        None => Ok(Some(Bytes::new())),
        Some(Value::Bytes(bytes)) => Ok((!bytes.is_empty()).then_some(bytes)),
        Some(Value::String(text)) => Ok((!text.is_empty()).then(|| text.into_inner())),
        Some(Value::Null) => Ok(None),
        Some(_) => Err(Error::permanent(
            "redis answered something other than a string",
        )),
    }
}

fn expiry(keep: Option<Duration>) -> Option<Expiration> {
    keep.map(|keep| Expiration::PX(millis(keep)))
}

fn millis(keep: Duration) -> i64 {
    i64::try_from(keep.as_millis())
        .unwrap_or(i64::MAX)
        .clamp(1, MOST_MILLIS)
}

/// 1,000 years: what Redis adds to its clock without an overflow.
const MOST_MILLIS: i64 = 1_000 * 365 * 24 * 60 * 60 * 1_000;
