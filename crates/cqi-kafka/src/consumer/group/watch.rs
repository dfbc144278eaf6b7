use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::ResponseError as E;
use tokio::sync::watch;

use crate::assignor::PartitionCounts;
use crate::client::{Client, Cluster, Interest};
use crate::membership::WatchId;

/// Follows the partition counts of topics.
#[derive(Debug)]
pub(super) struct TopicWatch {
    client: Client,
    cluster: watch::Receiver<Arc<Cluster>>,
    wish: Option<Wish>,
    /// What was said last, for a topic whose answer is but an error that passes.
    known: PartitionCounts,
}

#[derive(Debug)]
struct Wish {
    id: WatchId,
    topics: BTreeSet<Arc<str>>,
    told: Option<News>,
    interest: Interest,
}

/// What became known of the watched topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    pub(super) watch: WatchId,
    pub(super) counts: PartitionCounts,
    /// Topics that cannot be had, with their codes.
    pub(super) refused: BTreeMap<Arc<str>, i16>,
}

impl TopicWatch {
    pub(super) fn new(client: Client) -> Self {
        Self {
            cluster: client.cluster(),
            client,
            wish: None,
            known: PartitionCounts::new(),
        }
    }

    /// Watches these topics instead of those before.
    pub(super) fn watch(&mut self, id: WatchId, topics: BTreeSet<Arc<str>>) {
        // In this order: topics of both wishes stay followed throughout.
        let interest = self.client.follow(topics.clone());
        // What is known of the others does for now; should it be out of date, that is news.
        self.client.refresh();
        self.known.retain(|topic, _| topics.contains(topic));
        self.wish = Some(Wish {
            id,
            topics,
            told: None,
            interest,
        });
    }

    /// Waits for news; cancel safe.
    pub(super) async fn news(&mut self) -> News {
        loop {
            let cluster = Arc::clone(&self.cluster.borrow_and_update());
            if let Some(news) = self.compare(&cluster) {
                return news;
            }
            if self.cluster.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn compare(&mut self, cluster: &Cluster) -> Option<News> {
        let wish = self.wish.as_mut()?;
        if !wish.interest.is_answered(cluster) {
            return None;
        }
        let mut news = News {
            watch: wish.id,
            counts: PartitionCounts::new(),
            refused: BTreeMap::new(),
        };
        for name in &wish.topics {
            let topic = cluster.topics.get(name)?;
            match E::try_from_code(topic.code) {
                None => {
                    let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
                    self.known.insert(Arc::clone(name), count);
                }
                Some(E::UnknownTopicOrPartition) => {
                    self.known.remove(name);
                }
                Some(E::TopicAuthorizationFailed | E::InvalidTopicException) => {
                    self.known.remove(name);
                    news.refused.insert(Arc::clone(name), topic.code);
                }
                // It passes; a topic does not lose its partitions for it.
                Some(_) => {}
            }
        }
        news.counts.clone_from(&self.known);
        if wish.told.as_ref() == Some(&news) {
            return None;
        }
        wish.told = Some(news.clone());
        Some(news)
    }
}
