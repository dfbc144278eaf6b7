#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod assignor;
mod client;
mod code;
mod connection;
mod consumer;
pub mod membership;
mod partition;
pub mod producer;
pub mod records;
mod wire;

pub use client::{Client, ClientSettings, Isolation, ListedOffset, OffsetSpec};
pub use connection::{ConnectionSettings, Sasl};
pub use partition::TopicPartition;
