//! From keys and messages to stored bytes and back.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use cqi_errors::{Result, ResultExt};
use prost::{Message, Name};

use crate::call::Call;
use crate::counters::Operation;
use crate::entry::{self, Entry, Header, Rejected};
use crate::ttl::LONGEST;
use crate::{Cache, Key};

impl Cache {
    /// The tag that values of a type have with this handle's schema.
    pub(crate) fn tag<M: Name>(&self) -> u64 {
        entry::tag::<M>(self.schema())
    }

    /// The key as the backend has it.
    pub(crate) fn full(&self, key: &Key) -> Bytes {
        let prefix = &self.inner().prefix;
        let mut full = BytesMut::with_capacity(prefix.len() + key.as_str().len());
        full.put_slice(prefix.as_bytes());
        full.put_slice(key.as_str().as_bytes());
        full.freeze()
    }

    pub(crate) fn encode<M: Message>(
        &self,
        call: Call<'_>,
        header: &Header,
        value: &M,
    ) -> Result<Bytes> {
        let checked = entry::check_size(value, self.inner().max_value_size);
        checked.with_context(|| call.to_string())?;
        Ok(entry::encode(header, value))
    }

    /// Stores what is encoded already; loads under way do not notice.
    pub(crate) async fn write(
        &self,
        key: &Key,
        stored: Bytes,
        keep: Option<Duration>,
    ) -> Result<()> {
        let call = Call::one(Operation::Set, key);
        let keep = keep.map(|keep| keep.min(LONGEST));
        let set = self.inner().backend.set(self.full(key), stored, keep);
        self.inner().call(call, set).await
    }

    /// Stores what is encoded already unless a newer version is there; returns whether it did. Loads
    /// under way do not notice.
    pub(crate) async fn write_versioned(
        &self,
        key: &Key,
        stored: Bytes,
        keep: Option<Duration>,
    ) -> Result<bool> {
        let call = Call::one(Operation::SetVersioned, key);
        let keep = keep.map(|keep| keep.min(LONGEST));
        let set = self.inner().backend.set_newer(self.full(key), stored, keep);
        self.inner().call(call, set).await
    }

    /// Deletes what is under a key; loads under way do not notice. Returns whether there was anything.
    pub(crate) async fn remove(&self, key: &Key) -> Result<bool> {
        let call = Call::one(Operation::Delete, key);
        let delete = self.inner().backend.delete(vec![self.full(key)]);
        Ok(self.inner().call(call, delete).await? > 0)
    }

    /// Reads what is under a key.
    pub(crate) async fn read(&self, key: &Key) -> Result<Option<Bytes>> {
        let call = Call::one(Operation::Get, key);
        let get = self.inner().backend.get(self.full(key));
        self.inner().call(call, get).await
    }

    /// The entry in what was read, if it is of this type, be it expired or absent. Counts it where
    /// there is none; what else it is the caller counts.
    pub(crate) fn entry<M: Name>(&self, key: &Key, stored: Option<Bytes>) -> Option<Entry> {
        let Some(stored) = stored else {
            self.inner().counters.misses.inc();
            return None;
        };
        let entry = Entry::parse(stored, self.tag::<M>(), self.inner().max_value_size);
        entry.map_err(|why| self.reject(key, why)).ok()
    }

    /// Decodes the message of an entry; `None` where it is broken.
    pub(crate) fn decode<M: Message + Default>(&self, key: &Key, entry: Entry) -> Option<M> {
        entry.message().map_err(|why| self.reject(key, why)).ok()
    }

    /// The value in what was read, if it is fit for use, and its version; counts what it was.
    pub(crate) fn value<M: Message + Name + Default>(
        &self,
        key: &Key,
        stored: Option<Bytes>,
    ) -> Option<(M, u64)> {
        let counters = &self.inner().counters;
        let entry = self.entry::<M>(key, stored)?;
        let header = entry.header;
        if header.is_expired_now() {
            counters.expired.inc();
            return None;
        }
        if header.absent {
            counters.misses.inc();
            return None;
        }
        let value = self.decode(key, entry)?;
        counters.hits.inc();
        Some((value, header.version))
    }

    fn reject(&self, key: &Key, why: Rejected) {
        self.inner().counters.rejected.inc();
        tracing::debug!(%key, reason = why.as_str(), "what the cache has is not used");
    }
}
