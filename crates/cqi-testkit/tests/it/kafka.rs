//! Kafka brokers of one's own and of the run.

use std::time::Duration;

use cqi_errors::Kind;
use cqi_testkit::Kafka;

/// Makes tests of a function that takes a version: for the oldest, the newest, and the others that
/// `CQI_TEST_KAFKA_VERSIONS` names. Without it those two are run.
macro_rules! each_version {
    ($($function:ident)*) => { $(mod $function {
        #[tokio::test]
        async fn of_the_oldest() {
            if crate::kafka::is_asked_for("3.0.2") {
                super::$function("3.0.2").await;
            }
        }

        #[tokio::test]
        async fn of_the_newest() {
            if crate::kafka::is_asked_for("4.3.0") {
                super::$function("4.3.0").await;
            }
        }

        #[tokio::test]
        async fn of_the_others() {
            let others = cqi_testkit::Kafka::versions().into_iter();
            for version in others.filter(|version| !["3.0.2", "4.3.0"].contains(&&**version)) {
                super::$function(&version).await;
            }
        }
    })* };
}
pub(crate) use each_version;

/// A step of its own in `cargo xtask ci`: it may take as long as the network does.
#[test]
fn the_versions_of_the_suites_can_be_had() {
    for version in Kafka::versions() {
        Kafka::fetch_blocking(&version).unwrap();
    }
}

pub(crate) fn is_asked_for(version: &str) -> bool {
    Kafka::versions().iter().any(|asked| asked == version)
}

each_version! {
    a_version_starts_and_has_topics
    a_killed_broker_comes_back_with_its_topics
}

async fn a_version_starts_and_has_topics(version: &str) {
    let kafka = Kafka::builder()
        .version(version)
        .private()
        .start()
        .await
        .unwrap();
    assert_eq!(kafka.version(), Some(version));
    assert_eq!(kafka.controller().await.unwrap(), 1, "{version}");
    let log = kafka.broker(1).log();
    assert!(!log.contains("ERROR"), "{log}");

    let topic = kafka.topic("orders", 3).await.unwrap();
    assert!(topic.starts_with("orders-"), "{topic}");
    assert_eq!(kafka.leader(&topic, 2).await.unwrap(), 1);
    kafka.leader(&topic, 3).await.unwrap_err();
    kafka.add_partitions(&topic, 4).await.unwrap();
    assert_eq!(kafka.leader(&topic, 3).await.unwrap(), 1);
    let again = kafka.create_topic(&topic, 3, 1).await.unwrap_err();
    assert_eq!(again.kind(), Kind::Conflict, "{version}: {again:#}");
    kafka.delete_topic(&topic).await.unwrap();
    kafka.leader(&topic, 0).await.unwrap_err();
    let none = kafka.delete_topic(&topic).await.unwrap_err();
    assert_eq!(none.kind(), Kind::NotFound, "{version}: {none:#}");

    let compact = [("cleanup.policy", "compact")];
    kafka
        .create_topic_with("compacted", 1, 1, &compact)
        .await
        .unwrap();
    let setting = [("cleanup.policy", "x")];
    let wrong = kafka.create_topic_with("odd", 1, 1, &setting).await;
    // The oldest takes any setting.
    assert!(version == "3.0.2" || wrong.unwrap_err().kind() == Kind::InvalidInput);
    let wrong = kafka.create_topic("wrong", 1, 2).await.unwrap_err();
    assert_eq!(wrong.kind(), Kind::InvalidInput, "{version}: {wrong:#}");
}

async fn a_killed_broker_comes_back_with_its_topics(version: &str) {
    let kafka = Kafka::builder()
        .version(version)
        .private()
        .start()
        .await
        .unwrap();
    let (bootstrap, broker) = (kafka.bootstrap(), kafka.broker(1));
    let topic = kafka.topic("kept", 2).await.unwrap();
    broker.kill().unwrap();
    assert!(!broker.is_running());
    broker.kill().unwrap();
    assert_eq!(broker.freeze().unwrap_err().kind(), Kind::Conflict);
    kafka.leader(&topic, 0).await.unwrap_err();
    broker.restart().await.unwrap();
    assert_eq!(kafka.bootstrap(), bootstrap);
    led(&kafka, &topic).await;
    broker.stop().unwrap();
    assert!(!broker.is_running());
    broker.restart().await.unwrap();
    led(&kafka, &topic).await;
}

/// Waits until a topic's first partition has a leader.
pub(crate) async fn led(kafka: &Kafka, topic: &str) -> i32 {
    let led = async {
        loop {
            match kafka.leader(topic, 0).await {
                Ok(leader) => return leader,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), led)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_frozen_broker_answers_when_it_is_thawed() {
    let kafka = Kafka::builder().private().start().await.unwrap();
    let broker = kafka.broker(1);
    broker.freeze().unwrap();
    assert!(broker.is_running());
    let topic = kafka.topic("late", 1);
    tokio::pin!(topic);
    tokio::time::timeout(Duration::from_millis(500), &mut topic)
        .await
        .unwrap_err();
    broker.thaw().unwrap();
    topic.await.unwrap();
    // What is frozen can be restarted and killed all the same.
    broker.freeze().unwrap();
    broker.restart().await.unwrap();
    broker.freeze().unwrap();
    broker.kill().unwrap();
}

#[tokio::test]
async fn the_tests_of_a_run_share_a_broker() {
    let (one, two) = (Kafka::start().await.unwrap(), Kafka::start().await.unwrap());
    assert_eq!(one.bootstrap(), two.bootstrap());
    let topics = [
        one.topic("orders", 1).await.unwrap(),
        two.topic("orders", 1).await.unwrap(),
    ];
    assert_ne!(topics[0], topics[1]);
    assert_eq!(two.leader(&topics[0], 0).await.unwrap(), 1);
    let broker = one.broker(1);
    assert!(broker.is_running());
    for refused in [broker.kill(), broker.stop(), broker.freeze(), broker.thaw()] {
        assert_eq!(refused.unwrap_err().kind(), Kind::Conflict);
    }
    let error = broker.restart().await.unwrap_err().to_string();
    assert!(error.contains("Kafka::builder().private()"), "{error}");
    let other = Kafka::start_version("3.0.2").await.unwrap();
    assert_eq!(other.version(), Some("3.0.2"));
    assert_ne!(other.bootstrap(), one.bootstrap());
}

#[tokio::test]
async fn many_start_at_once() {
    let start = || Kafka::builder().private().start();
    let (one, two, three, four) = tokio::join!(start(), start(), start(), start());
    let mut all = std::collections::HashSet::new();
    for kafka in [one, two, three, four] {
        let kafka = kafka.unwrap();
        assert!(all.insert(kafka.bootstrap()));
        kafka.topic("one", 1).await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let builders = [
        Kafka::builder().brokers(0),
        Kafka::builder().version("4"),
        Kafka::builder().setting("a b", "c"),
        Kafka::builder().sasl_plain("a;b", "c"),
        Kafka::builder().scram("a", "c,d"),
        Kafka::builder().version("3.0.2").scram("a", "b").brokers(3),
    ];
    for builder in builders {
        let error = builder.clone().start().await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput, "{builder:?}: {error:#}");
    }
    let error = Kafka::builder()
        .setting("log.segment.bytes", "none")
        .start()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    assert!(error.to_string().contains("log.segment.bytes"), "{error:#}");
}
