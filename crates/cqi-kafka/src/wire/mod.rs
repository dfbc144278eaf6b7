//! Requests and answers as bytes.
//!
//! Requests are `kafka-protocol`'s. Answers are read by our own readers: they come from the network,
//! and `kafka-protocol` reserves as many elements as the bytes claim.

mod answer;
mod api;
mod field;
mod reader;

pub(crate) use answer::*;
pub(crate) use api::{Answer, Api, Versions, correlation_id, decode, encode};
pub(crate) use reader::Reader;

#[cfg(test)]
mod tests;
