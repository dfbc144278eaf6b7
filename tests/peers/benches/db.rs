//! Single-row selects of a pool: CQI beside deadpool-postgres and sqlx.
//!
//! All use the same server and take turns in short rounds, so that a busy machine slows all of
//! them; what counts are the ratios. Tasks are spawned, as a server's handlers are: a caller on the
//! thread of `block_on` waits for another thread at each answer, which is what the last column shows.

use std::time::{Duration, Instant};

use cqi_config::{DatabaseConfig, Secret, SslMode};
use cqi_testkit::{Database, Postgres};
use deadpool_postgres::{ManagerConfig, RecyclingMethod};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};

const SQL: &str = "SELECT id, symbol FROM assets WHERE id = $1";
const CONNECTIONS: u32 = 8;
const TASKS: u64 = 64;
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(400);
const SINGLES: usize = 2_000;

#[derive(Clone)]
enum Pool {
    Cqi(cqi_db::Pool),
    Deadpool(deadpool_postgres::Pool),
    Sqlx(sqlx::PgPool),
}

impl Pool {
    async fn select(&self, id: i64) -> (i64, String) {
        match self {
            Self::Cqi(pool) => pool.query_one(SQL, &[&id]).await.expect("a row"),
            Self::Deadpool(pool) => {
                let client = pool.get().await.expect("a connection");
                let statement = client.prepare_cached(SQL).await.expect("a statement");
                let row = client.query_one(&statement, &[&id]).await.expect("a row");
                (row.get(0), row.get(1))
            }
            Self::Sqlx(pool) => sqlx::query_as(SQL)
                .bind(id)
                .fetch_one(pool)
                .await
                .expect("a row"),
        }
    }
}

async fn contestants(database: &Database) -> Vec<(&'static str, Pool)> {
    let config = DatabaseConfig {
        host: database.host().to_owned(),
        port: database.port(),
        user: database.user().to_owned(),
        password: Secret::new(database.password()),
        database: database.name().to_owned(),
        ssl_mode: SslMode::Disable,
        max_connections: CONNECTIONS,
        ..DatabaseConfig::default()
    };
    let cqi = cqi_db::Pool::connect(&config).await.expect("a pool");
    cqi.batch_execute(
        "CREATE TABLE assets (id bigint PRIMARY KEY, symbol text NOT NULL);
         INSERT INTO assets SELECT n, 'asset ' || n FROM generate_series(0, 999) AS n",
    )
    .await
    .expect("the table");
    cqi.execute("VACUUM ANALYZE assets", &[])
        .await
        .expect("statistics");
    vec![
        ("cqi-db", Pool::Cqi(cqi)),
        (
            "deadpool-postgres Fast",
            deadpool(database, RecyclingMethod::Fast),
        ),
        (
            "deadpool-postgres Verified",
            deadpool(database, RecyclingMethod::Verified),
        ),
        ("sqlx without its ping", sqlx(database, false).await),
        ("sqlx with its defaults", sqlx(database, true).await),
    ]
}

fn deadpool(database: &Database, recycling_method: RecyclingMethod) -> Pool {
    let config = database.url().parse().expect("a URL");
    let manager = deadpool_postgres::Manager::from_config(
        config,
        tokio_postgres::NoTls,
        ManagerConfig { recycling_method },
    );
    let pool = deadpool_postgres::Pool::builder(manager)
        .max_size(CONNECTIONS as usize)
        .build();
    Pool::Deadpool(pool.expect("a pool"))
}

async fn sqlx(database: &Database, ping: bool) -> Pool {
    let options = PgConnectOptions::new()
        .host(database.host())
        .port(database.port())
        .username(database.user())
        .password(database.password())
        .database(database.name())
        .ssl_mode(PgSslMode::Disable);
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .test_before_acquire(ping);
    Pool::Sqlx(pool.connect_with(options).await.expect("a pool"))
}

/// Returns selects per second with all tasks at work, and microseconds of CPU per select.
async fn rate(pool: &Pool) -> (f64, f64) {
    let cpu = cpu_time();
    let started = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut count = 0_u64;
                while started.elapsed() < ROUND {
                    let id = i64::try_from((task * 31 + count) % 1000).expect("small");
                    assert_eq!(pool.select(id).await.0, id);
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await.expect("no panic");
    }
    let rate = total as f64 / started.elapsed().as_secs_f64();
    (rate, (cpu_time() - cpu).as_secs_f64() * 1e6 / total as f64)
}

/// Returns the CPU time of this process, user and system, which a busy machine does not change.
fn cpu_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.try_into().expect("a time since the start")
}

/// Returns the median time of a select with nobody else at work, in microseconds.
async fn single(pool: Pool) -> f64 {
    let mut times = Vec::with_capacity(SINGLES);
    for id in 0..SINGLES {
        let started = Instant::now();
        pool.select((id % 1000) as i64).await;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    median(&mut times)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main]
async fn main() {
    let database = Postgres::start().await.expect("a server");
    let contestants = contestants(&database).await;
    for (_, pool) in &contestants {
        rate(pool).await;
    }
    let mut rates = vec![Vec::new(); contestants.len()];
    let mut spawned = rates.clone();
    let mut blocking = rates.clone();
    let mut cpu = rates.clone();
    for round in 0..ROUNDS {
        for turn in 0..contestants.len() {
            let n = (turn + round) % contestants.len();
            let (rate, used) = rate(&contestants[n].1).await;
            rates[n].push(rate);
            cpu[n].push(used);
        }
        for turn in 0..contestants.len() {
            let n = (turn + round) % contestants.len();
            let single_task = tokio::spawn(single(contestants[n].1.clone()));
            spawned[n].push(single_task.await.expect("no panic"));
            blocking[n].push(single(contestants[n].1.clone()).await);
        }
    }
    println!("\n{TASKS} tasks on {CONNECTIONS} connections; medians of {ROUNDS} rounds\n");
    println!("| pool | selects/s | cqi-db is | CPU per select | p50 spawned | p50 block_on |");
    println!("|---|---:|---:|---:|---:|---:|");
    let first = median(&mut rates[0].clone());
    for (n, (name, _)) in contestants.iter().enumerate() {
        let rate = median(&mut rates[n].clone());
        println!(
            "| {name} | {rate:.0} | {:.2}x | {:.2} us | {:.1} us | {:.1} us |",
            first / rate,
            median(&mut cpu[n]),
            median(&mut spawned[n]),
            median(&mut blocking[n]),
        );
    }
}
