//! Every message as a value, so that a test can treat them alike.

use cqi_contracts::prost::{DecodeError, Message, Name};
use cqi_contracts::{assets, events, markets, portfolio, venues};

/// What a test does with the messages of one type.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: String,
    /// Decodes and encodes.
    pub(crate) again: fn(&[u8]) -> Result<Vec<u8>, DecodeError>,
    /// Decodes, and writes JSON.
    #[cfg(feature = "serde")]
    pub(crate) to_json: fn(&[u8]) -> Result<String, serde_json::Error>,
    /// Reads JSON, and encodes.
    #[cfg(feature = "serde")]
    pub(crate) from_json: fn(&str) -> Result<Vec<u8>, serde_json::Error>,
}

#[cfg(feature = "serde")]
trait Json: serde::Serialize + for<'de> serde::Deserialize<'de> {}
#[cfg(feature = "serde")]
impl<T: serde::Serialize + for<'de> serde::Deserialize<'de>> Json for T {}

#[cfg(not(feature = "serde"))]
trait Json {}
#[cfg(not(feature = "serde"))]
impl<T> Json for T {}

fn kind<M: Message + Name + Default + Json>() -> Kind {
    Kind {
        name: M::full_name(),
        again: |bytes| M::decode(bytes).map(|message| message.encode_to_vec()),
        #[cfg(feature = "serde")]
        to_json: |bytes| serde_json::to_string(&M::decode(bytes).unwrap()),
        #[cfg(feature = "serde")]
        from_json: |text| serde_json::from_str(text).map(|message: M| message.encode_to_vec()),
    }
}

pub(crate) fn all() -> Vec<Kind> {
    vec![
        kind::<assets::v1::Asset>(),
        kind::<assets::v1::AssetDeployment>(),
        kind::<assets::v1::AssetGroup>(),
        kind::<assets::v1::AssetGroupMember>(),
        kind::<assets::v1::AssetIdentifier>(),
        kind::<assets::v1::AssetQualityFlag>(),
        kind::<assets::v1::AssetRelationship>(),
        kind::<events::v1::AssetCreated>(),
        kind::<events::v1::AssetDeploymentCreated>(),
        kind::<events::v1::InstrumentCreated>(),
        kind::<events::v1::MarketCreated>(),
        kind::<events::v1::OrderPlaced>(),
        kind::<events::v1::PositionChanged>(),
        kind::<events::v1::PriceUpdated>(),
        kind::<events::v1::QualityFlagRaised>(),
        kind::<events::v1::RelationshipEstablished>(),
        kind::<events::v1::RiskAlert>(),
        kind::<events::v1::VenueAssetDelisted>(),
        kind::<events::v1::VenueAssetListed>(),
        kind::<events::v1::VenueMarketDelisted>(),
        kind::<events::v1::VenueMarketListed>(),
        kind::<markets::v1::Instrument>(),
        kind::<markets::v1::Market>(),
        kind::<markets::v1::Price>(),
        kind::<markets::v1::Vwap>(),
        kind::<portfolio::v1::Exposure>(),
        kind::<portfolio::v1::Position>(),
        kind::<venues::v1::Order>(),
        kind::<venues::v1::VenueAsset>(),
    ]
}
