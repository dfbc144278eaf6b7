//! Every message as a value, so that a test can treat them alike.

use cqi_contracts::prost::{DecodeError, Message, Name};
use cqi_contracts::{assets, events, markets, portfolio, venues};

/// What a test does with the messages of one type.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) url: String,
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
        url: M::type_url(),
        again: |bytes| M::decode(bytes).map(|message| message.encode_to_vec()),
        #[cfg(feature = "serde")]
        to_json: |bytes| serde_json::to_string(&M::decode(bytes).unwrap()),
        #[cfg(feature = "serde")]
        from_json: |text| serde_json::from_str(text).map(|message: M| message.encode_to_vec()),
    }
}

/// All messages.
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

/// What Rust knows of an enum of the contract.
#[cfg(feature = "descriptors")]
pub(crate) struct Enum {
    pub(crate) name: String,
    pub(crate) name_of: fn(i32) -> Option<&'static str>,
    pub(crate) number_of: fn(&str) -> Option<i32>,
}

/// All enums.
#[cfg(feature = "descriptors")]
pub(crate) fn enums() -> Vec<Enum> {
    macro_rules! enums {
        ($($module:ident::v1::$enumeration:ident)*) => {
            vec![$(Enum {
                name: format!("cqc.{}.v1.{}", stringify!($module), stringify!($enumeration)),
                name_of: |number| Some($module::v1::$enumeration::try_from(number).ok()?.as_str_name()),
                number_of: |name| $module::v1::$enumeration::from_str_name(name).map(i32::from),
            }),*]
        };
    }

    enums! {
        assets::v1::AssetType
        assets::v1::DataSource
        assets::v1::FlagSeverity
        assets::v1::FlagType
        assets::v1::RelationshipType
        events::v1::PositionChangeType
        events::v1::RiskAlertSeverity
        events::v1::RiskAlertType
        venues::v1::OrderSide
        venues::v1::OrderStatus
        venues::v1::OrderType
        venues::v1::TimeInForce
    }
}
