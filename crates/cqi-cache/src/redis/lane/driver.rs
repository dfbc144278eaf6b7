use std::fmt;
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

use super::queue::{Queue, Waiting};
use super::resp::{self, Parsed, Reply};

/// What is read at a time. Values share the memory that they were read into: a small one that is kept
/// keeps as much.
const CHUNK: usize = 16 * 1024;
/// Less room than this is not worth a read.
const LEAST: usize = 2 * 1024;
/// A buffer that has grown larger is given back.
const KEPT: usize = 64 * 1024;

/// Why a lane ended.
#[derive(Debug)]
pub(in crate::redis) enum Ended {
    Lost(io::Error),
    /// An answer did not come in time.
    TimedOut,
    /// It is another server now, or another protocol.
    Refused(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(error) => write!(f, "{error}"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

/// Writes what is queued and hands out the answers, for as long as the connection is good.
///
/// Closes the queue when it ends or is dropped, even before it was polled.
pub(super) fn drive<S>(
    stream: S,
    queue: Arc<Queue>,
    patience: Duration,
    longest: usize,
) -> impl Future<Output = Ended>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut driver = Driver {
        stream,
        queue: Closing(queue),
        patience,
        longest,
        input: BytesMut::with_capacity(CHUNK),
        replies: Vec::new(),
        callers: Vec::new(),
        output: Vec::new(),
        written: 0,
        timer: Box::pin(sleep(patience)),
    };
    std::future::poll_fn(move |cx| driver.poll(cx))
}

struct Driver<S> {
    stream: S,
    queue: Closing,
    patience: Duration,
    longest: usize,
    input: BytesMut,
    replies: Vec<Reply>,
    callers: Vec<Waiting>,
    output: Vec<u8>,
    written: usize,
    timer: Pin<Box<Sleep>>,
}

/// Nobody waits for a task that is gone.
struct Closing(Arc<Queue>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close(None);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let read = self.read(cx);
        let answered = match self.answer() {
            Ok(answered) => answered,
            Err(ended) => return Poll::Ready(ended),
        };
        if let Err(ended) = read {
            return Poll::Ready(ended);
        }
        // Several callers were answered, who are about to ask again: what they queue until this task
        // has its next turn is one write.
        if answered > 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Err(ended) = self.write(cx) {
            return Poll::Ready(ended);
        }
        self.look_at_the_time(cx)
    }

    /// Reads and parses whatever is there.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        loop {
            if self.input.capacity() - self.input.len() < LEAST {
                self.input.reserve(CHUNK);
            }
            let read = pin!(self.stream.read_buf(&mut self.input)).poll(cx);
            match read {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => {
                    return Err(Ended::Lost(ErrorKind::UnexpectedEof.into()));
                }
                Poll::Ready(Ok(_)) => self.parse()?,
                Poll::Ready(Err(error)) => return Err(Ended::Lost(error)),
            }
        }
    }

    fn parse(&mut self) -> Result<(), Ended> {
        loop {
            match resp::parse(&mut self.input, self.longest) {
                Parsed::Reply(reply) => self.replies.push(reply),
                Parsed::Needs(more) => {
                    // One buffer for a large value, rather than ever larger ones.
                    self.input.reserve(more);
                    return Ok(());
                }
                Parsed::Garbage => return Err(Ended::Refused("not an answer of redis".to_owned())),
            }
        }
    }

    /// Hands out what was parsed; says how many answers there were.
    fn answer(&mut self) -> Result<usize, Ended> {
        let count = self.replies.len();
        if count == 0 {
            return Ok(0);
        }
        self.queue.0.take_waiting(count, &mut self.callers);
        if self.callers.len() < count {
            return Err(Ended::Refused("an answer that nobody asked for".to_owned()));
        }
        let mut moved = None;
        for (waiting, reply) in self.callers.drain(..).zip(self.replies.drain(..)) {
            if let Reply::Error(line) = &reply
                && (line.starts_with(b"READONLY") || line.starts_with(b"MOVED"))
            {
                moved = Some(Ended::Refused("not the primary".to_owned()));
            }
            // A caller that is gone needs no answer.
            let _ = waiting.caller.send(Ok(reply));
        }
        moved.map_or(Ok(count), Err)
    }

    /// Writes whatever is queued, as far as the server takes it.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        loop {
            if self.written == self.output.len() {
                self.output.clear();
                self.output.shrink_to(KEPT);
                self.written = 0;
                self.queue.0.take_output(&mut self.output, cx);
                if self.output.is_empty() {
                    break;
                }
            }
            let rest = &self.output[self.written..];
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(Ended::Lost(ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.written += count,
                Poll::Ready(Err(error)) => return Err(Ended::Lost(error)),
                Poll::Pending => break,
            }
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(Ended::Lost(error)),
            _ => Ok(()),
        }
    }

    /// Ends when the oldest caller has waited too long. One timer is enough, and it need not follow
    /// each answer: callers wait in order, all for the same time, so that it never rings too late, and
    /// when it rings too early it is set again.
    fn look_at_the_time(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            let end = match self.queue.0.oldest() {
                Some(oldest) => oldest + self.patience,
                // Nobody wakes this task while it cannot write.
                None if self.written < self.output.len() => now + self.patience,
                None => return Poll::Pending,
            };
            if end <= now {
                self.queue.0.close(now.checked_sub(self.patience));
                return Poll::Ready(Ended::TimedOut);
            }
            self.timer.as_mut().reset(end);
        }
    }
}
