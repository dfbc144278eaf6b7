#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod context;
mod error;
mod kind;

pub use context::ResultExt;
pub use error::{BoxError, Error, Result};
pub use kind::Kind;
