//! Unset is not zero, and a value that nobody knows yet is kept.

use cqi_contracts::events::v1::{OrderPlaced, PriceUpdated};
use cqi_contracts::markets::v1::{Price, Vwap};
use cqi_contracts::prost::{Message, Name};
use cqi_contracts::prost_types::Timestamp;
use cqi_contracts::venues::v1::{OrderSide, OrderType};

use crate::kinds;

#[test]
fn a_zero_is_sent_and_an_unset_field_is_not() {
    let unset = Price::default();
    let zero = Price {
        value: Some(0.0),
        ..unset.clone()
    };
    assert_eq!(unset.encoded_len(), 0);
    assert_eq!(zero.encode_to_vec(), [0x11, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Price::decode(zero.encode_to_vec().as_slice()), Ok(zero));
    assert_ne!(
        unset,
        Price {
            venue_id: Some(String::new()),
            ..unset.clone()
        }
    );
}

#[test]
fn accessors_give_the_zero_of_an_unset_field() {
    let price = Price::default();
    assert_eq!((price.value(), price.venue_id()), (0.0, ""));
    assert_eq!(OrderPlaced::default().side(), OrderSide::Unspecified);
}

#[test]
fn an_empty_message_is_not_an_unset_one() {
    let event = PriceUpdated {
        price: Some(Price::default()),
        ..PriceUpdated::default()
    };
    assert_eq!(event.encode_to_vec(), [0x22, 0]);
    let read = PriceUpdated::decode([0x22, 0].as_slice()).unwrap();
    assert_eq!((read.price, read.timestamp), (Some(Price::default()), None));
}

#[test]
fn an_enum_value_that_is_newer_than_this_code_is_kept() {
    let bytes = [0x40, 0xe8, 0x07, 0x48, 0x02];
    let event = OrderPlaced::decode(bytes.as_slice()).unwrap();
    assert_eq!(event.side, Some(1000));
    assert_eq!(OrderSide::try_from(1000).ok(), None);
    assert_eq!(event.side(), OrderSide::Unspecified);
    assert_eq!(event.order_type(), OrderType::Limit);
    assert_eq!(event.encode_to_vec(), bytes);
}

#[test]
fn names_are_the_contract_s() {
    assert_eq!(PriceUpdated::full_name(), "cqc.events.v1.PriceUpdated");
    for kind in kinds::all() {
        assert_eq!(kind.url, format!("type.googleapis.com/{}", kind.name));
    }
    assert_eq!(Vwap::full_name(), "cqc.markets.v1.VWAP");
    assert_eq!(OrderSide::Buy.as_str_name(), "ORDER_SIDE_BUY");
    assert_eq!(
        OrderSide::from_str_name("ORDER_SIDE_SELL"),
        Some(OrderSide::Sell)
    );
}

#[test]
fn times_come_from_the_system_s_and_go_back() {
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_763_877_600, 250_000_000);
    let timestamp = Timestamp::from(time);
    assert_eq!(
        timestamp,
        Timestamp {
            seconds: 1_763_877_600,
            nanos: 250_000_000
        }
    );
    assert_eq!(timestamp.try_into(), Ok(time));
}
