#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bound;
mod check;
mod collect;
mod connect;
mod connection;
mod error;
mod lifecycle;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "migrate")]
mod migrate;
mod perform;
mod pool;
mod reaper;
mod row;
mod run;
mod session;
mod span;
mod sqlstate;
mod statements;
mod status;
mod summary;
mod tidy;
mod transaction;
mod wire;

pub use connection::Connection;
pub use error::SqlError;
#[cfg(feature = "migrate")]
#[cfg_attr(docsrs, doc(cfg(feature = "migrate")))]
pub use migrate::Migrations;
pub use pool::Pool;
pub use row::{FromRow, Row};
pub use status::Status;
pub use tokio_postgres::types::{FromSql, ToSql};
pub use transaction::{
    Isolation, Transaction, TransactionOptions, is_outcome_unknown, with_transaction,
};

#[doc(hidden)]
pub mod __private {
    #[cfg(feature = "metrics")]
    pub use crate::metrics::describe_metrics;
    pub use cqi_errors::Error;
}
