mod lies;
mod real;

use std::time::Duration;

use super::Host;

const TIMEOUT: Duration = Duration::from_secs(10);

fn host(address: &str) -> Host {
    let (name, port) = address.rsplit_once(':').unwrap();
    Host {
        name: name.into(),
        port: port.parse().unwrap(),
    }
}
