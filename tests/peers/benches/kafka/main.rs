//! Fetching, producing and latency: CQI beside librdkafka (rdkafka) and rskafka.
//!
//! All use the same broker and take turns, so that a busy machine slows all of them; what counts are
//! the ratios, which are taken within each round. Processor time is the client's own.

mod assign;
mod broker;
mod fetch;
mod latency;
mod measure;
mod memory;
mod ours;
mod produce;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [memory::CHILD, client, bootstrap, topic] =
        arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        return memory::run(client, bootstrap, topic).await;
    }
    let parts: Vec<_> = arguments
        .iter()
        .filter(|part| !part.starts_with('-'))
        .collect();
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|wanted| *wanted == part);
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
    if wants("memory") {
        memory::compare(&kafka).await;
    }
}
