use bytes::Bytes;
use fred::interfaces::{FredResult, KeysInterface};
use fred::types::{Expiration, Value};

/// What is asked of the server, about one key.
#[derive(Clone, Debug)]
pub(super) enum Command {
    /// The bytes of a value up to one of them: `GETRANGE` in place of `GET`, so that the answer has a
    /// bound, whatever somebody put there.
    Get { key: Bytes, last: usize },
    /// Keeps a value for so many milliseconds, or for ever.
    Set {
        key: Bytes,
        value: Bytes,
        keep: Option<i64>,
    },
    /// Deletes a value; the server frees its memory later.
    Unlink { key: Bytes },
}

impl Command {
    /// Sends the command, or queues it in a pipeline.
    pub(super) async fn send(&self, client: &impl KeysInterface) -> FredResult<Value> {
        match self.clone() {
            Self::Get { key, last } => client.getrange(key, 0, last).await,
            Self::Set { key, value, keep } => {
                let expiry = keep.map(Expiration::PX);
                client.set(key, value, expiry, None, false).await
            }
            Self::Unlink { key } => client.unlink(key).await,
        }
    }

    pub(super) fn is_get(&self) -> bool {
        matches!(self, Self::Get { .. })
    }

    /// Whether this can be the answer to it; if not, answers and commands are out of step.
    pub(super) fn is_answered_by(&self, answer: &Value) -> bool {
        match self {
            Self::Get { .. } => matches!(
                answer,
                Value::Bytes(_) | Value::String(_) | Value::Null | Value::Queued
            ),
            Self::Set { .. } => answer.is_ok(),
            Self::Unlink { .. } => matches!(answer, Value::Integer(_)),
        }
    }

    /// How many bytes it sends, about.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Get { key, .. } | Self::Unlink { key } => key.len(),
            Self::Set { key, value, .. } => key.len() + value.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_another_command_is_noticed() {
        let key = Bytes::from_static(b"k");
        let get = Command::Get {
            key: key.clone(),
            last: 1,
        };
        let set = Command::Set {
            key: key.clone(),
            value: Bytes::new(),
            keep: None,
        };
        let unlink = Command::Unlink { key };
        let bulk = Value::Bytes(Bytes::from_static(b"OKAY"));
        let (ok, one) = (Value::from_static_str("OK"), Value::Integer(1));
        for (command, answers) in [
            (get, [true, true, false, true]),
            (set, [false, true, false, false]),
            (unlink, [false, false, true, false]),
        ] {
            let fits = [&bulk, &ok, &one, &Value::Null].map(|it| command.is_answered_by(it));
            assert_eq!(fits, answers, "{command:?}");
        }
    }
}
