//! A connection on which nothing happens costs nothing.

use std::time::Duration;

use kafka_protocol::messages::HeartbeatRequest;

use super::fake::connected;

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
        // Nothing happens for a while, with a request in flight.
        let metrics = tokio::runtime::Handle::current().metrics();
        let before = metrics.worker_total_busy_duration(0);
        tokio::time::sleep(Duration::from_millis(500)).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        let busy = metrics.worker_total_busy_duration(0) - before;
        println!("busy for {busy:?} of 500 ms");
        assert!(busy < Duration::from_millis(5), "{busy:?}");
        drop(pending);
    });
}
