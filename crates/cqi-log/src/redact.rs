//! Which fields are kept out of the log.

/// The keys whose values are never written.
#[derive(Debug, Default)]
pub(crate) struct Redact {
    keys: Vec<String>,
    /// Bit `n` is set where some key is `n` bytes long: most names are settled by their length.
    lengths: u64,
}

impl Redact {
    pub(crate) fn new(keys: &[String]) -> Self {
        let keys: Vec<_> = keys.iter().map(|key| key.trim().to_owned()).collect();
        let lengths = keys.iter().fold(0, |bits, key| bits | bit(key.len()));
        Self { keys, lengths }
    }

    /// Says whether the name, or what follows a dot in it, is one of the keys.
    pub(crate) fn covers(&self, name: &str) -> bool {
        let dots = name.match_indices('.');
        self.contains(name)
            || dots
                .map(|(dot, _)| &name[dot + 1..])
                .any(|rest| self.contains(rest))
    }

    fn contains(&self, name: &str) -> bool {
        self.lengths & bit(name.len()) != 0 && self.keys.iter().any(|key| same(key, name))
    }
}

fn bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// Compares without regard to case, and takes `-` for `_`, as a header's name is often a field's.
fn same(key: &str, name: &str) -> bool {
    let plain = |byte: u8| match byte {
        b'-' => b'_',
        byte => byte.to_ascii_lowercase(),
    };
    key.len() == name.len() && key.bytes().map(plain).eq(name.bytes().map(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_whole_names_and_what_follows_a_dot() {
        let redact = Redact::new(&["password", "Set-Cookie", "card.number"].map(str::to_owned));
        for name in [
            "password",
            "PassWord",
            "user.password",
            "set_cookie",
            "http.response.SET-COOKIE",
            "card.number",
            "request_header.card.number",
        ] {
            assert!(redact.covers(name), "{name}");
        }
        for name in [
            "passwords",
            "password.length",
            "cookie",
            "a_password",
            "number",
            "",
        ] {
            assert!(!redact.covers(name), "{name}");
        }
    }

    #[test]
    fn a_long_key_matches() {
        let key = "k".repeat(200);
        let redact = Redact::new(std::slice::from_ref(&key));
        assert!(redact.covers(&key));
        assert!(!redact.covers(&"k".repeat(199)));
    }
}
