//! A connection on which nothing happens costs nothing.

use std::time::Duration;

use kafka_protocol::messages::HeartbeatRequest;

use super::fake::connected;

/// What this thread has used of a processor, in ticks of 10 ms.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields = fields.split_whitespace().skip(11).take(2);
    fields.map(|time| time.parse::<u64>().unwrap()).sum()
}

#[test]
fn an_idle_connection_takes_no_time() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (connection, _broker) = connected().await;
        let request = HeartbeatRequest::default();
        let pending = connection.begin(&request, Duration::from_secs(600)).await;
        // With a request in flight.
        let before = ticks();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(ticks() - before < 5);
        drop(pending);
    });
}
