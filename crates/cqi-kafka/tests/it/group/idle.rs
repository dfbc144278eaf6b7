use tokio::runtime::Builder;

use super::*;

/// How long this thread was on a processor.
fn busy() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = told.split_whitespace().next().unwrap();
    Duration::from_nanos(nanoseconds.parse().unwrap())
}

/// Polls for a while, and says how busy that kept the one thread that does it all.
async fn polling(consumer: &mut GroupConsumer, time: Duration) -> Duration {
    let (begun, before) = (Instant::now(), busy());
    while begun.elapsed() < time {
        let heard = consumer.poll(Duration::from_millis(500)).await.unwrap();
        assert!(!matches!(heard, Some(Event::Records(_))));
    }
    busy() - before
}

#[test]
fn pitfall_10_waiting_costs_nothing() {
    let time = Duration::from_secs(3);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let kafka = Kafka::builder().private().start_blocking().unwrap();
    runtime.block_on(async {
        let topic = kafka.topic("idle", 12).await.unwrap();
        let mut seats = [Seat::join(&kafka, settings(&kafka.unique("group")), &topic).await];
        until(&mut seats, "all", |seats| share(seats, &[12])).await;
        let [mut seat] = seats;
        let idle = polling(&mut seat.consumer, time).await;
        kafka.brokers()[0].kill().unwrap();
        let down = polling(&mut seat.consumer, time).await;
        kafka.brokers()[0].restart().await.unwrap();
        seat.consumer.subscribe([""; 0]).unwrap();
        while seat.consumer.status().generation.is_some() {
            seat.consumer.poll(Duration::from_millis(50)).await.unwrap();
        }
        let out = polling(&mut seat.consumer, time).await;
        println!("in {time:?}: {idle:?} at work, {down:?} without a broker, {out:?} in no group");
        for busy in [idle, down, out] {
            assert!(busy < time / 10, "busy for {busy:?} of {time:?}");
        }
    });
}
