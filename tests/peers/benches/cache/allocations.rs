//! Heap allocations of one get and one set, after warm-up; a program of its own, since the allocator
//! that counts takes time. Everything of a client runs on this thread.

mod store;

use allocation_counter::measure;
use bytes::Bytes;
use cqi_testkit::Redis;
use prost::Message;
use tokio::runtime;

use store::{Document, NAMES, Names, Store};

const CALLS: u64 = 1_000;

fn main() {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let server = Redis::builder().private();
    let server = runtime.block_on(server.start()).expect("a server");
    let keys = Names::all();
    let document = Document::new();

    println!("\n| client | allocations of a get | bytes | of a set | bytes |");
    println!("|---|---:|---:|---:|---:|");
    for name in NAMES {
        let store = runtime.block_on(Store::connect(name, &server));
        runtime.block_on(async {
            if name == "redis-rs" {
                Store::connect("fred", &server).await.fill(&keys).await;
            }
            store.fill(&keys).await;
        });
        let calls = |call: &dyn Fn()| {
            (0..CALLS).for_each(|_| call());
            let counted = measure(|| (0..CALLS).for_each(|_| call()));
            (counted.count_total, counted.bytes_total)
        };
        let get = calls(&|| runtime.block_on(store.get(&keys[0])));
        let set = calls(&|| runtime.block_on(store.set(&keys[1], &document)));
        row(name, get, set);
    }

    let encoded = Bytes::from(document.encode_to_vec());
    let decode = || drop(Document::decode(encoded.clone()).expect("a message"));
    let encode = || drop(document.encode_to_vec());
    let counts = |call: &dyn Fn()| {
        let counted = measure(|| (0..CALLS).for_each(|_| call()));
        (counted.count_total, counted.bytes_total)
    };
    row("decoding or encoding alone", counts(&decode), counts(&encode));
}

fn row(name: &str, get: (u64, u64), set: (u64, u64)) {
    let each = |count: u64| count as f64 / CALLS as f64;
    println!(
        "| {name} | {:.1} | {:.0} | {:.1} | {:.0} |",
        each(get.0),
        each(get.1),
        each(set.0),
        each(set.1)
    );
}
