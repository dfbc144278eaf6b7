use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cqi_errors::{Error, Kind, Result};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::dial::{Dial, Readiness, closed_error};
use super::settings::ClientSettings;
use crate::connection::{Connector, Host};
use crate::wire::Api;

/// Connections for requests that brokers answer at once, one to each broker that was asked.
#[derive(Debug)]
pub(super) struct Control {
    settings: Arc<ClientSettings>,
    connector: Connector,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    dials: BTreeMap<Host, Arc<Dial>>,
    /// Who answered last.
    preferred: Option<Host>,
    closed: bool,
}

impl Control {
    pub(super) fn new(settings: &Arc<ClientSettings>, connector: &Connector) -> Self {
        Self {
            settings: Arc::clone(settings),
            connector: connector.clone(),
            state: Mutex::default(),
        }
    }

    /// Asks one host after the other, the next one when those before failed or are silent for the
    /// stagger, and returns the first answer.
    pub(super) async fn ask<R: Api>(
        &self,
        request: &R,
        hosts: Vec<Host>,
        stagger: Duration,
        deadline: Instant,
    ) -> Result<R::Answer> {
        let mut waiting = self.in_order(hosts).into_iter();
        let mut running = FuturesUnordered::new();
        let mut asked = Vec::new();
        let mut failures: Vec<(Host, Error)> = Vec::new();
        let mut next = Instant::now();
        loop {
            let more = waiting.len() > 0;
            if running.is_empty() && !more {
                return Err(refusal::<R>(&failures, &[], deadline));
            }
            tokio::select! {
                biased;
                Some((host, outcome)) = running.next(), if !running.is_empty() => match outcome {
                    Ok(answer) => {
                        drop(running);
                        self.prefer(host, &asked);
                        return Ok(answer);
                    }
                    Err(error) if is_final(&error) => return Err(error),
                    Err(error) => {
                        failures.push((host, error));
                        next = Instant::now();
                    }
                },
                () = sleep_until(deadline) => {
                    return Err(refusal::<R>(&failures, &asked, deadline));
                }
                () = sleep_until(next), if more => {
                    let Some(host) = waiting.next() else { continue };
                    asked.push(host.clone());
                    next = Instant::now() + stagger;
                    running.push(async move {
                        let outcome = self.ask_host(&host, request, deadline).await;
                        (host, outcome)
                    });
                }
            }
        }
    }

    /// Asks this one, until the deadline.
    ///
    /// A broker's silence ends the connection, on which others wait as well, only when it was longer
    /// than a third of `request_timeout`: who has less time leaves without its answer.
    pub(super) async fn ask_host<R: Api>(
        &self,
        host: &Host,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Answer> {
        let dial = self.dial(host)?;
        let connection = timeout_at(deadline, dial.connection(|| Ok(host.clone())));
        let connection = connection.await.map_err(|_| late::<R>(host))??;
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = left.max(self.settings.request_timeout / 3);
        let answer = timeout_at(deadline, connection.send(request, patience));
        answer.await.map_err(|_| late::<R>(host))?
    }

    /// Closes the connections to all others.
    pub(super) fn keep(&self, hosts: &BTreeSet<&Host>) {
        let mut state = self.lock();
        state.dials.retain(|host, _| hosts.contains(host));
    }

    /// Closes all connections, and opens none any more.
    pub(super) async fn close(&self) {
        let closed = State {
            closed: true,
            ..State::default()
        };
        let before = std::mem::replace(&mut *self.lock(), closed);
        for dial in before.dials.into_values() {
            dial.close().await;
        }
    }

    /// Notes who answered, and retires the connections to those who were asked before and did not.
    fn prefer(&self, host: Host, asked: &[Host]) {
        let mut state = self.lock();
        for silent in asked.iter().filter(|asked| **asked != host) {
            if let Some(dial) = state.dials.get(silent) {
                dial.retire();
            }
        }
        state.preferred = Some(host);
    }

    fn dial(&self, host: &Host) -> Result<Arc<Dial>> {
        let mut state = self.lock();
        if state.closed {
            return Err(closed_error());
        }
        let dial = state.dials.entry(host.clone());
        let dial = dial.or_insert_with(|| Arc::new(Dial::new(&self.settings, &self.connector)));
        Ok(Arc::clone(dial))
    }

    /// Who answers soonest first, as it seems.
    fn in_order(&self, mut hosts: Vec<Host>) -> Vec<Host> {
        let state = self.lock();
        hosts.sort_by_cached_key(|host| {
            let dial = state.dials.get(host);
            let readiness = dial.map_or(Readiness::Ready, |dial| dial.readiness());
            (readiness, state.preferred.as_ref() != Some(host))
        });
        hosts
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No step of a change can panic halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the others would say the same. Some servers lock a user out who is wrong too often.
fn is_final(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unauthorized | Kind::Cancelled)
}

fn late<R: Api>(host: &Host) -> Error {
    Error::timeout(format!(
        "kafka broker {host} did not answer {:?} in time",
        R::KEY
    ))
}

/// Says of each host, which errors name, why it did not answer.
fn refusal<R: Api>(failures: &[(Host, Error)], asked: &[Host], deadline: Instant) -> Error {
    let failed: BTreeSet<_> = failures.iter().map(|(host, _)| host).collect();
    let silent = asked.iter().filter(|host| !failed.contains(host));
    let silent = silent.map(|host| format!("kafka broker {host} did not answer in time"));
    let said = failures.iter().map(|(_, error)| format!("{error:#}"));
    let mut said: Vec<_> = said.chain(silent).collect();
    if said.is_empty() {
        said.push("no time was left to ask one".to_owned());
    }
    let text = format!("no broker answered {:?}: {}", R::KEY, said.join("; "));
    let late = Instant::now() >= deadline;
    let kinds = || failures.iter().map(|(_, error)| error.kind());
    let kind = match kinds().find(|kind| !kind.is_retryable()) {
        _ if late => Kind::Timeout,
        Some(kind) if kinds().all(|kind| !kind.is_retryable()) => kind,
        _ if !failures.is_empty() && kinds().all(|kind| kind == Kind::Timeout) => Kind::Timeout,
        _ => Kind::Temporary,
    };
    Error::new(kind, text)
}
