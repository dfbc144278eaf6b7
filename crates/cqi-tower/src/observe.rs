//! One wrapper around service, future and body, for any number of observers.

mod active;
mod body;
mod future;
mod layer;
mod request_body;
mod service;

pub use body::ResponseBody;
pub use future::ResponseFuture;
pub use layer::ObserveLayer;
pub use request_body::{Counted, CountedBody, RequestBodies, Unchanged};
pub use service::Observe;
