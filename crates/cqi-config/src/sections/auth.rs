use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::rules::{http_url, positive};
use crate::{HumanDuration, Secret, timestamp};

/// Who may call the service. With neither API keys nor JWT keys, nobody is admitted.
#[derive(Clone, Debug, Default, Deserialize, Serialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[garde(allow_unvalidated)]
pub struct AuthConfig {
    /// The API keys that are admitted. Default: none.
    #[garde(dive, custom(distinct))]
    pub api_keys: Vec<ApiKeyConfig>,
    /// Which JSON Web Tokens are admitted.
    #[garde(dive)]
    pub jwt: JwtConfig,
}

/// An API key: the caller sends `id.secret`, the service keeps only a hash of the secret.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[garde(allow_unvalidated)]
pub struct ApiKeyConfig {
    /// The public part of the key, which logs may show.
    #[garde(length(min = 1, max = 64), custom(without_dot))]
    pub id: String,
    /// The SHA-256 of the secret part, as 64 hexadecimal digits. It is treated as a secret, so that a
    /// key pasted here by mistake is not shown either.
    #[garde(custom(hexadecimal))]
    pub sha256: Secret,
    /// The service that calls with this key.
    #[garde(length(min = 1))]
    pub owner: String,
    /// What the key allows. Default: nothing.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// When the key ends, such as `2027-01-31T00:00:00Z`. Default: never.
    #[serde(default, with = "timestamp")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<timestamp::Text>"))]
    pub expires_at: Option<SystemTime>,
}

/// Which JSON Web Tokens are admitted. A token needs a known key, and `exp`, `iss` and `aud`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[garde(allow_unvalidated)]
pub struct JwtConfig {
    /// The `iss` that tokens must name; needed with any key. Default: empty.
    #[garde(custom(|issuer: &String, (): &()| self.needs(issuer.is_empty())))]
    pub issuer: String,
    /// The `aud` of which tokens must name one; needed with any key. Default: none.
    #[garde(custom(|audience: &Vec<String>, (): &()| self.needs(audience.is_empty())))]
    pub audience: Vec<String>,
    /// Public keys in files. Default: none.
    #[garde(dive)]
    pub keys: Vec<JwtKeyConfig>,
    /// A file with a JSON Web Key Set of public keys. Default: none.
    pub jwks_file: Option<PathBuf>,
    /// Where a JSON Web Key Set is fetched. Default: none.
    #[garde(inner(custom(http_url)))]
    pub jwks_url: Option<String>,
    /// How long a fetched key set is used before it is fetched again. Default: 15m.
    #[serde(with = "HumanDuration")]
    #[garde(custom(positive))]
    pub jwks_ttl: Duration,
    /// How far clocks may differ when `exp` and `nbf` are judged. Default: 30s.
    #[serde(with = "HumanDuration")]
    pub leeway: Duration,
    /// The most verified tokens that are remembered, so that they need not be verified again; 0
    /// remembers none. Default: 0.
    pub cache_size: u32,
}

/// A public key that signs JSON Web Tokens, and the one algorithm it signs with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[garde(allow_unvalidated)]
pub struct JwtKeyConfig {
    /// The `kid` of the tokens it signs; tokens without one are tried with a key whose id is empty.
    /// Default: empty.
    #[serde(default)]
    pub id: String,
    /// The algorithm.
    pub algorithm: JwtAlgorithm,
    /// A PEM file of the public key.
    pub file: PathBuf,
}

/// An algorithm that signs JSON Web Tokens, by its name in RFC 7518 and RFC 8037.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum JwtAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: Vec::new(),
            keys: Vec::new(),
            jwks_file: None,
            jwks_url: None,
            jwks_ttl: Duration::from_secs(15 * 60),
            leeway: Duration::from_secs(30),
            cache_size: 0,
        }
    }
}

impl JwtConfig {
    /// A token that is not bound to an issuer and an audience was made for somebody else.
    fn needs(&self, missing: bool) -> garde::Result {
        let has_keys = !self.keys.is_empty() || self.jwks_file.is_some() || self.jwks_url.is_some();
        match has_keys && missing {
            true => Err(garde::Error::new("must be set when auth.jwt has keys")),
            false => Ok(()),
        }
    }
}

fn distinct(keys: &[ApiKeyConfig], (): &()) -> garde::Result {
    let mut ids = BTreeSet::new();
    let mut named = keys.iter().filter(|key| !key.id.is_empty());
    match named.find(|key| !ids.insert(&key.id)) {
        Some(twice) => Err(garde::Error::new(format!(
            "must have distinct ids; {} is there twice",
            twice.id
        ))),
        None => Ok(()),
    }
}

fn without_dot(id: &str, (): &()) -> garde::Result {
    match id.contains('.') {
        true => Err(garde::Error::new(
            "must not contain a dot, which ends the id in a key",
        )),
        false => Ok(()),
    }
}

fn hexadecimal(hash: &Secret, (): &()) -> garde::Result {
    let hash = hash.expose();
    match hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err(garde::Error::new(
            "must be a SHA-256 hash of 64 hexadecimal digits",
        )),
    }
}
