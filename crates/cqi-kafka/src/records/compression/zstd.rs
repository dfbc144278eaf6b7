use std::io;

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use ruzstd::encoding::{CompressionLevel, compress as write_frame};

use super::{invalid, read_bounded};

/// What RFC 8878 asks every decoder to support.
const LEAST_WINDOW: usize = 8 << 20;

pub(super) fn compress(records: &[u8], out: &mut Vec<u8>) {
    write_frame(records, out, CompressionLevel::Fastest);
}

pub(super) fn decompress(
    decoder: &mut FrameDecoder,
    mut input: &[u8],
    max: usize,
) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    decoder.set_max_window_size(max.max(LEAST_WINDOW) as u64);
    // Frames may follow one another.
    while !input.is_empty() {
        let guess = input.len().saturating_mul(4);
        let frame =
            StreamingDecoder::new_with_decoder(&mut input, &mut *decoder).map_err(invalid)?;
        // 0 when the frame does not state it.
        let size = match frame.decoder.content_size() {
            0 => guess,
            stated => usize::try_from(stated).unwrap_or(usize::MAX),
        };
        let hint = out.len().saturating_add(size);
        read_bounded(frame, &mut out, hint, max)?;
    }
    Ok(out)
}
