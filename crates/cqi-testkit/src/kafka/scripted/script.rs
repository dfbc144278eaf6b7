//! What the brokers were told to do, and what they were asked.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::api::Api;
use super::reply::Reply;

/// The most requests that are remembered one by one; all are counted.
const REMEMBERED: usize = 10_000;

/// A request that a scripted broker got.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// What was asked.
    pub api: Api,
    /// In which version of the API.
    pub version: i16,
    /// By whom: what the client calls itself.
    pub client_id: Option<String>,
    /// The broker.
    pub node: i32,
    /// The connection: they are counted from 1.
    pub connection: u64,
    /// How long after the start of the brokers.
    pub at: Duration,
    /// How it was answered.
    pub reply: Reply,
}

#[derive(Debug, Default)]
pub(super) struct Script {
    next: BTreeMap<Api, VecDeque<Reply>>,
    always: BTreeMap<Api, Reply>,
    requests: VecDeque<Request>,
    counts: BTreeMap<Api, u64>,
    connections: u64,
}

impl Script {
    pub(super) fn next(&mut self, api: Api, replies: impl IntoIterator<Item = Reply>) {
        self.next.entry(api).or_default().extend(replies);
    }

    pub(super) fn always(&mut self, api: Api, reply: Reply) {
        self.next.remove(&api);
        self.always.insert(api, reply);
    }

    pub(super) fn clear(&mut self) {
        self.next.clear();
        self.always.clear();
    }

    pub(super) fn reply(&mut self, api: Api) -> Reply {
        let next = self.next.get_mut(&api).and_then(VecDeque::pop_front);
        let always = || self.always.get(&api).copied();
        next.or_else(always).unwrap_or(Reply::Normal)
    }

    pub(super) fn connection(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    pub(super) fn connections(&self) -> u64 {
        self.connections
    }

    pub(super) fn record(&mut self, request: Request) {
        *self.counts.entry(request.api).or_default() += 1;
        if self.requests.len() >= REMEMBERED {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }

    pub(super) fn count(&self, api: Api) -> u64 {
        self.counts.get(&api).copied().unwrap_or_default()
    }

    pub(super) fn requests(&self, api: Api) -> Vec<Request> {
        let requests = self.requests.iter();
        requests.filter(|it| it.api == api).cloned().collect()
    }
}
