//! One file per API: what of its answer is used, in the order of the protocol guide.

mod api_versions;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_fetch;
mod produce;
mod sasl_authenticate;
mod sasl_handshake;
mod sync_group;

pub(crate) use api_versions::*;
pub(crate) use fetch::*;
pub(crate) use init_producer_id::*;
pub(crate) use join_group::*;
pub(crate) use list_offsets::*;
pub(crate) use metadata::*;
pub(crate) use offset_commit::*;
pub(crate) use offset_fetch::*;
pub(crate) use produce::*;
pub(crate) use sasl_authenticate::*;

#[cfg(test)]
pub(crate) use {heartbeat::*, sasl_handshake::*};
