//! Requests over HTTP and gRPC, on real servers, with logs, metrics and traces on: the three agree,
//! whatever a client does.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what a test prepares must succeed, and what it finds wrong must fail it"
)]

mod agreement;
mod allocations;
mod cached;
mod client;
mod flood;
mod grpc;
mod handler;
mod hostile;
mod http_service;
mod journey;
mod outcomes;
mod recorder;
mod samples;
mod scrape;
mod server;
mod storm;
mod telemetry;
