//! The thread that exports spans.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cqi_config::TracingConfig;
use cqi_errors::{Error, Result};
use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

use crate::collector::{Collector, Reply};
use crate::outage::Outage;
use crate::queue::{BATCH_BYTES, Phase, Queue, Waiting};

/// The pause before a batch is sent a second time; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_EXPORT: Duration = Duration::from_secs(3600);

/// Exports what is in the queue, batch by batch.
pub(crate) struct Exporter {
    pub(crate) queue: Arc<Queue>,
    pub(crate) collector: Collector,
    pub(crate) resource: ResourceAttributesWithSchema,
    pub(crate) outage: Outage,
    batch_size: usize,
    batch_delay: Duration,
    timeout: Duration,
    phase: watch::Receiver<Phase>,
}

/// A runtime that does not wait for its threads when it is dropped: a look-up of a name may hang, and
/// inside of another runtime waiting would panic.
struct Background(Option<Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Ends the queue when the thread ends, even by a panic, so that nobody waits for it.
struct Ended(Arc<Queue>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Exporter {
    pub(crate) fn new(
        queue: Arc<Queue>,
        collector: Collector,
        resource: ResourceAttributesWithSchema,
        outage: Outage,
        config: &TracingConfig,
    ) -> Self {
        Self {
            phase: queue.phase(),
            queue,
            collector,
            resource,
            outage,
            // Nobody has checked settings that were made in code.
            batch_size: (config.batch_size as usize).max(1),
            batch_delay: config.batch_delay.max(Duration::from_millis(1)),
            timeout: config.export_timeout.min(LONGEST_EXPORT),
        }
    }

    /// Runs on a thread and a runtime of its own: exports need one that turns, and the service's may
    /// have stopped, or may be blocked by the very call to shut down.
    pub(crate) fn spawn(self) -> Result<()> {
        let cannot = || "cannot start the thread that exports spans";
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::permanent(cannot()).with_source(error))?;
        let runtime = Background(Some(runtime));
        let ended = Ended(Arc::clone(&self.queue));
        let run = move || {
            let _ended = ended;
            let runtime = runtime;
            // What happens in here is not traced itself.
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            if let Some(runtime) = &runtime.0 {
                runtime.block_on(self.run());
            }
        };
        std::thread::Builder::new()
            .name("cqi-trace".to_owned())
            .spawn(run)
            .map_err(|error| Error::permanent(cannot()).with_source(error))?;
        Ok(())
    }

    async fn run(mut self) {
        let mut phase = self.phase.clone();
        tokio::select! {
            () = self.export_until_closed() => {}
            _ = phase.wait_for(|phase| *phase == Phase::Abandoned) => {}
        }
    }

    async fn export_until_closed(&mut self) {
        let mut ticks = interval(self.batch_delay);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut phase = self.phase.clone();
        let mut spans = Vec::new();
        loop {
            let closing = tokio::select! {
                () = self.queue.filled() => false,
                _ = ticks.tick() => false,
                _ = phase.wait_for(|phase| *phase >= Phase::Closing) => true,
            };
            self.queue.take(&mut spans);
            while !spans.is_empty() {
                let batch = spans.drain(..self.batch(&spans)).collect();
                self.export(batch).await;
            }
            self.outage.tell_lost(self.queue.stats().dropped);
            if closing {
                return;
            }
        }
    }

    /// Returns how many of the spans, one at least, are the next batch.
    fn batch(&self, spans: &[Waiting]) -> usize {
        let mut bytes = 0;
        let fits = |span: &&Waiting| {
            bytes += span.bytes;
            bytes <= BATCH_BYTES
        };
        let count = spans.iter().take(self.batch_size).take_while(fits).count();
        count.max(1)
    }

    /// Exports one batch and counts what became of it.
    async fn export(&mut self, batch: Vec<Waiting>) {
        let count = batch.len() as u64;
        let bytes = batch.iter().map(|waiting| waiting.bytes).sum();
        let mut spans: Vec<_> = batch.into_iter().map(|waiting| waiting.span).collect();
        spans.iter_mut().for_each(keep_last);
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans, &self.resource),
        };
        let (exported, cause) = match self.deliver(request.encode_to_vec().into()).await {
            Ok(Reply { rejected: 0, .. }) => (count, None),
            Ok(reply) => (count.saturating_sub(reply.rejected), Some(reply.cause)),
            Err(cause) => (0, Some(cause)),
        };
        self.queue.settle(exported, count - exported, bytes);
        let dropped = self.queue.stats().dropped;
        match cause {
            None => self.outage.is_over(dropped),
            Some(cause) => self.outage.goes_on(&cause, dropped),
        }
    }

    /// Sends a batch, and again while there is hope and time.
    async fn deliver(&mut self, batch: Bytes) -> std::result::Result<Reply, String> {
        let deadline = Instant::now() + self.timeout;
        let mut pause = PAUSE;
        loop {
            let sent = timeout_at(deadline, self.collector.send(batch.clone())).await;
            let refusal = match sent {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(refusal)) => refusal,
                Err(_) => {
                    self.collector.reconnect();
                    return Err(format!("no answer within {:?}", self.timeout));
                }
            };
            let Some(least) = refusal.retry_after else {
                return Err(refusal.cause);
            };
            // Collectors that come back shall not meet all services at once.
            let jittered = pause.mul_f64(0.75 + fastrand::f64() / 2.0).max(least);
            let left = deadline.saturating_duration_since(Instant::now());
            if jittered >= left || self.is_closing_within(jittered).await {
                return Err(refusal.cause);
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Waits, and says whether a shutdown cut it short: then there is no time for another try.
    async fn is_closing_within(&mut self, pause: Duration) -> bool {
        tokio::select! {
            () = sleep(pause) => false,
            _ = self.phase.wait_for(|phase| *phase >= Phase::Closing) => true,
        }
    }
}

/// Keeps the last value of an attribute that was recorded several times: OTLP forbids duplicates.
fn keep_last(span: &mut SpanData) {
    let attributes = &mut span.attributes;
    for index in (0..attributes.len()).rev() {
        let key = &attributes[index].key;
        if attributes[index + 1..]
            .iter()
            .any(|later| later.key == *key)
        {
            attributes.remove(index);
        }
    }
}
