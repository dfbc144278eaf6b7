#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod entered;
mod grpc;
mod observe;
mod observer;
mod outcome;
mod poll_once;
mod protocol;
mod quiet;
mod recover;
mod reject;
mod request;
mod route;
mod trace;
mod unwind;

pub use grpc::GrpcStatus;
pub use observe::{
    Counted, CountedBody, Observe, ObserveLayer, RequestBodies, ResponseBody, ResponseFuture,
    Unchanged,
};
pub use observer::{Observation, Observer};
pub use outcome::{Ending, Outcome};
pub use protocol::Protocol;
pub use recover::{
    Panic, PanicHookGuard, Recover, RecoverBody, RecoverFuture, RecoverLayer, init_panic_hook,
};
pub use reject::reject;
pub use request::RequestInfo;
pub use route::Route;
pub use trace::TraceIds;
