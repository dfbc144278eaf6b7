//! Fetching, producing and latency: CQI beside librdkafka (rdkafka) and rskafka.
//!
//! All use the same broker and take turns, so that a busy machine slows all of them; what counts are
//! the ratios, which are taken within each round. Processor time is the client's own.

mod assign;
mod broker;
mod fetch;
mod latency;
mod measure;
mod ours;
mod produce;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let parts: Vec<_> = std::env::args()
        .skip(1)
        .filter(|part| !part.starts_with('-'))
        .collect();
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    if wants("assign") {
        assign::measure();
    }
    let kafka = broker::start().await;
    if wants("fetch") {
        fetch::compare(&kafka).await;
    }
    if wants("latency") {
        latency::compare(&kafka).await;
    }
    if wants("produce") {
        produce::compare(&kafka).await;
    }
}
