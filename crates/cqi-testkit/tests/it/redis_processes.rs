//! Test processes that hold Redis servers, and are killed.

use std::any::Any;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cqi_errors::Kind;
use cqi_testkit::{Redis, RedisCluster, RedisSentinels};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::processes::{
    GONE, Holder, command, folder, gone, is_empty, leaves_no_process_when_killed_after, processes,
    spawn,
};
use crate::redis::cli;

/// Starts what a holder is to hold, and returns its URL.
pub(crate) async fn hold(what: &str) -> Option<(String, Box<dyn Any>)> {
    let held: (String, Box<dyn Any>) = match what {
        "redis" => {
            let server = Redis::start().await.unwrap();
            (server.url(), Box::new(server))
        }
        "redis-borrowed" => {
            let server = Redis::start().await.unwrap();
            server.command(["SET", "key", "value"]).await.unwrap();
            for refused in [server.kill(), server.stop(), server.freeze(), server.thaw()] {
                assert_eq!(refused.unwrap_err().kind(), Kind::Conflict);
            }
            let error = server.restart().await.unwrap_err().to_string();
            assert!(error.contains("Redis::builder().private()"), "{error}");
            assert_eq!(server.log(), "");
            (server.url(), Box::new(server))
        }
        "redis-frozen" => {
            let server = Redis::builder().private().start().await.unwrap();
            server.freeze().unwrap();
            (server.url(), Box::new(server))
        }
        "redis-cluster" => {
            let cluster = RedisCluster::start().await.unwrap();
            (cluster.nodes()[0].url(), Box::new(cluster))
        }
        "redis-sentinels" => {
            let set = RedisSentinels::start().await.unwrap();
            (set.servers()[0].url(), Box::new(set))
        }
        _ => return None,
    };
    Some(held)
}

#[tokio::test]
async fn a_killed_process_leaves_no_server_and_no_files() {
    for what in ["redis", "redis-frozen", "redis-cluster", "redis-sentinels"] {
        let folder = folder();
        let mut holder = spawn(what, folder.path());
        let url = holder.url();
        assert!(!is_empty(folder.path()));
        assert!(!processes(folder.path()).is_empty());
        holder.kill();
        let took = gone(folder.path()).await;
        cli(&url, &["PING"]).unwrap_err();
        assert!(took < Duration::from_secs(8), "{what}: gone after {took:?}");
    }
}

#[tokio::test]
async fn what_is_dropped_goes_while_its_process_lives() {
    let redis = Redis::builder().private().start().await.unwrap();
    let cluster = RedisCluster::start().await.unwrap();
    let set = RedisSentinels::start().await.unwrap();
    let kept = cluster.nodes()[1].clone();
    let all = [&redis].into_iter().chain(cluster.nodes());
    let all = all.chain(set.servers()).chain(set.sentinels());
    let addresses: Vec<String> = all.map(Redis::address).collect();
    drop((redis, cluster, set));
    let gone = async {
        for address in addresses.iter().filter(|it| **it != kept.address()) {
            while TcpStream::connect(address).await.is_ok() {
                sleep(Duration::from_millis(10)).await;
            }
        }
    };
    timeout(GONE, gone).await.unwrap();
    kept.command(["PING"]).await.unwrap();
}

#[tokio::test]
async fn a_process_killed_while_its_servers_start_leaves_no_process() {
    for (what, waits) in [
        ("redis", [5, 15, 25, 40]),
        ("redis-cluster", [50, 150, 300, 1000]),
    ] {
        for wait in waits {
            leaves_no_process_when_killed_after(what, Duration::from_millis(wait)).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_runs_already_is_used_by_its_url() {
    let server = Redis::builder()
        .setting("databases", "4")
        .password("of the server");
    let server = server.private().start().await.unwrap();
    let folder = folder();
    let borrow = || {
        let mut command = command("redis-borrowed", folder.path());
        command.env("CQI_TEST_REDIS_URL", server.url());
        Holder::spawn(command)
    };
    let mut holders: Vec<Holder> = (0..3).map(|_| borrow()).collect();
    let mut urls: Vec<String> = holders.iter_mut().map(Holder::url).collect();
    urls.sort();
    let expected = ["1", "2", "3"].map(|number| format!("{}/{number}", server.url()));
    assert_eq!(urls, expected);
    assert_eq!(cli(&urls[0], &["GET", "key"]).unwrap(), "value");
    for holder in holders {
        holder.finish();
    }
    let keys = server.command(["INFO", "keyspace"]).await.unwrap();
    assert_eq!(keys.text().unwrap().trim(), "# Keyspace");
    assert!(is_empty(folder.path()));
}

/// Docker compose that fails, after having noted that it was asked.
fn docker(folder: &Path) {
    let (text, path) = (folder.join("script"), folder.join("docker"));
    fs::write(
        &text,
        "#!/bin/sh\necho $@ >>$(dirname $0)/calls\n[ $1 != compose ] || [ $2 = version ]\n",
    )
    .unwrap();
    // By another process: one that is started meanwhile would inherit the file open for writing.
    let mut install = Command::new("install");
    let status = install.args(["-m", "755"]).args([&text, &path]).status();
    assert!(status.unwrap().success());
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder, open).unwrap();
    fs::write(folder.join("docker-compose.yml"), "services:\n  redis:\n").unwrap();
}

#[tokio::test]
async fn docker_compose_is_asked_once_for_all_tests_of_a_run() {
    let (folder, compose) = (folder(), tempfile::tempdir().unwrap());
    docker(compose.path());
    let start = || {
        let mut command = command("redis", folder.path());
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", compose.path().display()));
        Holder::spawn({
            command.current_dir(compose.path());
            command
        })
    };
    let mut holders: Vec<Holder> = (0..4).map(|_| start()).collect();
    for holder in &mut holders {
        cli(&holder.url(), &["PING"]).unwrap();
    }
    let calls = fs::read_to_string(compose.path().join("calls")).unwrap();
    assert_eq!(
        calls.matches("up --detach --wait redis").count(),
        1,
        "{calls}"
    );
    for holder in holders {
        holder.finish();
    }
    gone(folder.path()).await;
}
