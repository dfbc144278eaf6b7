//! Brokers that lie or fall silent while a user logs in.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use cqi_errors::{Error, Kind};
use tokio::time::Instant;

use super::fake::{Broker, beat, opening, send};
use super::{TIMEOUT, says};
use crate::connection::{Connection, ConnectionSettings, Sasl};

const HANDSHAKE: i16 = 17;
const AUTHENTICATE: i16 = 36;

/// What the broker does, after it named its versions.
async fn login(sasl: Sasl, broker: impl AsyncFnOnce(&mut Broker)) -> Result<Connection, Error> {
    let mut settings = ConnectionSettings::new();
    settings.sasl = Some(sasl);
    let (opened, mut end) = opening(settings, 1 << 16);
    let script = async {
        end.greet().await;
        broker(&mut end).await;
        // Stays as it is until the client is done.
        end
    };
    let (opened, _end) = tokio::join!(opened, script);
    opened
}

fn bob() -> Sasl {
    Sasl::scram_sha_256("bob", "s3cret")
}

async fn handshake(broker: &mut Broker, code: i16, offered: &[&str]) {
    let asked = broker.asked().await;
    assert_eq!((asked.key, asked.version), (HANDSHAKE, 1));
    let mut body = Vec::new();
    body.put_i16(code);
    body.put_i32(offered.len().try_into().unwrap());
    for name in offered {
        body.put_i16(name.len().try_into().unwrap());
        body.put_slice(name.as_bytes());
    }
    broker.answer(asked.id, &body).await;
}

