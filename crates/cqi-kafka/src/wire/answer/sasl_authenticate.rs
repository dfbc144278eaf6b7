use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, SaslAuthenticateRequest};
use kafka_protocol::protocol::StrBytes;

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for SaslAuthenticateRequest {
    const KEY: ApiKey = ApiKey::SaslAuthenticate;
    const VERSIONS: Versions = Versions::new(2, 2);
    type Answer = SaslAuthenticateAnswer;
}

impl Answer for SaslAuthenticateAnswer {}

fields! {
    struct SaslAuthenticateAnswer {
        error_code: i16;
        error_message: Option<StrBytes>;
        auth_bytes: Bytes;
        /// How long the connection may be used; 0 for ever.
        session_lifetime_ms: i64;
    }
}
