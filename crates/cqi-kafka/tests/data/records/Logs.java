// Fills a topic with transactions and another one with what compaction leaves, and writes what the
// Java client reads from them, by isolation level:
//   java -cp 'libs/*' Logs.java localhost:9092 transactions compacted

import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

public class Logs {
    static final int KEYS = 10;
    static final int VALUES = 200;
    static String bootstrap;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        String transactions = args[1], compacted = args[2];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            NewTopic cleaned = new NewTopic(compacted, 1, (short) 1).configs(Map.of(
                "cleanup.policy", "compact", "segment.ms", "100", "min.cleanable.dirty.ratio", "0.001"));
            admin.createTopics(List.of(new NewTopic(transactions, 2, (short) 1), cleaned)).all().get();
        }
        compact(compacted);
        transact(transactions);
        List<TopicPartition> partitions =
            List.of(new TopicPartition(compacted, 0), new TopicPartition(transactions, 0), new TopicPartition(transactions, 1));
        for (String isolation : List.of("read_committed", "read_uncommitted")) {
            read(isolation, partitions).forEach(System.out::println);
        }
        System.out.flush();
        // Closing would end the transaction that is open.
        Runtime.getRuntime().halt(0);
    }

    static void transact(String topic) {
        Producer<String, String> plain = producer(null, "none");
        Producer<String, String> a = producer(topic + "-a", "lz4");
        Producer<String, String> b = producer(topic + "-b", "none");
        Producer<String, String> open = producer(topic + "-open", "zstd");
        a.beginTransaction();
        send(a, topic, 0, "a aborted", "a aborted too");
        send(a, topic, 1, "a aborted", "a aborted too");
        b.beginTransaction();
        send(b, topic, 0, "b committed", "b committed too");
        send(plain, topic, 0, "plain");
        send(plain, topic, 1, "plain");
        a.abortTransaction();
        send(b, topic, 0, "b goes on");
        b.commitTransaction();
        a.beginTransaction();
        send(a, topic, 0, "a committed");
        send(a, topic, 1, "a committed");
        a.commitTransaction();
        open.beginTransaction();
        send(open, topic, 0, "open", "open too");
        send(plain, topic, 0, "plain, behind what is open");
        b.beginTransaction();
        send(b, topic, 0, "b committed, behind what is open");
        b.commitTransaction();
        a.beginTransaction();
        send(a, topic, 0, "a aborted, behind what is open");
        send(a, topic, 1, "a aborted at the end");
        a.abortTransaction();
    }

    static void compact(String topic) throws Exception {
        Producer<String, String> plain = producer(null, "none");
        for (int i = 0; i < VALUES; i++) {
            plain.send(new ProducerRecord<>(topic, 0, "key-" + i % KEYS, i == VALUES - 1 ? null : "value " + i));
            if (i % 7 == 0) plain.flush();
        }
        Producer<String, String> a = producer(topic + "-a", "gzip");
        a.beginTransaction();
        a.send(new ProducerRecord<>(topic, 0, "key-1", "a aborted"));
        a.flush();
        a.abortTransaction();
        a.beginTransaction();
        a.send(new ProducerRecord<>(topic, 0, "key-0", "a committed"));
        a.commitTransaction();
        // What is written after the segment's time closes it, and only closed ones are cleaned.
        Thread.sleep(300);
        plain.send(new ProducerRecord<>(topic, 0, "end", "of what is written"));
        plain.flush();
        TopicPartition partition = new TopicPartition(topic, 0);
        long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        while (true) {
            long records = read("read_uncommitted", List.of(partition)).stream().filter(line -> line.contains(" record ")).count();
            if (records == KEYS + 1) return;
            if (System.nanoTime() > deadline) throw new IllegalStateException(topic + " still has " + records + " records");
            Thread.sleep(100);
        }
    }

    static Producer<String, String> producer(String transactionalId, String compression) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("compression.type", compression);
        if (transactionalId != null) {
            settings.put("transactional.id", transactionalId);
            settings.put("transaction.timeout.ms", "900000");
        }
        Producer<String, String> producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
        if (transactionalId != null) producer.initTransactions();
        return producer;
    }

    static void send(Producer<String, String> producer, String topic, int partition, String... values) {
        for (String value : values) producer.send(new ProducerRecord<>(topic, partition, null, value));
        producer.flush();
    }

    static List<String> read(String isolation, List<TopicPartition> partitions) {
        Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap, "isolation.level", isolation);
        List<String> lines = new ArrayList<>();
        try (Consumer<String, String> consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                    lines.add("%s record %s-%d %d %d %s = %s".formatted(isolation, record.topic(), record.partition(), record.offset(),
                        record.timestamp(), record.key(), record.value()));
                }
            }
            for (TopicPartition partition : partitions) {
                lines.add("%s end %s %d".formatted(isolation, partition, consumer.position(partition)));
            }
        }
        return lines;
    }
}