/// Reads the token of the next message and answers with what is made of it.
async fn authenticate(
    broker: &mut Broker,
    answer: impl FnOnce(&str) -> (i16, &'static str, String),
    lifetime_ms: i64,
) {
    let mut asked = broker.asked().await;
    assert_eq!((asked.key, asked.version), (AUTHENTICATE, 2));
    // The client id, and tagged fields; then a compact length.
    let client_id = asked.rest.get_u16();
    asked.rest.advance(usize::from(client_id) + 1);
    let mut length = usize::from(asked.rest.get_u8());
    if length >= 0x80 {
        length = (length & 0x7f) | usize::from(asked.rest.get_u8()) << 7;
    }
    let token = asked.rest.slice(..length - 1);
    let (code, message, answered) = answer(std::str::from_utf8(&token).unwrap());
    let mut body = vec![0];
    body.put_i16(code);
    body.put_u8(u8::try_from(message.len()).unwrap() + 1);
    body.put_slice(message.as_bytes());
    body.put_u8(u8::try_from(answered.len()).unwrap() + 1);
    body.put_slice(answered.as_bytes());
    body.put_i64(lifetime_ms);
    body.put_u8(0);
    broker.answer(asked.id, &Bytes::from(body)).await;
}

fn challenge(first: &str, iterations: u32) -> (i16, &'static str, String) {
    let nonce = first.rsplit_once("r=").unwrap().1;
    (0, "", format!("r={nonce}more,s=c2FsdA==,i={iterations}"))
}

#[tokio::test(start_paused = true)]
async fn silence_at_each_step_ends_with_the_connect_timeout() {
    for step in 0..3 {
        let began = Instant::now();
        let silent = login(bob(), async |broker| {
            if step > 0 {
                handshake(broker, 0, &["SCRAM-SHA-256"]).await;
            }
            if step > 1 {
                authenticate(broker, |first| challenge(first, 4096), 0).await;
            }
        });
        let error = silent.await.unwrap_err();
        let api = if step == 0 {
            "SaslHandshake"
        } else {
            "SaslAuthenticate"
        };
        says(&error, Kind::Timeout, &["kafka-1:9092", api, "within 10s"]);
        let waited = began.elapsed();
        assert!(
            (TIMEOUT..TIMEOUT + Duration::from_millis(5)).contains(&waited),
            "{waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_offers_other_mechanisms_is_quoted() {
    let refused = login(bob(), async |broker| {
        handshake(broker, 33, &["PLAIN", "GSSAPI\n"]).await;
    });
    let texts = [
        "kafka-1:9092",
        "SCRAM-SHA-256",
        "offers \"PLAIN, GSSAPI\\n\"",
    ];
    says(&refused.await.unwrap_err(), Kind::Permanent, &texts);
    let refused = login(bob(), async |broker| handshake(broker, 34, &[]).await);
    says(
        &refused.await.unwrap_err(),
        Kind::Permanent,
        &["asks for no SASL"],
    );
    let refused = login(bob(), async |broker| handshake(broker, 7, &[]).await);
    says(
        &refused.await.unwrap_err(),
        Kind::Timeout,
        &["REQUEST_TIMED_OUT (7)"],
    );
}

#[tokio::test(start_paused = true)]
async fn a_password_that_is_refused_is_not_shown() {
    for sasl in [bob(), Sasl::plain("bob", "s3cret")] {
        let refused = login(sasl, async |broker| {
            handshake(broker, 0, &[]).await;
            authenticate(broker, |_| (58, "go\naway", String::new()), 0).await;
        });
        let error = refused.await.unwrap_err();
        says(
            &error,
            Kind::Unauthorized,
            &["\"bob\"", "kafka-1:9092", "\"go\\naway\""],
        );
        assert!(!format!("{error:?}").contains("s3cret"));
    }
    assert!(!format!("{:?}", bob()).contains("s3cret"));
    let mut settings = ConnectionSettings::new();
    settings.sasl = Some(bob());
    assert!(!format!("{settings:?}").contains("s3cret"));
}

#[tokio::test(start_paused = true)]
async fn a_broker_may_not_ask_for_more_work_than_a_second_or_for_none() {
    for count in [1, 4095, 1_000_001, u32::MAX] {
        let refused = login(bob(), async |broker| {
            handshake(broker, 0, &[]).await;
            authenticate(broker, |first| challenge(first, count), 0).await;
        });
        let text = format!("asks for {count} iterations; allowed are 4096 to 1000000");
        let error = refused.await.unwrap_err();
        says(&error, Kind::Unauthorized, &["bob", "kafka-1:9092", &text]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_know_the_password_is_an_impostor() {
    let refused = login(bob(), async |broker| {
        handshake(broker, 0, &[]).await;
        authenticate(broker, |first| challenge(first, 4096), 0).await;
        let signature = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned();
        authenticate(broker, |_| (0, "", signature), 0).await;
    });
    says(
        &refused.await.unwrap_err(),
        Kind::Unauthorized,
        &["bob", "impostor"],
    );
}

#[tokio::test(start_paused = true)]
async fn plain_refuses_what_it_cannot_send() {
    let sasl = Sasl::plain("bob", "s3\0cret");
    let refused = login(sasl, async |broker| handshake(broker, 0, &[]).await);
    let error = refused.await.unwrap_err();
    says(&error, Kind::InvalidInput, &["NUL"]);
    assert!(!format!("{error:?}").contains("cret"));
}

/// A connection of which the broker believes for 100 s who it is.
async fn session() -> (Connection, Broker) {
    let mut settings = ConnectionSettings::new();
    settings.sasl = Some(Sasl::plain("bob", "s3cret"));
    let (opened, mut broker) = opening(settings, 1 << 16);
    let script = async {
        broker.greet().await;
        prove(&mut broker).await;
    };
    let (connection, ()) = tokio::join!(opened, script);
    (connection.unwrap(), broker)
}

async fn prove(broker: &mut Broker) {
    handshake(broker, 0, &[]).await;
    let accept = |token: &str| {
        assert_eq!(token, "\0bob\0s3cret");
        (0, "", String::new())
    };
    authenticate(broker, accept, 100_000).await;
}

async fn beat_once(connection: &Connection, broker: &mut Broker) {
    let answered = async {
        let asked = broker.heartbeat().await;
        broker.answer(asked.id, &beat(0, 0)).await;
    };
    tokio::join!(send(connection, TIMEOUT), answered).0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_is_renewed_by_the_first_request_near_its_end() {
    let (connection, mut broker) = session().await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(84)).await;
        beat_once(&connection, &mut broker).await;
        tokio::time::sleep(Duration::from_secs(12)).await;
        let two = async { tokio::join!(send(&connection, TIMEOUT), send(&connection, TIMEOUT)) };
        let answered = async {
            prove(&mut broker).await;
            for _ in 0..2 {
                let asked = broker.heartbeat().await;
                broker.answer(asked.id, &beat(0, 0)).await;
            }
        };
        let ((one, other), ()) = tokio::join!(two, answered);
        one.unwrap();
        other.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_renewed_ends_the_connection() {
    let (connection, mut broker) = session().await;
    tokio::time::sleep(Duration::from_secs(96)).await;
    let refusing = async {
        handshake(&mut broker, 0, &[]).await;
        authenticate(&mut broker, |_| (58, "no more", String::new()), 0).await;
    };
    let (refused, ()) = tokio::join!(send(&connection, TIMEOUT), refusing);
    says(
        &refused.unwrap_err(),
        Kind::Unauthorized,
        &["bob", "no more"],
    );
    assert!(!connection.is_open());
    broker.closed().await;
}

/// Half a login would leave the broker waiting for the other half.
#[tokio::test(start_paused = true)]
async fn a_renewal_dropped_midway_ends_the_connection() {
    let (connection, mut broker) = session().await;
    tokio::time::sleep(Duration::from_secs(96)).await;
    tokio::select! {
        _ = send(&connection, TIMEOUT) => unreachable!(),
        () = handshake(&mut broker, 0, &[]) => {}
    }
    assert!(!connection.is_open());
    broker.closed().await;
    let refused = send(&connection, TIMEOUT).await.unwrap_err();
    says(&refused, Kind::Temporary, &["authenticated anew"]);
}
