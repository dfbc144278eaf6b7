//! The requests that tests need, one connection each; blocking, bounded, in the clear.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cqi_errors::{Error, Kind, Result, ResultExt};
use kafka_protocol::ResponseError;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeQuorumRequest,
    MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use crate::wait::{self, Deadline};

/// How long connecting, each read and each write may take.
const STEP: Duration = Duration::from_secs(5);

/// How long the answer to a change may take, of which the broker has 10 s.
const ANSWER: Duration = Duration::from_secs(15);

/// How long a change may take until all brokers know it.
const CHANGE: Duration = Duration::from_secs(30);

/// How long a broker may take over a change.
const CHANGE_MS: i32 = 10_000;

/// The longest answer that is read.
const LONGEST: usize = 16 << 20;

/// Brokers by their addresses.
#[derive(Clone, Debug)]
pub(super) struct Brokers(Vec<(String, u16)>);

impl Brokers {
    pub(super) fn local(ports: impl IntoIterator<Item = u16>) -> Self {
        let address = |port| ("127.0.0.1".to_owned(), port);
        Self(ports.into_iter().map(address).collect())
    }

    /// Reads `host:port,host:port`.
    pub(super) fn parse(bootstrap: &str) -> Result<Self> {
        let address = |text: &str| {
            let (host, port) = text.trim().rsplit_once(':')?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some((host.to_owned(), port.parse().ok()?)).filter(|_| !host.is_empty())
        };
        let addresses = bootstrap.split(',').map(address);
        addresses.collect::<Option<_>>().map(Self).ok_or_else(|| {
            let problem = format!("{bootstrap:?} is no list of `host:port`, with commas between");
            Error::invalid_input("brokers", problem)
        })
    }

    /// Returns the id of the cluster and those of the brokers that are alive, as one of them says.
    pub(super) fn cluster(&self) -> Result<(Option<String>, Vec<i32>)> {
        let metadata = self.first(|address| metadata(address, &[]))?;
        let brokers = metadata.brokers.iter().map(|broker| broker.node_id.0);
        let cluster = metadata.cluster_id.as_ref().map(ToString::to_string);
        Ok((cluster, brokers.collect()))
    }

