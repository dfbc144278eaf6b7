use std::fmt::Write as _;

/// Quotes an argument for Redis' inline commands.
///
/// fred sends `HELLO`, and in it the name and the password, as one line with spaces between.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                quoted.push('\\');
                quoted.push(char::from(byte));
            }
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => {
                // Writing to a String does not fail.
                let _ = write!(quoted, "\\x{byte:02x}");
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_the_argument_before_its_end() {
        assert_eq!(quoted(""), r#""""#);
        assert_eq!(quoted("plain"), r#""plain""#);
        assert_eq!(quoted("a b\"c\\d'"), r#""a b\"c\\d'""#);
        assert_eq!(
            quoted("\r\nFLUSHALL\0é"),
            r#""\x0d\x0aFLUSHALL\x00\xc3\xa9""#
        );
    }
}
