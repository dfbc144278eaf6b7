use std::time::Duration;

use bytes::Bytes;
use cqi_config::CacheConfig;
use cqi_errors::{Error, Result};

/// Values in Redis: one server, a cluster, or what sentinels watch.
#[derive(Debug)]
pub(crate) struct Redis {
    client: fred::clients::Pool,
}

impl Redis {
    pub(crate) async fn connect(_config: &CacheConfig) -> Result<Self> {
        Err(Error::permanent("the Redis backend is not there yet"))
    }

    pub(crate) async fn get(&self, _key: Bytes) -> Result<Option<Bytes>> {
        Err(self.missing())
    }

    pub(crate) async fn get_many(&self, _keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>> {
        Err(self.missing())
    }

    pub(crate) async fn set(
        &self,
        _key: Bytes,
        _value: Bytes,
        _keep: Option<Duration>,
    ) -> Result<()> {
        Err(self.missing())
    }

    pub(crate) async fn set_many(
        &self,
        _entries: Vec<(Bytes, Bytes)>,
        _keep: Option<Duration>,
    ) -> Result<()> {
        Err(self.missing())
    }

    pub(crate) async fn set_newer(
        &self,
        _key: Bytes,
        _value: Bytes,
        _keep: Option<Duration>,
    ) -> Result<bool> {
        Err(self.missing())
    }

    pub(crate) async fn delete(&self, _keys: Vec<Bytes>) -> Result<u64> {
        Err(self.missing())
    }

    pub(crate) async fn check(&self) -> Result<()> {
        Err(self.missing())
    }

    pub(crate) async fn close(&self) {}

    fn missing(&self) -> Error {
        Error::permanent(format!("{:?} is not there yet", self.client))
    }
}
