//! SCRAM without I/O (RFC 5802, RFC 7677).

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

/// What servers must ask for at least, as RFC 7677 and the Java client have it.
const FEWEST_ITERATIONS: u32 = 4096;

/// Takes about a second; a server that asks for more would burn the client's processor.
const MOST_ITERATIONS: u32 = 1_000_000;

/// Why a server's message is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// It breaks the protocol.
    Malformed(&'static str),
    Iterations(u32),
    /// It does not know the password.
    Impostor,
    /// It says so itself (`e=`).
    Said(String),
}

/// The hash that a mechanism is named for.
#[derive(Clone, Copy)]
pub(super) struct Hash {
    pbkdf2: pbkdf2::Algorithm,
    hmac: hmac::Algorithm,
    digest: &'static digest::Algorithm,
}

pub(super) const SHA_256: Hash = Hash {
    pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256,
    hmac: hmac::HMAC_SHA256,
    digest: &digest::SHA256,
};

pub(super) const SHA_512: Hash = Hash {
    pbkdf2: pbkdf2::PBKDF2_HMAC_SHA512,
    hmac: hmac::HMAC_SHA512,
    digest: &digest::SHA512,
};

/// No channel binding, and no identity besides the user's.
const HEADER: &str = "n,,";

/// The client's first message: who it is.
#[derive(Debug)]
pub(super) struct First {
    nonce: String,
    /// Without the header.
    bare: String,
}

/// What the server asks for: a proof that the client knows the password.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    nonce: String,
    salt: Vec<u8>,
    iterations: NonZeroU32,
    /// All of it.
    message: String,
}

/// The client's last message, and what the server must answer.
pub(super) struct Proof {
    pub(super) message: String,
    server_key: hmac::Key,
    auth_message: String,
}

impl First {
    /// Says who the client is, with a nonce of 192 random bits.
    pub(super) fn new(user: &str) -> Result<Self, Refused> {
        let mut random = [0; 24];
        rand::fill(&mut random)
            .map_err(|_| Refused::Malformed("this system has no random numbers"))?;
        Ok(Self::with_nonce(user, STANDARD.encode(random)))
    }

    fn with_nonce(user: &str, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self {
            bare: format!("n={user},r={nonce}"),
            nonce,
        }
    }

    pub(super) fn message(&self) -> String {
        format!("{HEADER}{}", self.bare)
    }

    /// Reads the server's answer.
    pub(super) fn challenge(&self, message: &[u8]) -> Result<Challenge, Refused> {
        let message = text(message)?;
        let mut attributes = message.split(',');
        // An extension that must be understood (`m=`) stands where the nonce is due.
        let nonce = attribute(&mut attributes, "r=", "its first message lacks the nonce")?;
        let salt = attribute(&mut attributes, "s=", "its first message lacks the salt")?;
        let iterations = attribute(
            &mut attributes,
            "i=",
            "its first message lacks the iterations",
        )?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(Refused::Malformed(
                "it does not go on with the client's nonce",
            ));
        }
        let salt = STANDARD
            .decode(salt)
            .map_err(|_| Refused::Malformed("its salt is not base64"))?;
        if salt.is_empty() {
            return Err(Refused::Malformed("its salt is empty"));
        }
        let iterations: u32 = iterations
            .parse()
            .map_err(|_| Refused::Malformed("its iterations are no number that fits"))?;
        if !(FEWEST_ITERATIONS..=MOST_ITERATIONS).contains(&iterations) {
            return Err(Refused::Iterations(iterations));
        }
        Ok(Challenge {
            nonce: nonce.to_owned(),
            salt,
            iterations: NonZeroU32::new(iterations).ok_or(Refused::Iterations(iterations))?,
            message: message.to_owned(),
        })
    }
}

