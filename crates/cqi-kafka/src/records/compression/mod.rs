use std::fmt;
use std::io::{self, Read};

use bytes::Bytes;

mod gzip;
mod lz4;
mod snappy;
mod zstd;

/// What a buffer of unknown size starts at.
const LEAST_ROOM: usize = 512;

/// How a batch's records are compressed (`compression.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// DEFLATE, RFC 1952: small, slow to write.
    Gzip,
    /// Snappy in the framing of snappy-java; a bare block is read as well.
    Snappy,
    /// The LZ4 frame format: the fastest.
    Lz4,
    /// Zstandard, RFC 8878, written at the equivalent of level 1: fast, and larger than at the Java
    /// client's default of 3. All levels are read.
    Zstd,
}

impl Compression {
    pub(super) const fn from_id(id: i16) -> Option<Self> {
        Some(match id {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return None,
        })
    }

    /// Returns the bits of a batch's attributes.
    pub(super) const fn id(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Appends `records`, compressed, to `out`.
    pub(super) fn compress(
        self,
        records: &[u8],
        gzip_level: u32,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        match self {
            Self::None => out.extend_from_slice(records),
            Self::Gzip => gzip::compress(records, gzip_level, out)?,
            Self::Snappy => snappy::compress(records, out)?,
            Self::Lz4 => lz4::compress(records, out)?,
            Self::Zstd => zstd::compress(records, out),
        }
        Ok(())
    }
}

/// The name in Kafka's configuration.
impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// Decompresses batches within a bound; reusing one spares allocations.
///
/// Each batch's records go into a buffer of at most [`max_bytes`](Self::max_bytes), of which there
/// are two while it grows. Besides, LZ4 needs up to 9 MiB while it works, and zstd keeps a window of
/// at most the larger of `max_bytes` and 8 MiB.
pub struct Decompressor {
    max_bytes: usize,
    zstd: Option<Box<ruzstd::decoding::FrameDecoder>>,
}

impl Decompressor {
    /// The default of [`max_bytes`](Self::max_bytes), 64 MiB.
    pub const DEFAULT_MAX_BYTES: usize = 64 << 20;

    /// Makes one that gives a batch at most this many bytes.
    ///
    /// A batch that holds more stops its partition, so leave room: brokers bound the compressed
    /// size (`max.message.bytes`, 1 MiB by default) and text shrinks tenfold and more.
    #[must_use]
    pub const fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            zstd: None,
        }
    }

    /// Returns the largest size of one batch's records, in bytes.
    #[must_use]
    pub const fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    pub(super) fn decompress(
        &mut self,
        compression: Compression,
        input: &[u8],
    ) -> io::Result<Bytes> {
        let max = self.max_bytes;
        let records = match compression {
            Compression::None => input.to_vec(),
            Compression::Gzip => gzip::decompress(input, max)?,
            Compression::Snappy => snappy::decompress(input, max)?,
            Compression::Lz4 => lz4::decompress(input, max)?,
            Compression::Zstd => zstd::decompress(self.zstd.get_or_insert_default(), input, max)?,
        };
        Ok(Bytes::from(records))
    }
}

impl Default for Decompressor {
    fn default() -> Self {
        Self::new(Self::DEFAULT_MAX_BYTES)
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor")
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

/// Reads to the end into one buffer that starts at `hint` and never grows past `max`.
fn read_bounded(
    mut source: impl Read,
    out: &mut Vec<u8>,
    hint: usize,
    max: usize,
) -> io::Result<()> {
    let mut filled = out.len();
    let mut room = hint;
    loop {
        if filled == out.len() {
            // Asked before growing: a right hint is all that is allocated.
            let mut byte = [0];
            if source.read(&mut byte)? == 0 {
                return Ok(());
            }
            if filled >= max {
                return Err(too_large(max));
            }
            room = room.max(LEAST_ROOM).clamp(filled + 1, max);
            out.reserve_exact(room - filled);
            out.resize(room, 0);
            out[filled] = byte[0];
            filled += 1;
            room = room.saturating_mul(2);
        }
        match source.read(&mut out[filled..])? {
            0 if filled < out.len() => break,
            read => filled += read,
        }
    }
    out.truncate(filled);
    Ok(())
}

fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cold]
fn too_large(max: usize) -> io::Error {
    invalid(format!(
        "they hold more than the allowed {max} bytes, raise the decompressor's max_bytes"
    ))
}
