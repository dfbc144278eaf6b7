//! Drives the membership: the one place that has its requests, its clock and its wishes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::commits::{Commit, Commits, Offsets};
use super::error::{self, Refusal};
use super::links::Links;
use super::protocol::Peer;
use super::shared::{Alive, Shared};
use super::watch::{News, TopicWatch};
use crate::client::Client;
use crate::code;
use crate::membership::{
    Action, Change, Event, Membership, Request, RequestId, Response, Settings,
};

type Topics = std::collections::BTreeSet<Arc<str>>;
type Outcome = (RequestId, Option<Result<Response>>);

#[derive(Debug)]
pub(super) struct GroupTask {
    client: Client,
    shared: Arc<Shared>,
    member: Membership,
    started: Instant,
    links: Option<Links>,
    /// A few: the membership has one of each kind that it still cares about.
    requests: FuturesUnordered<BoxFuture<'static, Outcome>>,
    /// What the broker may hold back.
    parked: Option<(RequestId, AbortHandle)>,
    watch: TopicWatch,
    topics: Topics,
    refused: BTreeMap<Arc<str>, i16>,
    commits: Commits,
    /// Whether it tells the coordinator when it goes.
    is_dynamic: bool,
    closing: bool,
    over: bool,
}

/// What ended a wait.
enum Woken {
    ByWish,
    ByTime,
    By(Outcome),
    ByCommit(Option<(Offsets, u64)>),
    ByNews(News),
}

impl GroupTask {
    pub(super) fn new(
        client: Client,
        settings: Settings,
        shared: Arc<Shared>,
        commits: mpsc::Receiver<Commit>,
    ) -> Self {
        Self {
            watch: TopicWatch::new(client.clone()),
            commits: Commits::new(commits, client.retry_pauses()),
            client,
            is_dynamic: settings.instance_id.is_none(),
            shared,
            member: Membership::new(settings, fastrand::u64(..)),
            started: Instant::now(),
            links: None,
            requests: FuturesUnordered::new(),
            parked: None,
            topics: Topics::new(),
            refused: BTreeMap::new(),
            closing: false,
            over: false,
        }
    }