impl Challenge {
    /// Proves that the client knows the password; takes a millisecond for every few thousand
    /// iterations, of which there are a million at most.
    pub(super) fn prove(&self, first: &First, hash: Hash, password: &SecretString) -> Proof {
        let length = hash.digest.output_len();
        let mut salted = [0; digest::MAX_OUTPUT_LEN];
        let salted = &mut salted[..length];
        let password = password.expose_secret().as_bytes();
        pbkdf2::derive(hash.pbkdf2, self.iterations, &self.salt, password, salted);

        let salted = hmac::Key::new(hash.hmac, salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let server_key = hmac::sign(&salted, b"Server Key");
        let stored_key = digest::digest(hash.digest, client_key.as_ref());

        let bound = STANDARD.encode(HEADER);
        let without_proof = format!("c={bound},r={}", self.nonce);
        let auth_message = format!("{},{},{without_proof}", first.bare, self.message);
        let stored_key = hmac::Key::new(hash.hmac, stored_key.as_ref());
        let signature = hmac::sign(&stored_key, auth_message.as_bytes());
        let both = client_key.as_ref().iter().zip(signature.as_ref());
        let proof: Vec<u8> = both.map(|(key, signature)| key ^ signature).collect();
        Proof {
            message: format!("{without_proof},p={}", STANDARD.encode(proof)),
            server_key: hmac::Key::new(hash.hmac, server_key.as_ref()),
            auth_message,
        }
    }
}

impl Proof {
    /// Checks, in constant time, that the server knows the password too.
    pub(super) fn verify(&self, message: &[u8]) -> Result<(), Refused> {
        let mut attributes = text(message)?.split(',');
        let first = attributes.next().unwrap_or_default();
        if let Some(error) = first.strip_prefix("e=") {
            return Err(Refused::Said(error.chars().take(200).collect()));
        }
        let signature = first
            .strip_prefix("v=")
            .and_then(|signature| STANDARD.decode(signature).ok())
            .ok_or(Refused::Malformed("its last message lacks the signature"))?;
        hmac::verify(&self.server_key, self.auth_message.as_bytes(), &signature)
            .map_err(|_| Refused::Impostor)
    }
}

fn text(message: &[u8]) -> Result<&str, Refused> {
    std::str::from_utf8(message).map_err(|_| Refused::Malformed("its message is not UTF-8"))
}

fn attribute<'m>(
    attributes: &mut std::str::Split<'m, char>,
    name: &str,
    problem: &'static str,
) -> Result<&'m str, Refused> {
    let attribute = attributes.next().and_then(|next| next.strip_prefix(name));
    attribute
        .filter(|value| !value.is_empty())
        .ok_or(Refused::Malformed(problem))
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(problem) => f.write_str(problem),
            Self::Iterations(count) => write!(
                f,
                "it asks for {count} iterations; allowed are {FEWEST_ITERATIONS} to {MOST_ITERATIONS}"
            ),
            Self::Impostor => f.write_str(
                "it does not know the password itself: it may be an impostor, check the address",
            ),
            Self::Said(error) => write!(f, "it says {error:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn first() -> First {
        First::with_nonce("user", "rOprNGfwEbeRWgbNEkqO".to_owned())
    }

    fn prove(hash: Hash, password: &str) -> Proof {
        let first = first();
        let challenge = first.challenge(SERVER_FIRST.as_bytes()).unwrap();
        challenge.prove(&first, hash, &password.into())
    }

    /// RFC 7677, section 3.
    #[test]
    fn the_exchange_of_rfc_7677() {
        assert_eq!(first().message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let proof = prove(SHA_256, "pencil");
        assert_eq!(
            proof.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let last = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(proof.verify(last), Ok(()));
        assert_eq!(prove(SHA_256, "other").verify(last), Err(Refused::Impostor));
        // A prefix of the signature is none.
        assert_eq!(proof.verify(b"v=6rriTRBi23WpRR8="), Err(Refused::Impostor));
        assert_eq!(proof.verify(b"v="), Err(Refused::Impostor));
    }

    #[test]
    fn names_are_escaped() {
        let first = First::with_nonce("a=b,c", "n".to_owned());
        assert_eq!(first.message(), "n,,n=a=3Db=2Cc,r=n");
    }

    #[test]
    fn nonces_differ() {
        let (one, other) = (First::new("u").unwrap(), First::new("u").unwrap());
        assert_ne!(one.nonce, other.nonce);
        assert_eq!(one.nonce.len(), 32);
    }

    #[test]
    fn a_server_that_breaks_the_protocol_is_refused() {
        let first = first();
        let nonce = "rOprNGfwEbeRWgbNEkqO";
        for message in [
            String::new(),
            "m=must,r=x,s=AAAA,i=4096".to_owned(),
            // Not longer than what the client sent, and not beginning with it.
            format!("r={nonce},s=AAAA,i=4096"),
            format!("r=x{nonce}x,s=AAAA,i=4096"),
            format!("r={nonce}x,s=,i=4096"),
            format!("r={nonce}x,s=A,i=4096"),
            format!("r={nonce}x,s=AAAA"),
            format!("r={nonce}x,s=AAAA,i="),
            format!("r={nonce}x,s=AAAA,i=-1"),
            format!("r={nonce}x,s=AAAA,i=99999999999"),
        ] {
            let refused = first.challenge(message.as_bytes());
            assert!(matches!(refused, Err(Refused::Malformed(_))), "{message}");
        }
        for count in [0, 1, 4095, 1_000_001, u32::MAX] {
            let message = format!("r={nonce}x,s=AAAA,i={count}");
            let refused = first.challenge(message.as_bytes());
            assert_eq!(refused, Err(Refused::Iterations(count)));
        }
        for count in [4096, 1_000_000] {
            let message = format!("r={nonce}x,s=AAAA,i={count},x=extension");
            assert!(first.challenge(message.as_bytes()).is_ok());
        }
        assert!(first.challenge(b"r=\xff").is_err());
    }

    #[test]
    fn a_servers_error_is_told() {
        let refused = prove(SHA_512, "pencil")
            .verify(b"e=unknown-user,x=y")
            .unwrap_err();
        assert_eq!(refused, Refused::Said("unknown-user".to_owned()));
        assert_eq!(refused.to_string(), "it says \"unknown-user\"");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = first().challenge(&message);
        }

        #[test]
        fn what_looks_like_a_challenge_is_read_or_refused(
            message in "(r=rOprNGfwEbeRWgbNEkqO[ -~]{0,9}|[a-z]=[ -~]{0,20})(,[rsivem]=[ -~]{0,20}){0,4}"
        ) {
            let _ = first().challenge(message.as_bytes());
        }
    }
}
