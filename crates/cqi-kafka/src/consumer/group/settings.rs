use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};

use crate::consumer::fetch::FetchSettings;
use crate::membership;

/// Java's `int`, which counts milliseconds.
const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// How to consume with a group; the names in brackets are the Java client's.
///
/// ```
/// use std::time::Duration;
/// use cqi_kafka::{GroupSettings, StartPosition};
///
/// let mut settings = GroupSettings::new("billing");
/// settings.member.instance_id = Some("billing-0".into());
/// settings.member.session_timeout = Duration::from_secs(10);
/// settings.fetch.start = StartPosition::Earliest;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupSettings {
    /// How the member behaves in its group.
    pub member: membership::Settings,
    /// How its records are fetched.
    pub fetch: FetchSettings,
    /// The longest that a commit may take, with those before it, and with the search for a
    /// coordinator that is away (`default.api.timeout.ms`). 60 s.
    pub commit_timeout: Duration,
    /// The most commits that wait for those before them, 1 or more; others wait for a place. 64.
    pub max_queued_commits: usize,
    /// The longest that [`close`](crate::GroupConsumer::close) may take (`close(timeout)`). 30 s.
    pub close_timeout: Duration,
}

impl GroupSettings {
    /// The defaults of the Java client, except for the assignor, the isolation and that nothing is
    /// committed by itself.
    pub fn new(group: impl Into<Arc<str>>) -> Self {
        Self {
            member: membership::Settings::new(group),
            fetch: FetchSettings::default(),
            commit_timeout: Duration::from_secs(60),
            max_queued_commits: 64,
            close_timeout: Duration::from_secs(30),
        }
    }

    /// Refuses what cannot work.
    pub(super) fn validate(&self) -> Result<()> {
        let member = &self.member;
        if member.group.is_empty() {
            return Err(Error::invalid_input(
                "group",
                "is empty; a group has a name",
            ));
        }
        if member.instance_id.as_deref().is_some_and(str::is_empty) {
            let problem = "is empty; give it a name, or none for a dynamic member";
            return Err(Error::invalid_input("instance_id", problem));
        }
        if member.assignors.is_empty() {
            return Err(Error::invalid_input(
                "assignors",
                "is empty; one or more are needed",
            ));
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = member.assignors.iter().find(|a| !names.insert(a.name())) {
            let problem = format!("names {} twice; once is allowed", twice.name());
            return Err(Error::invalid_input("assignors", problem));
        }
        for (name, value) in [
            ("session_timeout", member.session_timeout),
            ("heartbeat_interval", member.heartbeat_interval),
            ("max_poll_interval", member.max_poll_interval),
            ("request_timeout", member.request_timeout),
            ("backoff", member.backoff),
            ("max_backoff", member.max_backoff),
            ("commit_timeout", self.commit_timeout),
            ("close_timeout", self.close_timeout),
        ] {
            if value < Duration::from_millis(1) || value > LONGEST {
                let problem = format!("is {value:?}; 1 ms to {LONGEST:?} are allowed");
                return Err(Error::invalid_input(name, problem));
            }
        }
        if member.heartbeat_interval > member.session_timeout / 3 {
            let problem = format!(
                "is {:?}; at most a third of the session timeout of {:?} is allowed",
                member.heartbeat_interval, member.session_timeout
            );
            return Err(Error::invalid_input("heartbeat_interval", problem));
        }
        if member.backoff > member.max_backoff {
            let problem = format!(
                "is {:?}; at most the max_backoff of {:?} is allowed",
                member.backoff, member.max_backoff
            );
            return Err(Error::invalid_input("backoff", problem));
        }
        if self.max_queued_commits == 0 {
            let problem = "is 0; 1 and more are allowed";
            return Err(Error::invalid_input("max_queued_commits", problem));
        }
        self.fetch.validate()
    }
}

/// Refuses names that no topic can have.
pub(super) fn topics<T: Into<Arc<str>>>(
    topics: impl IntoIterator<Item = T>,
) -> Result<BTreeSet<Arc<str>>> {
    let topics: BTreeSet<Arc<str>> = topics.into_iter().map(Into::into).collect();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    for topic in &topics {
        let fits = (1..=249).contains(&topic.len()) && topic.bytes().all(allowed);
        if !fits || matches!(&**topic, "." | "..") {
            let problem = format!(
                "holds {topic:?}; a topic's name has 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'"
            );
            return Err(Error::invalid_input("topics", problem));
        }
    }
    Ok(topics)
}
