#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod cache;
mod call;
mod clock;
mod counters;
mod entry;
mod key;
mod load;
mod many;
mod memory;
#[cfg(feature = "metrics")]
mod metrics;
mod policy;
mod redis;
mod span;
mod status;
mod store;
mod ttl;
mod versioned;

pub use cache::Cache;
pub use key::Key;
pub use policy::LoadPolicy;
pub use redis::RedisError;
pub use status::Status;
pub use ttl::Ttl;

#[doc(hidden)]
pub mod __private {
    #[cfg(feature = "metrics")]
    pub use crate::metrics::describe_metrics;
}
