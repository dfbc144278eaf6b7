use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::changes::Step;
use super::error;
use super::event::{Event, Revocation};
use super::handle::GroupHandle;
use super::settings::{self, GroupSettings};
use super::shared::Shared;
use super::status::GroupStatus;
use super::task::GroupTask;
use crate::TopicPartition;
use crate::client::Client;
use crate::consumer::fetch::{Fetcher, Position, StartPosition};
use crate::membership::Offset;

/// A member of a consumer group, with the records of the partitions that it owns.
///
/// A task of its own keeps the member in its group while the caller works: heartbeats, rebalances and
/// commits do not wait for a poll. A caller that neither polls nor waits in a poll for
/// `max_poll_interval` is taken for stuck: the member leaves, and joins again with the next poll.
///
/// Delivery is at least once: what was delivered and not committed comes again, to this member or
/// another.
///
/// ```no_run
/// use std::time::Duration;
/// use cqi_kafka::{Client, ClientSettings, Event, GroupConsumer, GroupSettings};
///
/// # async fn run(settings: ClientSettings) -> cqi_errors::Result<()> {
/// let client = Client::connect(settings).await?;
/// let mut consumer = GroupConsumer::join(&client, GroupSettings::new("billing"), ["prices"])?;
/// loop {
///     match consumer.poll(Duration::from_secs(1)).await? {
///         Some(Event::Records(records)) => {
///             let next = records.next_offset();
///             for record in &records {
///                 println!("{:?}", record.value());
///             }
///             consumer.commit([next]).await?;
///         }
///         Some(Event::Lost(partitions)) => eprintln!("lost {partitions:?}"),
///         _ => {}
///     }
/// }
/// # }
/// ```
///
/// # Shutdown
///
/// [`close`](Self::close) leaves the group at once, so that others take over within a moment.
/// Dropping ends all tasks without a word to the group, which then waits for the session timeout.
#[derive(Debug)]
#[must_use = "dropping it leaves the partitions without an owner until the session timeout"]
pub struct GroupConsumer {
    handle: GroupHandle,
    fetcher: Arc<Fetcher>,
    /// Before the task: handles are to hear that the consumer is closed, not that its task is gone.
    closed: Closed,
    task: JoinSet<()>,
    close_timeout: Duration,
}

