#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod backoff;
#[cfg(feature = "tower")]
mod budget;
#[cfg(feature = "tower")]
mod layer;
mod policy;
mod problems;
mod retry;
mod session;
mod settings;

pub use backoff::{Backoff, Delays};
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub use budget::Budget;
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub use layer::{ResponseFuture, RetryLayer, RetryService, on_error};
pub use policy::Policy;
pub use retry::retry;
pub use settings::{Retry, RetryBuilder};
