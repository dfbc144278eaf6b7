//! The broker's end of a connection, in the hands of a test, on a paused clock.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use cqi_errors::Result;
use kafka_protocol::messages::HeartbeatRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::connection::wait::Wait;
use crate::connection::{Connection, ConnectionSettings, Connector, Host};
use crate::wire::{Api, HeartbeatAnswer};

pub(super) const HEARTBEAT: i16 = 12;
pub(super) const API_VERSIONS: i16 = 18;

pub(super) struct Broker {
    pub(super) stream: DuplexStream,
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) key: i16,
    pub(super) version: i16,
    pub(super) id: i32,
    /// What follows the correlation id.
    pub(super) rest: Bytes,
}

pub(super) fn host() -> Host {
    super::host("kafka-1:9092")
}

/// A connection to be, and its broker's end, with room for so many bytes each way.
pub(super) fn opening(
    settings: ConnectionSettings,
    room: usize,
) -> (impl Future<Output = Result<Connection>>, Broker) {
    let (ours, theirs) = duplex(room);
    let opened = async move {
        let wait = Wait::new(settings.connect_timeout);
        Connector::new(settings).over(ours, &host(), wait).await
    };
    (opened, Broker { stream: theirs })
}

pub(super) async fn connected_with(settings: ConnectionSettings) -> (Connection, Broker) {
    let (opened, mut broker) = opening(settings, 1 << 20);
    let (connection, ()) = tokio::join!(opened, broker.greet());
    (connection.unwrap(), broker)
}

pub(super) async fn connected() -> (Connection, Broker) {
    connected_with(ConnectionSettings::new()).await
}

/// All that this client asks for, and a little more.
pub(super) const SPOKEN: &[(i16, i16, i16)] = &[
    (0, 3, 11),
    (1, 4, 17),
    (3, 0, 12),
    (HEARTBEAT, 0, 4),
    (17, 0, 1),
    (API_VERSIONS, 0, 4),
    (10, 0, 4),
    (36, 0, 2),
];

impl Broker {
    pub(super) async fn asked(&mut self) -> Asked {
        let length = self.stream.read_i32().await.unwrap();
        let mut frame = vec![0; length.try_into().unwrap()];
        self.stream.read_exact(&mut frame).await.unwrap();
        let mut frame = Bytes::from(frame);
        Asked {
            key: frame.get_i16(),
            version: frame.get_i16(),
            id: frame.get_i32(),
            rest: frame,
        }
    }

    /// Answers, with the tagged fields of a flexible header if the body has them.
    pub(super) async fn answer(&mut self, id: i32, body: &[u8]) {
        self.stream.write_all(&frame(id, body)).await.unwrap();
    }

    pub(super) async fn greet(&mut self) {
        self.speak(SPOKEN).await;
    }

    /// Says which APIs it has.
    pub(super) async fn speak(&mut self, spoken: &[(i16, i16, i16)]) {
        let asked = self.asked().await;
        assert_eq!((asked.key, asked.version), (API_VERSIONS, 3));
        self.answer(asked.id, &versions_3(0, spoken)).await;
    }

    pub(super) async fn heartbeat(&mut self) -> Asked {
        let asked = self.asked().await;
        assert_eq!((asked.key, asked.version), (HEARTBEAT, 4));
        asked
    }

    /// Waits until the client has closed the connection.
    pub(super) async fn closed(&mut self) {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
    }
}

pub(super) fn frame(id: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.put_i32((4 + body.len()).try_into().unwrap());
    frame.put_i32(id);
    frame.put_slice(body);
    frame
}

pub(super) fn versions_3(code: i16, spoken: &[(i16, i16, i16)]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_i16(code);
    body.put_u8(u8::try_from(spoken.len()).unwrap() + 1);
    for (key, min, max) in spoken {
        body.put_i16(*key);
        body.put_i16(*min);
        body.put_i16(*max);
        body.put_u8(0);
    }
    body.put_i32(0);
    body.put_u8(0);
    body
}

pub(super) fn versions_0(code: i16, spoken: &[(i16, i16, i16)]) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_i16(code);
    body.put_i32(spoken.len().try_into().unwrap());
    for (key, min, max) in spoken {
        body.put_i16(*key);
        body.put_i16(*min);
        body.put_i16(*max);
    }
    body
}

/// An answer to a heartbeat, with its header's tagged fields.
pub(super) fn beat(throttle_ms: i32, code: i16) -> Vec<u8> {
    let mut body = vec![0];
    body.put_i32(throttle_ms);
    body.put_i16(code);
    body.put_u8(0);
    body
}

pub(super) async fn send(connection: &Connection, timeout: Duration) -> Result<HeartbeatAnswer> {
    connection.send(&HeartbeatRequest::default(), timeout).await
}

const _: () = assert!(HeartbeatRequest::KEY as i16 == HEARTBEAT);
