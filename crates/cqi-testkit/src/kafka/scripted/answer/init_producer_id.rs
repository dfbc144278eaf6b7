use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use crate::kafka::scripted::turn::{Fail, Handle, Turn};

impl Handle for InitProducerIdRequest {
    fn handle(&self, turn: &mut Turn<'_>) -> Option<InitProducerIdResponse> {
        turn.state.producers += 1;
        let id = ProducerId(turn.state.producers);
        Some(InitProducerIdResponse::default().with_producer_id(id))
    }
}

impl Fail for InitProducerIdResponse {
    fn fail(&mut self, code: i16) {
        self.error_code = code;
        self.producer_id = ProducerId(-1);
        self.producer_epoch = -1;
    }

    fn throttle(&mut self, ms: i32) {
        self.throttle_time_ms = ms;
    }
}
