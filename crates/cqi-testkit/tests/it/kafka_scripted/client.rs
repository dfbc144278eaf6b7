//! A client that asks whatever it is told.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cqi_testkit::scripted::ScriptedKafka;
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

pub(super) struct Client(TcpStream);

impl Client {
    pub(super) fn to(kafka: &ScriptedKafka, node: i32) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", kafka.port(node))).unwrap();
        stream.set_nodelay(true).unwrap();
        let client = Self(stream);
        client.patience(Duration::from_secs(10));
        client
    }

    /// Sets how long an answer is waited for.
    pub(super) fn patience(&self, limit: Duration) {
        self.0.set_read_timeout(Some(limit)).unwrap();
    }

    /// Sends a request and returns the answer.
    pub(super) fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.try_ask(version, request).unwrap()
    }

    pub(super) fn try_ask<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> io::Result<R::Response> {
        self.send(version, request)?;
        let mut frame = self.frame()?;
        let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version))
            .map_err(io::Error::other)?;
        if header.correlation_id != 7 {
            return Err(io::Error::other("another request's answer"));
        }
        let answer = R::Response::decode(&mut frame, version).map_err(io::Error::other)?;
        match frame.len() {
            0 => Ok(answer),
            count => Err(io::Error::other(format!("{count} bytes too many"))),
        }
    }

    pub(super) fn send<R: Request>(&mut self, version: i16, request: &R) -> io::Result<()> {
        let mut frame = BytesMut::from(&[0; 4][..]);
        RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(7)
            .with_client_id(Some(StrBytes::from_static_str("me")))
            .encode(&mut frame, R::header_version(version))
            .unwrap();
        request.encode(&mut frame, version).unwrap();
        let length = u32::try_from(frame.len() - 4).unwrap();
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.0.write_all(&frame)
    }

    /// Reads a frame; its length must be true.
    pub(super) fn frame(&mut self) -> io::Result<Bytes> {
        let length = usize::try_from(self.length()?).map_err(io::Error::other)?;
        let mut frame = vec![0; length];
        self.0.read_exact(&mut frame)?;
        Ok(frame.into())
    }

    pub(super) fn length(&mut self) -> io::Result<i32> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        Ok(i32::from_be_bytes(length))
    }

    /// Reads all that comes until the broker closes the connection.
    pub(super) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest)?;
        Ok(rest)
    }
}
