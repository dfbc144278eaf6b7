//! The two messages that members exchange through the coordinator, which does not read them.
//!
//! Written by hand, because they come from any other member of the group: a length that exceeds
//! the message must not reserve memory, and odd user data must not fail.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::TopicPartition;

/// What a member says of itself when it joins: Kafka's `ConsumerProtocolSubscription`, read in
/// versions 0 to 3 and above, written in version 3 (older readers skip what they do not know).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscription {
    /// The topics that the member wants.
    pub topics: BTreeSet<Arc<str>>,
    /// What it owns at the moment; empty in an eager group.
    pub owned: BTreeSet<TopicPartition>,
    /// The generation in which it came to own that.
    pub generation: Option<i32>,
    /// Where it runs; sent along, not used by the assignors here.
    pub rack: Option<Arc<str>>,
}

/// What a member gets: Kafka's `ConsumerProtocolAssignment`, written in version 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Assignment {
    /// The partitions that the member owns from now on.
    pub partitions: BTreeSet<TopicPartition>,
}

/// A message of another member that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError;

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("consumer protocol message is truncated or has an invalid length")
    }
}

impl std::error::Error for DecodeError {}

impl Subscription {
    /// Wants these topics and owns nothing.
    pub fn new<T: Into<Arc<str>>>(topics: impl IntoIterator<Item = T>) -> Self {
        Self {
            topics: topics.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Says what the member owns, and since which generation.
    #[must_use]
    pub fn owning(
        mut self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        generation: i32,
    ) -> Self {
        self.owned = partitions.into_iter().collect();
        self.generation = Some(generation).filter(|generation| *generation >= 0);
        self
    }

    /// Writes version 3, with the generation in the user data too: there Java members before
    /// 3.2 look for it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        let generation = self.generation.unwrap_or(-1);
        out.put_i16(3);
        put_len(&mut out, self.topics.len());
        for topic in &self.topics {
            put_string(&mut out, topic);
        }
        out.put_i32(4);
        out.put_i32(generation);
        put_partitions(&mut out, &self.owned);
        out.put_i32(generation);
        match &self.rack {
            Some(rack) => put_string(&mut out, rack),
            None => out.put_i16(-1),
        }
        out.freeze()
    }

    /// Reads any version; user data that is not a generation is ignored.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the message ends too early or holds an impossible length.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader(message);
        let version = input.i16()?;
        let mut subscription = Self::default();
        for _ in 0..input.len()? {
            subscription.topics.insert(input.string()?.into());
        }
        let user_data = input.bytes()?;
        if version >= 1 {
            subscription.owned = input.partitions()?;
        }
        let generation = if version >= 2 {
            Some(input.i32()?)
        } else {
            user_data.try_into().ok().map(i32::from_be_bytes)
        };
        subscription.generation = generation.filter(|generation| *generation >= 0);
        if version >= 3 {
            subscription.rack = input.nullable_string()?.map(Into::into);
        }
        Ok(subscription)
    }
}

impl Assignment {
    /// Gives these partitions.
    pub fn new(partitions: impl IntoIterator<Item = TopicPartition>) -> Self {
        Self {
            partitions: partitions.into_iter().collect(),
        }
    }

    /// Writes version 1.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i16(1);
        put_partitions(&mut out, &self.partitions);
        out.put_i32(-1);
        out.freeze()
    }

    /// Reads any version; an empty message is an empty assignment.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the message ends too early or holds an impossible length.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        if message.is_empty() {
            return Ok(Self::default());
        }
        let mut input = Reader(message);
        input.i16()?;
        Ok(Self {
            partitions: input.partitions()?,
        })
    }
}

fn put_len(out: &mut BytesMut, len: usize) {
    out.put_i32(i32::try_from(len).unwrap_or(i32::MAX));
}

/// Topics have at most 249 bytes; what is longer than the format allows is cut.
fn put_string(out: &mut BytesMut, text: &str) {
    let len = i16::try_from(text.len()).unwrap_or(i16::MAX);
    out.put_i16(len);
    out.put_slice(&text.as_bytes()[..usize::from(len.unsigned_abs())]);
}

fn put_partitions(out: &mut BytesMut, partitions: &BTreeSet<TopicPartition>) {
    let sorted: Vec<_> = partitions.iter().collect();
    let by_topic = sorted.chunk_by(|a, b| a.topic() == b.topic());
    put_len(out, by_topic.clone().count());
    for of_topic in by_topic {
        put_string(out, of_topic[0].topic());
        put_len(out, of_topic.len());
        for partition in of_topic {
            out.put_i32(partition.partition());
        }
    }
}

/// Takes what is there; never reserves what a length only promises.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(DecodeError)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError)
    }

    fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// The length of an array or of bytes; null counts as empty.
    fn len(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.i32()?.max(0)).map_err(|_| DecodeError)
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.len()?;
        self.take(len)
    }

    fn nullable_string(&mut self) -> Result<Option<&'a str>, DecodeError> {
        let Ok(len) = usize::try_from(self.i16()?) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| DecodeError)?;
        Ok(Some(text))
    }

    fn string(&mut self) -> Result<&'a str, DecodeError> {
        self.nullable_string()?.ok_or(DecodeError)
    }

    fn partitions(&mut self) -> Result<BTreeSet<TopicPartition>, DecodeError> {
        let mut partitions = BTreeSet::new();
        for _ in 0..self.len()? {
            let topic: Arc<str> = self.string()?.into();
            for _ in 0..self.len()? {
                partitions.insert(TopicPartition::new(Arc::clone(&topic), self.i32()?));
            }
        }
        Ok(partitions)
    }
}
