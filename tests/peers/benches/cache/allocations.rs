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
const MANY: usize = 100;

fn main() {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let server = Redis::builder().private();
    let server = runtime.block_on(server.start()).expect("a server");
    let keys = Names::all();
    let document = Document::new();

    println!(
        "\n| client | allocations of a get | bytes | of a set | bytes | of one of 100 gets | bytes |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
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
        let many = calls(&|| runtime.block_on(store.get_many(&keys[..MANY])));
        row(
            name,
            &[get, set, (many.0 / MANY as u64, many.1 / MANY as u64)],
        );
    }

    let encoded = Bytes::from(document.encode_to_vec());
    let decode = || drop(Document::decode(encoded.clone()).expect("a message"));
    let encode = || drop(document.encode_to_vec());
    let counts = |call: &dyn Fn()| {
        let counted = measure(|| (0..CALLS).for_each(|_| call()));
        (counted.count_total, counted.bytes_total)
    };
    row(
        "decoding or encoding alone",
        &[counts(&decode), counts(&encode)],
    );
}

fn row(name: &str, counts: &[(u64, u64)]) {
    print!("| {name} |");
    for (count, bytes) in counts {
        let each = |total: &u64| *total as f64 / CALLS as f64;
        print!(" {:.1} | {:.0} |", each(count), each(bytes));
    }
    println!();
}
