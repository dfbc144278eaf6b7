#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod assignor;
pub mod membership;
mod partition;
pub mod records;

pub use partition::TopicPartition;
