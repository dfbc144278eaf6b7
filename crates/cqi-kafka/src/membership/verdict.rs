use kafka_protocol::ResponseError as E;

use crate::code;

/// What an error code means to a member, whatever the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// The group lives elsewhere, or its broker is not up.
    FindAgain,
    /// The broker is not ready, or said something unheard of.
    Retry,
    /// Others join: so must we.
    Rejoin,
    /// The generation is over and with it all that was owned.
    Expelled {
        keep_id: bool,
    },
    /// Come back with the id in the response.
    MemberIdRequired,
    /// No attempt will ever succeed.
    Fatal,
}

impl Verdict {
    pub(super) const fn of(code: i16) -> Self {
        let Some(error) = E::try_from_code(code) else {
            return Self::Fine;
        };
        match error {
            E::NotCoordinator | E::CoordinatorNotAvailable => Self::FindAgain,
            E::RebalanceInProgress => Self::Rejoin,
            E::IllegalGeneration => Self::Expelled { keep_id: true },
            E::UnknownMemberId => Self::Expelled { keep_id: false },
            E::MemberIdRequired => Self::MemberIdRequired,
            E::FencedInstanceId
            | E::GroupAuthorizationFailed
            | E::GroupMaxSizeReached
            | E::InconsistentGroupProtocol
            | E::InvalidGroupId
            | E::InvalidSessionTimeout
            | E::UnsupportedVersion => Self::Fatal,
            _ => Self::Retry,
        }
    }

    /// Whether an offset is refused for what it is, so that trying again is of no use.
    pub(super) const fn refuses_offset(code: i16) -> bool {
        matches!(
            E::try_from_code(code),
            Some(
                E::TopicAuthorizationFailed
                    | E::OffsetMetadataTooLarge
                    | E::InvalidCommitOffsetSize
                    | E::InvalidRequest
                    | E::GroupAuthorizationFailed
                    | E::FencedInstanceId
            )
        )
    }

    /// Whether the same commit may succeed a little later.
    pub(super) const fn may_take_offset_later(code: i16) -> bool {
        // What a broker cannot name passes as often as not, and to ask again does no harm.
        code::is_retriable(code) || matches!(E::try_from_code(code), Some(E::UnknownServerError))
    }
}
