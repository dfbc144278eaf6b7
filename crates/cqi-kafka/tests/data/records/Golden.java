// Writes the record batches of this directory with the Java client, and what the Java client reads
// back from them. Run by hand, with the jars of kafka-clients 3.9.2 and its dependencies in libs:
//   java -cp 'libs/*' Golden.java .

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.CRC32C;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.*;

public class Golden {
    static final long TIME = 1_767_225_600_000L;
    static final Header[] HEADERS = {
        header("trace", "a"), header("trace", "b"), header("", ""), new RecordHeader("trace", (byte[]) null), header("naïve", "\u0001"),
    };
    static Path directory;

    public static void main(String[] args) throws Exception {
        directory = Path.of(args[0]);
        for (CompressionType type : CompressionType.values()) {
            one(type);
        }
        many();
        logAppendTime();
        compacted();
        empty();
        transactions();
        magicOne();
    }

    static void one(CompressionType type) throws Exception {
        ByteBuffer buffer = ByteBuffer.allocate(1 << 20);
        MemoryRecordsBuilder builder = builder(buffer, type, TimestampType.CREATE_TIME, 1000, 77, (short) 3, 40, false);
        builder.append(TIME, bytes("key"), bytes("value"), HEADERS);
        builder.append(TIME + 5, (byte[]) null, bytes("no key"));
        builder.append(TIME - 5, bytes("no value"), (byte[]) null);
        builder.append(TIME + 1_000_000, new byte[0], new byte[0]);
        builder.append(TIME, (byte[]) null, null, new Header[] {header("only", "header")});
        write("one-" + type.name, builder.build().buffer());
    }

    /** Several blocks in each codec's framing, several batches in one reply. */
    static void many() throws Exception {
        for (CompressionType type : CompressionType.values()) {
            if (type == CompressionType.NONE) continue;
            ByteBuffer out = ByteBuffer.allocate(1 << 20);
            for (int batch = 0; batch < 2; batch++) {
                ByteBuffer buffer = ByteBuffer.allocate(1 << 20);
                MemoryRecordsBuilder builder =
                    builder(buffer, type, TimestampType.CREATE_TIME, batch * 20L, -1, (short) -1, -1, false);
                for (int i = 0; i < 20; i++) {
                    builder.append(TIME + i, bytes("key-" + i), bytes(("record " + i + " ").repeat(500)));
                }
                out.put(builder.build().buffer());
            }
            out.flip();
            write("many-" + type.name, out);
        }
    }

    static void logAppendTime() throws Exception {
        ByteBuffer buffer = ByteBuffer.allocate(4096);
        MemoryRecordsBuilder builder =
            new MemoryRecordsBuilder(buffer, (byte) 2, Compression.NONE, TimestampType.LOG_APPEND_TIME, 5, TIME + 99, -1,
                (short) -1, -1, false, false, 7, buffer.capacity());
        builder.append(TIME, bytes("a"), bytes("b"));
        builder.append(TIME + 1, bytes("c"), bytes("d"));
        write("log-append-time", builder.build().buffer());
    }

    /** What compaction leaves: gaps at the front, in the middle and at the end. */
    static void compacted() throws Exception {
        ByteBuffer buffer = ByteBuffer.allocate(4096);
        MemoryRecordsBuilder builder = builder(buffer, CompressionType.LZ4, TimestampType.CREATE_TIME, 10, -1, (short) -1, -1, false);
        builder.appendWithOffset(12, TIME, bytes("a"), bytes("1"));
        builder.appendWithOffset(17, TIME + 1, bytes("b"), bytes("2"));
        builder.overrideLastOffset(29);
        write("compacted", builder.build().buffer());
    }

    static void empty() throws Exception {
        ByteBuffer buffer = ByteBuffer.allocate(4096);
        DefaultRecordBatch.writeEmptyHeader(buffer, (byte) 2, 9, (short) 1, 4, 100, 109, 2, TimestampType.CREATE_TIME, TIME, true, false);
        DefaultRecordBatch.writeEmptyHeader(buffer, (byte) 2, 9, (short) 1, 14, 110, 110, 2, TimestampType.CREATE_TIME, TIME, true, true);
        buffer.flip();
        write("empty", buffer);
    }

