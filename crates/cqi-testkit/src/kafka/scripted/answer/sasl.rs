use bytes::Bytes;
use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::kafka::scripted::state::text;
use crate::kafka::scripted::turn::{Fail, Handle, Turn};

const PLAIN: &str = "PLAIN";
const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
const ILLEGAL_SASL_STATE: i16 = 34;
const SASL_AUTHENTICATION_FAILED: i16 = 58;

impl Handle for SaslHandshakeRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<SaslHandshakeResponse> {
        let mut answer = SaslHandshakeResponse::default()
            .with_mechanisms(vec![StrBytes::from_static_str(PLAIN)]);
        if turn.state.user.is_none() {
            answer.error_code = ILLEGAL_SASL_STATE;
        } else if &*self.mechanism == PLAIN {
            turn.login.mechanism = Some(PLAIN.to_owned());
        } else {
            answer.error_code = UNSUPPORTED_SASL_MECHANISM;
        }
        Some(answer)
    }
}

impl Handle for SaslAuthenticateRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<SaslAuthenticateResponse> {
        let mut answer = SaslAuthenticateResponse::default();
        let Some((user, password)) = turn.state.user.as_ref() else {
            answer.fail(ILLEGAL_SASL_STATE);
            return Some(answer);
        };
        // Who speaks for himself may name himself or nobody first.
        let alone = format!("\0{user}\0{password}");
        let named = format!("{user}\0{user}\0{password}");
        if turn.login.mechanism.is_none() {
            answer.fail(ILLEGAL_SASL_STATE);
        } else if self.auth_bytes == alone || self.auth_bytes == named {
            turn.login.is_done = true;
        } else {
            answer.fail(SASL_AUTHENTICATION_FAILED);
        }
        Some(answer)
    }
}

impl Fail for SaslHandshakeResponse {
    fn fail(&mut self, code: i16) {
        self.error_code = code;
    }
}

impl Fail for SaslAuthenticateResponse {
    fn fail(&mut self, code: i16) {
        self.error_code = code;
        self.error_message = Some(text("Authentication failed: Invalid username or password"));
        self.auth_bytes = Bytes::new();
    }
}
