use kafka_protocol::messages::{ApiKey, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for SaslHandshakeRequest {
    const KEY: ApiKey = ApiKey::SaslHandshake;
    const VERSIONS: Versions = Versions::new(1, 1);
    type Answer = SaslHandshakeAnswer;
}

impl Answer for SaslHandshakeAnswer {}

fields! {
    struct SaslHandshakeAnswer {
        error_code: i16;
        /// What the broker offers.
        mechanisms: Vec<StrBytes>;
    }
}
