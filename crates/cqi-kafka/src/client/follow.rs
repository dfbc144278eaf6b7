use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Cluster;

/// The topics that somebody wants to know about, with how many do.
#[derive(Debug, Default)]
pub(super) struct Followed {
    topics: Mutex<BTreeMap<Arc<str>, usize>>,
}

impl Followed {
    /// Returns whether one of them is new.
    pub(super) fn add(&self, topics: &BTreeSet<Arc<str>>) -> bool {
        let mut followed = self.lock();
        let mut new = false;
        for topic in topics {
            let count = followed.entry(Arc::clone(topic)).or_default();
            new |= *count == 0;
            *count += 1;
        }
        new
    }

    fn remove(&self, topics: &BTreeSet<Arc<str>>) {
        let mut followed = self.lock();
        for topic in topics {
            if let Some(count) = followed.get_mut(topic) {
                *count -= 1;
                if *count == 0 {
                    followed.remove(topic);
                }
            }
        }
    }

    pub(super) fn topics(&self) -> BTreeSet<Arc<str>> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, usize>> {
        // No step of a change can panic halfway.
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps topics among those whose metadata is refreshed, until dropped.
#[must_use = "the topics are forgotten when it is dropped"]
#[derive(Debug)]
pub(crate) struct Interest {
    followed: Arc<Followed>,
    topics: BTreeSet<Arc<str>>,
    /// How often topics had been added when these were.
    additions: u64,
}

impl Interest {
    pub(super) const fn new(
        followed: Arc<Followed>,
        topics: BTreeSet<Arc<str>>,
        additions: u64,
    ) -> Self {
        Self {
            followed,
            topics,
            additions,
        }
    }

    /// Whether what is known there answers a question that was asked after the topics were followed.
    pub(crate) const fn is_answered(&self, cluster: &Cluster) -> bool {
        cluster.additions >= self.additions
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        self.followed.remove(&self.topics);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(topics: &[&str]) -> BTreeSet<Arc<str>> {
        topics.iter().map(|topic| Arc::from(*topic)).collect()
    }

    #[test]
    fn a_topic_is_followed_until_the_last_one_lets_go() {
        let followed = Arc::new(Followed::default());
        let follow = |topics: &[&str]| {
            let topics = set(topics);
            let new = followed.add(&topics);
            (Interest::new(Arc::clone(&followed), topics, 0), new)
        };
        let (first, new) = follow(&["a", "b"]);
        assert!(new);
        let (second, new) = follow(&["b"]);
        assert!(!new);
        let (third, new) = follow(&["b", "c"]);
        assert!(new);
        drop(first);
        assert_eq!(followed.topics(), set(&["b", "c"]));
        drop(third);
        assert_eq!(followed.topics(), set(&["b"]));
        drop(second);
        assert_eq!(followed.topics(), set(&[]));
    }
}
