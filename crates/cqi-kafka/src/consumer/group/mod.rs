//! A member of a group: its task, and what its caller sees.

mod changes;
mod commits;
mod committed;
mod consumer;
mod error;
mod event;
mod handle;
mod links;
mod protocol;
mod settings;
mod shared;
mod status;
mod task;
mod watch;

pub use consumer::GroupConsumer;
pub use event::{Event, Revocation};
pub use handle::GroupHandle;
pub use settings::GroupSettings;
pub use status::GroupStatus;
