use super::Record;

/// The end of a transaction as its broker wrote it ("Control Batches" in the message format).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Marker {
    /// The producer's records since its first offset are void.
    Abort,
    /// The producer's records count.
    Commit,
    /// Something else that brokers tell each other; a consumer passes over it.
    Other(i16),
}

/// Reads a control record's key: version, then type.
pub(super) fn marker(record: &Record) -> Option<Marker> {
    let kind = record.key()?.get(2..)?.first_chunk()?;
    Some(match i16::from_be_bytes(*kind) {
        0 => Marker::Abort,
        1 => Marker::Commit,
        other => Marker::Other(other),
    })
}
