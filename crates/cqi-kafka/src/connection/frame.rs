use bytes::Bytes;
use cqi_errors::Kind;
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};

use super::buffers::BufferPool;
use super::failure::Failure;

/// Reads a frame without its length, into one block of memory.
///
/// Each frame has memory of its own: what a caller keeps of one keeps nothing else alive. All but what
/// the stream has read ahead comes from the socket to where it stays.
///
/// # Cancel safety
/// None: a frame that was dropped midway leaves the stream within it.
pub(super) async fn read<S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
    limit: usize,
    buffers: &BufferPool,
) -> Result<Bytes, Failure> {
    let mut prefix = [0; 4];
    if let Err(error) = stream.read_exact(&mut prefix).await {
        return Err(Failure::from_io("read from", &error));
    }
    let length = usize::try_from(i32::from_be_bytes(prefix))
        .ok()
        .filter(|length| *length > 0)
        .ok_or_else(|| no_frame(prefix))?;
    if length > limit {
        return Err(too_long(prefix, length, limit));
    }
    let mut rest = stream.take(length as u64);
    let mut frame = buffers.take(length);
    while rest.limit() > 0 {
        match rest.read_buf(frame.bytes()).await {
            Ok(0) => {
                return Err(Failure::new(
                    Kind::Temporary,
                    "the broker closed the connection in the midst of an answer",
                ));
            }
            Ok(_) => {}
            Err(error) => return Err(Failure::from_io("read from", &error)),
        }
    }
    Ok(frame.freeze())
}

fn no_frame(prefix: [u8; 4]) -> Failure {
    Failure::out_of_step(format_args!(
        "the broker announced an answer of {} bytes; what listens there may be no kafka broker",
        i32::from_be_bytes(prefix)
    ))
}

fn too_long(prefix: [u8; 4], length: usize, limit: usize) -> Failure {
    let reason = match prefix {
        [0x15, 0x03, 0..=4, _] => "it answers in TLS: turn `tls` on in the settings, or name a \
                                   listener for plaintext"
            .to_owned(),
        [b'H', b'T', b'T', b'P'] => "it answers in HTTP: this is no kafka broker".to_owned(),
        _ => format!(
            "the broker announced an answer of {length} bytes, allowed are {limit}: raise \
             `max_frame_bytes`, or ask for less at once"
        ),
    };
    Failure::new(Kind::Permanent, reason)
}
