use std::io::{self, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::read_bounded;

/// Writes what the Java client does: independent blocks of 64 KiB.
pub(super) fn compress(records: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let info = FrameInfo::new()
        .block_mode(BlockMode::Independent)
        .block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder.write_all(records)?;
    encoder.finish()?;
    Ok(())
}

pub(super) fn decompress(input: &[u8], max: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    read_bounded(
        FrameDecoder::new(input),
        &mut out,
        input.len().saturating_mul(4),
        max,
    )?;
    Ok(out)
}
