use std::io;

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::{invalid, too_large};

/// The framing of snappy-java: this, its version and the least version that reads it, then blocks,
/// each after its length.
const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const PREFIX: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const BLOCK: usize = 64 << 10;

pub(super) fn compress(records: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = Encoder::new();
    out.extend_from_slice(&PREFIX);
    for block in records.chunks(BLOCK) {
        let length_at = out.len();
        let block_at = length_at + 4;
        out.resize(block_at + max_compress_len(block.len()), 0);
        let length = encoder
            .compress(block, &mut out[block_at..])
            .map_err(invalid)?;
        // At most max_compress_len(BLOCK).
        out[length_at..block_at].copy_from_slice(&(length as u32).to_be_bytes());
        out.truncate(block_at + length);
    }
    Ok(())
}

pub(super) fn decompress(input: &[u8], max: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    if !input.starts_with(&MAGIC) {
        append(input, &mut out, max)?;
        return Ok(out);
    }
    let total = blocks(input)?.try_fold(0_usize, |total, block| {
        let more = decompress_len(block?).map_err(invalid)?;
        Ok::<_, io::Error>(total.saturating_add(more))
    })?;
    if total > max {
        return Err(too_large(max));
    }
    out.reserve_exact(total);
    for block in blocks(input)? {
        append(block?, &mut out, max)?;
    }
    Ok(out)
}

/// Decompresses one block after what is there.
fn append(block: &[u8], out: &mut Vec<u8>, max: usize) -> io::Result<()> {
    let length = decompress_len(block).map_err(invalid)?;
    let start = out.len();
    if length > max - start {
        return Err(too_large(max));
    }
    out.resize(start + length, 0);
    Decoder::new()
        .decompress(block, &mut out[start..])
        .map_err(invalid)?;
    Ok(())
}

/// Splits framed bytes.
fn blocks(input: &[u8]) -> io::Result<impl Iterator<Item = io::Result<&[u8]>>> {
    let mut rest = input.get(PREFIX.len()..).ok_or_else(cut)?;
    Ok(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let block = rest.split_first_chunk().and_then(|(length, after)| {
            let length = u32::from_be_bytes(*length) as usize;
            after.split_at_checked(length)
        });
        let Some((block, after)) = block else {
            rest = &[];
            return Some(Err(cut()));
        };
        rest = after;
        Some(Ok(block))
    }))
}

fn cut() -> io::Error {
    invalid("the snappy framing ends within a block")
}
