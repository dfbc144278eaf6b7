//! Every message of the platform, to each backend and back.

use cqi_contracts::prost::{Message, Name};
use cqi_contracts::prost_types::field_descriptor_proto::{Label, Type};
use cqi_contracts::prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use cqi_contracts::{FILE_DESCRIPTOR_SET, assets, events, markets, portfolio, venues};

use crate::support::{LONG, Place, key};

/// All messages by their full names.
struct Messages(Vec<(String, DescriptorProto)>);

impl Messages {
    fn new() -> Self {
        let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
        let mut messages = Vec::new();
        for file in set.file {
            for message in file.message_type {
                let name = format!(
                    "{}.{}",
                    file.package.as_deref().unwrap_or_default(),
                    message.name()
                );
                messages.push((name, message));
            }
        }
        Self(messages)
    }

    fn of(&self, name: &str) -> &DescriptorProto {
        let found = self.0.iter().find(|(other, _)| other == name);
        &found.unwrap_or_else(|| panic!("no {name}")).1
    }

    /// A message on the wire with something in each of its fields.
    fn filled(&self, message: &DescriptorProto) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in &message.field {
            let times = if field.label() == Label::Repeated {
                3
            } else {
                1
            };
            for _ in 0..times {
                self.fill(field, &mut bytes);
            }
        }
        bytes
    }

    fn fill(&self, field: &FieldDescriptorProto, bytes: &mut Vec<u8>) {
        let number = field.number() as u64;
        let mut put = |wire: u64, value: &[u8]| {
            varint(number << 3 | wire, bytes);
            if wire == 2 {
                varint(value.len() as u64, bytes);
            }
            bytes.extend_from_slice(value);
        };
        match field.r#type() {
            Type::Double => put(1, &(number as f64 + 0.25).to_le_bytes()),
            Type::String => put(2, format!("{} of {number}", field.name()).as_bytes()),
            Type::Message => {
                let name = field.type_name().trim_start_matches('.');
                let inner = match name {
                    "google.protobuf.Timestamp" => vec![0x08, 0x7b, 0x10, 0x05],
                    // {"a": true}
                    "google.protobuf.Struct" => vec![0x0a, 7, 0x0a, 1, b'a', 0x12, 2, 0x20, 1],
                    _ => self.filled(self.of(name)),
                };
                put(2, &inner);
            }
            Type::Enum | Type::Bool => put(0, &[1]),
            Type::Int32 | Type::Int64 | Type::Uint32 | Type::Uint64 => put(0, &[17]),
            other => panic!("{other:?}"),
        }
    }
}

fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

async fn goes_round<M: Message + Name + Default + PartialEq + std::fmt::Debug>(
    place: &Place,
    messages: &Messages,
) -> String {
    let name = M::full_name();
    let key = key(&name);
    let wire = messages.filled(messages.of(&name));
    let value = M::decode(wire.as_slice()).unwrap();
    assert_eq!(
        value.encoded_len(),
        wire.len(),
        "{name} has what it was filled with"
    );
    place.cache.set(&key, &value, LONG).await.unwrap();
    assert_eq!(place.cache.get::<M>(&key).await.unwrap().unwrap(), value);
    let empty = M::default();
    place
        .cache
        .set_many(&[(key.clone(), empty)], LONG)
        .await
        .unwrap();
    let got = place.cache.get_many::<M>(&[key]).await.unwrap();
    assert_eq!(got, [Some(M::default())]);
    name
}

macro_rules! all_go_round {
    ($place:expr, $messages:expr, $($message:ty)*) => {
        [$(goes_round::<$message>($place, $messages).await),*]
    };
}

async fn every_message_goes_round(place: Place) {
    let messages = Messages::new();
    let mut gone: Vec<_> = all_go_round!(
        &place, &messages,
        assets::v1::Asset assets::v1::AssetDeployment assets::v1::AssetGroup assets::v1::AssetGroupMember
        assets::v1::AssetIdentifier assets::v1::AssetQualityFlag assets::v1::AssetRelationship
        events::v1::AssetCreated events::v1::AssetDeploymentCreated events::v1::InstrumentCreated
        events::v1::MarketCreated events::v1::OrderPlaced events::v1::PositionChanged
        events::v1::PriceUpdated events::v1::QualityFlagRaised events::v1::RelationshipEstablished
        events::v1::RiskAlert events::v1::VenueAssetDelisted events::v1::VenueAssetListed
        events::v1::VenueMarketDelisted events::v1::VenueMarketListed
        markets::v1::Instrument markets::v1::Market markets::v1::Price markets::v1::Vwap
        portfolio::v1::Exposure portfolio::v1::Position venues::v1::Order venues::v1::VenueAsset
    )
    .into();
    gone.sort();
    let mut all: Vec<_> = messages.0.into_iter().map(|(name, _)| name).collect();
    all.retain(|name| name.starts_with("cqc."));
    all.sort();
    assert_eq!(gone, all);
    assert_eq!(all.len(), 29);
}

#[tokio::test]
async fn every_message_goes_to_memory_and_back() {
    every_message_goes_round(Place::memory().await).await;
}

#[tokio::test]
async fn every_message_goes_to_redis_and_back() {
    every_message_goes_round(Place::redis().await).await;
}
