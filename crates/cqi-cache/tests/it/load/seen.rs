//! What a hit costs, and what operators see of loads.

use std::fmt::{Debug, Write as _};
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Waker};

use allocation_counter::measure;
use cqi_errors::{Error, Result};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Instrument, Subscriber, info_span};
use tracing_subscriber::layer::{Context as Here, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, registry};

use super::*;

async fn load(cache: &Cache, policy: LoadPolicy, outcome: Result<Price>) -> Result<Price> {
    let loader = || async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        outcome
    };
    cache.get_or_load(&key(), policy, loader).await
}

/// How many allocations a future makes that is ready at once.
fn allocations(future: impl Future) -> u64 {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    measure(|| assert!(future.as_mut().poll(&mut cx).is_ready())).count_total
}

#[tokio::test]
async fn a_hit_costs_what_a_get_costs() {
    let cache = Cache::connect(&CacheConfig::default()).await.unwrap();
    let policy = LoadPolicy::new(MINUTE);
    load(&cache, policy, Ok(price(1.0))).await.unwrap();
    let key = key();
    for _ in 0..3 {
        cache.get::<Price>(&key).await.unwrap();
    }
    let get = allocations(cache.get::<Price>(&key));
    let never = || async { panic!("the loader is not to be called") };
    let hit = allocations(cache.get_or_load::<Price, _, _>(&key, policy, never));
    assert_eq!(cache.status().hits, 5);
    assert!(hit <= get, "{hit} allocations, and {get} of a get");
}

/// Writes down events, and spans with what they follow from.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<String>>);

impl Notes {
    fn lines(&self, with: &str) -> Vec<String> {
        let notes = self.0.lock().unwrap();
        let lines = notes.lines().filter(|line| line.contains(with));
        lines.map(str::to_owned).collect()
    }
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Notes {
    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Here<'_, S>) {
        let mut notes = self.0.lock().unwrap();
        let root = if span.is_root() { " root" } else { "" };
        let _ = write!(notes, "\nspan {}{root}", span.metadata().target());
        span.record(&mut Line(&mut notes));
    }

    fn on_follows_from(&self, span: &Id, follows: &Id, here: Here<'_, S>) {
        let [span, follows] = [span, follows].map(|id| here.span(id).unwrap().name());
        let mut notes = self.0.lock().unwrap();
        let _ = write!(notes, "\n{span} follows {follows}");
    }

    fn on_event(&self, event: &Event<'_>, here: Here<'_, S>) {
        let span = here.event_span(event).map_or("", |span| span.name());
        let mut notes = self.0.lock().unwrap();
        let _ = write!(notes, "\n{} in {span:?}", event.metadata().level());
        event.record(&mut Line(&mut notes));
    }
}

#[tokio::test]
async fn a_load_in_the_background_has_a_span_linked_to_the_request() {
    let notes = Notes::default();
    let _guard = tracing::subscriber::set_default(registry().with(notes.clone()));
    let cache = Cache::connect(&CacheConfig::default()).await.unwrap();
    let policy = LoadPolicy::new(MINUTE).early_refresh(1e12);
    load(&cache, policy, Ok(price(1.0))).await.unwrap();
    let loader = || async {
        tracing::info!("in the loader");
        Ok(price(2.0))
    };
    let key = key();
    let hit = cache.get_or_load(&key, policy, loader);
    hit.instrument(info_span!("request")).await.unwrap();
    until(|| cache.status().loading == 0).await;
    let span = "span cqi_cache::refresh root otel.kind=\"internal\" key=price:btc";
    assert_eq!(notes.lines("span cqi_cache"), [span]);
    assert_eq!(notes.lines("follows"), ["refresh follows request"]);
    let event = "INFO in \"refresh\" message=in the loader";
    assert_eq!(notes.lines("INFO"), [event]);
}

#[tokio::test]
async fn a_failure_in_the_background_has_a_line_and_what_is_gone_has_none() {
    let notes = Notes::default();
    let _guard = tracing::subscriber::set_default(registry().with(notes.clone()));
    let cache = Cache::connect(&CacheConfig::default()).await.unwrap();
    let policy = LoadPolicy::new(MINUTE).early_refresh(1e12);
    for failure in [
        Error::not_found("price", "of btc"),
        Error::temporary("the database is away"),
    ] {
        load(&cache, policy, Ok(price(1.0))).await.unwrap();
        load(&cache, policy, Err(failure)).await.unwrap();
        until(|| cache.status().loading == 0).await;
    }
    let line = "WARN in \"refresh\" message=a value could not be loaded again before it expires \
                key=price:btc error=the database is away held_back=0";
    assert_eq!(notes.lines("WARN"), [line]);
}

#[tokio::test]
async fn what_callers_are_spared_is_logged_once_in_a_while() {
    let notes = Notes::default();
    let _guard = tracing::subscriber::set_default(registry().with(notes.clone()));
    let config = CacheConfig {
        max_value_size: 9,
        ..CacheConfig::default()
    };
    let cache = Cache::connect(&config).await.unwrap();
    let policy = LoadPolicy::new(Duration::ZERO).stale_if_error(MINUTE);
    load(&cache, policy, Ok(price(1.0))).await.unwrap();
    let expired = async { while cache.get::<Price>(&key()).await.unwrap().is_some() {} };
    tokio::task::unconstrained(expired).await;
    for _ in 0..3 {
        let down = Err(Error::temporary("the database is away").with_retry_after(Duration::ZERO));
        load(&cache, policy, down).await.unwrap();
    }
    let large = || async {
        Ok(Large {
            text: "10 bytes".repeat(9),
        })
    };
    for _ in 0..3 {
        cache
            .get_or_load(&key().part("large"), MINUTE, large)
            .await
            .unwrap();
    }
    cache.close().await;
    for _ in 0..3 {
        load(&cache, policy, Ok(price(1.0))).await.unwrap();
    }
    let expected = [
        "WARN in \"\" message=the loader failed, so an expired value is served key=price:btc \
         error=the database is away held_back=0",
        "WARN in \"\" message=a loaded value is larger than cache.max_value_size, so it is not kept \
         key=price:btc:large size=74 limit=9 held_back=0",
        "WARN in \"\" message=the cache cannot be read, so values are loaded \
         error=get price:btc from the cache: the cache is closed held_back=0",
    ];
    assert_eq!(notes.lines("WARN"), expected);
}

#[derive(Clone, PartialEq, prost::Message)]
struct Large {
    #[prost(string, tag = "1")]
    text: String,
}

impl prost::Name for Large {
    const NAME: &'static str = "Large";
    const PACKAGE: &'static str = "test.v1";
}
