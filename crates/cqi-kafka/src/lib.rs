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
pub use connection::{ConnectionSettings, Sasl, Tls};
pub use consumer::{
    Event, FetchSettings, GroupConsumer, GroupHandle, GroupSettings, GroupStatus, IntoRecords,
    Position, Records, Revocation, StartPosition,
};
pub use partition::TopicPartition;
pub use producer::{Delivered, Delivery, Producer, ProducerSettings, Written};
