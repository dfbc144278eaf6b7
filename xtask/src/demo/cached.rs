//! Reads that come from Redis, with and without it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use cqi_testkit::Redis;
use tokio::runtime::Runtime;

use super::client::Client;
use super::service::Service;
use crate::wait::wait_until;

const PATH: &str = "/v1/assets/2";
const READERS: usize = 4;
/// The most that all readers together send: each request takes a port for a minute.
const REQUESTS: usize = 20_000;
/// Between the reads of one reader: on a fast machine they would all be done before Redis is back.
const PAUSE: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(10);

/// What the readers saw.
struct Seen {
    answers: usize,
    slowest: Duration,
}

/// Reads one asset, takes Redis away in the middle of it, and gives it back.
pub(super) fn show(service: &Service, redis: &Redis, runtime: &Runtime) -> Result<()> {
    let client = service.client();
    client.show_get(PATH)?.expect(200)?;
    service.briefly(|| (0..100).try_for_each(|_| client.get(PATH)?.expect(200).map(drop)))?;
    let (hits, loads) = (count(service, HITS)?, count(service, LOADS)?);
    println!("\n  after 100 more reads: {hits} hits, {loads} loads from the database");
    ensure!(
        hits >= 100,
        "100 reads of one asset should be hits, not {hits}"
    );

    super::chapter("Redis is killed in the middle of reads, and comes back: none of them fails");
    let seen = service.briefly(|| read_through_outage(service, redis, runtime))?;
    let answers: usize = seen.iter().map(|seen| seen.answers).sum();
    let slowest = seen.iter().map(|seen| seen.slowest).max();
    println!(
        "  {answers} reads meanwhile: all of them 200, the slowest after {} ms",
        slowest.context("there were no readers")?.as_millis()
    );
    Ok(())
}

fn read_through_outage(service: &Service, redis: &Redis, runtime: &Runtime) -> Result<Vec<Seen>> {
    let client = service.client();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| scope.spawn(|| read(&client, &stop)))
            .collect();
        let outage = outage(service, redis, runtime);
        stop.store(true, Ordering::Relaxed);
        let seen = readers
            .into_iter()
            .map(|reader| reader.join().map_err(|_| anyhow!("a reader panicked"))?)
            .collect::<Result<Vec<_>>>();
        outage.and(seen)
    })
}

fn outage(service: &Service, redis: &Redis, runtime: &Runtime) -> Result<()> {
    let loads = count(service, LOADS)?;
    redis.kill()?;
    wait_until("reads go to the database", LIMIT, || {
        Ok(count(service, LOADS)? > loads + 100)
    })?;
    println!("  without it, reads are answered from the database");
    runtime.block_on(redis.restart())?;
    let hits = count(service, HITS)?;
    wait_until("reads are hits again", LIMIT, || {
        Ok(count(service, HITS)? > hits + 100)
    })?;
    println!("  with it again, they are hits");
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "wall time for a person; there is no runtime whose clock could be paused"
)]
fn read(client: &Client, stop: &AtomicBool) -> Result<Seen> {
    let mut seen = Seen {
        answers: 0,
        slowest: Duration::ZERO,
    };
    while !stop.load(Ordering::Relaxed) && seen.answers < REQUESTS / READERS {
        let asked = Instant::now();
        client.get(PATH)?.expect(200)?;
        seen.answers += 1;
        seen.slowest = seen.slowest.max(asked.elapsed());
        thread::sleep(PAUSE);
    }
    Ok(seen)
}

const HITS: &str = r#"asset_registry_cache_lookups_total{result="hit"}"#;
const LOADS: &str = "asset_registry_cache_loads_total";

fn count(service: &Service, series: &str) -> Result<u64> {
    let text = service.metrics()?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .with_context(|| format!("there is no metric {series}"))?;
    Ok(value.parse::<f64>()? as u64)
}
