use std::time::Duration;

use bytes::Bytes;
use cqi_errors::Result;
use fred::clients::Client;
use fred::error::ErrorKind;
use fred::interfaces::FredResult;
use fred::types::Value;
use tokio::time::Instant;

use super::command::Command;
use super::link::Link;
use super::{
    Redis, done, error, foreign, found, millis, quick, settled, timed_out, unexpected, within,
};

/// The most keys that go to the server at once.
const KEYS: usize = 512;
/// The most bytes that do.
const BYTES: usize = 4 << 20;

impl Redis {
    /// One answer for each key, in order.
    pub(crate) async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>> {
        let last = self.settings.last_byte();
        let mut values = Vec::with_capacity(keys.len());
        let commands = keys.into_iter().map(|key| Command::Get { key, last });
        for batch in batches(commands) {
            for answer in self.many(&batch).await {
                values.push(found(answer?)?);
            }
        }
        Ok(values)
    }

    /// Sets them all, or tells how many not.
    pub(crate) async fn set_many(
        &self,
        entries: Vec<(Bytes, Bytes)>,
        keep: Option<Duration>,
    ) -> Result<()> {
        let keep = keep.map(millis);
        let total = entries.len();
        let mut failed = 0;
        let mut first = None;
        let commands = entries
            .into_iter()
            .map(|(key, value)| Command::Set { key, value, keep });
        for batch in batches(commands) {
            for answer in self.many(&batch).await {
                if let Err(error) = answer.and_then(|answer| done(&answer)) {
                    failed += 1;
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            Some(error) => Err(error.context(format!("{failed} of {total} values were not set"))),
            None => Ok(()),
        }
    }

    /// How many there were.
    pub(crate) async fn delete(&self, keys: Vec<Bytes>) -> Result<u64> {
        let mut deleted = 0;
        for batch in batches(keys.into_iter().map(|key| Command::Unlink { key })) {
            for answer in self.many(&batch).await {
                match answer? {
                    Value::Integer(count) => deleted += u64::try_from(count).unwrap_or(0),
                    _ => return Err(unexpected()),
                }
            }
        }
        Ok(deleted)
    }

    /// Sends a batch at once, in the bound of one command; as many answers, in order.
    async fn many(&self, batch: &[Command]) -> Vec<Result<Value>> {
        if let [command] = batch {
            return vec![self.one(command.clone()).await];
        }
        let link = self.link();
        let begin = Instant::now();
        let mut answers = by_lane(link, batch).await;
        let rest = batch
            .iter()
            .zip(&answers)
            .filter(|(_, answer)| answer.is_none());
        let rest: Vec<_> = rest.map(|(command, _)| command).collect();
        if !rest.is_empty() {
            let left = self
                .settings
                .command_timeout
                .saturating_sub(begin.elapsed());
            let rest = match link.client() {
                Ok(client) => Box::pin(by_fred(&client, left, &rest)).await,
                Err(_) => Vec::new(),
            };
            // The short way's answers say nothing about fred's connection.
            if rest.iter().any(Result::is_ok) {
                link.answered();
            }
            let mut rest = rest.into_iter();
            answers
                .iter_mut()
                .filter(|answer| answer.is_none())
                .for_each(|answer| *answer = rest.next());
        }
        // Those without an answer have no connection.
        let answers = answers.into_iter().map(|answer| match answer {
            Some(answer) => answer.map_err(|error| self.failed(link, &error)),
            None => link
                .client()
                .and_then(|_| Err(self.failed(link, &timed_out()))),
        });
        answers.collect()
    }
}

/// Sends what it can by the short way; `None` is to be sent by fred.
async fn by_lane(link: &Link, batch: &[Command]) -> Vec<Option<FredResult<Value>>> {
    let Some(queue) = link.lane() else {
        return batch.iter().map(|_| None).collect();
    };
    let queued: Vec<_> = batch.iter().map(|command| quick(&queue, command)).collect();
    let mut answers = Vec::with_capacity(batch.len());
    for (command, queued) in batch.iter().zip(queued) {
        answers.push(match queued {
            None => None,
            Some(answer) => settled(command, answer).await,
        });
    }
    answers
}

/// Sends commands in one pipeline, a second time where a node of a cluster has said that another one
/// is to be asked.
async fn by_fred(client: &Client, left: Duration, batch: &[&Command]) -> Vec<FredResult<Value>> {
    let answers = within(left, async {
        match pipeline(client, batch).await {
            Err(error) if error::is_moved(&error) => pipeline(client, batch).await,
            answers => answers,
        }
    });
    match answers.await {
        Ok(answers) => {
            let answers = batch.iter().zip(answers);
            answers
                .map(|(command, answer)| foreign(command, answer))
                .collect()
        }
        Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
    }
}

async fn pipeline(client: &Client, batch: &[&Command]) -> FredResult<Vec<FredResult<Value>>> {
    let pipeline = client.pipeline();
    for command in batch {
        command.send(&pipeline).await?;
    }
    let mut answers = pipeline.try_all::<Value>().await;
    if answers.len() == batch.len() {
        return Ok(answers);
    }
    // One error stands for all.
    match answers.pop() {
        Some(Err(error)) => Err(error),
        _ => Err(fred::error::Error::new(
            ErrorKind::Protocol,
            "the number of answers is wrong",
        )),
    }
}

/// Cuts commands into what is sent at once.
fn batches(commands: impl Iterator<Item = Command>) -> Vec<Vec<Command>> {
    let mut batches: Vec<Vec<Command>> = Vec::new();
    let mut bytes = 0;
    for command in commands {
        let size = command.size();
        match batches.last_mut() {
            Some(batch) if batch.len() < KEYS && bytes + size <= BYTES => {
                bytes += size;
                batch.push(command);
            }
            _ => {
                bytes = size;
                batches.push(vec![command]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(commands: impl Iterator<Item = usize>) -> Vec<usize> {
        let command = |size| Command::Unlink {
            key: vec![b'k'; size].into(),
        };
        batches(commands.map(command))
            .iter()
            .map(Vec::len)
            .collect()
    }

    #[test]
    fn batches_have_bounds_and_nothing_is_lost() {
        assert_eq!(sizes(std::iter::empty()), [0_usize; 0]);
        assert_eq!(
            sizes((0..1_100).map(|_| 10)),
            [KEYS, KEYS, 1_100 - 2 * KEYS]
        );
        assert_eq!(
            sizes([BYTES, 1, 1, BYTES, BYTES * 2, 1].into_iter()),
            [1, 2, 1, 1, 1]
        );
        assert_eq!(sizes([BYTES / 2, BYTES / 2, 1].into_iter()), [2, 1]);
    }
}
