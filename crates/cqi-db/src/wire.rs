use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;
use tokio::task::coop;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::connect::Driver;

/// The bytes of one connection, moved by whoever waits for them.
///
/// tokio-postgres splits a connection into a client and a driver, and wants the driver in a task of
/// its own. Each answer then passes through two tasks, which is most of the time that a small query
/// takes. A pooled connection has one user at a time, so the user's own task polls the driver while
/// it waits, and nobody polls it while the connection is idle: what the server said meanwhile is
/// read at the next checkout.
pub(crate) struct Wire {
    driver: Seat,
    relay: Arc<Relay>,
    waker: Waker,
    end: Option<Result<(), tokio_postgres::Error>>,
}

enum Seat {
    Here(Driver),
    Away(CancellationToken, AbortOnDropHandle<Option<Driver>>),
    Ended,
}

impl Wire {
    pub(crate) fn new(driver: Driver) -> Self {
        let relay = Arc::new(Relay::default());
        Self {
            driver: Seat::Here(driver),
            waker: Waker::from(Arc::clone(&relay)),
            relay,
            end: None,
        }
    }

    /// Runs a future of the client to its end.
    ///
    /// # Cancel safety
    /// The request of a dropped future stays in flight: the caller cancels it on the server.
    pub(crate) async fn drive<F: Future>(&mut self, mut work: Pin<&mut F>) -> F::Output {
        let mut sent = false;
        poll_fn(|cx| {
            if matches!(self.driver, Seat::Away(..)) {
                return work.as_mut().poll(cx);
            }
            // All that the work waits for comes from the driver, which is polled right here: its own
            // wake-ups would only poll this task twice.
            let mut quiet = Context::from_waker(Waker::noop());
            if !std::mem::replace(&mut sent, true)
                && let Poll::Ready(output) = work.as_mut().poll(&mut quiet)
            {
                return Poll::Ready(output);
            }
            self.relay.task.register(cx.waker());
            loop {
                self.relay.state.store(POLLING, Ordering::Release);
                self.poll_driver();
                if let Poll::Ready(output) = work.as_mut().poll(&mut quiet) {
                    self.relay.state.store(IDLE, Ordering::Release);
                    return Poll::Ready(output);
                }
                if self.relay.park() {
                    return Poll::Pending;
                }
                if !coop::has_budget_remaining() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Reads what has arrived without waiting, and says whether the connection still stands.
    pub(crate) fn is_open(&mut self) -> bool {
        self.poll_driver();
        match &self.driver {
            Seat::Here(_) => true,
            Seat::Away(_, task) => !task.is_finished(),
            Seat::Ended => false,
        }
    }

    /// Returns the fatal error with which the server ended the connection while it owed no answer.
    ///
    /// A request that was in the client's queue then was never written.
    pub(crate) fn farewell(&self) -> Option<&tokio_postgres::error::DbError> {
        self.end.as_ref()?.as_ref().err()?.as_db_error()
    }

    /// Puts the driver into a task, for callers who use the client by themselves.
    pub(crate) fn send_away(&mut self, runtime: &Handle) {
        if let Seat::Here(_) = &self.driver
            && let Seat::Here(mut driver) = std::mem::replace(&mut self.driver, Seat::Ended)
        {
            let back = CancellationToken::new();
            let called = back.clone();
            let task = runtime.spawn(async move {
                tokio::select! {
                    _ = &mut driver => None,
                    () = called.cancelled() => Some(driver),
                }
            });
            self.driver = Seat::Away(back, AbortOnDropHandle::new(task));
        }
    }

    /// Takes the driver back from its task.
    pub(crate) async fn call_back(&mut self) {
        if let Seat::Away(back, task) = &mut self.driver {
            back.cancel();
            self.driver = match task.await {
                Ok(Some(driver)) => Seat::Here(driver),
                _ => Seat::Ended,
            };
        }
    }

    fn poll_driver(&mut self) {
        if let Seat::Here(driver) = &mut self.driver {
            let mut cx = Context::from_waker(&self.waker);
            if let Poll::Ready(end) = driver.as_mut().poll(&mut cx) {
                self.end = Some(end);
                // Requests still in its queue learn of the end when it is dropped.
                self.driver = Seat::Ended;
            }
        }
    }
}

impl Drop for Wire {
    /// Says goodbye where that takes no waiting; the client has been dropped before.
    fn drop(&mut self) {
        self.poll_driver();
    }
}

/// Passes wake-ups of the driver to the task that waits on the connection at present, if any.
#[derive(Default)]
struct Relay {
    state: AtomicU8,
    task: AtomicWaker,
}

const IDLE: u8 = 0;
const POLLING: u8 = 1;
const NOTIFIED: u8 = 2;
const WAITING: u8 = 3;

impl Relay {
    /// Goes from polling to waiting, unless a wake-up came meanwhile.
    fn park(&self) -> bool {
        let parked = (Ordering::AcqRel, Ordering::Acquire);
        self.state
            .compare_exchange(POLLING, WAITING, parked.0, parked.1)
            .is_ok()
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let next = |state| match state {
            POLLING | WAITING => Some(NOTIFIED),
            _ => None,
        };
        let before = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        if before == Ok(WAITING) {
            self.task.wake();
        }
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}
