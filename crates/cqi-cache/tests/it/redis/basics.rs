use cqi_testkit::Redis;

use super::*;

#[tokio::test]
async fn a_value_set_is_got() {
    let redis = Redis::start().await.unwrap();
    let cache = connect(&redis).await;
    assert_eq!(cache.get::<Blob>(&key(1)).await.unwrap(), None);
    let value = blob("one");
    cache.set(&key(1), &value, LONG).await.unwrap();
    assert_eq!(cache.get(&key(1)).await.unwrap(), Some(value));
    cache.check().await.unwrap();
    cache.close().await;
}
