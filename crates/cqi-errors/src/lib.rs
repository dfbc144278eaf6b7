#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod context;
mod error;
mod foreign;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "http")]
mod http;
mod kind;
#[cfg(feature = "http")]
mod problem;

pub use context::ResultExt;
pub use error::{BoxError, Error, Result};
pub use kind::Kind;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub use problem::{Problem, ProblemField};