    /// Creates a topic, and waits until each broker that answers knows the leaders of all partitions.
    pub(super) fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication: i16,
        settings: &[(String, String)],
    ) -> Result<()> {
        let settings = settings.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
        });
        let topic = CreatableTopic::default()
            .with_name(TopicName(text(name)))
            .with_num_partitions(partitions)
            .with_replication_factor(replication)
            .with_configs(settings.collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(CHANGE_MS);
        self.change(
            format_args!("create topic {name}"),
            Kind::Conflict,
            |address| {
                let answer = ask(address, 5, &request, ANSWER)?;
                let result = answer.topics.first();
                Ok(result.map(|topic| (topic.error_code, topic.error_message.clone())))
            },
        )?;
        self.known(name, Some(partitions))
    }

    /// Raises the number of a topic's partitions.
    pub(super) fn add_partitions(&self, name: &str, total: i32) -> Result<()> {
        let topic = CreatePartitionsTopic::default()
            .with_name(TopicName(text(name)))
            .with_count(total)
            .with_assignments(None);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(CHANGE_MS);
        self.change(
            format_args!("add partitions to topic {name}"),
            Kind::InvalidInput,
            |address| {
                let answer = ask(address, 2, &request, ANSWER)?;
                let result = answer.results.first();
                Ok(result.map(|topic| (topic.error_code, topic.error_message.clone())))
            },
        )?;
        self.known(name, Some(total))
    }

    pub(super) fn delete_topic(&self, name: &str) -> Result<()> {
        let request = DeleteTopicsRequest::default()
            .with_topic_names(vec![TopicName(text(name))])
            .with_timeout_ms(CHANGE_MS);
        self.change(
            format_args!("delete topic {name}"),
            Kind::NotFound,
            |address| {
                let answer = ask(address, 4, &request, ANSWER)?;
                Ok(answer
                    .responses
                    .first()
                    .map(|topic| (topic.error_code, None)))
            },
        )?;
        self.known(name, None)
    }

    /// Returns the broker that leads a partition, as one of them says.
    pub(super) fn leader(&self, topic: &str, partition: i32) -> Result<i32> {
        let metadata = self.first(|address| metadata(address, &[topic]))?;
        let found = metadata.topics.iter().flat_map(|topic| &topic.partitions);
        let leader = found
            .filter(|found| found.partition_index == partition && found.error_code == 0)
            .map(|found| found.leader_id.0)
            .find(|leader| *leader >= 0);
        leader.ok_or_else(|| {
            Error::temporary(format!(
                "partition {partition} of topic {topic} has no leader"
            ))
        })
    }

    /// Returns the active controller, which is asked at a controller's port.
    pub(super) fn controller(&self) -> Result<i32> {
        let log = TopicData::default()
            .with_topic_name(TopicName(text("__cluster_metadata")))
            .with_partitions(vec![PartitionData::default()]);
        let request = DescribeQuorumRequest::default().with_topics(vec![log]);
        self.first(|address| {
            let answer = ask(address, 0, &request, STEP)?;
            let log = answer.topics.iter().flat_map(|topic| &topic.partitions);
            // The others say that they are not the leader.
            log.filter(|log| log.error_code == 0)
                .map(|log| log.leader_id.0)
                .find(|leader| *leader >= 0)
                .ok_or_else(|| Error::temporary(format!("{} is not the controller", show(address))))
        })
    }

    /// Returns the first answer; the last error, where there is none.
    fn first<T>(&self, ask: impl Fn(&(String, u16)) -> Result<T>) -> Result<T> {
        let mut last = Error::permanent("there are no brokers");
        for address in &self.0 {
            match ask(address) {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Asks for a change until a broker has carried it out or refuses it; `done` is what it says to
    /// a change that it has carried out already, when its answer was lost.
    fn change(
        &self,
        what: std::fmt::Arguments<'_>,
        done: Kind,
        ask: impl Fn(&(String, u16)) -> Result<Option<(i16, Option<StrBytes>)>>,
    ) -> Result<()> {
        let ask = |address: &(String, u16)| match ask(address)? {
            Some((code, message)) => check(code, message.as_deref()),
            None => Err(Error::temporary(format!(
                "{} gave no outcome",
                show(address)
            ))),
        };
        let mut last = None;
        let outcome = wait::poll(CHANGE, || match self.first(ask) {
            Err(error) if matches!(error.kind(), Kind::Temporary | Kind::Timeout) => {
                last = Some(error);
                None
            }
            Err(error) if last.is_some() && error.kind() == done => Some(Ok(())),
            outcome => Some(outcome),
        });
        let outcome = outcome.unwrap_or_else(|| {
            let late = Error::timeout(format!("no broker did it within {CHANGE:?}"));
            Err(match last {
                Some(last) => late.with_source(last),
                None => late,
            })
        });
        outcome.with_context(|| what.to_string())
    }

    /// Waits until each broker that answers knows a topic with so many partitions, or none.
    fn known(&self, name: &str, partitions: Option<i32>) -> Result<()> {
        let deadline = Deadline::after(CHANGE);
        for address in &self.0 {
            // One that does not answer is dead or frozen at the test's word.
            let known = wait::poll(deadline.remaining(), || match metadata(address, &[name]) {
                Ok(metadata) => metadata
                    .topics
                    .iter()
                    .any(|topic| is(topic, partitions))
                    .then_some(()),
                Err(_) => Some(()),
            });
            if known.is_none() {
                return Err(Error::timeout(format!(
                    "{} does not know what became of topic {name} after {CHANGE:?}",
                    show(address)
                )));
            }
        }
        Ok(())
    }
}

fn is(topic: &MetadataResponseTopic, partitions: Option<i32>) -> bool {
    let Some(count) = partitions else {
        return topic.error_code.err() == Some(ResponseError::UnknownTopicOrPartition);
    };
    let led = topic
        .partitions
        .iter()
        .filter(|one| one.error_code == 0 && one.leader_id.0 >= 0);
    topic.error_code == 0 && i32::try_from(led.count()) == Ok(count)
}

fn check(code: i16, message: Option<&str>) -> Result<()> {
    let Some(error) = code.err() else {
        return Ok(());
    };
    let text = match message {
        Some(message) => format!("Kafka says {error:?}: {message}"),
        None => format!("Kafka says {error:?}"),
    };
    Err(match error {
        ResponseError::TopicAlreadyExists => Error::conflict(text),
        ResponseError::InvalidReplicationFactor
        | ResponseError::InvalidPartitions
        | ResponseError::InvalidConfig
        | ResponseError::InvalidTopicException => Error::invalid_input("topic", text),
        ResponseError::UnknownTopicOrPartition => Error::new(Kind::NotFound, text),
        // A controller that has just come, or is about to go.
        ResponseError::NotController
        | ResponseError::RequestTimedOut
        | ResponseError::BrokerNotAvailable
        | ResponseError::NetworkException
        | ResponseError::UnknownServerError => Error::temporary(text),
        _ => Error::permanent(text),
    })
}

fn metadata(address: &(String, u16), topics: &[&str]) -> Result<MetadataResponse> {
    let topics = topics
        .iter()
        .map(|topic| MetadataRequestTopic::default().with_name(Some(TopicName(text(topic)))));
    let request = MetadataRequest::default()
        .with_topics(Some(topics.collect()))
        .with_allow_auto_topic_creation(false);
    ask(address, 7, &request, STEP)
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn show((host, port): &(String, u16)) -> String {
    format!("{host}:{port}")
}

/// Sends a request over a new connection, and reads the answer.
fn ask<R: Request>(
    address: &(String, u16),
    version: i16,
    request: &R,
    limit: Duration,
) -> Result<R::Response> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Error::permanent(format!(
            "the answer of {} is not Kafka's: {error}",
            show(address)
        ))
    };
    let mut body = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(1)
        .with_client_id(Some(StrBytes::from_static_str("cqi-testkit")))
        .encode(&mut body, R::header_version(version))
        .and_then(|()| request.encode(&mut body, version))
        .map_err(|error| Error::permanent(format!("write a request of Kafka's: {error}")))?;
    let answer = exchange(address, &body, limit).map_err(|error| {
        Error::temporary(format!("no answer from {}", show(address))).with_source(error)
    })?;
    let mut answer = Bytes::from(answer);
    let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version))
        .map_err(|error| unreadable(&error))?;
    if header.correlation_id != 1 {
        return Err(unreadable(&"it belongs to another request"));
    }
    R::Response::decode(&mut answer, version).map_err(|error| unreadable(&error))
}

fn exchange(address: &(String, u16), body: &[u8], limit: Duration) -> std::io::Result<Vec<u8>> {
    let mut last = std::io::ErrorKind::NotFound.into();
    let connect = |address| TcpStream::connect_timeout(&address, STEP);
    let connected = (address.0.as_str(), address.1)
        .to_socket_addrs()?
        .find_map(|address| connect(address).map_err(|error| last = error).ok());
    let mut stream = connected.ok_or(last)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(STEP))?;
    let length = u32::try_from(body.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), body].concat())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(std::io::Error::other(format!(
            "an answer of {length} bytes"
        )));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_addresses_is_read() {
        let brokers = Brokers::parse("localhost:9092, [::1]:9093").unwrap();
        assert_eq!(
            brokers.0,
            [("localhost".to_owned(), 9092), ("::1".to_owned(), 9093)]
        );
        for wrong in ["", "localhost", ":9092", "a:1,,b:2", "a:b"] {
            Brokers::parse(wrong).unwrap_err();
        }
    }
}
