pub(crate) mod database;
pub(crate) mod log;
pub(crate) mod service;
