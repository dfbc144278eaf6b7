use bytes::Bytes;
use cqi_errors::{Error, Result};

use super::header::{LEN, corrupt};
use super::{BatchHeader, Compression, Decompressor, Marker, Records, control};

/// One whole batch with a verified header; its records are still as they came.
#[derive(Clone, Debug)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    pub(super) const fn new(header: BatchHeader, bytes: Bytes) -> Self {
        Self { header, bytes }
    }

    /// Returns the fixed part.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Returns the size on the wire in bytes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the records, decompressed if need be; they share memory with the batch otherwise.
    ///
    /// # Errors
    ///
    /// Permanent when the compressed bytes are broken, or hold more than
    /// [`Decompressor::max_bytes`].
    pub fn records(&self, decompressor: &mut Decompressor) -> Result<Records> {
        let compression = self.header.compression()?;
        let stored = self.bytes.slice(LEN..);
        let data = match compression {
            Compression::None => stored,
            // A compacted batch may have nothing left to compress.
            _ if stored.is_empty() && self.header.record_count == 0 => stored,
            _ => decompressor
                .decompress(compression, &stored)
                .map_err(|error| self.undecompressed(compression, &error))?,
        };
        Ok(Records::new(self.header, data))
    }

    /// Returns what a control batch says, `None` for data and for an empty control batch.
    ///
    /// # Errors
    ///
    /// Permanent when the control record is malformed.
    pub fn marker(&self, decompressor: &mut Decompressor) -> Result<Option<Marker>> {
        if !self.header.is_control() {
            return Ok(None);
        }
        let Some(record) = self.records(decompressor)?.next().transpose()? else {
            return Ok(None);
        };
        control::marker(&record)
            .map(Some)
            .ok_or_else(|| corrupt(self.header.base_offset, "its control record is malformed"))
    }

    #[cold]
    fn undecompressed(&self, compression: Compression, error: &dyn std::fmt::Display) -> Error {
        corrupt(
            self.header.base_offset,
            format_args!(
                "{} of its {compression} bytes: {error}",
                self.bytes.len() - LEN
            ),
        )
    }
}
