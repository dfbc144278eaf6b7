use std::time::Instant;

use cqi_kafka::Event;
use cqi_kafka::membership::Offset;
use expect_test::{Expect, expect};

use super::walk::{kind, walk};
use super::*;

const LOSES: &str = "loses its partitions, ";

/// Polls until a record comes or an error does.
async fn first_record(consumer: &mut GroupConsumer, code: i16) -> String {
    // Whether it was told of its partitions in between is a matter of time.
    let outcome = next_record(consumer, code, "").await;
    outcome.replace(LOSES, "")
}

/// Polls until a record comes or an error does, and says what happened on the way, after `lost`.
async fn next_record(consumer: &mut GroupConsumer, code: i16, mut lost: &str) -> String {
    loop {
        match consumer.poll(Duration::from_secs(1)).await {
            Ok(Some(Event::Records(_))) => return format!("{lost}goes on"),
            Ok(Some(Event::Lost(_))) => lost = LOSES,
            Ok(_) => {}
            Err(error) => return format!("{lost}{}", kind(&error, code)),
        }
    }
}

/// Polls until an error comes, or the API was asked again and again for a while.
async fn watch(
    kafka: &ScriptedKafka,
    api: Api,
    consumer: &mut GroupConsumer,
    code: i16,
) -> Option<String> {
    let mut lost = "";
    let mut watched = None;
    while watched.is_none_or(|(_, since): (u64, Instant)| since.elapsed() < WATCH) {
        let asked = kafka.count(api);
        if watched.is_none() && asked >= 4 {
            watched = Some((asked, Instant::now()));
        }
        if let Some((before, since)) = watched {
            // A pause of 10 ms comes once, the others are longer.
            let most = since.elapsed().as_millis() / 5 + 10;
            assert!(
                u128::from(asked - before) < most,
                "{api} in a busy loop, code {code}"
            );
        }
        match consumer.poll(Duration::from_millis(20)).await {
            Ok(Some(Event::Lost(_))) => lost = LOSES,
            Ok(_) => {}
            Err(error) => return Some(format!("{lost}{}", kind(&error, code))),
        }
    }
    None
}

/// Polls until an API is asked again after an answer, which has arrived then, or an error comes; says
/// whether partitions were lost.
async fn until_asked_again(
    kafka: &ScriptedKafka,
    (api, reply): (Api, Reply),
    consumer: &mut GroupConsumer,
    code: i16,
) -> Result<&'static str, String> {
    let mut lost = "";
    let is_asked_again = || {
        let mut requests = kafka.requests(api).into_iter();
        requests.any(|it| it.reply == reply) && requests.next().is_some()
    };
    while !is_asked_again() {
        match consumer.poll(Duration::from_millis(20)).await {
            Ok(Some(Event::Lost(_))) => lost = LOSES,
            Ok(_) => {}
            Err(error) => return Err(format!("{lost}{}", kind(&error, code))),
        }
    }
    Ok(lost)
}

async fn close(consumer: GroupConsumer, client: Client) {
    let begin = Instant::now();
    // Late, where the coordinator is of no help.
    let _ = consumer.close().await;
    assert!(begin.elapsed() < Duration::from_secs(5));
    client.close().await;
}

/// Joins and reads a record, while one answer of an API has a code.
async fn joining_once(api: Api, place: Place, expected: Expect) {
    let outcomes = walk(|code| async move {
        let kafka = brokers().start().unwrap();
        append(&kafka);
        let client = connect(&kafka).await;
        kafka.next(api, place.reply(code));
        let mut consumer = join(&client, group_settings());
        let outcome = first_record(&mut consumer, code).await;
        kafka.behave();
        close(consumer, client).await;
        outcome
    });
    expected.assert_eq(&outcomes.await);
}

/// Joins while all answers of an API have a code, and reads a record when they do no longer.
async fn joining_for_ever(api: Api, place: Place, expected: Expect) {
    let outcomes = walk(|code| async move {
        let kafka = brokers().start().unwrap();
        append(&kafka);
        let client = connect(&kafka).await;
        kafka.always(api, place.reply(code));
        let mut consumer = join(&client, group_settings());
        let outcome = watch(&kafka, api, &mut consumer, code).await;
        let outcome = match outcome {
            Some(outcome) => outcome.replace(LOSES, ""),
            None => {
                kafka.behave();
                format!("tries again, {}", first_record(&mut consumer, code).await)
            }
        };
        close(consumer, client).await;
        outcome
    });
    expected.assert_eq(&outcomes.await);
}

/// Settings of a member that is heard of in time, on a machine that is busy with other tests.
fn at_work() -> GroupSettings {
    let mut settings = group_settings();
    settings.member.session_timeout = Duration::from_secs(5);
    settings
}

