//! The example on a real PostgreSQL and Redis, driven by a client, for a person to watch.

mod cached;
mod client;
mod observed;
mod service;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cqi_testkit::{Postgres, Redis};
use cqi_trace::testing::Collector;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use self::client::Client;
use self::service::Service;
use crate::wait::wait_until;

/// Runs the demonstration; its last line says that all is well, or what is not.
pub(crate) fn run() -> Result<()> {
    story().context("the demo is not well")?;
    println!(
        "\nall is well: created, listed, refused, observed, cached, survived the loss of its servers, and stopped when asked"
    );
    Ok(())
}

fn story() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    chapter("PostgreSQL: a private server, gone when this ends");
    let server = Postgres::builder().start_blocking()?;
    let database = runtime.block_on(server.database("assets"))?;
    println!("  postgres on {}:{}", server.host(), server.port());

    chapter("Redis: the same");
    let redis = runtime.block_on(Redis::builder().private().start())?;
    println!("  redis on {}", redis.address());

    chapter("A collector of traces");
    let collector = Collector::start()?;
    println!("  OTLP on {}", collector.endpoint());

    chapter("The service: examples/simple");
    service::build()?;
    let service = Service::start(&[
        ("CQI_DATABASE_HOST", server.host().to_owned()),
        ("CQI_DATABASE_PORT", server.port().to_string()),
        ("CQI_DATABASE_USER", server.user().to_owned()),
        ("CQI_DATABASE_PASSWORD", server.password().to_owned()),
        ("CQI_DATABASE_DATABASE", database.name().to_owned()),
        ("CQI_CACHE_BACKEND", "redis".to_owned()),
        ("CQI_CACHE_HOSTS", redis.address()),
        ("CQI_CACHE_TLS", "false".to_owned()),
        ("CQI_TRACING_ENDPOINT", collector.endpoint()),
        ("CQI_TRACING_BATCH_DELAY", "50ms".to_owned()),
    ])?;
    let client = service.client();
    assets(&client)?;
    problems(&client)?;
    chapter("One request: its log line, its trace and its metrics have one trace id");
    observed::show(&service, &client, &collector)?;
    chapter("Reads are kept in Redis");
    cached::show(&service, &redis, &runtime)?;
    outage(&client, &server, &runtime)?;

    chapter("SIGTERM: the service finishes what it has and leaves");
    let status = service.stop()?;
    ensure!(status.success(), "the service ended with {status}");
    println!("  it ended with {status}");
    Ok(())
}

fn assets(client: &Client) -> Result<()> {
    chapter("Create, read, list with a cursor");
    let mut location = None;
    for (symbol, name) in [("BTC", "Bitcoin"), ("ETH", "Ether"), ("SOL", "Solana")] {
        let reply = client
            .show_post("/v1/assets", &asset(symbol, name))?
            .expect(201)?;
        location = reply.location;
    }
    let location = location.context("a created asset has no Location")?;
    let read = client.show_get(&location)?.expect(200)?.body;
    ensure!(read["symbol"] == "SOL", "{location} should be SOL");

    let first = client.show_get("/v1/assets?limit=2")?.expect(200)?.body;
    let cursor = match &first["next"] {
        Value::Null => bail!("the first of two pages has no cursor"),
        Value::String(cursor) => cursor.clone(),
        other => other.to_string(),
    };
    let second = client
        .show_get(&format!("/v1/assets?limit=2&cursor={cursor}"))?
        .expect(200)?
        .body;
    let all = [&first, &second].map(|page| page["items"].as_array().map_or(0, Vec::len));
    ensure!(
        all == [2, 1] && second["next"].is_null(),
        "three assets should fill one page and a half, not {all:?}"
    );
    Ok(())
}

fn problems(client: &Client) -> Result<()> {
    chapter("Mistakes get an answer that says what is wrong");
    client
        .show_post("/v1/assets", &asset("", "nameless"))?
        .expect_problem(400)?;
    client.show_get("/v1/assets/999999")?.expect_problem(404)?;
    client
        .show_post("/v1/assets", &asset("BTC", "again"))?
        .expect_problem(409)?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "wall time for a person; there is no runtime whose clock could be paused"
)]
fn outage(client: &Client, server: &Postgres, runtime: &Runtime) -> Result<()> {
    chapter("PostgreSQL is killed, and comes back");
    server.kill()?;
    let asked = Instant::now();
    client.show_get("/v1/assets?limit=1")?.expect_problem(503)?;
    println!(
        "  after {} ms: the cause is in the log, the client gets a generic text",
        asked.elapsed().as_millis()
    );
    runtime.block_on(server.restart())?;
    let back = Instant::now();
    wait_until(
        "the service finds its database again",
        Duration::from_secs(15),
        || Ok(client.get("/v1/assets?limit=1")?.status == 200),
    )?;
    println!(
        "\n  it is back; {} ms later the service answers again",
        back.elapsed().as_millis()
    );
    client.show_get("/v1/assets?limit=1")?.expect(200)?;
    Ok(())
}

fn asset(symbol: &str, name: &str) -> String {
    format!(r#"{{"symbol":"{symbol}","name":"{name}"}}"#)
}

fn chapter(title: &str) {
    println!("\n== {title}");
}
