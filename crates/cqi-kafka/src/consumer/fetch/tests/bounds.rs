use super::*;

const MIB: usize = 1 << 20;

/// On several threads, where allocators keep more of what was freed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_partitions_with_a_slow_consumer_stay_within_the_budget() {
    if !is_alone() {
        return;
    }
    let kafka = Kafka::builder().private().start().await.unwrap();
    kafka.create_topic("orders", 1000, 1).await.unwrap();
    let client = client(&kafka).await;
    let partitions = names("orders", 1000);
    // 256 KiB each, 250 MiB in all.
    let values = (0..256).map(|index| format!("{index:01000}"));
    let values = batch(values, Compression::None);
    for name in &partitions {
        produce(&client, name, values.clone()).await;
    }
    let settings = earliest();
    let limit = settings.max_buffered_bytes;
    let before = resident();
    let fetcher = fetch(&client, settings, &partitions);
    let mut most = 0;
    let mut seen = 0;
    let mut pages = 0_u32;
    while seen < 256_000 {
        let records = next(&fetcher).await;
        seen += records.len();
        pages += 1;
        if pages.is_multiple_of(4) {
            // Slower than what comes, so that all that is allowed waits; and keeps what it has meanwhile.
            let _ = timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
        }
        most = most.max(resident().saturating_sub(before));
        drop(records);
    }
    println!("{} MiB of {} MiB", most / MIB, limit / MIB);
    assert!(most < limit + 32 * MIB, "{} MiB", most / MIB);
    fetcher.close().await;
}

#[tokio::test]
async fn waiting_costs_next_to_nothing() {
    if !is_alone() {
        return;
    }
    let kafka = Kafka::start().await.unwrap();
    let topic = kafka.topic("orders", 100).await.unwrap();
    let client = client(&kafka).await;
    let fetcher = fetch(&client, earliest(), &names(&topic, 100));
    let idle = timeout(Duration::from_secs(1), fetcher.next()).await;
    assert!(idle.is_err(), "{idle:?}");
    let before = cpu();
    let idle = timeout(Duration::from_secs(3), fetcher.next()).await;
    assert!(idle.is_err(), "{idle:?}");
    let used = cpu() - before;
    assert!(used < Duration::from_millis(300), "{used:?} in 3 s");
    fetcher.close().await;
}
