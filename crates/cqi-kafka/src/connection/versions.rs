use std::collections::BTreeMap;

use cqi_errors::{Error, Result};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};
use kafka_protocol::protocol::StrBytes;

use super::Host;
use super::channel::Turn;
use crate::code;
use crate::wire::{Api, ApiVersionsAnswer, Versions};

const UNSUPPORTED_VERSION: i16 = ResponseError::UnsupportedVersion.code();

/// What a broker speaks.
#[derive(Debug, Default)]
pub(super) struct Spoken(BTreeMap<i16, Versions>);

impl Spoken {
    /// Asks a broker.
    pub(super) async fn negotiate(turn: &Turn<'_>, broker: &Host) -> Result<Self> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(env!("CARGO_PKG_NAME")))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let version = ApiVersionsRequest::VERSIONS.max;
        let mut answer = turn.send(&request, version).await?;
        if answer.error_code == UNSUPPORTED_VERSION && answer.api_keys.len() <= 1 {
            // Such a broker names what it speaks to those who ask in the first version.
            answer = turn.send(&ApiVersionsRequest::default(), 0).await?;
        }
        match answer.error_code {
            0 | UNSUPPORTED_VERSION => Ok(Self::from(&answer)),
            code => Err(Error::permanent(format!(
                "kafka broker {broker} refuses to say what versions it speaks: {}",
                code::name(code)
            ))),
        }
    }

    /// Returns the version in which to ask.
    pub(super) fn common<R: Api>(&self, broker: &Host) -> Result<i16> {
        let ours = R::VERSIONS;
        let theirs = self.0.get(&(R::KEY as i16));
        theirs
            .and_then(|theirs| ours.common(*theirs))
            .ok_or_else(|| no_common_version(broker, R::KEY, ours, theirs))
    }
}

impl From<&ApiVersionsAnswer> for Spoken {
    fn from(answer: &ApiVersionsAnswer) -> Self {
        let apis = answer.api_keys.iter();
        Self(
            apis.map(|api| (api.api_key, Versions::new(api.min_version, api.max_version)))
                .collect(),
        )
    }
}

fn no_common_version(
    broker: &Host,
    api: ApiKey,
    ours: Versions,
    theirs: Option<&Versions>,
) -> Error {
    let newer = theirs.is_some_and(|theirs| theirs.min > ours.max);
    let theirs = match theirs {
        Some(theirs) => format!("speaks {api:?} {theirs}"),
        None => format!("does not speak {api:?}"),
    };
    let remedy = match newer {
        true => "a newer cqi-kafka is needed",
        false => "Apache Kafka 2.8 or newer is needed",
    };
    Error::permanent(format!(
        "kafka broker {broker} {theirs}, this client {ours}: {remedy}"
    ))
}
