use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::lane::Lane;
use super::{Shared, StartPosition, plan};
use crate::client::OffsetSpec;

/// Runs everything until it is closed.
pub(super) async fn run(shared: Arc<Shared>, mut closed: watch::Receiver<bool>) {
    let mut lanes = BTreeMap::new();
    tokio::select! {
        () = follow(&shared, &mut lanes) => {}
        () = look_up(&shared) => {}
        _ = closed.wait_for(|closed| *closed) => {}
    }
    for lanes in lanes.values_mut() {
        JoinSet::shutdown(lanes).await;
    }
}

/// Keeps two lanes to each broker that leads a partition.
async fn follow(shared: &Arc<Shared>, lanes: &mut BTreeMap<i32, JoinSet<()>>) {
    let mut cluster = shared.client.cluster();
    let mut control = shared.control.subscribe();
    let mut topics = BTreeSet::new();
    let mut _interest = None;
    loop {
        control.mark_unchanged();
        let wanted = shared.plan().topics();
        if wanted != topics {
            topics.clone_from(&wanted);
            _interest = Some(shared.client.follow(wanted));
        }
        let known = Arc::clone(&cluster.borrow_and_update());
        let nodes = shared.plan().follow(|partition| known.leader(partition));
        // Awaited: none may ask for what the plan gives to another.
        for (_, gone) in lanes.iter_mut().filter(|(node, _)| !nodes.contains(node)) {
            gone.shutdown().await;
        }
        lanes.retain(|node, _| nodes.contains(node));
        for node in nodes {
            lanes.entry(node).or_insert_with(|| {
                let mut lanes = JoinSet::new();
                for lane in [plan::Lane::Main, plan::Lane::Side] {
                    lanes.spawn(Lane::new(Arc::clone(shared), node, lane).run());
                }
                lanes
            });
        }
        shared.work.send_replace(());
        tokio::select! {
            _ = control.changed() => {}
            changed = cluster.changed() => {
                if changed.is_err() {
                    // The client is closed, and says so to each request.
                    pending::<()>().await;
                }
            }
        }
    }
}

/// Looks up the offsets of partitions that have no position, broker by broker.
async fn look_up(shared: &Arc<Shared>) {
    let mut control = shared.control.subscribe();
    let mut running = FuturesUnordered::new();
    loop {
        control.mark_unchanged();
        let (lookups, due) = shared.plan().lookups(shared.now());
        for lookup in lookups {
            running.push(async move {
                let wanted = lookup.wanted.iter();
                let wanted = wanted.map(|(partition, start)| (partition.clone(), spec(*start)));
                let timeout = shared.client.request_timeout();
                let isolation = shared.settings.isolation;
                let wanted = wanted.collect();
                let found = shared
                    .client
                    .list_offsets(&wanted, isolation, timeout)
                    .await;
                (lookup, found)
            });
        }
        let due = async {
            match due {
                Some(due) => sleep_until(shared.started + due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = control.changed() => {}
            Some((lookup, found)) = running.next() => {
                shared.plan().looked_up(&lookup, found, shared.now());
                shared.work.send_replace(());
                shared.ready.notify_one();
            }
            () = due => {}
        }
    }
}

const fn spec(start: StartPosition) -> OffsetSpec {
    match start {
        StartPosition::Earliest => OffsetSpec::Earliest,
        StartPosition::Timestamp(time) => OffsetSpec::At(time),
        StartPosition::Latest | StartPosition::Fail => OffsetSpec::Latest,
    }
}
