use std::collections::HashSet;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use cqi_errors::Kind;
use cqi_testkit::{Redis, Reply};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Lets `redis-cli` run a command where a URL leads; errors of the server are errors.
pub(crate) fn cli(url: &str, arguments: &[&str]) -> Result<String, String> {
    let mut cli = Command::new("redis-cli");
    let cli = cli.args(["-e", "--no-auth-warning", "-u", url]);
    let output = cli.args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap().trim().to_owned();
    let refused = text.contains("AUTH failed") || text.contains("NOAUTH");
    if output.status.success() && !refused {
        Ok(text)
    } else {
        Err(text)
    }
}

async fn text(redis: &Redis, command: &[&str]) -> String {
    let reply = redis.command(command).await.unwrap();
    reply.text().unwrap().to_owned()
}

#[tokio::test]
async fn many_servers_start_at_once() {
    let mut starts = JoinSet::new();
    for _ in 0..20 {
        starts.spawn(Redis::builder().private().start());
    }
    let servers = starts.join_all().await;
    let servers: Vec<Redis> = servers.into_iter().map(Result::unwrap).collect();
    let ports: HashSet<u16> = servers.iter().map(Redis::port).collect();
    assert_eq!(ports.len(), 20);
    for server in &servers {
        assert_eq!(server.address(), format!("127.0.0.1:{}", server.port()));
        assert_eq!(server.url(), format!("redis://{}", server.address()));
        server.command(["SET", "key", &server.url()]).await.unwrap();
    }
    for server in &servers {
        assert_eq!(cli(&server.url(), &["GET", "key"]).unwrap(), server.url());
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_stands_still_while_a_server_starts_and_answers() {
    let before = Instant::now();
    let redis = Redis::start().await.unwrap();
    redis.command(["PING"]).await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_killed_server_comes_back_with_its_settings_and_port() {
    let builder = Redis::builder().setting("maxmemory", "1mb");
    let redis = builder.setting("maxmemory", "2mb").private().start();
    let redis = redis.await.unwrap();
    redis.command(["SET", "key", "value"]).await.unwrap();

    redis.kill().unwrap();
    let error = redis.command(["GET", "key"]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Temporary, "{error:#}");
    cli(&redis.url(), &["PING"]).unwrap_err();
    redis.kill().unwrap();

    redis.restart().await.unwrap();
    assert_eq!(cli(&redis.url(), &["PING"]).unwrap(), "PONG");
    assert!(redis.command(["GET", "key"]).await.unwrap().is_nil());
    let memory = redis.command(["CONFIG", "GET", "maxmemory"]).await.unwrap();
    assert_eq!(memory.array().unwrap()[1].text(), Some("2097152"));
    let starts = redis.log().matches("Ready to accept connections").count();
    assert!(starts >= 2, "{}", redis.log());
}

#[tokio::test]
async fn a_stopped_server_refuses_and_a_restart_also_stops() {
    let builder = Redis::builder().setting("appendonly", "yes");
    let redis = builder.private().start().await.unwrap();
    redis.command(["SET", "key", "value"]).await.unwrap();
    redis.stop().unwrap();
    assert_eq!(redis.freeze().unwrap_err().kind(), Kind::Conflict);
    assert_eq!(redis.thaw().unwrap_err().kind(), Kind::Conflict);
    redis.command(["PING"]).await.unwrap_err();
    redis.stop().unwrap();

    redis.restart().await.unwrap();
    assert_eq!(text(&redis, &["GET", "key"]).await, "value");
    let id = |info: String| {
        info.lines()
            .find(|line| line.starts_with("run_id"))
            .map(str::to_owned)
    };
    let before = id(text(&redis, &["INFO", "server"]).await);
    redis.restart().await.unwrap();
    assert_ne!(before, id(text(&redis, &["INFO", "server"]).await));
}

#[tokio::test]
async fn a_frozen_server_answers_when_it_is_thawed() {
    let redis = Redis::builder().private().start().await.unwrap();
    redis.freeze().unwrap();
    let ping = redis.command(["PING"]);
    tokio::pin!(ping);
    timeout(Duration::from_millis(200), &mut ping)
        .await
        .unwrap_err();
    redis.thaw().unwrap();
    assert_eq!(ping.await.unwrap().text(), Some("PONG"));

    // What is frozen can be restarted and killed.
    redis.freeze().unwrap();
    redis.restart().await.unwrap();
    redis.freeze().unwrap();
    redis.kill().unwrap();
}

#[tokio::test]
async fn a_password_is_demanded() {
    let password = "a b'\"=@:/?#%\\ü";
    let redis = Redis::builder().password(password).private().start();
    let redis = redis.await.unwrap();
    assert_eq!(cli(&redis.url(), &["PING"]).unwrap(), "PONG");
    assert_eq!(text(&redis, &["PING"]).await, "PONG");
    let nobody = format!("redis://{}", redis.address());
    assert!(cli(&nobody, &["PING"]).unwrap_err().contains("NOAUTH"));
    let wrong = redis.url_as("default", "wrong");
    assert!(cli(&wrong, &["PING"]).unwrap_err().contains("WRONGPASS"));
    let right = redis.url_as("default", password);
    assert_eq!(cli(&right, &["PING"]).unwrap(), "PONG");
    redis.restart().await.unwrap();
    assert_eq!(cli(&redis.url(), &["PING"]).unwrap(), "PONG");
    for debug in [
        format!("{redis:?}"),
        format!("{:?}", Redis::builder().password(password)),
    ] {
        assert!(!debug.contains("a b"), "{debug}");
    }
}

#[tokio::test]
async fn a_user_may_do_what_its_rules_allow() {
    let builder = Redis::builder().user("reader", "o ne", "~cache:* +get +ping");
    let redis = builder.user("none", "two", "-@all").private().start();
    let redis = redis.await.unwrap();
    redis.command(["SET", "cache:1", "value"]).await.unwrap();
    let reader = redis.url_as("reader", "o ne");
    assert_eq!(cli(&reader, &["GET", "cache:1"]).unwrap(), "value");
    for refused in [&["GET", "other"][..], &["SET", "cache:1", "x"]] {
        let error = cli(&reader, refused).unwrap_err();
        assert!(error.contains("NOPERM"), "{error}");
    }
    let none = redis.url_as("none", "two");
    assert!(cli(&none, &["PING"]).unwrap_err().contains("NOPERM"));

    let builder = Redis::builder().user("reader", "o ne", "+ping");
    let redis = builder
        .setting("user", "default off")
        .start()
        .await
        .unwrap();
    let reader = redis.url_as("reader", "o ne");
    assert_eq!(cli(&reader, &["PING"]).unwrap(), "PONG");
    redis.command(["PING"]).await.unwrap_err();
}

#[tokio::test]
async fn commands_carry_any_bytes_and_bring_any_reply() {
    let redis = Redis::start().await.unwrap();
    let all: Vec<u8> = (0..=255).collect();
    redis
        .command([&b"SET"[..], &all, b"\r\n$-1\r\n"])
        .await
        .unwrap();
    let value = redis.command([b"GET", &all[..]]).await.unwrap();
    assert_eq!(value.bytes(), Some(&b"\r\n$-1\r\n"[..]));

    redis.command(["RPUSH", "list", "a", ""]).await.unwrap();
    let list = redis.command(["LRANGE", "list", "0", "-1"]).await.unwrap();
    let expected = [Reply::Bytes(b"a".to_vec()), Reply::Bytes(Vec::new())];
    assert_eq!(list.array(), Some(&expected[..]));
    let script = "return {1, {'x', false}, {err = 'MY error'}}";
    let nested = redis.command(["EVAL", script, "0"]).await.unwrap();
    let [number, inner, error] = nested.array().unwrap() else {
        panic!("{nested:?}")
    };
    assert_eq!(number.integer(), Some(1));
    assert!(inner.array().unwrap()[1].is_nil());
    assert_eq!(error.error(), Some("MY error"));

    let error = redis.command(["GET", "list"]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    assert!(format!("{error:#}").contains("WRONGTYPE"), "{error:#}");
    let error = redis.command(["AUTH", "my secret"]).await.unwrap_err();
    assert!(!format!("{error:?}").contains("my secret"), "{error:?}");
    let error = redis.command([""; 0]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput, "{error:?}");
}

#[tokio::test]
async fn a_large_value_goes_both_ways() {
    let redis = Redis::start().await.unwrap();
    let value = vec![b'x'; 100 * 1024 * 1024];
    redis.command([b"SET", &b"key"[..], &value]).await.unwrap();
    let read = redis.command(["GET", "key"]).await.unwrap();
    assert!(read.bytes() == Some(&value[..]));
}

#[tokio::test]
async fn a_failed_start_shows_the_log() {
    let builder = Redis::builder().setting("maxmemory", "nonsense");
    let error = builder.private().start().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    let message = error.to_string();
    assert!(message.contains("maxmemory nonsense"), "{message}");
    for builder in [
        Redis::builder().setting("maxmemory 1mb\nport", "1"),
        Redis::builder().setting("maxmemory", "1mb\nport 1"),
        Redis::builder().user("a b", "", ""),
        Redis::builder().user("a", "", "+@all\nport 1"),
    ] {
        let error = builder.private().start().await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    }
}

#[tokio::test]
async fn a_restart_on_a_port_that_another_took_says_so() {
    let redis = Redis::builder().private().start().await.unwrap();
    redis.kill().unwrap();
    let thief = TcpListener::bind((redis.host(), redis.port())).unwrap();
    let error = redis.restart().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    let message = error.to_string();
    assert!(message.contains("Address already in use"), "{message}");
    drop(thief);
    redis.restart().await.unwrap();
    assert_eq!(cli(&redis.url(), &["PING"]).unwrap(), "PONG");
}
