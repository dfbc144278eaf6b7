//! Redis servers.

mod address;
mod builder;
mod client;
mod config;
mod launch;
mod resp;
mod server;
#[cfg(feature = "tls")]
mod tls;

use address::Address;
pub use builder::RedisBuilder;
pub use resp::Reply;
pub use server::Redis;
