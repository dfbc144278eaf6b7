use cqi_kafka::producer::{Producer, ProducerSettings, Written};
use expect_test::{Expect, expect};

use super::walk::{kind, walk};
use super::*;

/// Given up after some attempts, before the time is over.
const CORRUPT_MESSAGE: i16 = 2;

fn producer_settings(api: Api, once: bool, code: i16) -> ProducerSettings {
    let mut settings = ProducerSettings::default();
    (settings.retry_backoff, settings.retry_backoff_max) = PAUSES;
    settings.delivery_timeout = ANSWER * 2;
    settings.request_timeout = ANSWER;
    if !once {
        settings.delivery_timeout = Duration::from_secs(3);
        settings.request_timeout = Duration::from_secs(3);
    }
    if !once && api == Api::Produce && code != CORRUPT_MESSAGE {
        // The time ends in the pause after the second attempt, so that none is under way.
        settings.retry_backoff = Duration::from_secs(2);
        settings.retry_backoff_max = Duration::from_secs(2);
    }
    settings.max_block = settings.delivery_timeout;
    settings
}

/// Sends two batches while one or all answers of an API are of a kind; what was said not to be
/// written is not, and what was said to be written is there once.
async fn producing(api: Api, once: bool, expected: Expect) {
    let outcomes = walk(|code| async move {
        let kafka = brokers().start().unwrap();
        let client = connect(&kafka).await;
        let producer = Producer::start(&client, producer_settings(api, once, code)).unwrap();
        match once {
            true => kafka.next(api, Reply::Error(code)),
            false => kafka.always(api, Reply::Error(code)),
        }
        let first = producer.send(&orders(), batch()).await.unwrap().await;
        let asked = kafka.count(api);
        assert!(asked < MOST * 3, "{asked} requests");
        kafka.behave();
        let second = producer.send(&orders(), batch()).await.unwrap().await;
        producer.close(Duration::from_secs(2)).await;
        client.close().await;
        let there = kafka.batches("orders", 0).len();
        let first = match first {
            // DUPLICATE_SEQUENCE_NUMBER: a broker that says so has it.
            Ok(_) if code == 46 => "is written".to_owned(),
            Ok(_) => {
                assert_eq!(there, 1 + usize::from(second.is_ok()), "code {code}");
                "is written".to_owned()
            }
            Err(error) => {
                let written = Written::of(&error);
                let may_be = usize::from(written == Written::Unknown);
                assert!(there <= may_be + usize::from(second.is_ok()), "code {code}");
                format!("{}, written: {written:?}", kind(&error, code))
            }
        };
        match second {
            Ok(_) => first,
            Err(error) => format!("{first}; then {:?}", error.kind()),
        }
    });
    expected.assert_eq(&outcomes.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_producer_id_once() {
    producing(Api::InitProducerId, true, expect![[r#"
        Conflict, written: No: 22 25 27 47 82 90
        Forbidden, written: No: 29 to 31 53 65
        InvalidInput, written: No: 10 12 17 18 24 26 28 32 44 87
        NotFound, written: No: 1 109
        Permanent, written: No: 4 11 21 23 33 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        Unauthorized, written: No: 58
        Unknown, written: No: -1 999
        is written: 2 3 5 to 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 89 100 103 106 122 123 133
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_producer_id_for_ever() {
    producing(Api::InitProducerId, false, expect![[r#"
        Conflict, written: No: 22 25 27 47 82 90
        Forbidden, written: No: 29 to 31 53 65
        InvalidInput, written: No: 10 12 17 18 24 26 28 32 44 87
        NotFound, written: No: 1 109
        Permanent, written: No: 4 11 21 23 33 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        Timeout, written: No: 2 3 5 to 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 89 100 103 106 122 123 133
        Unauthorized, written: No: 58
        Unknown, written: No: -1 999
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn produce_refused_once() {
    producing(Api::Produce, true, expect![[r#"
        Conflict, written: No: 47 90
        Conflict, written: Unknown: 22 25 27 82
        Forbidden, written: No: 29 31 53
        Forbidden, written: Unknown: 30 65
        InvalidInput, written: No: 10 17 18 32 44 87
        InvalidInput, written: Unknown: 12 24 26 28
        NotFound, written: Unknown: 1 109
        Permanent, written: No: 21 33 to 35 42 43 49 76
        Permanent, written: Unknown: 4 11 23 36 to 40 48 50 52 54 55 57 60 to 64 66 to 69 73 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        Temporary, written: Unknown: 8 70 71 80 83 84 88 106 122 123 133
        Unauthorized, written: Unknown: 58
        Unknown, written: Unknown: -1 999
        is written: 2 3 5 to 7 9 13 to 16 19 20 41 45 46 51 56 59 72 74 75 78 89 100 103
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn produce_refused_for_ever() {
    producing(Api::Produce, false, expect![[r#"
        Conflict, written: No: 47 90
        Conflict, written: Unknown: 22 25 27 82
        Forbidden, written: No: 29 31 53
        Forbidden, written: Unknown: 30 65
        InvalidInput, written: No: 10 17 18 32 44 87
        InvalidInput, written: Unknown: 12 24 26 28
        NotFound, written: Unknown: 1 109
        Permanent, written: No: 21 33 to 35 42 43 49 76
        Permanent, written: Unknown: 4 11 23 36 to 40 48 50 52 54 55 57 60 to 64 66 to 69 73 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        Temporary, written: No: 2
        Temporary, written: Unknown: 8 70 71 80 83 84 88 106 122 123 133
        Timeout, written: No: 19 45 59
        Timeout, written: Unknown: 3 5 to 7 9 13 to 16 20 41 51 56 72 74 75 78 89 100 103
        Unauthorized, written: Unknown: 58
        Unknown, written: Unknown: -1 999
        is written: 46
    "#]]).await;
}
