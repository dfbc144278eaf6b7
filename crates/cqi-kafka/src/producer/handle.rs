use std::sync::Arc;
use std::time::Duration;

use cqi_errors::{Error, Result};
use tokio::sync::{Mutex, OwnedSemaphorePermit, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::sequencer::{BatchId, NewBatch};
use super::shared::{Batch, Shared, State, Topic};
use super::task::Task;
use super::{Delivery, ProducerSettings, error};
use crate::client::{Client, Cluster, Interest};
use crate::code;
use crate::records::{BatchBuilder, EncodedBatch, Producer as Numbers};
use crate::{TopicPartition, client};

/// Writes batches of records, each once and in the order of the calls; see the [module](super).
///
/// Cheap to clone. Its task ends with [`close`](Self::close), or with the last clone; then what has no
/// outcome yet is given up.
///
/// ```no_run
/// use cqi_kafka::producer::{Producer, ProducerSettings};
/// use cqi_kafka::records::{BatchBuilder, BatchOptions, NewRecord};
/// use cqi_kafka::{Client, ClientSettings, TopicPartition};
///
/// # async fn example() -> cqi_errors::Result<()> {
/// let client = Client::connect(ClientSettings::new(["kafka-1:9092"])).await?;
/// let producer = Producer::start(&client, ProducerSettings::default())?;
///
/// let mut batch = BatchBuilder::new(BatchOptions::default());
/// let _ = batch.push(&NewRecord { value: Some(b"1.0842"), ..NewRecord::at(1_795_000_000_000) })?;
/// let delivery = producer.send(&TopicPartition::new("prices", 0), batch).await?;
/// println!("written at {:?}", delivery.await?.offset);
///
/// producer.close(std::time::Duration::from_secs(10)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Producer {
    shared: Arc<Shared>,
    /// Aborted with the last clone.
    task: Arc<Mutex<JoinSet<()>>>,
}

