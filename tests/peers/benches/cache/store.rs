//! The clients: CQI's cache of messages, and fred and redis-rs with the bytes of a message.

use bytes::Bytes;
use cqi_cache::{Cache, Key, Ttl};
use cqi_config::{CacheBackend, CacheConfig};
use cqi_testkit::Redis;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::{Builder, Expiration, RespVersion, config::Config};
use prost::{Message, Name};
use redis::aio::ConnectionManager;

/// The bytes of a message.
pub const SIZE: usize = 1024;
/// How many keys there are.
pub const KEYS: usize = 1_000;
pub const NAMES: [&str; 3] = ["cqi-cache", "fred", "redis-rs"];

const TTL_MILLIS: i64 = 60_000;

#[derive(Clone, PartialEq, Message)]
pub struct Document {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "bytes", tag = "2")]
    body: Bytes,
}

impl Name for Document {
    const NAME: &'static str = "Document";
    const PACKAGE: &'static str = "cqi.peers.v1";
}

impl Document {
    pub fn new() -> Self {
        let mut document = Self {
            id: "AAPL".to_owned(),
            body: Bytes::from(vec![7; SIZE]),
        };
        let excess = document.encoded_len() - SIZE;
        document.body.truncate(SIZE - excess);
        assert_eq!(document.encoded_len(), SIZE);
        document
    }
}

#[derive(Clone)]
pub enum Store {
    Cqi(Cache),
    Fred(fred::clients::Client),
    Redis(ConnectionManager),
}

impl Store {
    /// Connects, by one connection.
    pub async fn connect(name: &str, server: &Redis) -> Self {
        match name {
            "cqi-cache" => {
                let config = CacheConfig {
                    backend: CacheBackend::Redis,
                    hosts: vec![server.address()],
                    tls: false,
                    ..CacheConfig::default()
                };
                Self::Cqi(Cache::connect(&config).await.expect("a cache"))
            }
            "fred" => {
                let mut config = Config::from_url(&server.url()).expect("a URL");
                config.version = RespVersion::RESP3;
                let client = Builder::from_config(config).build().expect("a client");
                client.init().await.expect("a connection");
                Self::Fred(client)
            }
            "redis-rs" => {
                let client = redis::Client::open(server.url()).expect("a URL");
                Self::Redis(client.get_connection_manager().await.expect("a connection"))
            }
            other => panic!("there is no {other}"),
        }
    }

    /// Gets a value that is there.
    pub async fn get(&self, key: &Names) {
        match self {
            Self::Cqi(cache) => {
                let value: Option<Document> = cache.get(&key.key).await.expect("an answer");
                assert_eq!(value.expect("a value").id, "AAPL");
            }
            Self::Fred(client) => {
                let value: Option<Bytes> = client.get(&*key.raw).await.expect("an answer");
                assert_eq!(value.expect("a value").len(), SIZE);
            }
            Self::Redis(connection) => {
                let mut command = redis::cmd("GET");
                let value: Option<Vec<u8>> = command
                    .arg(&*key.raw)
                    .query_async(&mut connection.clone())
                    .await
                    .expect("an answer");
                assert_eq!(value.expect("a value").len(), SIZE);
            }
        }
    }

    /// Sets a value for a minute. What is sent is encoded in each call, as a service has to.
    pub async fn set(&self, key: &Names, document: &Document) {
        match self {
            Self::Cqi(cache) => {
                let ttl = Ttl::from(std::time::Duration::from_millis(TTL_MILLIS.unsigned_abs()));
                cache.set(&key.key, document, ttl).await.expect("set");
            }
            Self::Fred(client) => {
                let value = Bytes::from(document.encode_to_vec());
                let expire = Some(Expiration::PX(TTL_MILLIS));
                client
                    .set::<(), _, _>(&*key.raw, value, expire, None, false)
                    .await
                    .expect("set");
            }
            Self::Redis(connection) => redis::cmd("SET")
                .arg(&*key.raw)
                .arg(document.encode_to_vec())
                .arg("PX")
                .arg(TTL_MILLIS)
                .query_async::<()>(&mut connection.clone())
                .await
                .expect("set"),
        }
    }

    /// Gets many values that are there, in one call where there is one.
    pub async fn get_many(&self, keys: &[Names]) {
        let found = match self {
            Self::Cqi(cache) => {
                let keys: Vec<_> = keys.iter().map(|key| key.key.clone()).collect();
                let values = cache.get_many::<Document>(&keys).await.expect("an answer");
                values.iter().flatten().count()
            }
            Self::Fred(client) => {
                let keys: Vec<_> = keys.iter().map(|key| key.raw.clone()).collect();
                let values: Vec<Option<Bytes>> = client.mget(keys).await.expect("an answer");
                values.iter().flatten().count()
            }
            Self::Redis(connection) => {
                let mut command = redis::cmd("MGET");
                for key in keys {
                    command.arg(&*key.raw);
                }
                let values: Vec<Option<Vec<u8>>> = command
                    .query_async(&mut connection.clone())
                    .await
                    .expect("an answer");
                values.iter().flatten().count()
            }
        };
        assert_eq!(found, keys.len());
    }

    /// Sets all keys without end.
    pub async fn fill(&self, keys: &[Names]) {
        let document = Document::new();
        for key in keys {
            match self {
                Self::Cqi(cache) => cache
                    .set(&key.key, &document, Ttl::Never)
                    .await
                    .expect("set"),
                Self::Fred(client) => client
                    .set::<(), _, _>(
                        &*key.raw,
                        document.encode_to_vec().as_slice(),
                        None,
                        None,
                        false,
                    )
                    .await
                    .expect("set"),
                // Has the keys of fred.
                Self::Redis(_) => {}
            }
        }
    }
}

/// A key, as CQI and as the others have it.
#[derive(Clone)]
pub struct Names {
    key: Key,
    raw: String,
}

impl Names {
    pub fn all() -> Vec<Self> {
        let name = |n| Self {
            key: Key::new("document").part(n),
            raw: format!("raw-document:{n}"),
        };
        (0..KEYS).map(name).collect()
    }
}
