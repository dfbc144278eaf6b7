//! Against real brokers.

use std::time::Duration;

use cqi_errors::Kind;
use cqi_testkit::{Kafka, Listener};
use kafka_protocol::messages::MetadataRequest;

use super::{TIMEOUT, host, says};
use crate::connection::{Connection, ConnectionSettings, Connector, Sasl, Tls};

async fn connect(
    address: &str,
    change: impl FnOnce(&mut ConnectionSettings),
) -> cqi_errors::Result<Connection> {
    let mut settings = ConnectionSettings::new();
    change(&mut settings);
    let connection = Connector::new(settings).open(&host(address)).await?;
    let answer = connection
        .send(&MetadataRequest::default(), TIMEOUT)
        .await?;
    assert_eq!(answer.brokers.len(), 1);
    Ok(connection)
}

#[tokio::test]
async fn requests_are_answered_in_order() {
    let kafka = Kafka::start().await.unwrap();
    let connection = connect(&kafka.bootstrap(), |_| {}).await.unwrap();
    let mut pending = Vec::new();
    for _ in 0..5 {
        let request = MetadataRequest::default();
        pending.push(connection.begin(&request, TIMEOUT).await.unwrap());
    }
    for pending in pending {
        let answer = pending.answer().await.unwrap();
        assert_eq!(answer.brokers.len(), 1);
    }
    connection.close().await;
    assert!(!connection.is_open());
}

#[tokio::test]
async fn brokers_are_who_their_certificate_says() {
    let kafka = Kafka::builder().tls().private().start().await.unwrap();
    let other = Kafka::builder()
        .tls_for_host("kafka.example")
        .private()
        .start();
    let other = other.await.unwrap();
    let (address, ca) = (kafka.bootstrap_of(Listener::Ssl), kafka.ca_file());
    let trust = |settings: &mut ConnectionSettings| {
        settings.tls = Some(Tls::with_ca_file(&ca).unwrap());
        settings.connect_timeout = Duration::from_secs(5);
    };
    connect(&address, trust).await.unwrap();
    let port = address.rsplit_once(':').unwrap().1;
    connect(&format!("localhost:{port}"), trust).await.unwrap();

    // Another authority.
    let wrong = connect(&address, |settings| {
        settings.tls = Some(Tls::with_ca_file(other.ca_file()).unwrap());
    });
    let texts = ["127.0.0.1", "UnknownIssuer", "trust the authority"];
    says(&wrong.await.unwrap_err(), Kind::Permanent, &texts);

    // A certificate for another host.
    let address = other.bootstrap_of(Listener::Ssl);
    let wrong = connect(&address, |settings| {
        settings.tls = Some(Tls::with_ca_file(other.ca_file()).unwrap());
    });
    let texts = ["127.0.0.1", "not valid for name", "kafka.example"];
    says(&wrong.await.unwrap_err(), Kind::Permanent, &texts);

    // Plaintext and TLS mixed up.
    let wrong = connect(&kafka.bootstrap(), trust).await.unwrap_err();
    says(&wrong, Kind::Temporary, &["127.0.0.1", "plaintext"]);
    let wrong = connect(&kafka.bootstrap_of(Listener::Ssl), |_| {}).await;
    says(&wrong.unwrap_err(), Kind::Permanent, &["127.0.0.1", "TLS"]);
}

#[tokio::test]
async fn brokers_may_demand_a_certificate() {
    let kafka = Kafka::builder().tls_client_certificate_required();
    let kafka = kafka.private().start().await.unwrap();
    let address = kafka.bootstrap_of(Listener::Ssl);
    let (ca, chain) = (kafka.ca_file(), kafka.client_certificate_file());
    connect(&address, |settings| {
        let tls = Tls::with_ca_file(&ca).unwrap();
        settings.tls = Some(
            tls.with_client_certificate(&chain, kafka.client_key_file())
                .unwrap(),
        );
    })
    .await
    .unwrap();
    let none = connect(&address, |settings| {
        settings.tls = Some(Tls::with_ca_file(&ca).unwrap());
    });
    says(
        &none.await.unwrap_err(),
        Kind::Unauthorized,
        &["certificate"],
    );
}

/// SASLprep would make another password of it, `z2p`; brokers hash it as it is.
const UNUSUAL: &str = "z\u{b2}\u{ad}p\u{e4}";

