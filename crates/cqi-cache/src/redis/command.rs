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

    /// How many bytes it sends, about.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Get { key, .. } | Self::Unlink { key } => key.len(),
            Self::Set { key, value, .. } => key.len() + value.len(),
        }
    }
}
