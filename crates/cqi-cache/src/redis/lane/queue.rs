use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::resp::{self, Decimal, Reply};

/// What may wait for answers, and what may wait to be written: the rest goes through fred.
const MOST_COMMANDS: usize = 16_384;
const MOST_BYTES: usize = 1024 * 1024;

/// What callers share with the connection: commands, encoded where they come from, and who waits for
/// the answers, in the same order.
#[derive(Debug)]
pub(in crate::redis) struct Queue {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    open: bool,
    output: Vec<u8>,
    /// How many commands are in the output: those that the server has certainly not seen.
    unsent: usize,
    waiting: VecDeque<Waiting>,
    /// The connection's task, where it sleeps until there is something to write.
    driver: Option<Waker>,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) since: Instant,
    pub(super) caller: oneshot::Sender<Result<Reply, Refused>>,
}

/// Why the lane has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::redis) enum Refused {
    /// The other way has to be tried: nothing was sent, or the server answered with an error.
    Elsewhere,
    /// The connection broke, and the server may carry it out even now.
    Lost,
    /// The time for it is over.
    TimedOut,
}

/// The answer to a command that is on its way.
///
/// Dropping it takes nothing back.
#[derive(Debug)]
#[must_use = "the command is sent, but nobody hears the answer"]
pub(in crate::redis) struct Answer(Option<oneshot::Receiver<Result<Reply, Refused>>>);

impl Future for Answer {
    type Output = Result<Reply, Refused>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(receiver) = &mut self.0 else {
            return Poll::Ready(Err(Refused::Elsewhere));
        };
        Poll::Ready(match ready!(Pin::new(receiver).poll(cx)) {
            Ok(Ok(Reply::Error(_))) => Err(Refused::Elsewhere),
            Ok(answer) => answer,
            Err(_) => Err(Refused::Lost),
        })
    }
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                open: true,
                output: Vec::new(),
                unsent: 0,
                waiting: VecDeque::new(),
                driver: None,
            }),
        }
    }

    /// Asks for the bytes of a value up to one of them: `GETRANGE` in place of `GET`, so that the
    /// answer has a bound.
    pub(in crate::redis) fn get(&self, key: &[u8], last: usize) -> Answer {
        let last = Decimal::new(last as u64);
        self.send(&[b"GETRANGE", key, b"0", last.as_bytes()])
    }

    pub(in crate::redis) fn set(&self, key: &[u8], value: &[u8], millis: Option<u64>) -> Answer {
        match millis.map(Decimal::new) {
            Some(millis) => self.send(&[b"SET", key, value, b"PX", millis.as_bytes()]),
            None => self.send(&[b"SET", key, value]),
        }
    }

    /// Finds out whether the server answers.
    pub(super) fn ping(&self) -> Answer {
        self.send(&[b"PING"])
    }

    fn send(&self, parts: &[&[u8]]) -> Answer {
        let mut state = self.lock();
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if !state.open
            || state.waiting.len() >= MOST_COMMANDS
            || state.output.len().saturating_add(length) > MOST_BYTES
        {
            return Answer(None);
        }
        resp::command(&mut state.output, parts);
        state.unsent += 1;
        let (caller, answer) = oneshot::channel();
        let since = Instant::now();
        state.waiting.push_back(Waiting { since, caller });
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        Answer(Some(answer))
    }

    /// Moves what is to be written into an empty buffer. Where there is nothing, the task is woken when
    /// there is.
    pub(super) fn take_output(&self, buffer: &mut Vec<u8>, cx: &Context<'_>) {
        let mut state = self.lock();
        std::mem::swap(&mut state.output, buffer);
        state.unsent = 0;
        if buffer.is_empty() {
            match &mut state.driver {
                Some(driver) => driver.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
    }

    /// Since when the caller waits who has waited longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.lock().waiting.front().map(|waiting| waiting.since)
    }

    /// Moves the callers who have waited longest to a list; fewer where fewer wait.
    pub(super) fn take_waiting(&self, count: usize, callers: &mut Vec<Waiting>) {
        let mut state = self.lock();
        let count = count.min(state.waiting.len());
        callers.extend(state.waiting.drain(..count));
    }

    /// Takes no more commands, and tells everybody why there is no answer; those who have waited since
    /// a time have waited too long.
    pub(super) fn close(&self, too_long: Option<Instant>) {
        let mut state = self.lock();
        state.open = false;
        state.output = Vec::new();
        let waiting = std::mem::take(&mut state.waiting);
        let sent = waiting.len().saturating_sub(state.unsent);
        drop(state);
        for (at, Waiting { since, caller }) in waiting.into_iter().enumerate() {
            let late = too_long.is_some_and(|too_long| since <= too_long);
            let why = if late {
                Refused::TimedOut
            } else if at < sent {
                Refused::Lost
            } else {
                Refused::Elsewhere
            };
            // A caller that is gone needs no answer.
            let _ = caller.send(Err(why));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
