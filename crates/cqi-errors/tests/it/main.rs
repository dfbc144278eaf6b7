//! Behaviour of the crate, through its public API.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[cfg(feature = "axum")]
mod axum;
mod chain;
mod classify;
#[cfg(feature = "grpc")]
mod connection;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "http")]
mod http;
mod kinds;
mod text;
