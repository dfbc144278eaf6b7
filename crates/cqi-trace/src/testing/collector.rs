use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cqi_config::{OtlpProtocol, TracingConfig};
use cqi_errors::{Result, ResultExt as _};
use http::HeaderMap;
use tokio::sync::watch;

use super::{Fault, ReceivedSpan, server};

/// An OTLP receiver within the test: gRPC and HTTP on one port of the loopback interface.
///
/// It runs on a thread of its own, so it answers whatever the test's runtime does. Dropping it closes
/// the port and all connections.
///
/// ```
/// use std::time::Duration;
///
/// use cqi_config::ServiceConfig;
/// use cqi_trace::{Tracing, testing::Collector};
///
/// let collector = Collector::start()?;
/// let tracing = Tracing::init(&collector.config(), &ServiceConfig::default())?;
/// let (dispatch, _log) = cqi_log::builder()
///     .with(tracing.layer())
///     .build(&Default::default(), &Default::default())?;
/// tracing::dispatcher::with_default(&dispatch, || {
///     tracing::info_span!("job", asset = "btc").in_scope(|| { /* work */ });
/// });
/// tracing.shutdown(Duration::from_secs(5))?;
///
/// let spans = collector.spans();
/// assert_eq!(spans[0].name, "job");
/// assert_eq!(spans[0].attributes["asset"], "btc");
/// # Ok::<(), cqi_errors::Error>(())
/// ```
#[must_use = "the collector stops when it is dropped"]
pub struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What the threads of the collector and of the test share.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    spans: Vec<ReceivedSpan>,
    fault: Fault,
    exports: u64,
    connections: u64,
    headers: HeaderMap,
}

impl Collector {
    /// Starts on a free port.
    ///
    /// # Errors
    /// What the system says of the port or the thread.
    pub fn start() -> Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts on an address, such as that of a collector that was dropped before.
    ///
    /// # Errors
    /// What the system says of the port or the thread.
    pub fn start_at(address: SocketAddr) -> Result<Self> {
        let listener =
            TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
        listener.set_nonblocking(true).context("listen")?;
        let address = listener.local_addr().context("listen")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the runtime of a collector")?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = watch::channel(());
        let serve = server::serve(listener, Arc::clone(&shared), stopped);
        let thread = std::thread::Builder::new()
            .name("collector".to_owned())
            .spawn(move || runtime.block_on(serve))
            .context("start the thread of a collector")?;
        Ok(Self {
            address,
            shared,
            stop,
            thread: Some(thread),
        })
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns where it listens, for `tracing.endpoint`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns settings that send every trace here, by gRPC and within 10 ms.
    #[must_use]
    pub fn config(&self) -> TracingConfig {
        TracingConfig {
            endpoint: self.endpoint(),
            protocol: OtlpProtocol::Grpc,
            batch_delay: Duration::from_millis(10),
            ..TracingConfig::default()
        }
    }

    /// Misbehaves from now on, with exports on their way too if they are not answered yet.
    pub fn set_fault(&self, fault: Fault) {
        self.shared.lock().fault = fault;
    }

    /// Returns the spans received so far, in the order they came.
    #[must_use]
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.shared.lock().spans.clone()
    }

    /// Forgets the spans received so far.
    pub fn clear(&self) {
        self.shared.lock().spans.clear();
    }

    /// Returns how many exports were received, answered or not.
    #[must_use]
    pub fn exports(&self) -> u64 {
        self.shared.lock().exports
    }

    /// Returns how many connections were opened.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.lock().connections
    }

    /// Returns the headers of the last export.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        self.shared.lock().headers.clone()
    }

    /// Waits until the spans are as they should be, and returns them. It blocks the thread; see
    /// [`spans_when`](Collector::spans_when) for async code.
    ///
    /// # Panics
    /// If they are not within 10 seconds, with the spans that came.
    pub fn wait_for(&self, mut wanted: impl FnMut(&[ReceivedSpan]) -> bool) -> Vec<ReceivedSpan> {
        self.shared
            .wait_for(|state| wanted(&state.spans))
            .spans
            .clone()
    }

    /// Waits until so many exports were received, answered or not. It blocks the thread.
    ///
    /// # Panics
    /// If they are not within 10 seconds.
    pub fn wait_for_exports(&self, count: u64) {
        drop(self.shared.wait_for(|state| state.exports >= count));
    }

    /// Waits until the spans are as they should be, without blocking the thread.
    ///
    /// # Panics
    /// If they are not within 10 seconds, with the spans that came.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn spans_when(
        &self,
        mut wanted: impl FnMut(&[ReceivedSpan]) -> bool + Send + 'static,
    ) -> Vec<ReceivedSpan> {
        let shared = Arc::clone(&self.shared);
        let (done, result) = tokio::sync::oneshot::channel();
        // A thread rather than a task, since the test's clock may be paused.
        let waiting = move || {
            let state = shared.wait_for(|state| wanted(&state.spans));
            let _ = done.send(state.spans.clone());
        };
        drop(std::thread::spawn(waiting));
        match result.await {
            Ok(spans) => spans,
            Err(_) => give_up(&self.shared.lock()),
        }
    }
}

/// How long a test waits for spans.
const BOUND: Duration = Duration::from_secs(10);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&self, mut wanted: impl FnMut(&State) -> bool) -> MutexGuard<'_, State> {
        let (state, waited) = self
            .changed
            .wait_timeout_while(self.lock(), BOUND, |state| !wanted(state))
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            give_up(&state);
        }
        state
    }

    pub(super) fn connected(&self) {
        self.lock().connections += 1;
        self.changed.notify_all();
    }

    /// Notes an export, and says what to do with it.
    pub(super) fn exported(&self, headers: &HeaderMap) -> Fault {
        let mut state = self.lock();
        state.exports += 1;
        state.headers = headers.clone();
        let fault = state.fault;
        drop(state);
        self.changed.notify_all();
        fault
    }

    pub(super) fn received(&self, spans: impl IntoIterator<Item = ReceivedSpan>) {
        self.lock().spans.extend(spans);
        self.changed.notify_all();
    }
}

#[expect(clippy::panic, reason = "a test should fail")]
fn give_up(state: &State) -> ! {
    panic!(
        "the collector did not receive what the test waits for within {BOUND:?}, but {} exports: {:#?}",
        state.exports, state.spans,
    )
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop.send_replace(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector")
            .field("address", &self.address)
            .field("exports", &self.exports())
            .finish_non_exhaustive()
    }
}
