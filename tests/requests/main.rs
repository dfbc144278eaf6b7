//! Requests over HTTP and gRPC, on real servers, with logs, metrics and traces on: the three agree,
//! whatever a client does.
#![allow(clippy::unwrap_used, reason = "what a test prepares must succeed")]

mod agreement;
mod client;
mod grpc;
mod hostile;
mod http_service;
mod outcomes;
mod recorder;
mod samples;
mod server;
mod storm;
mod telemetry;
