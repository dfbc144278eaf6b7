//! What a statement does, in a few words that are the same for all its parameters.

/// Returns the words of a statement, without comments.
pub(crate) fn words(sql: &str) -> impl Iterator<Item = &str> {
    Words { rest: sql }
}

/// Returns the verb in upper case and the first table, such as `SELECT assets`.
pub(crate) fn summary(sql: &str) -> String {
    let mut words = words(sql);
    let verb = words.next().unwrap_or("empty").to_ascii_uppercase();
    let target = match verb.as_str() {
        "UPDATE" | "CALL" | "TRUNCATE" | "LISTEN" | "COPY" | "CREATE" | "ALTER" | "DROP" => {
            words.next()
        }
        "SELECT" | "DELETE" | "INSERT" | "WITH" | "MERGE" => words
            .find(|word| word.eq_ignore_ascii_case("from") || word.eq_ignore_ascii_case("into"))
            .and_then(|_| words.next()),
        _ => None,
    };
    match target {
        Some(target) => format!("{verb} {target}"),
        None => verb,
    }
}

struct Words<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"');
            self.rest = self
                .rest
                .trim_start_matches(|c| !is_word(c) && !matches!(c, '-' | '/' | '\'' | '$'));
            if self.rest.is_empty() {
                return None;
            }
            let skipped = if self.rest.starts_with("--") {
                self.rest.find('\n').map(|end| end + 1)
            } else if self.rest.starts_with("/*") {
                self.rest.find("*/").map(|end| end + 2)
            } else if self.rest.starts_with('\'') {
                quoted(self.rest)
            } else if self.rest.starts_with('$') {
                dollar_quoted(self.rest)
            } else if self.rest.starts_with(['-', '/']) {
                Some(1)
            } else {
                let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                return Some(word);
            };
            self.rest = &self.rest[skipped.unwrap_or(self.rest.len())..];
        }
    }
}

/// Returns where a string ends; one with backslashes reaches at least as far as its escapes.
fn quoted(sql: &str) -> Option<usize> {
    let mut escaped = false;
    let end = sql[1..].find(|c| {
        let ends = c == '\'' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map(|end| end + 2)
}

/// Returns where `$tag$ .. $tag$` ends, or a placeholder like `$1`.
fn dollar_quoted(sql: &str) -> Option<usize> {
    let is_tag = |c: char| c.is_alphanumeric() || c == '_';
    let tag = sql[1..]
        .find(|c| !is_tag(c))
        .map_or(sql.len(), |end| end + 1);
    if !sql[tag..].starts_with('$') {
        return Some(tag);
    }
    let tag = &sql[..=tag];
    sql[tag.len()..].find(tag).map(|end| end + 2 * tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verb_and_table() {
        let table = [
            ("select * from assets where id = $1", "SELECT assets"),
            ("  -- why\n /* what */ SELECT 1", "SELECT"),
            (
                "insert into app.assets (id) values ($1)",
                "INSERT app.assets",
            ),
            ("update \"Assets\" set id = 1", "UPDATE \"Assets\""),
            ("delete from assets", "DELETE assets"),
            ("with x as (select 1 from a) select 2", "WITH a"),
            ("select 'from here' from there", "SELECT there"),
            ("select 'open", "SELECT"),
            ("create table t ()", "CREATE table"),
            ("begin", "BEGIN"),
            ("", "EMPTY"),
            ("/* open", "EMPTY"),
        ];
        for (sql, expected) in table {
            assert_eq!(summary(sql), expected, "{sql}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_one(sql in "\\PC*") {
            let _ = summary(&sql);
        }
    }
}
