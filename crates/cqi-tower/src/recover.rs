//! Panics become responses.

mod body;
mod capture;
mod future;
mod layer;
mod panic;
mod recovery;
mod service;

pub use body::RecoverBody;
pub use capture::{PanicHookGuard, init_panic_hook};
pub use future::RecoverFuture;
pub use layer::RecoverLayer;
pub use panic::Panic;
pub use service::Recover;
