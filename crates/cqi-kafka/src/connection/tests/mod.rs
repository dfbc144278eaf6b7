mod bounds;
mod broken;
mod fake;
mod hostile;
mod idle;
mod login;
mod order;
mod real;
mod throttle;
mod tls;

use std::time::Duration;

use cqi_errors::{Error, Kind};

use super::Host;

const TIMEOUT: Duration = Duration::from_secs(10);

fn host(address: &str) -> Host {
    let (name, port) = address.rsplit_once(':').unwrap();
    Host {
        name: name.into(),
        port: port.parse().unwrap(),
    }
}

#[track_caller]
fn says(error: &Error, kind: Kind, texts: &[&str]) {
    let said = format!("{error:#}");
    assert_eq!(error.kind(), kind, "{said}");
    for text in texts {
        assert!(said.contains(text), "{text:?} is not in {said:?}");
    }
}
