#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod cache;
mod clock;
mod entry;
mod key;
mod load;
mod memory;
mod policy;
mod redis;
mod ttl;

pub use cache::Cache;
pub use key::Key;
pub use policy::LoadPolicy;
pub use ttl::Ttl;
