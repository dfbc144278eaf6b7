//! The task that keeps a connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cqi_config::CacheBackend;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::connection::{Connection, Failure};
use super::explain;
use super::hosts::Host;
use super::lane::{Ended, Lane};
use super::language;
use super::link::{First, Shared, State};
use super::notices::Notices;
use super::settings::Settings;

/// How long a server may be silent after a call got no answer in time, before its connection is
/// given up: a slow server keeps it, a frozen one does not.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often an unused connection is tried.
const IDLE: Duration = Duration::from_secs(10);
/// How long a connection to a server that refuses writes is kept: behind its name there may be a new
/// primary by then, but a replica is no worse to read from.
const MISLED: Duration = Duration::from_secs(10);
/// The same where sentinels know the primary.
const MISLED_BY_SENTINEL: Duration = Duration::from_secs(1);

/// Keeps the connection until it is told to stop.
pub(super) async fn supervise(
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
    tell: oneshot::Sender<First>,
) {
    let mut seeker = Seeker::new(&shared.settings, tell);
    let mut before = false;
    loop {
        let mut connection = tokio::select! {
            connection = seeker.seek(&shared) => connection,
            () = stopped(&mut stop) => break,
        };
        let host = connection.server().clone();
        shared.set_server(&host);
        shared.set(State::Connected(connection.client().clone(), None));
        seeker.succeeded(&host);
        if std::mem::replace(&mut before, true) {
            shared.reconnects.fetch_add(1, Ordering::Relaxed);
        }
        let mut lane = None;
        let ended = tokio::select! {
            failure = watch(&shared, &mut connection, &host) => Some(failure),
            never = keep_lane(&shared, &host, &mut lane) => match never {},
            () = stopped(&mut stop) => None,
        };
        let Some(failure) = ended else {
            let bound = shared.settings.command_timeout;
            shared.set(State::Closed);
            let lane = async {
                if let Some(lane) = lane {
                    lane.close(bound).await;
                }
            };
            tokio::join!(lane, connection.close(bound));
            break;
        };
        seeker.notices.lost(&host, &failure);
        shared.set(State::Failed(Arc::new(failure)));
        if let Some(lane) = lane {
            lane.end().await;
        }
        connection.end().await;
    }
    shared.set(State::Closed);
}

/// Keeps the short way open beside a connection, as well as it can.
async fn keep_lane(shared: &Shared, host: &Host, slot: &mut Option<Lane>) -> Infallible {
    let settings = &*shared.settings;
    if settings.backend == CacheBackend::RedisCluster {
        // A lane leads to one server.
        return std::future::pending().await;
    }
    let mut backoff = Backoff::default();
    loop {
        match Lane::open(host, settings, settings.last_byte() + 1).await {
            Ok(lane) => {
                backoff.reset();
                let lane = slot.insert(lane);
                shared.set_lane(Some(lane.queue()));
                let ended = lane.ended().await;
                tracing::debug!(server = %host, cause = %ended, "lost the short way to redis");
                shared.set_lane(None);
                *slot = None;
                if matches!(ended, Ended::TimedOut) {
                    shared.suspicion.notify_one();
                }
            }
            Err(error) => {
                tracing::debug!(server = %host, cause = %error, "no short way to redis");
                if error.kind() == std::io::ErrorKind::TimedOut {
                    shared.suspicion.notify_one();
                }
            }
        }
        sleep(backoff.next()).await;
    }
}

/// Returns when it is time to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error is a sender that is gone: nobody is left to stop for.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Tries one host after the other.
struct Seeker<'a> {
    settings: &'a Settings,
    attempts: usize,
    backoff: Backoff,
    notices: Notices,
    tell: Option<oneshot::Sender<First>>,
    worst: Option<Failure>,
}

impl<'a> Seeker<'a> {
    fn new(settings: &'a Settings, tell: oneshot::Sender<First>) -> Self {
        Self {
            settings,
            attempts: 0,
            backoff: Backoff::default(),
            notices: Notices::default(),
            tell: Some(tell),
            worst: None,
        }
    }

    /// Returns a connection, when there is one.
    async fn seek(&mut self, shared: &Shared) -> Connection {
        loop {
            let hosts = &self.settings.hosts;
            if self.attempts >= hosts.len() {
                sleep(self.backoff.next()).await;
            }
            let host = &hosts[self.attempts % hosts.len()];
            self.attempts += 1;
            match Connection::open(self.settings, host).await {
                Ok(connection) => return connection,
                Err(mut failure) => {
                    if self.tell.is_some()
                        && !failure.is_permanent()
                        // A TLS server breaks off what is not TLS, and does not keep silent.
                        && (self.settings.uses_tls() || failure.cause.is_some())
                        && language::differs(self.settings, host).await
                    {
                        failure = explain::other_language(self.settings, host);
                    }
                    if self.tell.is_none() {
                        self.notices.refused(host, &failure);
                    }
                    shared.set(State::Failed(Arc::new(failure.clone())));
                    if self.tell.is_some() {
                        self.judge(failure);
                    }
                }
            }
        }
    }

    /// Reports the worst failure once each host was tried.
    fn judge(&mut self, failure: Failure) {
        let worst = match self.worst.take() {
            Some(worst) if worst.is_permanent() => worst,
            _ => failure,
        };
        if self.attempts >= self.settings.hosts.len() {
            self.notices.warned();
            self.report(Err(worst));
        } else {
            self.worst = Some(worst);
        }
    }

    fn succeeded(&mut self, host: &Host) {
        self.backoff.reset();
        self.notices.found(host);
        self.report(Ok(()));
    }

    fn report(&mut self, first: First) {
        if let Some(tell) = self.tell.take() {
            // Nobody listens when `connect` was dropped.
            let _ = tell.send(first);
        }
    }
}

/// Returns why the connection is of no more use, when it is not.
async fn watch(shared: &Shared, connection: &mut Connection, host: &Host) -> Failure {
    let patience = PATIENCE.max(shared.settings.command_timeout);
    let since = Instant::now();
    let enough = match shared.settings.backend {
        CacheBackend::Sentinel => MISLED_BY_SENTINEL,
        _ => MISLED,
    };
    loop {
        tokio::select! {
            error = connection.ended() => return explain::lost(&error, host),
            () = shared.misled.notified() => {
                if since.elapsed() >= enough {
                    return explain::misled(host);
                }
                continue;
            }
            () = shared.suspicion.notified() => {}
            () = sleep(IDLE) => {}
        }
        let answers = shared.answers.load(Ordering::Relaxed);
        if !connection.answers(patience).await && shared.answers.load(Ordering::Relaxed) == answers
        {
            return explain::frozen(host);
        }
    }
}