    pub(super) async fn run(mut self) {
        let _alive = Alive(Arc::clone(&self.shared));
        self.heed_wishes();
        while !self.over {
            let woken = self.wait().await;
            // First, lest a caller that polls be taken for one that does not.
            self.heed_wishes();
            match woken {
                Woken::ByWish => {}
                Woken::ByTime => self.handle(Event::Tick),
                Woken::By((id, outcome)) => self.answered(id, outcome),
                Woken::ByCommit(Some((offsets, losses))) => self.commit(offsets, losses),
                // Those that came before the end are through.
                Woken::ByCommit(None) => self.leave(),
                Woken::ByNews(news) => self.learn(news),
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        let deadline = self.member.deadline();
        self.shared.sleep(deadline.is_none());
        let tick = self.started + deadline.unwrap_or_default();
        tokio::select! {
            () = self.shared.task.notified() => Woken::ByWish,
            () = sleep_until(tick), if deadline.is_some() => Woken::ByTime,
            Some(outcome) = self.requests.next(), if !self.requests.is_empty() => Woken::By(outcome),
            commit = self.commits.next(), if !self.closing => Woken::ByCommit(commit),
            news = self.watch.news() => Woken::ByNews(news),
        }
    }

    fn heed_wishes(&mut self) {
        let wishes = self.shared.take_wishes();
        if wishes.alive {
            self.handle(Event::Polled);
        }
        if let Some(id) = wishes.done {
            self.handle(Event::RevocationDone(id));
        }
        if let Some(topics) = wishes.topics {
            self.topics.clone_from(&topics);
            self.handle(Event::Subscribe(topics));
        }
        if wishes.close {
            self.commits.close();
        }
    }

    fn leave(&mut self) {
        self.closing = true;
        // A member that is out for good has nothing to say to that.
        self.over = self.shared.check().is_err();
        let joined = self.is_dynamic && self.member.member_id().is_some();
        if joined && self.member.coordinator().is_none() {
            tracing::warn!(
                group = &*self.shared.group,
                "closing without a coordinator to tell: the group waits for the session timeout"
            );
        }
        self.handle(Event::Close);
    }

    fn commit(&mut self, offsets: Offsets, losses: u64) {
        match self.shared.may_commit(offsets.keys(), losses) {
            Ok(()) => self.handle(Event::Commit { id: 0, offsets }),
            Err(error) => self.commits.tried(Err(error)),
        }
    }

    fn answered(&mut self, id: RequestId, outcome: Option<Result<Response>>) {
        self.parked.take_if(|(parked, _)| *parked == id);
        let event = match outcome {
            Some(Ok(response)) => {
                if let Some(failure) = error::failure_of(&response) {
                    self.shared.fail(failure);
                }
                Event::Response(id, response)
            }
            Some(Err(error)) => {
                self.failed(error);
                Event::Failed(id)
            }
            None => Event::Failed(id),
        };
        self.handle(event);
    }

    /// What passes by itself is tried again without a word; credentials and versions do not.
    fn failed(&self, error: Error) {
        let group = &*self.shared.group;
        tracing::debug!(group, error = format_args!("{error:#}"), "a request failed");
        self.shared.fail(format!("{error:#}"));
        if !error.kind().is_retryable() {
            self.shared.trouble(error.context(format!("group {group}")));
        }
    }

    fn learn(&mut self, news: News) {
        let mut refused = BTreeMap::<i16, Vec<&str>>::new();
        for (topic, code) in &news.refused {
            let known = self.refused.get(topic) == Some(code);
            if !known && self.topics.contains(topic) {
                refused.entry(*code).or_default().push(topic);
            }
        }
        for (code, topics) in refused {
            let error = code::refused("Metadata", code, format!("topic {}", topics.join(", ")));
            tracing::warn!(group = &*self.shared.group, %error, "topics cannot be consumed");
            self.shared.trouble(error);
        }
        self.refused = news.refused;
        self.handle(Event::Topics {
            watch: news.watch,
            counts: news.counts,
        });
    }

    fn handle(&mut self, event: Event) {
        let coordinator = self.member.coordinator();
        for action in self.member.handle(self.started.elapsed(), event) {
            self.act(action);
        }
        if coordinator != self.member.coordinator() {
            let (group, node) = (&*self.shared.group, self.member.coordinator());
            match node {
                Some(_) => {
                    tracing::debug!(group, node, "found the group's coordinator");
                    self.commits.hurry();
                }
                None => tracing::debug!(group, "looking for the group's coordinator again"),
            }
        }
        self.shared.stand(&self.member);
    }

    fn act(&mut self, action: Action) {
        let group = Arc::clone(&self.shared.group);
        match action {
            Action::Send {
                id,
                to,
                request,
                timeout,
            } => self.send(id, to, request, timeout),
            Action::Notify(change) => {
                self.log(&change);
                self.shared.change(change);
            }
            Action::Positions(positions) => self.shared.position(positions),
            Action::Committed { outcome, .. } => self.commits.tried(outcome),
            Action::Watch { id, topics } => self.watch.watch(id, topics),
            Action::Warn { api, code } => {
                let code = code::name(code);
                tracing::warn!(group = &*group, api, %code, "a group's request was refused");
            }
            Action::Failed { api, code } => {
                let refusal = Refusal { api, code };
                let error = refusal.error(&group);
                tracing::error!(group = &*group, %error, "the member is out of its group for good");
                self.shared.refuse(refusal);
            }
            Action::Overdue => tracing::warn!(
                group = &*group,
                "no poll for max_poll_interval, or partitions not given back within it: the member \
                 leaves until the next poll; work less between polls, or allow more"
            ),
            Action::Closed => {
                self.over = true;
                self.shared.close();
            }
        }
    }

    fn log(&self, change: &Change) {
        let group = &*self.shared.group;
        let generation = self.member.generation();
        match change {
            Change::Assigned(partitions) => {
                tracing::debug!(group, generation, ?partitions, "assigned");
            }
            Change::Revoked { partitions, .. } => {
                tracing::debug!(group, generation, ?partitions, "revoked");
            }
            Change::Lost(partitions) => {
                tracing::warn!(group, ?partitions, "lost partitions, without a last commit");
            }
        }
    }

    fn send(&mut self, id: RequestId, to: Option<i32>, request: Request, timeout: Duration) {
        let group = Arc::clone(&self.shared.group);
        let parks = matches!(
            request,
            Request::JoinGroup { .. } | Request::SyncGroup { .. }
        );
        let peer = match to {
            None => Peer::Any(self.client.clone()),
            Some(node) => Peer::Coordinator(self.link(node, &request, parks)),
        };
        let asking = async move { peer.ask(&group, request, timeout).await };
        if parks {
            let (abort, registration) = AbortHandle::new_pair();
            self.parked = Some((id, abort));
            let asking = Abortable::new(asking, registration);
            self.requests
                .push(Box::pin(async move { (id, asking.await.ok()) }));
        } else {
            self.requests
                .push(Box::pin(async move { (id, Some(asking.await)) }));
        }
    }

    fn link(&mut self, node: i32, request: &Request, parks: bool) -> Arc<crate::client::Link> {
        let links = self.links.take_if(|links| links.node == node);
        let mut links = links.unwrap_or_else(|| Links::new(&self.client, node));
        if parks && let Some((_, abort)) = self.parked.take() {
            abort.abort();
            links.renew_parked(&self.client);
        }
        let link = links.of(request);
        self.links = Some(links);
        link
    }
}