impl Producer {
    /// Starts a producer; nothing is asked of brokers before the first batch.
    ///
    /// # Errors
    /// [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput): a setting is wrong; the text says
    /// which, and what is allowed.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(client: &Client, settings: ProducerSettings) -> Result<Self> {
        settings.validate()?;
        let shared = Arc::new(Shared::new(client.clone(), settings));
        let mut task = JoinSet::new();
        task.spawn(Task::new(Arc::clone(&shared)).run());
        Ok(Self {
            shared,
            task: Arc::new(Mutex::new(task)),
        })
    }

    /// Takes a batch in, behind those that it took for the partition before; it is sent at once.
    ///
    /// Waits, at most [`ProducerSettings::max_block`], until the topic is found and there is room
    /// for the batch. Compression is the builder's ([`BatchOptions`](crate::records::BatchOptions))
    /// and runs here, on the caller's task: a full batch takes milliseconds,
    /// with gzip tens of them. A caller that shares its thread with what cannot wait so long sends
    /// smaller batches. Of calls that overlap, the one that finds room first is first.
    ///
    /// # Errors
    /// The batch was not taken, and is not written:
    /// - [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput): the topic has no such partition,
    ///   the batch is empty or larger than [`ProducerSettings::max_request_bytes`];
    /// - [`Kind::NotFound`](cqi_errors::Kind::NotFound): brokers know no such topic;
    /// - [`Kind::Forbidden`](cqi_errors::Kind::Forbidden): the topic may not be described;
    /// - [`Kind::Timeout`](cqi_errors::Kind::Timeout): there was no room in time, or no broker to
    ///   ask for the topic;
    /// - [`Kind::Cancelled`](cqi_errors::Kind::Cancelled): the producer is closed.
    ///
    /// # Cancel safety
    /// A dropped future has sent nothing.
    pub async fn send(&self, partition: &TopicPartition, batch: BatchBuilder) -> Result<Delivery> {
        let deadline = Instant::now() + self.shared.settings.max_block;
        let sent = async {
            let interest = self.find(partition, deadline).await?;
            let encoded = batch.finish(Numbers::NONE)?;
            let room = self.room(&encoded, deadline).await?;
            self.enqueue(partition, encoded, room, interest)
        };
        sent.await.map_err(error::unsent)
    }

    /// Waits until all batches taken so far have their outcomes: no longer than
    /// [`ProducerSettings::delivery_timeout`].
    ///
    /// # Cancel safety
    /// Safe: nothing is changed.
    pub async fn flush(&self) {
        let last = self.shared.state().last;
        loop {
            let mut resolved = std::pin::pin!(self.shared.resolved.notified());
            // From here on no outcome is missed.
            resolved.as_mut().enable();
            let first = self.shared.state().batches.keys().next().copied();
            if first.is_none_or(|first| first > last) {
                return;
            }
            resolved.await;
        }
    }

    /// Takes no more batches, waits until all have their outcomes, at most `timeout`, gives up those
    /// that have none, and ends the task. All clones are closed with it.
    ///
    /// # Cancel safety
    /// When the future is dropped, the producer takes no more batches, and those taken are still
    /// sent, or have been given up by then; call it again.
    pub async fn close(&self, timeout: Duration) {
        self.shared.state().closed = true;
        // Who waits for room waits no longer.
        self.shared.room.close();
        let _ = tokio::time::timeout(timeout, self.flush()).await;
        self.task.lock().await.shutdown().await;
    }

    /// Waits until the partition is known to exist.
    async fn find(&self, partition: &TopicPartition, deadline: Instant) -> Result<Arc<Interest>> {
        let interest = self.follow(partition)?;
        let mut cluster = self.shared.client.cluster();
        let found = async {
            loop {
                {
                    let known = cluster.borrow_and_update();
                    if interest.is_answered(&known)
                        && let Some(found) = located(&known, partition)
                    {
                        return found;
                    }
                }
                tokio::select! {
                    // Its sender is the client's.
                    _ = cluster.changed() => {}
                    closed = self.shared.client.closed() => return Err(closed),
                }
            }
        };
        let Ok(found) = timeout_at(deadline, found).await else {
            let cluster = self.shared.client.cluster().borrow().clone();
            return Err(self.missing(partition, &interest, &cluster));
        };
        found.map(|()| interest)
    }

    fn follow(&self, partition: &TopicPartition) -> Result<Arc<Interest>> {
        let mut state = self.shared.state();
        if state.closed {
            return Err(error::closed());
        }
        let topic = partition.topic();
        let used = self.shared.now();
        if let Some(known) = state.topics.get_mut(topic) {
            known.used = used;
            return Ok(Arc::clone(&known.interest));
        }
        let interest = Arc::new(self.shared.client.follow([Arc::clone(topic)].into()));
        let known = Topic {
            interest: Arc::clone(&interest),
            used,
        };
        state.topics.insert(Arc::clone(topic), known);
        Ok(interest)
    }

    /// Says why a topic was not found in time; it is followed no longer than batches for it wait.
    fn missing(&self, partition: &TopicPartition, interest: &Interest, cluster: &Cluster) -> Error {
        let topic = partition.topic();
        self.shared.state().topics.remove(topic);
        if interest.is_answered(cluster) {
            return Error::not_found("topic", topic);
        }
        let waited = self.shared.settings.max_block;
        let why = self.shared.client.trouble();
        let why = why.unwrap_or_else(|| "check that brokers can be reached".into());
        Error::timeout(format!(
            "no broker said within {waited:?} where topic {topic} is; {why}"
        ))
    }

    async fn room(
        &self,
        encoded: &EncodedBatch,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit> {
        let settings = &self.shared.settings;
        let bytes = encoded.bytes().len();
        let most = settings.max_request_bytes.min(settings.max_buffered_bytes);
        let permits = u32::try_from(bytes).ok().filter(|_| bytes <= most);
        let Some(permits) = permits else {
            let problem = format!(
                "it has {bytes} bytes, of {most} allowed by max_request_bytes and max_buffered_bytes"
            );
            return Err(Error::invalid_input("batch", problem));
        };
        let room = Arc::clone(&self.shared.room).acquire_many_owned(permits);
        let room = timeout_at(deadline, room).await.map_err(|_| {
            let (waited, most) = (settings.max_block, settings.max_buffered_bytes);
            Error::timeout(format!(
                "there was no room for a batch of {bytes} bytes within {waited:?}: \
                 {most} bytes wait for brokers"
            ))
        })?;
        room.map_err(|_closed| error::closed())
    }

    fn enqueue(
        &self,
        partition: &TopicPartition,
        encoded: EncodedBatch,
        room: OwnedSemaphorePermit,
        interest: Arc<Interest>,
    ) -> Result<Delivery> {
        let leader = self.shared.client.cluster().borrow().leader(partition);
        let mut state = self.shared.state();
        if state.closed {
            return Err(error::closed());
        }
        let State {
            sequencer,
            batches,
            last,
            ..
        } = &mut *state;
        last.0 += 1;
        let new = NewBatch {
            id: BatchId(last.0),
            records: encoded.header().record_count,
            bytes: encoded.bytes().len(),
            deadline: self.shared.now() + self.shared.settings.delivery_timeout,
        };
        let (outcome, delivery) = oneshot::channel();
        let batch = Batch {
            partition: partition.clone(),
            records: new.records,
            deadline: new.deadline,
            encoded: Some(encoded),
            outcome,
            problem: None,
            _room: room,
            _interest: interest,
        };
        batches.insert(new.id, batch);
        sequencer.push(partition, new);
        sequencer.lead(partition, leader.map(|leader: client::Leader| leader.node));
        drop(state);
        self.shared.wake.notify_one();
        Ok(Delivery::new(delivery))
    }
}

/// Whether a partition exists; `None` while brokers may come to say otherwise.
fn located(cluster: &Cluster, partition: &TopicPartition) -> Option<Result<()>> {
    let topic = cluster.topics.get(partition.topic())?;
    if topic.code != 0 {
        let final_ = !code::is_retriable(topic.code) && !code::stale_metadata(topic.code);
        let what = format!("topic {}", partition.topic());
        return final_.then(|| Err(code::refused("Metadata", topic.code, what)));
    }
    let (number, count) = (partition.partition(), topic.partitions.len());
    match usize::try_from(number) {
        Ok(at) if at < count => Some(Ok(())),
        _ => {
            let problem = format!("{partition} does not exist: the topic has {count} partitions");
            Some(Err(Error::invalid_input("partition", problem)))
        }
    }
}