    /** Producer 1 aborts and then commits, producer 2 commits, producer 3 is not transactional. */
    static void transactions() throws Exception {
        ByteBuffer out = ByteBuffer.allocate(65536);
        out.put(data(0, 1, true, "1 aborted", "1 aborted too"));
        out.put(data(2, 2, true, "2 committed", "2 committed too"));
        out.put(data(4, 3, false, "3 plain"));
        out.put(marker(5, 1, ControlRecordType.ABORT));
        out.put(data(6, 1, true, "1 committed"));
        out.put(marker(7, 2, ControlRecordType.COMMIT));
        out.put(marker(8, 1, ControlRecordType.COMMIT));
        out.put(data(9, 1, true, "1 open"));
        out.flip();
        write("transactions", out);
    }

    static void magicOne() throws Exception {
        ByteBuffer buffer = ByteBuffer.allocate(4096);
        MemoryRecordsBuilder builder = MemoryRecords.builder(buffer, (byte) 1, Compression.NONE, TimestampType.CREATE_TIME, 3);
        builder.append(TIME, bytes("old"), bytes("message"));
        Files.write(directory.resolve("magic-1.bin"), array(builder.build().buffer()));
    }

    static ByteBuffer data(long offset, long producer, boolean transactional, String... values) {
        ByteBuffer buffer = ByteBuffer.allocate(4096);
        MemoryRecordsBuilder builder =
            builder(buffer, CompressionType.NONE, TimestampType.CREATE_TIME, offset, producer, (short) 0, (int) offset, transactional);
        for (String value : values) builder.append(TIME, null, bytes(value));
        return builder.build().buffer();
    }

    static ByteBuffer marker(long offset, long producer, ControlRecordType type) {
        return MemoryRecords.withEndTransactionMarker(offset, TIME, 2, producer, (short) 0, new EndTransactionMarker(type, 6)).buffer();
    }

    static MemoryRecordsBuilder builder(ByteBuffer buffer, CompressionType type, TimestampType timestamps, long offset, long producer,
            short epoch, int sequence, boolean transactional) {
        return new MemoryRecordsBuilder(buffer, (byte) 2, Compression.of(type).build(), timestamps, offset, -1, producer, epoch, sequence,
            transactional, false, 7, buffer.capacity());
    }

    static void write(String name, ByteBuffer buffer) throws Exception {
        byte[] bytes = array(buffer);
        Files.write(directory.resolve(name + ".bin"), bytes);
        StringBuilder text = new StringBuilder();
        for (RecordBatch batch : MemoryRecords.readableRecords(ByteBuffer.wrap(bytes)).batches()) {
            batch.ensureValid();
            text.append("batch %d..%d epoch %d producer %d/%d/%d transactional %b control %b %s%n".formatted(batch.baseOffset(),
                batch.lastOffset(), batch.partitionLeaderEpoch(), batch.producerId(), batch.producerEpoch(), batch.baseSequence(),
                batch.isTransactional(), batch.isControlBatch(), batch.compressionType().name));
            for (org.apache.kafka.common.record.Record record : batch) {
                text.append("record %d at %d: %s = %s".formatted(record.offset(), record.timestamp(), sum(record.key()), sum(record.value())));
                for (Header header : record.headers()) {
                    text.append(" [%s = %s]".formatted(header.key(), sum(header.value() == null ? null : ByteBuffer.wrap(header.value()))));
                }
                if (batch.isControlBatch()) text.append(" ").append(ControlRecordType.parse(record.key()));
                text.append(System.lineSeparator());
            }
        }
        Files.writeString(directory.resolve(name + ".txt"), text);
    }

    /** Length and checksum, for bytes of any size on one line. */
    static String sum(ByteBuffer bytes) {
        if (bytes == null) return "null";
        CRC32C crc = new CRC32C();
        crc.update(bytes.duplicate());
        return "%d:%08x".formatted(bytes.remaining(), crc.getValue());
    }

    static byte[] array(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static Header header(String key, String value) {
        return new RecordHeader(key, bytes(value));
    }
}
