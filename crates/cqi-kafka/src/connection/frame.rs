use bytes::{Bytes, BytesMut};
use cqi_errors::Kind;
use tokio::io::{AsyncRead, AsyncReadExt, BufReader};

use super::failure::Failure;

/// What is read at once of small frames.
pub(super) const READ_AHEAD: usize = 16 << 10;

/// Reads a frame without its length, into one allocation of just its size.
///
/// Each frame has memory of its own: what a caller keeps of one keeps nothing else alive. All but the
/// bytes that were read ahead, 16 KiB at most, come from the socket to where they stay.
///
/// # Cancel safety
/// None: a frame that was dropped midway leaves the stream within it.
pub(super) async fn read<S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
    limit: usize,
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
    let mut frame = BytesMut::with_capacity(length);
    while rest.limit() > 0 {
        match rest.read_buf(&mut frame).await {
            Ok(0) => return Err(Failure::end_of_stream()),
            Ok(_) => {}
            Err(error) => return Err(Failure::from_io("read from", &error)),
        }
    }
    Ok(frame.freeze())
}

fn no_frame(prefix: [u8; 4]) -> Failure {
    Failure::new(
        Kind::Temporary,
        format!(
            "it sent a frame of {} bytes, which is no length: what listens there may be no kafka broker",
            i32::from_be_bytes(prefix)
        ),
    )
}

fn too_long(prefix: [u8; 4], length: usize, limit: usize) -> Failure {
    let reason = match prefix {
        [0x15, 0x03, 0..=4, _] => {
            "it answered in TLS: this listener wants TLS, which the settings have not turned on"
                .to_owned()
        }
        [b'H', b'T', b'T', b'P'] => "it answered in HTTP: this is no kafka broker".to_owned(),
        _ => format!(
            "it announced an answer of {length} bytes, allowed are {limit}: raise `max_frame_bytes` \
             or ask for less at once"
        ),
    };
    Failure::new(Kind::Permanent, reason)
}