/// Answers a member at work with a code once, and has it read one more record.
async fn working(api: Api, place: Place, expected: Expect) {
    let outcomes = walk(|code| async move {
        let kafka = brokers().start().unwrap();
        append(&kafka);
        let client = connect(&kafka).await;
        let mut consumer = join(&client, at_work());
        assert_eq!(next_record(&mut consumer, code, "").await, "goes on");
        let reply = place.reply(code);
        kafka.next(api, reply);
        let outcome = match until_asked_again(&kafka, (api, reply), &mut consumer, code).await {
            Ok(lost) => {
                append(&kafka);
                next_record(&mut consumer, code, lost).await
            }
            Err(outcome) => outcome,
        };
        kafka.behave();
        close(consumer, client).await;
        outcome
    });
    expected.assert_eq(&outcomes.await);
}

/// Commits an offset while all answers have a code.
async fn committing(expected: Expect) {
    let outcomes = walk(|code| async move {
        let kafka = brokers().start().unwrap();
        append(&kafka);
        let client = connect(&kafka).await;
        let mut consumer = join(&client, at_work());
        assert_eq!(next_record(&mut consumer, code, "").await, "goes on");
        kafka.always(Api::OffsetCommit, Reply::ItemError(code));
        let offset = Offset {
            offset: 1,
            leader_epoch: None,
            metadata: "".into(),
        };
        let outcome = match consumer.commit([(orders(), offset)]).await {
            Ok(()) => "is committed".to_owned(),
            Err(error) => kind(&error, code),
        };
        assert!(kafka.count(Api::OffsetCommit) < MOST * 4);
        assert_eq!(kafka.committed("desk", "orders", 0), None);
        kafka.behave();
        close(consumer, client).await;
        outcome
    });
    expected.assert_eq(&outcomes.await);
}

