//! What each API does; one file per API.

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
mod offset_for_leader_epoch;
mod produce;
mod sasl;
mod sync_group;

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiVersionsRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest,
    InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListOffsetsRequest,
    MetadataRequest, OffsetCommitRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest,
    ProduceRequest, SaslAuthenticateRequest, SaslHandshakeRequest, SyncGroupRequest,
};

pub(super) use api_versions::UNSUPPORTED_VERSION;

use super::api::Api;
use super::reply::Reply;
use super::turn::{Asked, Login, World};

/// Answers a request, with the answer's header; nothing, where a broker would close the connection.
pub(super) async fn answer(
    asked: &Asked,
    world: &World,
    login: &mut Login,
    node: i32,
    reply: Reply,
) -> Option<Bytes> {
    let (versions, demands_login) = world.look(|state| {
        let versions = state.versions.get(&asked.api).copied();
        (versions.unwrap_or((0, -1)), state.user.is_some())
    });
    let before_login = [Api::ApiVersions, Api::SaslHandshake, Api::SaslAuthenticate];
    if demands_login && !login.is_done && !before_login.contains(&asked.api) {
        return None;
    }
    if !(versions.0..=versions.1).contains(&asked.version) {
        return api_versions::refuse(asked, world);
    }
    macro_rules! answer {
        ($($api:ident => $request:ty,)+) => {
            match asked.api {
                $(Api::$api => asked.answer::<$request>(world, login, node, reply).await,)+
            }
        };
    }
    answer! {
        ApiVersions => ApiVersionsRequest,
        Metadata => MetadataRequest,
        FindCoordinator => FindCoordinatorRequest,
        JoinGroup => JoinGroupRequest,
        SyncGroup => SyncGroupRequest,
        Heartbeat => HeartbeatRequest,
        LeaveGroup => LeaveGroupRequest,
        OffsetCommit => OffsetCommitRequest,
        OffsetFetch => OffsetFetchRequest,
        ListOffsets => ListOffsetsRequest,
        Fetch => FetchRequest,
        Produce => ProduceRequest,
        InitProducerId => InitProducerIdRequest,
        OffsetForLeaderEpoch => OffsetForLeaderEpochRequest,
        SaslHandshake => SaslHandshakeRequest,
        SaslAuthenticate => SaslAuthenticateRequest,
    }
}
