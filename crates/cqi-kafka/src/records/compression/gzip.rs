use std::io::{self, Write};

use flate2::{bufread::MultiGzDecoder, write::GzEncoder};

use super::read_bounded;

pub(super) fn compress(records: &[u8], level: u32, out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = GzEncoder::new(out, flate2::Compression::new(level.min(9)));
    encoder.write_all(records)?;
    encoder.finish()?;
    Ok(())
}

pub(super) fn decompress(input: &[u8], max: usize) -> io::Result<Vec<u8>> {
    // The last member's size, modulo 2^32; no more than DEFLATE can make of the input.
    let stated = input
        .last_chunk()
        .map_or(0, |size| u32::from_le_bytes(*size) as usize);
    let hint = stated.min(input.len().saturating_mul(1032));
    let mut out = Vec::new();
    read_bounded(MultiGzDecoder::new(input), &mut out, hint, max)?;
    Ok(out)
}
