#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod account;
mod command;
mod discovery;
mod postgres;
mod process;
mod proxy;
mod run;
mod supervisor;
mod wait;

pub use discovery::{Source, find_binaries};
pub use postgres::{Database, Postgres, PostgresBuilder};
pub use proxy::{Proxy, ProxyBuilder};
