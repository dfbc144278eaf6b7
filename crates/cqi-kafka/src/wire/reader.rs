use bytes::Bytes;
use cqi_errors::{Error, Result};
use kafka_protocol::protocol::StrBytes;

/// Reads the protocol's types off a frame, without copying, and without believing what it says.
#[derive(Debug)]
pub(crate) struct Reader {
    rest: Bytes,
}

impl Reader {
    pub(crate) const fn new(frame: Bytes) -> Self {
        Self { rest: frame }
    }

    pub(crate) fn compact_string(&mut self) -> Result<StrBytes> {
        let _ = &self.rest;
        Err(Error::permanent("not built yet"))
    }
}
