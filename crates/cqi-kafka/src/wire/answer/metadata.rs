use kafka_protocol::messages::{ApiKey, MetadataRequest};
use kafka_protocol::protocol::StrBytes;

use crate::wire::field::fields;
use crate::wire::{Answer, Api, Versions};

impl Api for MetadataRequest {
    const KEY: ApiKey = ApiKey::Metadata;
    const VERSIONS: Versions = Versions::new(9, 10);
    type Answer = MetadataAnswer;
}

impl Answer for MetadataAnswer {
    fn throttle_ms(&self) -> i32 {
        self.throttle_time_ms
    }
}

fields! {
    struct MetadataAnswer {
        throttle_time_ms: i32;
        brokers: Vec<MetadataBroker>;
        cluster_id: Option<StrBytes>;
        /// -1 while there is none.
        controller_id: i32;
        topics: Vec<MetadataTopic>;
        cluster_authorized_operations: i32;
    }

    struct MetadataBroker {
        node_id: i32;
        host: StrBytes;
        port: i32;
        rack: Option<StrBytes>;
    }

    struct MetadataTopic {
        error_code: i16;
        name: StrBytes;
        /// Another once the topic was deleted and made again.
        topic_id: [u8; 16], since(10);
        is_internal: bool;
        partitions: Vec<MetadataPartition>;
        topic_authorized_operations: i32;
    }

    struct MetadataPartition {
        error_code: i16;
        partition_index: i32;
        /// -1 while there is none.
        leader_id: i32;
        leader_epoch: i32;
        replica_nodes: Vec<i32>;
        isr_nodes: Vec<i32>;
        offline_replicas: Vec<i32>;
    }
}
