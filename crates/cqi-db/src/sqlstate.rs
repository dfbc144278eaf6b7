use cqi_errors::Kind;

/// Says what a SQLSTATE means to the caller.
pub(crate) fn kind(code: &str) -> Kind {
    match code {
        "57014" | "25P03" | "25P04" => Kind::Timeout,
        "23502" | "23514" | "44000" => Kind::InvalidInput,
        "40002" => Kind::Conflict,
        "55006" | "55P03" | "58030" | "72000" => Kind::Temporary,
        "57P04" => Kind::Permanent,
        "P0002" => Kind::NotFound,
        _ => match code.get(..2) {
            Some("08" | "40" | "53" | "57") => Kind::Temporary,
            Some("22") => Kind::InvalidInput,
            Some("23") => Kind::Conflict,
            _ => Kind::Permanent,
        },
    }
}

/// The server ends the connection, before it looks at another request.
pub(crate) fn is_farewell(code: &str) -> bool {
    matches!(code, "57P01" | "57P02" | "57P03" | "57P05")
}

/// A prepared statement no longer fits: its result type changed, or the server has forgotten it.
pub(crate) fn is_stale_statement(code: &str) -> bool {
    matches!(code, "0A000" | "26000")
}

/// A write reached a server that takes none.
pub(crate) const READ_ONLY: &str = "25006";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_their_exceptions() {
        let table = [
            ("08006", Kind::Temporary),
            ("0A000", Kind::Permanent),
            ("22001", Kind::InvalidInput),
            ("22P02", Kind::InvalidInput),
            ("23502", Kind::InvalidInput),
            ("23503", Kind::Conflict),
            ("23505", Kind::Conflict),
            ("23514", Kind::InvalidInput),
            ("23P01", Kind::Conflict),
            ("25006", Kind::Permanent),
            ("25P03", Kind::Timeout),
            ("28P01", Kind::Permanent),
            ("3D000", Kind::Permanent),
            ("40001", Kind::Temporary),
            ("40002", Kind::Conflict),
            ("40P01", Kind::Temporary),
            ("42501", Kind::Permanent),
            ("42601", Kind::Permanent),
            ("42P01", Kind::Permanent),
            ("44000", Kind::InvalidInput),
            ("53300", Kind::Temporary),
            ("54000", Kind::Permanent),
            ("55P03", Kind::Temporary),
            ("57014", Kind::Timeout),
            ("57P01", Kind::Temporary),
            ("57P04", Kind::Permanent),
            ("58030", Kind::Temporary),
            ("P0001", Kind::Permanent),
            ("P0002", Kind::NotFound),
            ("XX000", Kind::Permanent),
            ("?", Kind::Permanent),
        ];
        for (code, expected) in table {
            assert_eq!(kind(code), expected, "{code}");
        }
    }
}
