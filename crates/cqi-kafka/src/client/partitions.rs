use cqi_errors::{Error, Result};
use tokio::time::{Instant, sleep};

use super::cluster::UNKNOWN_TOPIC;
use super::{Client, refresh};
use crate::code;

impl Client {
    /// Returns how many partitions a topic has.
    ///
    /// Brokers are asked, within `request_timeout`, until each partition has a leader.
    ///
    /// # Errors
    /// - [`Kind::NotFound`](cqi_errors::Kind::NotFound): there is no such topic.
    /// - [`Kind::Forbidden`](cqi_errors::Kind::Forbidden): the topic may not be described.
    /// - [`Kind::InvalidInput`](cqi_errors::Kind::InvalidInput): no topic can have this name.
    /// - [`Kind::Temporary`](cqi_errors::Kind::Temporary), [`Kind::Timeout`](cqi_errors::Kind::Timeout):
    ///   no broker answers, or a partition has no leader.
    ///
    /// # Cancel safety
    /// Safe: nothing is changed.
    pub async fn partitions(&self, topic: &str) -> Result<i32> {
        let deadline = Instant::now() + self.request_timeout();
        let mut pauses = self.retry_pauses();
        let mut missing = false;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let request = refresh::request(std::iter::once(topic));
            let answer = self.ask(&request, left).await?;
            let known = answer.topics.iter().find(|known| &*known.name == topic);
            let code = known.map_or(UNKNOWN_TOPIC, |known| known.error_code);
            let error = match known {
                Some(known) if code == 0 => {
                    let partitions = &known.partitions;
                    let Some(without) = partitions.iter().find(|p| p.leader_id < 0) else {
                        // A broker has fewer than 2^31.
                        return Ok(i32::try_from(partitions.len()).unwrap_or(i32::MAX));
                    };
                    let partition = without.partition_index;
                    Error::temporary(format!("partition {topic}-{partition} has no leader"))
                }
                // A broker that has not caught up says so as well: hear another answer.
                _ if code == UNKNOWN_TOPIC && missing => {
                    return Err(Error::not_found("topic", topic));
                }
                _ => code::refused("Metadata", code, format_args!("topic {topic}")),
            };
            missing = code == UNKNOWN_TOPIC;
            let pause = pauses.next();
            if !error.kind().is_retryable() || Instant::now() + pause >= deadline {
                return Err(error);
            }
            sleep(pause).await;
        }
    }
}
