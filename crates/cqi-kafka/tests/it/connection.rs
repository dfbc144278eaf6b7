//! TLS and SASL, as a client's user meets them.

use std::time::{Duration, Instant};

use cqi_errors::{Error, Kind, Result};
use cqi_kafka::{
    Client, ClientSettings, ConnectionSettings, Isolation, OffsetSpec, Sasl, Tls, TopicPartition,
};
use cqi_testkit::{Kafka, Listener};

async fn connect(
    kafka: &Kafka,
    listener: Listener,
    tls: Option<&Tls>,
    sasl: Option<Sasl>,
) -> Result<Client> {
    let mut settings = ClientSettings::new([kafka.bootstrap_of(listener)]);
    settings.connection.tls = tls.cloned();
    settings.connection.sasl = sasl;
    settings.connection.connect_timeout = Duration::from_secs(5);
    Client::connect(settings).await
}

#[track_caller]
fn says(error: &Error, kind: Kind, texts: &[&str]) {
    let said = format!("{error:?}");
    assert_eq!(error.kind(), kind, "{said}");
    for text in texts {
        assert!(said.contains(text), "{text:?} is not in {said:?}");
    }
}

/// What a client learns of the cluster leads it to listeners of the same kind.
#[tokio::test]
async fn a_client_reaches_every_broker_encrypted_and_known() {
    let kafka = Kafka::builder().brokers(3).tls().scram("bob", "hidden");
    let kafka = kafka.private().start().await.unwrap();
    let topic = kafka.topic("orders", 6).await.unwrap();
    let tls = Tls::with_ca_file(kafka.ca_file()).unwrap();
    for sasl in [
        Sasl::scram_sha_256("bob", "hidden"),
        Sasl::scram_sha_512("bob", "hidden"),
    ] {
        let client = connect(&kafka, Listener::SaslSsl, Some(&tls), Some(sasl));
        let client = client.await.unwrap();
        // Offsets come from the leaders: all three brokers are asked.
        let partitions = (0..6).map(|partition| TopicPartition::new(&*topic, partition));
        let offsets = client.offsets(partitions, OffsetSpec::Latest, Isolation::ReadCommitted);
        assert_eq!(offsets.await.unwrap().len(), 6);
        client.close().await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_at_once() {
    let kafka = Kafka::builder()
        .sasl_plain("alice", "right")
        .scram("bob", "hidden");
    let kafka = kafka.private().start().await.unwrap();
    for (sasl, user) in [
        (Sasl::plain("alice", "wr0ng"), "alice"),
        (Sasl::scram_sha_512("bob", "wr0ng"), "bob"),
    ] {
        let began = Instant::now();
        let refused = connect(&kafka, Listener::SaslPlaintext, None, Some(sasl)).await;
        let error = refused.unwrap_err();
        says(&error, Kind::Unauthorized, &[user, "127.0.0.1"]);
        assert!(!format!("{error:?}").contains("wr0ng"));
        assert!(began.elapsed() < Duration::from_secs(4));
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = std::env::temp_dir().join(format!("cqi-kafka-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (empty, odd) = (folder.join("empty.pem"), folder.join("odd.pem"));
    std::fs::write(&empty, "").unwrap();
    std::fs::write(
        &odd,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();

    let missing = Tls::with_ca_file(folder.join("missing.pem")).unwrap_err();
    says(
        &missing,
        Kind::InvalidInput,
        &["missing.pem cannot be read", "No such file"],
    );
    let none = Tls::with_ca_file(&empty).unwrap_err();
    says(
        &none,
        Kind::InvalidInput,
        &["empty.pem holds no certificate"],
    );
    let odd_one = Tls::with_ca_file(&odd).unwrap_err();
    says(
        &odd_one,
        Kind::InvalidInput,
        &["odd.pem holds a certificate that cannot be used"],
    );

    let tls = Tls::with_system_roots().unwrap();
    let no_key = tls
        .clone()
        .with_client_certificate(&odd, &empty)
        .unwrap_err();
    says(
        &no_key,
        Kind::InvalidInput,
        &["empty.pem holds no private key"],
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_key_must_be_that_of_its_certificate() {
    let start = || {
        Kafka::builder()
            .tls_client_certificate_required()
            .private()
            .start()
    };
    let (one, other) = (start().await.unwrap(), start().await.unwrap());
    let tls = Tls::with_ca_file(one.ca_file()).unwrap();
    let mixed = tls
        .clone()
        .with_client_certificate(one.client_certificate_file(), other.client_key_file());
    says(
        &mixed.unwrap_err(),
        Kind::InvalidInput,
        &["client.pem", "client.key"],
    );
    // A certificate of another authority.
    let foreign = tls
        .with_client_certificate(other.client_certificate_file(), other.client_key_file())
        .unwrap();
    let refused = connect(&one, Listener::Ssl, Some(&foreign), None).await;
    says(
        &refused.unwrap_err(),
        Kind::Unauthorized,
        &["127.0.0.1", "certificate"],
    );
}

#[test]
fn settings_say_what_cannot_be() {
    let settings = |change: fn(&mut ConnectionSettings)| {
        let mut settings = ClientSettings::new(["kafka-1:9092"]);
        change(&mut settings.connection);
        settings.validate().unwrap_err()
    };
    for (change, field) in [
        (
            (|s| s.connect_timeout = Duration::ZERO) as fn(&mut ConnectionSettings),
            "connect_timeout",
        ),
        (|s| s.max_in_flight = 0, "max_in_flight"),
        (|s| s.max_frame_bytes = 0, "max_frame_bytes"),
        (|s| s.client_id = "x".repeat(32_768), "client_id"),
    ] {
        let error = settings(change);
        says(&error, Kind::InvalidInput, &[field]);
        assert_eq!(error.field(), Some(field));
    }
    assert!(ClientSettings::new(["kafka-1:9092"]).validate().is_ok());
}
