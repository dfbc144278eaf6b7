//! `${VAR}` and `${VAR:-default}` in the texts of a file.

/// Replaces each `${VAR}` by the variable and each `$${` by `${`; none when there is neither.
///
/// # Errors
/// What is wrong with the text, or which variable is missing.
pub(crate) fn interpolate<'a>(
    text: &str,
    variable: impl Fn(&str) -> Option<&'a str>,
) -> Result<Option<String>, String> {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = rest.split_at(start);
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            rest = &after[2..];
            continue;
        }
        result.push_str(before);
        let Some((inside, after)) = after[2..].split_once('}') else {
            return Err("has ${ without }; write $${ for the text ${ itself".to_owned());
        };
        rest = after;
        result.push_str(&resolve(inside, &variable)?);
    }
    if rest.len() == text.len() {
        return Ok(None);
    }
    result.push_str(rest);
    Ok(Some(result))
}

fn resolve<'a>(inside: &str, variable: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let named = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
        && name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    if !named {
        return Err(
            "has ${..} around what is no name of a variable; write $${ for ${ itself".to_owned(),
        );
    }
    match (variable(name), default) {
        (_, Some(default)) if default.contains("${") => Err(format!(
            "has ${{..}} inside the default of ${{{name}}}, which is not supported"
        )),
        // As in a shell, `:-` also replaces a variable that is empty.
        (None | Some(""), Some(default)) => Ok(default.to_owned()),
        (Some(value), _) => Ok(value.to_owned()),
        (None, None) => Err(format!(
            "needs the variable {name}, which is not set; set it, or write ${{{name}:-default}}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Option<String>, String> {
        interpolate(text, |name| match name {
            "HOST" => Some("db"),
            "EMPTY" => Some(""),
            "NESTED" => Some("${HOST}"),
            _ => None,
        })
    }

    #[test]
    fn variables_and_defaults() {
        let ok = |text| read(text).unwrap().unwrap();
        assert_eq!(read("plain $HOST { } $"), Ok(None));
        assert_eq!(ok("${HOST}"), "db");
        assert_eq!(ok("a-${HOST}-${HOST}.z"), "a-db-db.z");
        assert_eq!(ok("${PORT:-5432}"), "5432");
        assert_eq!(ok("${PORT:-}"), "");
        assert_eq!(ok("${EMPTY}"), "");
        assert_eq!(ok("${EMPTY:-x:-y}"), "x:-y");
        assert_eq!(ok("${HOST:-x}"), "db");
        assert_eq!(ok("$${HOST}"), "${HOST}");
        assert_eq!(ok("$$${HOST}"), "$${HOST}");
        assert_eq!(ok("${NESTED}"), "${HOST}", "a value is not read again");
    }

    #[test]
    fn mistakes_are_named() {
        assert!(read("${MISSING}").unwrap_err().contains("MISSING"));
        assert!(read("${").unwrap_err().contains("without }"));
        assert!(
            read("${A:-${B}}")
                .unwrap_err()
                .contains("inside the default")
        );
        for text in [
            "${}", "${:-x}", "${1A}", "${A B}", "${A:?x}", "${a.b}", "${ä}",
        ] {
            assert!(read(text).unwrap_err().contains("no name"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*|([$]|[{]|[}]|:-|A|é)*") {
            let _ = read(&text);
        }

        #[test]
        fn an_escaped_text_is_kept(text in "([a-z ]|[$][{]|[}]|:-)*") {
            let escaped = text.replace("${", "$${");
            let kept = read(&escaped).unwrap().unwrap_or(escaped);
            prop_assert_eq!(kept, text);
        }

        #[test]
        fn texts_around_a_variable_stay(before in "[^$]*", after in "[^$]*") {
            let expected = format!("{before}db{after}");
            prop_assert_eq!(read(&format!("{before}${{HOST}}{after}")), Ok(Some(expected)));
        }
    }
}
