use std::time::Duration;

use cqi_cache::{Cache, Key};
use cqi_config::CacheConfig;

#[derive(Clone, PartialEq, prost::Message)]
struct Price {
    #[prost(double, tag = "1")]
    value: f64,
}

impl prost::Name for Price {
    const NAME: &'static str = "Price";
    const PACKAGE: &'static str = "test.v1";
}

#[tokio::test]
async fn a_value_set_is_got() {
    let cache = Cache::connect(&CacheConfig::default()).await.unwrap();
    let key = Key::new("price").part("btc");
    let price = Price { value: 64_000.5 };
    cache
        .set(&key, &price, Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(cache.get(&key).await.unwrap(), Some(price));
}
