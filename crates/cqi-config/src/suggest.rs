/// Longer names are compared with nothing: the time it takes grows with their length.
const MAX_NAME: usize = 64;

/// Returns the known name that is nearest to a misspelled one, when one is near.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    if name.len() > MAX_NAME {
        return None;
    }
    let plain = |name: &str| name.replace(['-', '_'], "").to_lowercase();
    let wanted = plain(name);
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&wanted, &plain(known)), known))
        .filter(|(distance, known)| *distance <= name.len().max(known.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known.to_owned())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["host", "port", "max_connections", "min_connections"];
        let nearest = |name: &str| nearest(name, known);
        assert_eq!(nearest("prot").as_deref(), Some("port"));
        assert_eq!(
            nearest("maxConnections").as_deref(),
            Some("max_connections")
        );
        assert_eq!(
            nearest("max-conections").as_deref(),
            Some("max_connections")
        );
        assert_eq!(nearest("timeout"), None);
        assert_eq!(nearest(""), None);
        assert_eq!(nearest(&"port".repeat(1 << 20)), None);
    }
}
