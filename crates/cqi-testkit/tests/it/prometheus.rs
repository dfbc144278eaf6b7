use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cqi_errors::Kind;
use cqi_testkit::Prometheus;
use cqi_testkit::prometheus::{Health, ScrapeFormat, check_metrics};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const OPEN_METRICS: &str = "\
# HELP seen Seen.
# TYPE seen counter
seen_total{kind=\"a\"} 3 # {trace_id=\"abc\"} 2.5
# EOF
";

const TEXT: &str = "\
# HELP seen_total Seen.
# TYPE seen_total counter
seen_total{kind=\"a\"} 4
";

/// Serves either format, and remembers what was asked for.
struct Served {
    addr: SocketAddr,
    accepts: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

async fn serve() -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let accepts = Arc::new(Mutex::new(Vec::new()));
    let mut task = JoinSet::new();
    let seen = Arc::clone(&accepts);
    task.spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if client.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let head = String::from_utf8(head).unwrap();
            let accept = head.lines().find_map(|line| line.strip_prefix("Accept: ")).unwrap_or_default();
            seen.lock().unwrap().push(accept.to_owned());
            let (content_type, body) = match accept.contains("openmetrics") {
                true => ("application/openmetrics-text; version=1.0.0; charset=utf-8", OPEN_METRICS),
                false => ("text/plain; version=0.0.4; charset=utf-8", TEXT),
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            // A scraper that has gone is no concern of the other.
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    Served {
        addr,
        accepts,
        _task: task,
    }
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn what_is_served_is_scraped_with_its_exemplars() {
    let served = serve().await;
    let prometheus = Prometheus::start([served.addr]).await.unwrap();
    prometheus.scraped().await.unwrap();

    let samples = prometheus.query("seen_total").await.unwrap();
    let instance = served.addr.to_string();
    let series = labels(&[
        ("__name__", "seen_total"),
        ("kind", "a"),
        ("instance", &instance),
        ("job", "test"),
    ]);
    assert_eq!((&samples[0].labels, samples[0].value), (&series, 3.0));
    assert_eq!(prometheus.query("1 + 1").await.unwrap()[0].value, 2.0);

    let exemplars = prometheus.exemplars("seen_total").await.unwrap();
    assert_eq!(exemplars[0].labels, labels(&[("trace_id", "abc")]));
    assert_eq!((&exemplars[0].series, exemplars[0].value), (&series, 2.5));

    let targets = prometheus.targets().await.unwrap();
    assert_eq!(targets[0].url, format!("http://{}/metrics", served.addr));
    assert_eq!(
        (targets[0].health, targets[0].last_error.as_str()),
        (Health::Up, "")
    );

    let error = prometheus.query("sum(").await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert!(format!("{error:#}").contains("parse error"), "{error:#}");
    assert_eq!(
        prometheus.query("seen_total[1m]").await.unwrap_err().kind(),
        Kind::InvalidInput
    );
    assert!(
        prometheus.log().contains("Server is ready"),
        "{}",
        prometheus.log()
    );
    assert!(prometheus.url().starts_with("http://127.0.0.1:"));
}

#[tokio::test]
async fn the_text_format_can_be_asked_for() {
    let served = serve().await;
    let builder = Prometheus::builder().target(served.addr).path("/elsewhere");
    let prometheus = builder.format(ScrapeFormat::Text).start().await.unwrap();
    prometheus.scraped().await.unwrap();
    assert_eq!(prometheus.query("seen_total").await.unwrap()[0].value, 4.0);
    let targets = prometheus.targets().await.unwrap();
    assert_eq!(targets[0].url, format!("http://{}/elsewhere", served.addr));
    let accepts = served.accepts.lock().unwrap();
    assert!(
        accepts
            .iter()
            .all(|accept| accept == "text/plain;version=0.0.4"),
        "{accepts:?}"
    );
}

#[tokio::test]
async fn a_wrong_configuration_is_told_from_the_log() {
    let builder = Prometheus::builder().target("http://[::1]/");
    let error = builder.start().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Permanent);
    assert!(format!("{error:#}").contains("http://[::1]/"), "{error:#}");
}

#[tokio::test]
async fn promtool_complains_of_syntax_and_names() {
    check_metrics(TEXT).await.unwrap();
    let error = check_metrics(
        "# HELP n_seconds_count N\n# TYPE n_seconds_count gauge\nn_seconds_count 1\n",
    )
    .await;
    assert!(
        format!("{:#}", error.as_ref().unwrap_err()).contains("_count"),
        "{error:?}"
    );
    // What it says of OpenMetrics: exemplars are none of its format.
    assert_eq!(
        check_metrics(OPEN_METRICS).await.unwrap_err().kind(),
        Kind::InvalidInput
    );
}

#[tokio::test]
async fn it_ends_with_its_handle() {
    let prometheus = Prometheus::start(["127.0.0.1:1"]).await.unwrap();
    let addr = prometheus.url().replace("http://", "");
    assert!(std::net::TcpStream::connect(&addr).is_ok());
    drop(prometheus);
    let gone = async {
        while TcpStream::connect(&addr).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .unwrap();
}
