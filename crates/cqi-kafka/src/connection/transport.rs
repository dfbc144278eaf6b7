//! The task of a connection: writes what is queued, reads what comes, and watches the clock.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::Kind;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::time::{sleep, sleep_until};

use super::channel::Shared;
use super::failure::Failure;
use super::frame;

/// Small requests that queue up are written together, up to so many bytes.
const WRITE_TOGETHER: usize = 16 << 10;

/// How long a broker that does not listen any more is listened to.
const LAST_WORDS: Duration = Duration::from_millis(100);

pub(super) async fn run<S>(stream: S, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite,
{
    // However this task ends, nobody is left to wait for answers.
    let end = End(&shared);
    let (read_half, write_half) = tokio::io::split(stream);
    let why = tokio::select! {
        why = read(BufReader::with_capacity(frame::READ_AHEAD, read_half), &shared) => why,
        why = write(BufWriter::with_capacity(WRITE_TOGETHER, write_half), &shared) => why,
        why = watch(&shared) => why,
        why = shared.closed() => why,
    };
    end.0.close(why);
}

struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.close(Failure::new(
            Kind::Cancelled,
            "this client closed it, or its runtime ended",
        ));
    }
}

async fn read<S: AsyncRead + Unpin>(mut stream: BufReader<S>, shared: &Shared) -> Failure {
    for answers in 0_u64.. {
        let read = frame::read(&mut stream, shared.max_frame_bytes).await;
        if let Err(why) = read.and_then(|frame| shared.deliver(frame)) {
            return match answers {
                0 | 1 => why.at_once(),
                _ => why,
            };
        }
    }
    Failure::end_of_stream()
}

async fn write<S: AsyncWrite + Unpin>(mut stream: BufWriter<S>, shared: &Shared) -> Failure {
    loop {
        let written = async {
            while let Some(frame) = shared.next_frame() {
                stream.write_all(&frame).await?;
            }
            stream.flush().await
        };
        if let Err(error) = written.await {
            // What the broker said last, to be read still, says more.
            sleep(LAST_WORDS).await;
            return Failure::from_io("write to", &error);
        }
        shared.unwritten.notified().await;
    }
}

async fn watch(shared: &Shared) -> Failure {
    loop {
        if let Some(why) = shared.expired() {
            return why;
        }
        let deadline = shared.next_deadline();
        let passed = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = passed => {}
            () = shared.sooner.notified() => {}
        }
    }
}
