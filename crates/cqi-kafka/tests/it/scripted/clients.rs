use cqi_errors::{Kind, Result};
use cqi_kafka::{Client, Isolation, OffsetSpec, Sasl};
use expect_test::{Expect, expect};

use super::walk::{kind, walk};
use super::*;

fn told<T>(outcome: Result<T>, code: i16) -> String {
    match outcome {
        Ok(_) => "goes on".to_owned(),
        // The last answer, or the end of the time for the next one.
        Err(error) if matches!(error.kind(), Kind::Temporary | Kind::Timeout) => {
            "Temporary or Timeout".to_owned()
        }
        Err(error) => kind(&error, code),
    }
}

/// Connects while one or all answers of an API have a code.
async fn connecting(api: Api, once: bool, expected: Expect) {
    let outcomes = walk(|code| async move {
        let kafka = brokers().sasl_plain("bob", "secret").start().unwrap();
        match once {
            true => kafka.next(api, Reply::Error(code)),
            false => kafka.always(api, Reply::Error(code)),
        }
        let mut settings = client_settings(&kafka);
        settings.connection.sasl = Some(Sasl::plain("bob", "secret"));
        let connected = Client::connect(settings).await;
        assert!(kafka.count(api) < MOST, "{} requests", kafka.count(api));
        told(connected, code)
    });
    expected.assert_eq(&outcomes.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_versions() {
    connecting(
        Api::ApiVersions,
        true,
        expect![[r#"
        Permanent: -1 1 to 34 36 to 133 999
        goes on: 35
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sasl_handshake() {
    connecting(Api::SaslHandshake, true, expect![[r#"
        Conflict: 22 25 27 47 82 90
        Forbidden: 29 to 31 53 65
        InvalidInput: 10 12 17 18 24 26 28 32 44 87
        NotFound: 1 109
        Permanent: 4 11 21 23 35 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        Permanent, whose text lacks the code: 33 34
        Temporary or Timeout: 2 3 5 to 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 89 100 103 106 122 123 133
        Unauthorized: 58
        Unknown: -1 999
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sasl_authenticate() {
    connecting(Api::SaslAuthenticate, true, expect![[r#"
        Conflict: 22 25 27 47 82 90
        Forbidden: 29 to 31 53 65
        InvalidInput: 10 12 17 18 24 26 28 32 44 87
        NotFound: 1 109
        Permanent: 4 11 21 23 33 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        Temporary or Timeout: 2 3 5 to 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 89 100 103 106 122 123 133
        Unauthorized, whose text lacks the code: 58
        Unknown: -1 999
    "#]]).await;
}

/// Asks for a topic's partitions while one or all answers have a code.
async fn asking(place: Place, once: bool, expected: Expect) {
    let outcomes = walk(|code| async move {
        let kafka = brokers().start().unwrap();
        let client = connect(&kafka).await;
        let before = kafka.count(Api::Metadata);
        match once {
            true => kafka.next(Api::Metadata, place.reply(code)),
            false => kafka.always(Api::Metadata, place.reply(code)),
        }
        let asked = client.partitions("orders").await;
        assert!(kafka.count(Api::Metadata) - before < MOST * 5);
        client.close().await;
        told(asked, code)
    });
    expected.assert_eq(&outcomes.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_of_a_topic_once() {
    asking(Place::Answer, true, expect![[r#"
        Conflict: 22 25 27 47 82 90
        Forbidden: 29 to 31 53 65
        InvalidInput: 10 12 17 18 24 26 28 32 44 87
        NotFound: 1 109
        Permanent: 4 11 21 23 33 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        Unauthorized: 58
        Unknown: -1 999
        goes on: 2 3 5 to 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 89 100 103 106 122 123 133
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_of_a_topic_for_ever() {
    asking(Place::Answer, false, expect![[r#"
        Conflict: 22 25 27 47 82 90
        Forbidden: 29 to 31 53 65
        InvalidInput: 10 12 17 18 24 26 28 32 44 87
        NotFound: 1 109
        NotFound, whose text lacks the code: 3
        Permanent: 4 11 21 23 33 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        RateLimited: 89
        Temporary or Timeout: 2 5 to 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 100 103 106 122 123 133
        Unauthorized: 58
        Unknown: -1 999
    "#]]).await;
}

/// Asks for a partition's end while one or all answers have a code.
async fn looking_up(api: Api, place: Place, once: bool, expected: Expect) {
    let outcomes = walk(|code| async move {
        let kafka = brokers().start().unwrap();
        let client = connect(&kafka).await;
        match once {
            true => kafka.next(api, place.reply(code)),
            false => kafka.always(api, place.reply(code)),
        }
        let found = client.offsets([orders()], OffsetSpec::Latest, Isolation::ReadCommitted);
        let found = found.await;
        assert!(kafka.count(api) < MOST * 5, "{} requests", kafka.count(api));
        client.close().await;
        told(found, code)
    });
    expected.assert_eq(&outcomes.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_of_a_partition_for_ever() {
    looking_up(Api::Metadata, Place::Item, false, expect![[r#"
        Conflict: 22 25 27 47 82 90
        Forbidden: 29 to 31 53 65
        InvalidInput: 10 12 17 18 24 26 28 32 44 87
        NotFound: 1 109
        NotFound, whose text lacks the code: 3
        Permanent: 4 11 21 23 33 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        RateLimited: 89
        Temporary or Timeout: 2 5 to 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 100 103 106 122 123 133
        Unauthorized: 58
        Unknown: -1 999
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_offsets_once() {
    looking_up(Api::ListOffsets, Place::Item, true, expect![[r#"
        Conflict: 22 25 27 47 82 90
        Forbidden: 29 to 31 53 65
        InvalidInput: 10 12 17 18 24 26 28 32 44 87
        NotFound: 1 109
        Permanent: 4 11 21 23 33 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        Unauthorized: 58
        Unknown: -1 999
        goes on: 2 3 5 to 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 89 100 103 106 122 123 133
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_offsets_for_ever() {
    looking_up(Api::ListOffsets, Place::Item, false, expect![[r#"
        Conflict: 22 25 27 47 82 90
        Forbidden: 29 to 31 53 65
        InvalidInput: 10 12 17 18 24 26 28 32 44 87
        NotFound: 1 109
        Permanent: 4 11 21 23 33 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        RateLimited: 89
        Temporary or Timeout: 2 3 5 to 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 100 103 106 122 123 133
        Unauthorized: 58
        Unknown: -1 999
    "#]]).await;
}