/// Says that nothing comes any more, when dropped.
#[derive(Debug)]
struct Closed(Arc<Shared>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl GroupConsumer {
    /// Starts to join a group; [`poll`](Self::poll) tells what the member is assigned.
    ///
    /// The topics need not exist yet; topics and partitions that come later are noticed.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for settings or topic names that cannot work, and `Permanent` outside of a
    /// tokio runtime.
    pub fn join<T: Into<Arc<str>>>(
        client: &Client,
        settings: GroupSettings,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<Self> {
        settings.validate()?;
        let topics = settings::topics(topics)?;
        let runtime = Handle::try_current().map_err(|error| {
            Error::permanent("a group is joined within a tokio runtime").with_source(error)
        })?;
        let shared = Arc::new(Shared::new(Arc::clone(&settings.member.group), topics));
        let fetcher = Arc::new(Fetcher::start(client.clone(), settings.fetch));
        let (commits, queue) = mpsc::channel(settings.max_queued_commits);
        let handle = GroupHandle {
            shared: Arc::clone(&shared),
            commits,
            fetcher: Arc::downgrade(&fetcher),
            commit_timeout: settings.commit_timeout,
        };
        let closed = Closed(Arc::clone(&shared));
        let member = GroupTask::new(client.clone(), settings.member, shared, queue);
        let mut task = JoinSet::new();
        task.spawn_on(member.run(), &runtime);
        Ok(Self {
            handle,
            fetcher,
            closed,
            task,
            close_timeout: settings.close_timeout,
        })
    }

    /// Waits for what comes next: a change of partitions first, else records; nothing after the
    /// timeout.
    ///
    /// Changes come in the order in which they happened. After a partition was revoked or lost no
    /// record of it comes, until it is assigned again.
    ///
    /// # Errors
    ///
    /// - What one partition or topic suffers from is told once, and the next poll goes on:
    ///   `Forbidden` for a topic that may not be read, `NotFound` and `Conflict` for a position that
    ///   the log has not, or no longer, where the start position is to fail, `Permanent` for records
    ///   that cannot be read.
    /// - What no waiting mends is told again and again, and tried again all the same: `Unauthorized`
    ///   for credentials, `Permanent` for certificates, versions or answers that cannot be read.
    /// - What puts the member out of its group is told by each poll from then on: `Forbidden` for a
    ///   missing permission on the group or the offsets of a topic, `Conflict` where another process took the instance id,
    ///   `InvalidInput` for a session timeout that the broker does not allow, else `Permanent`.
    ///
    /// A broker that cannot be reached is no error: it is tried again, and logged.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn poll(&mut self, wait: Duration) -> Result<Option<Event>> {
        let _polling = self.handle.shared.begin_poll();
        timeout(wait, self.next()).await.ok().transpose()
    }

    async fn next(&self) -> Result<Event> {
        let shared = &self.handle.shared;
        loop {
            while let Some(step) = shared.next()? {
                match step {
                    Step::Assigned(partitions) => {
                        self.fetcher.assign(&partitions);
                        return Ok(Event::Assigned(partitions));
                    }
                    Step::Positions(positions) => self.fetcher.position(positions),
                    Step::Revoked(id, partitions) => {
                        self.fetcher.remove(&partitions);
                        let revocation = Revocation::new(Arc::clone(shared), id, partitions);
                        return Ok(Event::Revoked(revocation));
                    }
                    Step::Lost(partitions) => {
                        self.fetcher.remove(&partitions);
                        return Ok(Event::Lost(partitions));
                    }
                    Step::Trouble(error) => return Err(error),
                }
            }
            tokio::select! {
                biased;
                () = shared.caller.notified() => {}
                records = self.fetcher.next() => return records.map(Event::Records),
            }
        }
    }

    /// Commits offsets of owned partitions and waits until the broker has them: each that of the
    /// next record to read, after all before it are done, as `Records::next_offset` gives it.
    ///
    /// Commits go out one after the other, in the order of the calls. While the coordinator is away
    /// or on the move, the first is tried again and again and the others wait behind it. Nothing is
    /// committed by itself.
    ///
    /// # Errors
    ///
    /// | Kind | Why | What to do |
    /// |---|---|---|
    /// | `Conflict` | a partition is not owned, or no longer | drop its work: it comes again elsewhere |
    /// | `Temporary` | the group is rebalancing | poll on, and commit what is owned then |
    /// | `Timeout` | no confirmation within `commit_timeout` | commit again |
    /// | `Forbidden` | the user may not read the topic or the group | |
    /// | `InvalidInput` | the metadata is longer than the broker allows | |
    ///
    /// else what [`poll`](Self::poll) says of a member that is out of its group, or what the broker
    /// refuses offsets with. Whatever the error, the offsets may have been written: an answer can get
    /// lost.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the offsets may be written or not.
    pub async fn commit(
        &self,
        offsets: impl IntoIterator<Item = (TopicPartition, Offset)>,
    ) -> Result<()> {
        self.handle.commit(offsets).await
    }

    /// Returns a handle for other tasks, to commit, pause and seek while a poll is pending.
    #[must_use]
    pub fn handle(&self) -> GroupHandle {
        self.handle.clone()
    }

    /// Consumes these topics from now on, instead of those before.
    ///
    /// Without any, all partitions are revoked and the member leaves; another subscription brings it
    /// back.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for names that no topic can have.
    pub fn subscribe<T: Into<Arc<str>>>(&self, topics: impl IntoIterator<Item = T>) -> Result<()> {
        let topics = settings::topics(topics)?;
        let shared = &self.handle.shared;
        shared.wish(|wishes| wishes.topics = Some(topics));
        Ok(())
    }

    /// Stops delivering records of partitions; see [`GroupHandle::pause`].
    pub fn pause(&self, partitions: &BTreeSet<TopicPartition>) {
        self.handle.pause(partitions);
    }

    /// Goes on with paused partitions; see [`GroupHandle::resume`].
    pub fn resume(&self, partitions: &BTreeSet<TopicPartition>) {
        self.handle.resume(partitions);
    }

    /// Goes on at another offset; see [`GroupHandle::seek`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<()> {
        self.handle.seek(partition, offset)
    }

    /// Goes on at the earliest or latest record, or at the first of a time; see
    /// [`GroupHandle::seek_to`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn seek_to(&self, partition: &TopicPartition, start: StartPosition) -> Result<()> {
        self.handle.seek_to(partition, start)
    }

    /// Returns the position of each assigned partition.
    #[must_use]
    pub fn positions(&self) -> BTreeMap<TopicPartition, Position> {
        self.handle.positions()
    }

    /// Returns where the member stands.
    #[must_use]
    pub fn status(&self) -> GroupStatus {
        self.handle.status()
    }

    /// Leaves the group at once, after the commits that were called before, and ends all tasks.
    ///
    /// A static member keeps its place until its session times out, so that a restart moves nothing.
    /// A coordinator that is being looked for is not waited for, unless a commit is: its group then
    /// waits for the session timeout, as with the Java client.
    ///
    /// # Errors
    ///
    /// `Timeout` when that took longer than `close_timeout`: the tasks are ended all the same, and
    /// the group waits for the session timeout.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the tasks are ended, and the member may have left or not.
    pub async fn close(self) -> Result<()> {
        let Self {
            handle,
            fetcher,
            closed: _closed,
            mut task,
            close_timeout,
        } = self;
        handle.shared.wish(|wishes| wishes.close = true);
        let begun = Instant::now();
        let closing = async {
            tokio::join!(fetcher.close(), task.join_next());
        };
        timeout(close_timeout, closing).await.map_err(|_| {
            let group = &handle.shared.group;
            let last = error::last(handle.shared.failure_since(begun));
            Error::timeout(format!(
                "group {group}: the coordinator did not confirm the last commits and the departure \
                 within {close_timeout:?}{last}; the group notices it after the session timeout"
            ))
        })
    }
}
