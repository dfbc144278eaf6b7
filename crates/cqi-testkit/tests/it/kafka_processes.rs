//! Test processes that hold Kafka brokers, and are killed.

use std::any::Any;
use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use cqi_testkit::Kafka;
use tokio::time::{sleep, timeout};

use crate::processes::{GONE, Holder, command, folder, gone, is_empty, processes, spawn};

/// Starts what a holder is to hold, and returns where it is.
pub(crate) async fn hold(what: &str) -> (String, Box<dyn Any>) {
    let builder = Kafka::builder();
    let kafka = match what {
        "kafka" => builder.start().await.unwrap(),
        "kafka-of-3.0" => builder.version("3.0.2").start().await.unwrap(),
        "kafka-frozen" => {
            let kafka = builder.start().await.unwrap();
            kafka.broker(1).freeze().unwrap();
            kafka
        }
        "kafka-three" => builder.brokers(3).start().await.unwrap(),
        "kafka-zookeeper" => builder
            .version("3.0.2")
            .scram("bob", "secret")
            .start()
            .await
            .unwrap(),
        "kafka-shared" => Kafka::start().await.unwrap(),
        // A topic on brokers that somebody else runs.
        _ => {
            let kafka = Kafka::start().await.unwrap();
            assert_eq!((kafka.brokers().len(), kafka.version()), (0, None));
            let topic = kafka.topic("guest", 2).await.unwrap();
            return (topic, Box::new(kafka));
        }
    };
    (kafka.bootstrap(), Box::new(kafka))
}

#[tokio::test]
async fn a_killed_process_leaves_no_broker_and_no_files() {
    for what in ["kafka", "kafka-frozen", "kafka-shared"] {
        nothing_is_left_of(what).await;
    }
}

#[tokio::test]
async fn a_killed_process_leaves_none_of_several_processes() {
    for what in ["kafka-three", "kafka-zookeeper"] {
        nothing_is_left_of(what).await;
    }
}

async fn nothing_is_left_of(what: &str) {
    let folder = folder();
    let mut holder = spawn(what, folder.path());
    let bootstrap = holder.url();
    assert!(!is_empty(folder.path()));
    assert!(!processes(folder.path()).is_empty());
    holder.kill();
    gone(folder.path()).await;
    for address in bootstrap.split(',') {
        TcpStream::connect(address).unwrap_err();
    }
}

#[tokio::test]
async fn a_process_killed_while_its_broker_starts_leaves_no_process() {
    for wait in [10, 100, 500, 1500] {
        let folder = folder();
        let holder = spawn("kafka", folder.path());
        sleep(Duration::from_millis(wait)).await;
        holder.kill();
        let gone = async {
            while !processes(folder.path()).is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(GONE, gone).await.unwrap();
    }
}

#[tokio::test]
async fn many_processes_share_one_broker() {
    let folder = folder();
    let mut holders = ["kafka-shared"; 4].map(|what| spawn(what, folder.path()));
    let addresses = holders.each_mut().map(Holder::url);
    assert!(
        addresses.iter().all(|address| *address == addresses[0]),
        "{addresses:?}"
    );
    let [first, others @ ..] = holders;
    first.kill();
    TcpStream::connect(&addresses[0]).unwrap();
    others.into_iter().for_each(Holder::finish);
    gone(folder.path()).await;
}

#[tokio::test]
async fn brokers_that_run_already_are_used_and_left_as_they_were() {
    let kafka = Kafka::builder().private().start().await.unwrap();
    let folder = folder();
    let mut command = command("kafka-topic", folder.path());
    command.env("CQI_TEST_KAFKA_BROKERS", kafka.bootstrap());
    let mut holder = Holder::spawn(command);
    let topic = holder.url();
    assert_eq!(kafka.leader(&topic, 1).await.unwrap(), 1);
    holder.finish();
    kafka.leader(&topic, 1).await.unwrap_err();
}

#[tokio::test]
async fn an_unpacked_kafka_is_used() {
    let kafka = Kafka::builder()
        .version("3.0.2")
        .private()
        .start()
        .await
        .unwrap();
    let process = kafka.broker(1).process_id().unwrap();
    let command_of = |process| fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
    let command_line = command_of(process);
    let libraries = command_line
        .split('\0')
        .find_map(|word| word.strip_suffix("/*"))
        .unwrap();

    let folder = folder();
    std::os::unix::fs::symlink(libraries, folder.path().join("libs")).unwrap();
    let servers = folder.path().join("servers");
    fs::create_dir(&servers).unwrap();
    let start = |what| {
        let mut command = command(what, &servers);
        command.env("KAFKA_HOME", folder.path());
        command.env("CQI_TEST_CACHE", folder.path().join("cache"));
        Holder::spawn(command)
    };
    // Without a word on the version, and with its own.
    for what in ["kafka", "kafka-of-3.0"] {
        let mut holder = start(what);
        holder.url();
        let home = folder.path().join("libs");
        let uses = |process: &String| {
            command_of(process.split(' ').next().unwrap().parse().unwrap())
                .contains(home.to_str().unwrap())
        };
        assert!(processes(&servers).iter().any(uses));
        holder.finish();
    }
}
