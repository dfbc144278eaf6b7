use bytes::Bytes;
use cqi_errors::{Error, Result};

use super::header::corrupt;
use super::varint::Reader;
use super::{BatchHeader, Record, TimestampType};

/// The records of one batch, in order, each a view into the batch's bytes.
///
/// Nothing is allocated per record. An error ends the iteration.
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    data: Bytes,
    at: usize,
    left: i32,
}

impl Records {
    pub(super) const fn new(header: BatchHeader, data: Bytes) -> Self {
        Self {
            left: header.record_count,
            header,
            data,
            at: 0,
        }
    }

    /// Ends the iteration.
    fn stop(&mut self) {
        self.left = 0;
        self.at = self.data.len();
    }

    #[inline]
    fn read(&mut self) -> Option<Record> {
        let mut reader = Reader::new(&self.data, self.at);
        let length = usize::try_from(reader.varint()?).ok()?;
        let start = reader.position();
        let body = reader.take(length)?;
        let end = reader.position();

        let mut reader = Reader::new(body, 0);
        let _attributes = reader.byte()?;
        let timestamp_delta = reader.varlong()?;
        let offset_delta = reader.varint()?;
        if !(0..=self.header.last_offset_delta).contains(&offset_delta) {
            return None;
        }
        let key_len = reader.nullable_len()?;
        let key_at = reader.position();
        reader.take(key_len.unwrap_or(0))?;
        let value_len = reader.nullable_len()?;
        let value_at = reader.position();
        reader.take(value_len.unwrap_or(0))?;
        let header_count = reader.varint()?;
        let headers_at = reader.position();
        // Walked here once, so that nobody who reads them can meet an error.
        for _ in 0..u32::try_from(header_count).ok()? {
            reader.nullable_len()?.and_then(|len| reader.take(len))?;
            let len = reader.nullable_len()?.unwrap_or(0);
            reader.take(len)?;
        }
        if !reader.is_empty() {
            return None;
        }

        let timestamp = match self.header.timestamp_type() {
            TimestampType::CreateTime => self.header.base_timestamp.wrapping_add(timestamp_delta),
            TimestampType::LogAppendTime => self.header.max_timestamp,
        };
        self.at = end;
        Some(Record {
            offset: self.header.base_offset + i64::from(offset_delta),
            timestamp,
            leader_epoch: self.header.leader_epoch,
            // A record is shorter than 2 GiB, so are its parts.
            key: key_len.map(|len| len as u32),
            value_at: (value_at - key_at) as u32,
            value: value_len.map(|len| len as u32),
            headers_at: (headers_at - key_at) as u32,
            header_count: header_count.cast_unsigned(),
            bytes: self.data.slice(start + key_at..end),
        })
    }

    #[cold]
    fn malformed(&self) -> Error {
        let index = self.header.record_count - self.left;
        let what = format_args!("its record {index} is malformed");
        corrupt(self.header.base_offset, what)
    }

    #[cold]
    fn trailing(&self) -> Error {
        let (count, rest) = (self.header.record_count, self.data.len() - self.at);
        let what = format_args!("{rest} bytes follow its {count} records");
        corrupt(self.header.base_offset, what)
    }
}

impl Iterator for Records {
    type Item = Result<Record>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.at == self.data.len() {
                return None;
            }
            let error = self.trailing();
            self.stop();
            return Some(Err(error));
        }
        let Some(record) = self.read() else {
            let error = self.malformed();
            self.stop();
            return Some(Err(error));
        };
        self.left -= 1;
        Some(Ok(record))
    }
}

impl std::iter::FusedIterator for Records {}