#[tokio::test]
async fn users_prove_who_they_are() {
    for version in Kafka::versions() {
        let kafka = Kafka::builder()
            .version(&version)
            .tls()
            .sasl_plain("alice", "in, the = open")
            .scram("bob", "hidden")
            .scram("carol", UNUSUAL);
        let kafka = match kafka.private().start().await {
            Ok(kafka) => kafka,
            Err(error) => panic!("{error:?}"),
        };
        for listener in [Listener::SaslPlaintext, Listener::SaslSsl] {
            let address = kafka.bootstrap_of(listener);
            let ca = kafka.ca_file();
            let login = |sasl: Sasl| {
                connect(&address, |settings| {
                    settings.sasl = Some(sasl);
                    if listener == Listener::SaslSsl {
                        settings.tls = Some(Tls::with_ca_file(&ca).unwrap());
                    }
                })
            };
            login(Sasl::plain("alice", "in, the = open")).await.unwrap();
            login(Sasl::scram_sha_256("bob", "hidden")).await.unwrap();
            login(Sasl::scram_sha_512("bob", "hidden")).await.unwrap();
            login(Sasl::scram_sha_512("carol", UNUSUAL)).await.unwrap();
            for (sasl, user, name) in [
                (Sasl::plain("alice", "s3cret"), "alice", "PLAIN"),
                (Sasl::scram_sha_256("bob", "s3cret"), "bob", "SCRAM-SHA-256"),
                (Sasl::scram_sha_512("bob", "s3cret"), "bob", "SCRAM-SHA-512"),
                (Sasl::scram_sha_256("eve", "s3cret"), "eve", "SCRAM-SHA-256"),
            ] {
                let refused = login(sasl).await.unwrap_err();
                says(&refused, Kind::Unauthorized, &[user, name, "127.0.0.1"]);
                assert!(!format!("{refused:?}").contains("s3cret"));
            }
        }
    }
}

/// `ApiVersions` is for everybody; what comes next is not.
#[tokio::test]
async fn a_listener_for_users_refuses_strangers_and_the_other_way_round() {
    let kafka = Kafka::builder().sasl_plain("alice", "secret");
    let kafka = kafka.private().start().await.unwrap();
    let stranger = connect(&kafka.bootstrap_of(Listener::SaslPlaintext), |_| {}).await;
    says(&stranger.unwrap_err(), Kind::Temporary, &["SASL"]);
    let user = |address: String, sasl: Sasl| async move {
        connect(&address, |settings| settings.sasl = Some(sasl))
            .await
            .unwrap_err()
    };
    let refused = user(kafka.bootstrap(), Sasl::plain("alice", "secret")).await;
    says(&refused, Kind::Permanent, &["no SASL"]);
    let sasl = Sasl::scram_sha_512("alice", "secret");
    let refused = user(kafka.bootstrap_of(Listener::SaslPlaintext), sasl).await;
    says(
        &refused,
        Kind::Permanent,
        &["SCRAM-SHA-512", "offers", "PLAIN"],
    );
}

/// KIP-368: a broker closes a connection on which something else comes after the session's end.
#[tokio::test]
async fn a_session_is_renewed_before_it_ends() {
    let kafka = Kafka::builder()
        .scram("bob", "hidden")
        .setting("connections.max.reauth.ms", "2000");
    let kafka = kafka.private().start().await.unwrap();
    let address = kafka.bootstrap_of(Listener::SaslPlaintext);
    let connection = connect(&address, |settings| {
        settings.sasl = Some(Sasl::scram_sha_256("bob", "hidden"));
    });
    let connection = connection.await.unwrap();
    // When most of it has passed, and long after its end.
    for wait in [1940, 1940, 2500, 1940] {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let request = MetadataRequest::default();
        let (one, other) = tokio::join!(
            connection.send(&request, TIMEOUT),
            connection.send(&request, TIMEOUT)
        );
        one.unwrap();
        other.unwrap();
    }
}

#[tokio::test]
async fn frozen_brokers_are_given_up() {
    let kafka = Kafka::builder().private().start().await.unwrap();
    let address = kafka.bootstrap();
    let connection = connect(&address, |_| {}).await.unwrap();
    let broker = kafka.broker(1);
    broker.freeze().unwrap();

    let began = tokio::time::Instant::now();
    let timeout = Duration::from_millis(300);
    let silent = connection.send(&MetadataRequest::default(), timeout).await;
    let texts = ["127.0.0.1", "Metadata", "300ms"];
    says(&silent.unwrap_err(), Kind::Timeout, &texts);
    assert!(!connection.is_open());

    // The system still accepts connections for it.
    let silent = connect(&address, |settings| settings.connect_timeout = timeout).await;
    let texts = ["127.0.0.1", "ApiVersions", "300ms"];
    says(&silent.unwrap_err(), Kind::Timeout, &texts);
    assert!(began.elapsed() < Duration::from_secs(3));

    broker.thaw().unwrap();
    connect(&address, |_| {}).await.unwrap();
}
