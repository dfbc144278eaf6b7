#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod connect;
mod connection;
mod error;
mod lifecycle;
mod pool;
mod row;
mod session;
mod statements;

pub use connection::Connection;
pub use pool::{Pool, Status};
pub use row::FromRow;
pub use tokio_postgres::types::ToSql;
