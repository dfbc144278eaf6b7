#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod secret;
mod sections;

pub use secret::Secret;
pub use sections::database::{DatabaseConfig, SslMode, TargetSessionAttrs};
pub use sections::log::{LogConfig, LogFormat, LogOutput};
pub use sections::service::ServiceConfig;
