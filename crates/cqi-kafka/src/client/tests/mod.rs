//! Against brokers that tests start.

mod cluster;
mod links;
mod metadata;
mod offsets;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{Client, ClientSettings, Cluster};

/// How long a broker may take for what it does in the end.
const LONG: Duration = Duration::from_secs(30);

async fn connect(bootstrap: String) -> Client {
    Client::connect(ClientSettings::new([bootstrap]))
        .await
        .unwrap()
}

fn topics(names: &[&str]) -> BTreeSet<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

/// Waits for a cluster that is as it should be.
async fn until(client: &Client, is: impl FnMut(&Arc<Cluster>) -> bool) -> Arc<Cluster> {
    let mut cluster = client.cluster();
    let known = timeout(LONG, cluster.wait_for(is)).await;
    let known = known.map(|known| Arc::clone(&known.unwrap()));
    known.unwrap_or_else(|_| panic!("still {:#?}", client.cluster().borrow()))
}

/// Tries until it succeeds.
async fn eventually<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(
    mut what: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + LONG;
    loop {
        match what().await {
            Ok(value) => return value,
            Err(error) if tokio::time::Instant::now() > deadline => panic!("{error:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
