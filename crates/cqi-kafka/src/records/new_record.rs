use super::varint;

/// One record to write, borrowed from the caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key, `None` for null.
    pub key: Option<&'a [u8]>,
    /// The value, `None` for null.
    pub value: Option<&'a [u8]>,
    /// The headers, in order; keys may repeat.
    pub headers: &'a [NewHeader<'a>],
}

impl NewRecord<'_> {
    /// Starts a record of nulls at a time.
    #[must_use]
    pub const fn at(timestamp: i64) -> Self {
        Self {
            timestamp,
            key: None,
            value: None,
            headers: &[],
        }
    }
}

/// One header to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewHeader<'a> {
    /// The key.
    pub key: &'a str,
    /// The value, `None` for null.
    pub value: Option<&'a [u8]>,
}

impl NewRecord<'_> {
    /// Returns the size after the length ("Record" in the message format).
    pub(super) fn body_len(&self, timestamp_delta: i64, offset_delta: i32) -> usize {
        let headers = self
            .headers
            .iter()
            .map(|header| nullable_len(Some(header.key.as_bytes())) + nullable_len(header.value));
        1 + varint::len(timestamp_delta)
            + varint::len(i64::from(offset_delta))
            + nullable_len(self.key)
            + nullable_len(self.value)
            + varint::len(self.headers.len() as i64)
            + headers.sum::<usize>()
    }

    /// Appends the record, whose [`body_len`](Self::body_len) is `body`.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        body: usize,
        timestamp_delta: i64,
        offset_delta: i32,
    ) {
        varint::put(out, body as i64);
        // The attributes, which have no meaning yet.
        out.push(0);
        varint::put(out, timestamp_delta);
        varint::put(out, i64::from(offset_delta));
        put_nullable(out, self.key);
        put_nullable(out, self.value);
        varint::put(out, self.headers.len() as i64);
        for header in self.headers {
            put_nullable(out, Some(header.key.as_bytes()));
            put_nullable(out, header.value);
        }
    }
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::len(bytes.len() as i64) + bytes.len())
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            varint::put(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
        None => varint::put(out, -1),
    }
}
