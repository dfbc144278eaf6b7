use std::time::Duration;

use tokio::io::{DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::*;

const PATIENCE: Duration = Duration::from_millis(300);
const LONGEST: usize = 100;

/// A lane whose server is the test, by way of a pipe of so many bytes.
fn lane(pipe: usize) -> (Lane, DuplexStream) {
    let (stream, server) = duplex(pipe);
    let queue = Arc::new(Queue::new());
    let mut driver = JoinSet::new();
    driver.spawn(driver::drive(stream, Arc::clone(&queue), PATIENCE, LONGEST));
    (Lane { queue, driver }, server)
}

async fn expect(server: &mut DuplexStream, parts: &[&[u8]]) {
    let mut expected = Vec::new();
    resp::command(&mut expected, parts);
    let mut got = vec![0; expected.len()];
    server.read_exact(&mut got).await.unwrap();
    assert_eq!(got, expected);
}

fn bulk(text: &'static str) -> Result<Reply, Refused> {
    Ok(Reply::Bulk(text.as_bytes().into()))
}

#[tokio::test]
async fn commands_and_answers() {
    let (lane, mut server) = lane(1024);
    let get = lane.queue.get(b"a", 99);
    let set = lane.queue.set(b"a", b"value", Some(1_500));
    let keep = lane.queue.set(b"b", b"", None);
    expect(&mut server, &[b"GETRANGE", b"a", b"0", b"99"]).await;
    expect(&mut server, &[b"SET", b"a", b"value", b"PX", b"1500"]).await;
    expect(&mut server, &[b"SET", b"b", b""]).await;
    server
        .write_all(b"$2\r\nhi\r\n+OK\r\n+OK\r\n")
        .await
        .unwrap();
    assert_eq!(get.await, bulk("hi"));
    assert_eq!(set.await, Ok(Reply::Text));
    assert_eq!(keep.await, Ok(Reply::Text));
}

#[tokio::test]
async fn a_caller_that_is_gone_leaves_the_others_their_answers() {
    let (lane, mut server) = lane(1024);
    drop(lane.queue.get(b"a", 9));
    let second = lane.queue.get(b"b", 9);
    drop(lane.queue.get(b"c", 9));
    let fourth = lane.queue.get(b"d", 9);
    server
        .write_all(b"$1\r\na\r\n$1\r\nb\r\n$-1\r\n$1\r\nd\r\n")
        .await
        .unwrap();
    assert_eq!(second.await, bulk("b"));
    assert_eq!(fourth.await, bulk("d"));
}

#[tokio::test(start_paused = true)]
async fn many_callers_through_a_narrow_pipe_get_their_own_answers() {
    let (lane, mut server) = lane(7);
    let name = |n: usize| format!("key:{n}").into_bytes();
    let mut echo = JoinSet::new();
    echo.spawn(async move {
        for n in 0..500 {
            let key = name(n);
            expect(&mut server, &[b"GETRANGE", &key, b"0", b"99"]).await;
            let head = format!("${}\r\n", key.len());
            let answer = [head.as_bytes(), &key, b"\r\n"].concat();
            server.write_all(&answer).await.unwrap();
        }
    });
    let answers: Vec<_> = (0..500).map(|n| lane.queue.get(&name(n), 99)).collect();
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.await, Ok(Reply::Bulk(name(n).into())));
    }
    echo.join_all().await;
}

#[tokio::test]
async fn an_error_sends_its_caller_elsewhere_and_no_other() {
    let (lane, mut server) = lane(1024);
    let first = lane.queue.get(b"list", 9);
    let second = lane.queue.get(b"b", 9);
    server
        .write_all(b"-WRONGTYPE Operation against a key\r\n$1\r\nb\r\n")
        .await
        .unwrap();
    assert_eq!(first.await, Err(Refused::Elsewhere));
    assert_eq!(second.await, bulk("b"));
}

#[tokio::test]
async fn what_the_server_must_not_say_ends_the_lane() {
    for (said, why) in [
        ("-READONLY You can't write\r\n", "not the primary"),
        ("-MOVED 1 10.0.0.1:1\r\n", "not the primary"),
        ("HTTP/1.1 400 Bad Request\r\n", "not an answer of redis"),
        ("$1000000\r\n", "not an answer of redis"),
        ("$-1\r\n$-1\r\n$-1\r\n", "an answer that nobody asked for"),
    ] {
        let (mut lane, mut server) = lane(1024);
        let answers = [lane.queue.get(b"a", 9), lane.queue.get(b"b", 9)];
        let [a, b]: [&[&[u8]]; 2] = [
            &[b"GETRANGE", b"a", b"0", b"9"],
            &[b"GETRANGE", b"b", b"0", b"9"],
        ];
        expect(&mut server, a).await;
        expect(&mut server, b).await;
        server.write_all(said.as_bytes()).await.unwrap();
        assert_eq!(lane.ended().await.to_string(), why, "{said:?}");
        let [first, second] = answers;
        // An error is an answer.
        let refused = match said.as_bytes()[0] {
            b'-' => Err(Refused::Elsewhere),
            _ => Err(Refused::Lost),
        };
        assert_eq!(first.await, refused, "{said:?}");
        assert_eq!(second.await, Err(Refused::Lost), "{said:?}");
        let late = lane.queue.set(b"a", b"", None);
        assert_eq!(late.await, Err(Refused::Elsewhere));
    }
}

