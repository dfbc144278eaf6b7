//! Kafka's listeners for users and for encrypted connections.

use cqi_testkit::{Kafka, Listener};

use crate::kafka::each_version;
use crate::kafka_wire::{connect, log_in, metadata_of};

each_version! {
    users_log_in
}

async fn users_log_in(version: &str) {
    let builder = Kafka::builder().version(version).private();
    let kafka = builder
        .sasl_plain("alice", "se\"cr\\et€")
        .sasl_plain("carol", "other")
        .scram("bob", "pass word")
        .start()
        .await
        .unwrap();
    let address = kafka.bootstrap_of(Listener::SaslPlaintext);
    let login = |mechanism, message: &str| {
        let mut stream = connect(&address).unwrap();
        let answer = log_in(&mut stream, mechanism, message)?;
        // Only who is logged in goes on.
        Ok::<_, std::io::Error>((answer, metadata_of(&mut stream)))
    };
    for message in ["\0alice\0se\"cr\\et€", "\0carol\0other"] {
        let (answer, metadata) = login("PLAIN", message).unwrap();
        assert_eq!(answer, "");
        let advertised = metadata.unwrap().remove(0);
        assert_eq!(format!("{}:{}", advertised.1, advertised.2), address);
    }
    let wrong = login("PLAIN", "\0alice\0other").unwrap_err().to_string();
    assert_eq!(wrong, "error code 58", "{version}");
    let unknown = login("GSSAPI", "").unwrap_err().to_string();
    assert_eq!(unknown, "error code 33", "{version}");
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let (answer, metadata) = login(mechanism, "n,,n=bob,r=nonce").unwrap();
        assert!(
            answer.starts_with("r=nonce") && answer.contains(",i="),
            "{answer}"
        );
        // Kafka wants the second message; some versions say so in an answer without brokers.
        assert!(metadata.is_err() || metadata.unwrap().is_empty());
        login(mechanism, "n,,n=eve,r=nonce").unwrap_err();
    }
    let mut stream = connect(&address).unwrap();
    metadata_of(&mut stream).unwrap_err();
    // Users outlive their broker.
    kafka.broker(1).kill().unwrap();
    kafka.broker(1).restart().await.unwrap();
    let (answer, _) = login("SCRAM-SHA-256", "n,,n=bob,r=nonce").unwrap();
    assert!(answer.starts_with("r=nonce"), "{answer}");
}

#[cfg(feature = "tls")]
mod encrypted {
    use std::io::{Read, Result, Write};
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

    use cqi_testkit::{Kafka, Listener};

    use crate::kafka::each_version;
    use crate::kafka_wire::{connect, log_in, metadata_of};

    each_version! {
        encrypted_connections_are_served
    }

    /// An encrypted connection, made by `openssl`.
    struct Connection {
        child: Child,
        input: ChildStdin,
        output: ChildStdout,
    }

    impl Connection {
        fn open(kafka: &Kafka, listener: Listener, trusted: &Kafka, proof: bool) -> Self {
            let mut openssl = Command::new("openssl");
            openssl.args(["s_client", "-quiet", "-verify_return_error"]);
            openssl.args(["-verify_ip", "127.0.0.1", "-connect"]);
            openssl.arg(kafka.bootstrap_of(listener));
            openssl.arg("-CAfile").arg(trusted.ca_file());
            if proof {
                let certificate = kafka.client_certificate_file();
                // The chain with the authority between, which the broker does not have.
                openssl.arg("-cert").arg(&certificate);
                openssl.arg("-cert_chain").arg(&certificate);
                openssl.arg("-key").arg(kafka.client_key_file());
            }
            let piped = openssl.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = piped.stderr(Stdio::null()).spawn().unwrap();
            let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            Self {
                child,
                input,
                output,
            }
        }
    }

    impl Drop for Connection {
        fn drop(&mut self) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }

    impl Read for Connection {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            self.output.read(buffer)
        }
    }

    impl Write for Connection {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            self.input.write(bytes)
        }

        fn flush(&mut self) -> Result<()> {
            self.input.flush()
        }
    }

    async fn encrypted_connections_are_served(version: &str) {
        let builder = Kafka::builder().version(version).tls().private();
        let kafka = builder.sasl_plain("alice", "secret").start().await.unwrap();
        let open = |listener, trusted| Connection::open(&kafka, listener, trusted, false);
        for listener in [Listener::Ssl, Listener::SaslSsl] {
            let mut connection = open(listener, &kafka);
            if listener == Listener::SaslSsl {
                log_in(&mut connection, "PLAIN", "\0alice\0secret").unwrap();
            }
            let metadata = metadata_of(&mut connection).unwrap();
            let advertised = format!("{}:{}", metadata[0].1, metadata[0].2);
            assert_eq!(advertised, kafka.bootstrap_of(listener), "{version}");
        }
        let mut plain = connect(&kafka.bootstrap_of(Listener::Ssl)).unwrap();
        metadata_of(&mut plain).unwrap_err();

        let demanding = Kafka::builder()
            .version(version)
            .tls_client_certificate_required();
        let demanding = demanding.start().await.unwrap();
        metadata_of(&mut open(Listener::Ssl, &demanding)).unwrap_err();
        let open = |proof| Connection::open(&demanding, Listener::Ssl, &demanding, proof);
        metadata_of(&mut open(false)).unwrap_err();
        metadata_of(&mut open(true)).unwrap();
    }
}
