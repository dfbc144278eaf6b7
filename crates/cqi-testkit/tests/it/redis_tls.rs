use std::process::Command;

use cqi_testkit::{Redis, RedisBuilder};

/// Lets `redis-cli` ping a server by TLS, trusting the authority of `trusted`.
fn ping(server: &Redis, trusted: &Redis, more: &[&str]) -> Result<(), String> {
    let mut cli = Command::new("redis-cli");
    cli.args(["-e", "--no-auth-warning", "-u", &server.url(), "--tls"]);
    cli.arg("--cacert").arg(trusted.ca_file());
    let output = cli.args(more).arg("PING").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    match String::from_utf8(text).unwrap() {
        text if text.trim() == "PONG" => Ok(()),
        text => Err(text),
    }
}

async fn start(builder: RedisBuilder) -> Redis {
    builder.private().start().await.unwrap()
}

#[tokio::test]
async fn a_chain_is_verified_and_plain_text_refused() {
    let server = start(Redis::builder().tls().password("se cret")).await;
    assert!(server.url().starts_with("rediss://default:se%20cret@"));
    ping(&server, &server, &[]).unwrap();
    // Commands of the test itself need no certificate.
    server.command(["SET", "key", "value"]).await.unwrap();

    let other = start(Redis::builder().tls()).await;
    let error = ping(&server, &other, &[]).unwrap_err();
    assert!(error.contains("certificate verify failed"), "{error}");
    let plain = server.url().replace("rediss://", "redis://");
    crate::redis::cli(&plain, &["PING"]).unwrap_err();
    server.restart().await.unwrap();
    ping(&server, &server, &[]).unwrap();
}

#[tokio::test]
async fn a_client_proves_who_it_is() {
    let server = start(Redis::builder().tls_client_certificate_required()).await;
    ping(&server, &server, &[]).unwrap_err();
    let [certificate, key] = [server.client_certificate_file(), server.client_key_file()]
        .map(|file| file.to_str().unwrap().to_owned());
    let proof = ["--cert", &certificate, "--key", &key];
    ping(&server, &server, &proof).unwrap();
}

#[tokio::test]
async fn a_group_speaks_tls_among_itself() {
    let builder = || {
        let builder = Redis::builder().password("se=cret");
        builder.tls_client_certificate_required()
    };
    let cluster = builder().start_cluster().await.unwrap();
    assert!(
        cluster
            .url()
            .starts_with("rediss-cluster://default:se%3Dcret@127.0.0.1:")
    );
    let node = cluster.primary_of("key").await.unwrap();
    ping(&node, &node, &[]).unwrap_err();
    let old = cluster.switch_over("key").await.unwrap();
    assert_eq!(old.port(), node.port());

    let set = builder()
        .sentinel_password("other#%")
        .start_sentinels()
        .await
        .unwrap();
    assert!(
        set.url()
            .starts_with("rediss-sentinel://default:se%3Dcret@127.0.0.1:")
    );
    assert!(
        set.url()
            .ends_with("&sentinelServiceName=mymaster&sentinelPassword=other%23%25")
    );
    let old = set.switch_over().await.unwrap();
    assert_eq!(old.port(), set.servers()[0].port());
}

/// Returns the first certificate of a PEM file, decoded.
fn certificate(pem: &str) -> Vec<u8> {
    let lines = pem
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('-'));
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = lines
        .flat_map(str::bytes)
        .filter(|c| *c != b'=')
        .map(digit)
        .collect();
    let bytes = digits.chunks(4).flat_map(|four| {
        let number = four
            .iter()
            .fold(0, |number, digit| number << 6 | u32::from(*digit));
        let number = number << (6 * (4 - four.len()));
        number.to_be_bytes()[1..four.len()].to_vec()
    });
    bytes.collect()
}

#[tokio::test]
async fn a_certificate_is_for_the_host_that_was_named() {
    let server = start(Redis::builder().tls_for_host("cache.example")).await;
    let file = server.ca_file().with_file_name("server.pem");
    let certificate = certificate(&std::fs::read_to_string(file).unwrap());
    let names = |host: &str| {
        certificate
            .windows(host.len())
            .any(|part| part == host.as_bytes())
    };
    assert!(names("cache.example") && !names("localhost"));
}