#[tokio::test]
async fn a_connection_cut_in_an_answer_loses_the_others() {
    let (mut lane, mut server) = lane(1024);
    let [first, second, third] = [b"a", b"b", b"c"].map(|key| lane.queue.get(key, 9));
    expect(&mut server, &[b"GETRANGE", b"a", b"0", b"9"]).await;
    server.write_all(b"$1\r\na\r\n$5\r\nab").await.unwrap();
    drop(server);
    assert_eq!(first.await, bulk("a"));
    assert_eq!(second.await, Err(Refused::Lost));
    assert_eq!(third.await, Err(Refused::Lost));
    assert!(matches!(lane.ended().await, Ended::Lost(_)));
}

#[tokio::test]
async fn a_lane_that_is_dropped_sends_everybody_elsewhere() {
    let (lane, _server) = lane(1024);
    let queue = lane.queue();
    let answer = queue.get(b"a", 9);
    drop(lane);
    // It had no time to be sent.
    assert_eq!(answer.await, Err(Refused::Elsewhere));
    assert_eq!(queue.get(b"a", 9).await, Err(Refused::Elsewhere));
}

#[tokio::test(start_paused = true)]
async fn the_first_that_waits_too_long_ends_the_lane() {
    let (mut lane, mut server) = lane(1024);
    // The timer is set by an earlier call.
    sleep(PATIENCE * 2).await;
    let answered = lane.queue.get(b"a", 9);
    sleep(PATIENCE / 3).await;
    let since = Instant::now();
    let silent = lane.queue.get(b"b", 9);
    server.write_all(b"$1\r\na\r\n").await.unwrap();
    assert_eq!(answered.await, bulk("a"));
    sleep(PATIENCE / 3).await;
    let behind = lane.queue.get(b"c", 9);
    assert_eq!(silent.await, Err(Refused::TimedOut));
    assert!(
        since.elapsed() <= PATIENCE + Duration::from_millis(2),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(behind.await, Err(Refused::Lost));
    assert!(matches!(lane.ended().await, Ended::TimedOut));
}

/// What was not sent cannot be carried out later, and may go elsewhere.
#[tokio::test(start_paused = true)]
async fn only_what_was_sent_is_lost() {
    let (lane, server) = lane(16);
    let sent = [lane.queue.set(b"a", b"1", None), lane.queue.get(b"b", 9)];
    sleep(Duration::from_millis(1)).await;
    let unsent = [lane.queue.set(b"a", b"2", None), lane.queue.get(b"b", 9)];
    drop(server);
    for answer in sent {
        assert_eq!(answer.await, Err(Refused::Lost));
    }
    for answer in unsent {
        assert_eq!(answer.await, Err(Refused::Elsewhere));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unused_lane_is_tried_now_and_then() {
    let (mut lane, mut server) = lane(1024);
    let mut driven = JoinSet::new();
    driven.spawn(async move { (lane.ended().await, Instant::now()) });
    for _ in 0..3 {
        let begin = Instant::now();
        expect(&mut server, &[b"PING"]).await;
        assert!(begin.elapsed() <= IDLE + PATIENCE, "{:?}", begin.elapsed());
        server.write_all(b"+PONG\r\n").await.unwrap();
    }
    expect(&mut server, &[b"PING"]).await;
    let asked = Instant::now();
    let (ended, at) = driven.join_next().await.unwrap().unwrap();
    assert!(matches!(ended, Ended::TimedOut));
    assert!(at - asked <= PATIENCE + Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_before_it_has_read_keeps_nobody_waiting() {
    let (lane, mut server) = lane(16);
    let early = lane.queue.set(b"a", &[7; 1_000], None);
    server.write_all(b"+OK\r\n").await.unwrap();
    assert_eq!(early.await, Ok(Reply::Text));
    sleep(PATIENCE * 3).await;
    let begin = Instant::now();
    assert_eq!(
        lane.queue.get(b"b", 9).await,
        Err(Refused::TimedOut),
        "after {:?}",
        begin.elapsed()
    );
    assert!(begin.elapsed() <= PATIENCE * 2, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_server_that_knows_no_login_does_not_betray_the_password() {
    let settings = Settings::new(&cqi_config::CacheConfig {
        backend: cqi_config::CacheBackend::Redis,
        password: cqi_config::Secret::new("hunter2"),
        tls: false,
        ..Default::default()
    });
    let (mut stream, mut server) = duplex(1024);
    server
        .write_all(b"-ERR unknown command 'AUTH', with args beginning with: 'hunter2' \r\n")
        .await
        .unwrap();
    let error = log_in(&mut stream, &settings.unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "ERR unknown command 'AUTH'");
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_keeps_its_lane() {
    let (lane, mut server) = lane(1024);
    for _ in 0..100 {
        let answer = lane.queue.get(b"a", 9);
        sleep(PATIENCE - Duration::from_millis(10)).await;
        server.write_all(b"$1\r\na\r\n").await.unwrap();
        assert_eq!(answer.await, bulk("a"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_has_bounds_when_the_server_reads_nothing() {
    let (mut lane, _server) = lane(16);
    let value = vec![7; 512 * 1024];
    // One is being written, one waits to be.
    let mut kept = Vec::new();
    kept.push(lane.queue.set(b"a", &value, None));
    sleep(Duration::from_millis(1)).await;
    kept.push(lane.queue.set(b"b", &value, None));
    let full = lane.queue.set(b"c", &value, None);
    assert_eq!(full.await, Err(Refused::Elsewhere));
    kept.extend((kept.len()..16_384).map(|_| lane.queue.get(b"a", 9)));
    assert_eq!(lane.queue.get(b"a", 9).await, Err(Refused::Elsewhere));
    assert!(matches!(lane.ended().await, Ended::TimedOut));
    assert_eq!(kept.remove(0).await, Err(Refused::TimedOut));
}
