//! The task of a connection: writes what is queued, reads what comes, and watches the clock.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use cqi_errors::Kind;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::task::yield_now;
use tokio::time::{sleep, sleep_until};

use super::buffers::BufferPool;
use super::failure::Failure;
use super::frame;
use super::requests::Requests;

/// What is read at once of small answers, and written at once of small requests that queue up.
const TOGETHER: usize = 16 << 10;

/// How long a broker that does not listen any more is listened to.
const LAST_WORDS: Duration = Duration::from_millis(100);

pub(super) async fn run<S>(
    stream: S,
    requests: Arc<Requests>,
    max_frame_bytes: usize,
    buffers: BufferPool,
) where
    S: AsyncRead + AsyncWrite,
{
    // However this task ends, nobody is left to wait for answers.
    let end = End(&requests);
    let (reading, writing) = tokio::io::split(stream);
    let reading = BufReader::with_capacity(TOGETHER, reading);
    let writing = BufWriter::with_capacity(TOGETHER, writing);
    let why = tokio::select! {
        why = read(reading, &requests, max_frame_bytes, &buffers) => why,
        why = write(writing, &requests) => why,
        why = watch(&requests) => why,
        why = requests.closed() => why,
    };
    end.0.close(&why);
}

struct End<'a>(&'a Requests);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.close(&Failure::new(
            Kind::Cancelled,
            "this client closed the connection, or its runtime ended",
        ));
    }
}

async fn read<S: AsyncRead + Unpin>(
    mut stream: BufReader<S>,
    requests: &Requests,
    max_frame_bytes: usize,
    buffers: &BufferPool,
) -> Failure {
    let mut answers = 0_u64;
    loop {
        let read = frame::read(&mut stream, max_frame_bytes, buffers).await;
        if let Err(why) = read.and_then(|frame| requests.deliver(frame)) {
            return match answers {
                0 | 1 => why.at_once(),
                _ => why,
            };
        }
        answers += 1;
    }
}

async fn write<S: AsyncWrite + Unpin>(mut stream: BufWriter<S>, requests: &Requests) -> Failure {
    loop {
        let written = async {
            while let Some(frame) = requests.next_frame() {
                stream.write_all(&frame).await?;
            }
            stream.flush().await
        };
        if let Err(error) = written.await {
            // What the broker said last, still to be read, may say why.
            sleep(LAST_WORDS).await;
            return Failure::from_io("write to", &error);
        }
        requests.queued().await;
    }
}

async fn watch(requests: &Requests) -> Failure {
    loop {
        let deadline = requests.next_deadline();
        let passed = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = requests.sooner() => continue,
            () = passed => {}
        }
        // What has come by now is in time, however late this task was woken.
        yield_now().await;
        if let Some(why) = requests.expired() {
            return why;
        }
    }
}