/// Leaves while all answers have a code.
async fn leaving(place: Place, expected: Expect) {
    let outcomes = walk(|code| async move {
        let kafka = brokers().start().unwrap();
        append(&kafka);
        let client = connect(&kafka).await;
        let mut consumer = join(&client, at_work());
        assert_eq!(next_record(&mut consumer, code, "").await, "goes on");
        kafka.always(Api::LeaveGroup, place.reply(code));
        let outcome = match consumer.close().await {
            Ok(()) => "ends".to_owned(),
            Err(error) => kind(&error, code),
        };
        assert!(kafka.count(Api::LeaveGroup) < MOST * 5);
        client.close().await;
        outcome
    });
    expected.assert_eq(&outcomes.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn find_coordinator_once() {
    joining_once(
        Api::FindCoordinator,
        Place::Answer,
        expect![[r#"
        Conflict: 82
        Forbidden: 30
        InvalidInput: 24 26
        Permanent: 23 35 81
        goes on: -1 1 to 22 25 27 to 29 31 to 34 36 to 80 83 to 133 999
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn find_coordinator_for_ever() {
    joining_for_ever(
        Api::FindCoordinator,
        Place::Answer,
        expect![[r#"
        Conflict: 82
        Forbidden: 30
        InvalidInput: 24 26
        Permanent: 23 35 81
        tries again, goes on: -1 1 to 22 25 27 to 29 31 to 34 36 to 80 83 to 133 999
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn join_group_once() {
    joining_once(
        Api::JoinGroup,
        Place::Answer,
        expect![[r#"
        Conflict: 82
        Forbidden: 30
        InvalidInput: 24 26
        Permanent: 23 35 81
        goes on: -1 1 to 22 25 27 to 29 31 to 34 36 to 80 83 to 133 999
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn join_group_for_ever() {
    joining_for_ever(
        Api::JoinGroup,
        Place::Answer,
        expect![[r#"
        Conflict: 82
        Forbidden: 30
        InvalidInput: 24 26
        Permanent: 23 35 81
        tries again, goes on: -1 1 to 22 25 27 to 29 31 to 34 36 to 80 83 to 133 999
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_group_once() {
    joining_once(
        Api::SyncGroup,
        Place::Answer,
        expect![[r#"
        Conflict: 82
        Forbidden: 30
        InvalidInput: 24 26
        Permanent: 23 35 81
        goes on: -1 1 to 22 25 27 to 29 31 to 34 36 to 80 83 to 133 999
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_group_for_ever() {
    joining_for_ever(
        Api::SyncGroup,
        Place::Answer,
        expect![[r#"
        Conflict: 82
        Forbidden: 30
        InvalidInput: 24 26
        Permanent: 23 35 81
        tries again, goes on: -1 1 to 22 25 27 to 29 31 to 34 36 to 80 83 to 133 999
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offset_fetch_once() {
    joining_once(
        Api::OffsetFetch,
        Place::Answer,
        expect![[r#"
            Conflict: 82
            Forbidden: 29 30
            InvalidInput: 12 24 26 28
            Permanent: 23 35 42 81
            goes on: -1 1 to 11 13 to 22 25 27 31 to 34 36 to 41 43 to 80 83 to 133 999
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offset_fetch_for_ever() {
    joining_for_ever(
        Api::OffsetFetch,
        Place::Answer,
        expect![[r#"
            Conflict: 82
            Forbidden: 29 30
            InvalidInput: 12 24 26 28
            Permanent: 23 35 42 81
            tries again, goes on: -1 1 to 11 13 to 22 25 27 31 to 34 36 to 41 43 to 80 83 to 133 999
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offset_fetch_of_a_partition_once() {
    joining_once(
        Api::OffsetFetch,
        Place::Item,
        expect![[r#"
            Conflict: 82
            Forbidden: 29 30
            InvalidInput: 12 24 26 28
            Permanent: 23 35 42 81
            goes on: -1 1 to 11 13 to 22 25 27 31 to 34 36 to 41 43 to 80 83 to 133 999
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offset_fetch_of_a_partition_for_ever() {
    joining_for_ever(
        Api::OffsetFetch,
        Place::Item,
        expect![[r#"
            Conflict: 82
            Forbidden: 29 30
            InvalidInput: 12 24 26 28
            Permanent: 23 35 42 81
            tries again, goes on: -1 1 to 11 13 to 22 25 27 31 to 34 36 to 41 43 to 80 83 to 133 999
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_offsets_once() {
    joining_once(Api::ListOffsets, Place::Item, expect![[r#"
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
    joining_for_ever(Api::ListOffsets, Place::Item, expect![[r#"
        Conflict: 22 25 27 47 82 90
        Forbidden: 29 to 31 53 65
        InvalidInput: 10 12 17 18 24 26 28 32 44 87
        NotFound: 1 109
        Permanent: 4 11 21 23 33 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        Unauthorized: 58
        Unknown: -1 999
        tries again, goes on: 2 3 5 to 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 89 100 103 106 122 123 133
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_once() {
    joining_once(Api::Fetch, Place::Answer, expect![[r#"
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
async fn fetch_for_ever() {
    joining_for_ever(Api::Fetch, Place::Answer, expect![[r#"
        Conflict: 22 25 27 47 82 90
        Forbidden: 29 to 31 53 65
        InvalidInput: 10 12 17 18 24 26 28 32 44 87
        NotFound: 1 109
        Permanent: 4 11 21 23 33 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        Unauthorized: 58
        Unknown: -1 999
        tries again, goes on: 2 3 5 to 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 89 100 103 106 122 123 133
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_of_a_partition_once() {
    joining_once(Api::Fetch, Place::Item, expect![[r#"
        Conflict: 22 25 27 47 82 90
        Forbidden: 29 to 31 53 65
        InvalidInput: 10 12 17 18 24 26 28 32 44 87
        NotFound: 109
        Permanent: 4 11 21 23 33 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        Temporary: 2 8
        Unauthorized: 58
        Unknown: 999
        goes on: -1 1 3 5 to 7 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 89 100 103 106 122 123 133
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_of_a_partition_for_ever() {
    joining_for_ever(Api::Fetch, Place::Item, expect![[r#"
        Conflict: 22 25 27 47 82 90
        Forbidden: 29 to 31 53 65
        InvalidInput: 10 12 17 18 24 26 28 32 44 87
        NotFound: 109
        Permanent: 4 11 21 23 33 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        Temporary: 2 8
        Unauthorized: 58
        Unknown: 999
        tries again, goes on: -1 1 3 5 to 7 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 89 100 103 106 122 123 133
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_at_work() {
    working(Api::Fetch, Place::Answer, expect![[r#"
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
async fn fetch_of_a_partition_at_work() {
    working(
        Api::Fetch,
        Place::Item,
        expect![[r#"
            Conflict: 22 25 27 47 82 90
            Forbidden: 29 to 31 53 65
            InvalidInput: 10 12 17 18 24 26 28 32 44 87
            NotFound: 109
            Permanent: 4 11 21 23 33 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
            Temporary: 2 8
            Unauthorized: 58
            Unknown: 999
            goes on: -1 1 3 5 to 7 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 89 100 103 106 122 123 133
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeat_at_work() {
    working(
        Api::Heartbeat,
        Place::Answer,
        expect![[r#"
        goes on: -1 1 to 21 27 to 29 31 to 34 36 to 80 83 to 133 999
        loses its partitions, Conflict: 82
        loses its partitions, Forbidden: 30
        loses its partitions, InvalidInput: 24 26
        loses its partitions, Permanent: 23 35 81
        loses its partitions, goes on: 22 25
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offset_commit() {
    committing(expect![[r#"
        Conflict: 22 25 47 82 90
        Forbidden: 29 to 31 53 65
        InvalidInput: 10 12 17 18 24 26 28 32 44 87
        NotFound: 1 109
        Permanent: 4 11 21 23 33 to 40 42 43 45 46 48 to 52 54 55 57 59 to 64 66 to 69 73 76 77 79 81 85 86 91 to 99 101 102 104 105 107 108 110 to 121 124 to 132
        Temporary: 8 27
        Timeout: -1 2 3 5 to 7 9 13 to 16 19 20 41 56 70 to 72 74 75 78 80 83 84 88 89 100 103 106 122 123 133
        Unauthorized: 58
        Unknown: 999
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leave_group() {
    leaving(
        Place::Answer,
        expect![[r#"
        ends: -1 1 to 133 999
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leave_group_of_a_member() {
    leaving(
        Place::Item,
        expect![[r#"
        ends: -1 1 to 133 999
    "#]],
    )
    .await;
}
