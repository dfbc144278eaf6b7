//! Everything at once: random callers, loaders, changes and departures.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;

use cqi_cache::Ttl;
use cqi_errors::Error;
use proptest::prelude::*;
use tokio::task::JoinSet;

use super::*;

/// What one caller does.
#[derive(Clone, Copy, Debug)]
struct Step {
    key: u8,
    /// Turns of the scheduler before it begins, and of its loader.
    delay: u8,
    time: u8,
    ends: Ends,
    /// Turns after which the caller leaves.
    leaves: Option<u8>,
    policy: u8,
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    Loaded,
    Failed,
    NotFound,
    Panicked,
    Never,
    Deletes,
    Sets,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ends = prop_oneof![
        4 => Just(Ends::Loaded),
        1 => Just(Ends::Failed),
        1 => Just(Ends::NotFound),
        1 => Just(Ends::Panicked),
        1 => Just(Ends::Never),
        1 => Just(Ends::Deletes),
        1 => Just(Ends::Sets),
    ];
    let leaves = proptest::option::weighted(0.3, 0..20_u8);
    let step = (0..3_u8, 0..20_u8, 0..20_u8, ends, leaves, 0..4_u8);
    let step = step.prop_map(|(key, delay, time, ends, leaves, policy)| Step {
        key,
        delay,
        time,
        ends,
        // One that never ends on its own leaves, or else this test waits for load_timeout.
        leaves: match ends {
            Ends::Never => leaves.or(Some(30)),
            _ => leaves,
        },
        policy,
    });
    prop::collection::vec(step, 1..60)
}

fn policy(number: u8) -> LoadPolicy {
    let ttl = Duration::from_micros(500);
    match number {
        0 => LoadPolicy::new(MINUTE),
        1 => LoadPolicy::new(ttl)
            .stale_if_error(MINUTE)
            .early_refresh(1e9),
        2 => LoadPolicy::from(Ttl::Never).not_found(ttl),
        _ => LoadPolicy::new(MINUTE).not_found(MINUTE).early_refresh(1e9),
    }
}

async fn turns(count: u8) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// The loaders that run, by key and by how often the key was changed.
#[derive(Clone, Default)]
struct Running {
    counts: Arc<Mutex<HashMap<(u8, u64), u64>>>,
    /// Whether a change and its count are one: on one thread.
    exact: bool,
}

struct Run(Running, (u8, u64));

impl Running {
    fn begin(&self, of: (u8, u64)) -> Run {
        let mut counts = self.counts.lock().unwrap();
        let count = counts.entry(of).or_default();
        *count += 1;
        let alone = *count == 1 || !self.exact;
        drop(counts);
        assert!(alone, "two loaders of one key at a time");
        Run(self.clone(), of)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(count) = self.0.counts.lock().unwrap().get_mut(&self.1) {
            *count -= 1;
        }
    }
}

/// Counts the changes of each key, before and after.
#[derive(Clone, Default)]
struct Changes(Arc<[AtomicU64; 3]>);

async fn play(cache: Cache, step: Step, running: Running, changes: Changes) {
    turns(step.delay).await;
    let key = key().part(step.key);
    match step.ends {
        Ends::Deletes => {
            changes.0[usize::from(step.key)].fetch_add(1, SeqCst);
            cache.delete(&key).await.unwrap();
            return;
        }
        Ends::Sets => {
            changes.0[usize::from(step.key)].fetch_add(1, SeqCst);
            cache.set(&key, &price(1.0), MINUTE).await.unwrap();
            return;
        }
        _ => {}
    }
    let loader = move || async move {
        let change = changes.0[usize::from(step.key)].load(SeqCst);
        let _run = running.begin((step.key, change));
        turns(step.time).await;
        match step.ends {
            Ends::Failed => Err(Error::temporary("down").with_retry_after(Duration::ZERO)),
            Ends::NotFound => Err(Error::not_found("price", "x")),
            Ends::Panicked => panic!("in a loader"),
            Ends::Never => std::future::pending().await,
            _ => Ok(price(1.0)),
        }
    };
    let load = cache.get_or_load(&key, policy(step.policy), loader);
    let loaded = match step.leaves {
        None => load.await,
        Some(leaves) => tokio::select! {
            biased;
            () = turns(leaves) => return,
            loaded = load => loaded,
        },
    };
    match loaded {
        Ok(value) => assert_eq!(value, price(1.0)),
        Err(error) => {
            let text = format!("{error:#}");
            let known = ["down", "not found", "panicked", "not there", "longer than"];
            assert!(known.iter().any(|it| text.contains(it)), "{text}");
        }
    }
}

async fn storm(cache: &Cache, steps: Vec<Step>, exact: bool) {
    let changes = Changes::default();
    let running = Running {
        exact,
        ..Running::default()
    };
    let mut callers = JoinSet::new();
    for step in steps {
        let (cache, running, changes) = (cache.clone(), running.clone(), changes.clone());
        callers.spawn(play(cache, step, running, changes));
    }
    while let Some(ended) = callers.join_next().await {
        if let Err(error) = ended {
            let panic = error.into_panic();
            assert_eq!(panic.downcast_ref(), Some(&"in a loader"));
        }
    }
    // What is left in the background may never end.
    cache.close().await;
    assert_eq!(cache.status().loading, 0);
    assert!(
        running
            .counts
            .lock()
            .unwrap()
            .values()
            .all(|count| *count == 0)
    );
}

fn run(backend: CacheBackend, threads: usize, cases: u32) {
    let runtime = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    }
    .worker_threads(threads)
    .enable_all()
    .build()
    .unwrap();
    let server = runtime.block_on(Redis::start()).unwrap();
    let config = CacheConfig {
        backend,
        hosts: vec![server.address()],
        tls: false,
        command_timeout: LONG,
        // Some wait for a load in the background that never ends.
        load_timeout: Duration::from_millis(20),
        ..CacheConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    });
    // Panics of loaders are part of the play.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref() != Some(&"in a loader") {
            hook(info);
        }
    }));
    let played = runner.run(&steps(), |steps| {
        runtime.block_on(async {
            let cache = Cache::connect(&config).await.unwrap();
            server.command(["FLUSHALL"]).await.unwrap();
            let storm = AssertUnwindSafe(storm(&cache, steps, threads == 1)).0;
            tokio::time::timeout(LONG, storm).await.expect("it hangs");
        });
        Ok(())
    });
    played.unwrap();
}

#[test]
fn storms_over_memory_leave_nothing_and_nobody_behind() {
    run(CacheBackend::Memory, 1, 150);
}

#[test]
fn storms_over_memory_on_threads_leave_nothing_and_nobody_behind() {
    run(CacheBackend::Memory, 4, 100);
}

#[test]
fn storms_over_redis_leave_nothing_and_nobody_behind() {
    run(CacheBackend::Redis, 1, 60);
}

#[test]
fn storms_over_redis_on_threads_leave_nothing_and_nobody_behind() {
    run(CacheBackend::Redis, 4, 60);
}
