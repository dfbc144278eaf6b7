use std::fmt;

use cqi_cache::Key;
use proptest::collection::vec;
use proptest::prelude::*;

fn key(parts: &[impl fmt::Display]) -> Key {
    let (first, rest) = parts.split_first().unwrap();
    rest.iter().fold(Key::new(first), Key::part)
}

/// Reads the parts back from a key.
fn parts(key: &Key) -> Vec<String> {
    let part = |text: &str| {
        if text == "%" {
            return String::new();
        }
        let mut pieces = text.split('%');
        let mut bytes = pieces.next().unwrap().as_bytes().to_vec();
        for piece in pieces {
            let (code, rest) = piece.split_at(2);
            bytes.push(u8::from_str_radix(code, 16).unwrap());
            bytes.extend_from_slice(rest.as_bytes());
        }
        String::from_utf8(bytes).unwrap()
    };
    key.as_str().split(':').map(part).collect()
}

/// Text in which what could be mistaken is frequent.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a:%{}*\\n\\r ]{0,4}",
        "(%|:|%3A|%25){0,3}",
        "\\PC{0,20}",
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn the_parts_can_be_read_back_so_no_two_lists_give_one_key(list in vec(part(), 1..6)) {
        prop_assert_eq!(parts(&key(&list)), list);
    }

    #[test]
    fn different_lists_give_different_keys(a in vec(part(), 1..4), b in vec(part(), 1..4)) {
        prop_assert_eq!(a == b, key(&a) == key(&b));
    }

    #[test]
    fn a_key_is_plain_text(list in vec(part(), 1..6)) {
        let key = key(&list);
        prop_assert!(
            key.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b":%-._~".contains(&byte)),
            "{}", key.as_str()
        );
        prop_assert!(key.as_str().len() < 10_000 || key.to_string().len() < 160);
    }

    #[test]
    fn it_does_not_matter_in_how_many_pieces_a_part_is_written(a in ".{0,9}", b in ".{0,9}") {
        prop_assert_eq!(Key::new(format_args!("{a}{b}")), Key::new(format!("{a}{b}")));
    }
}

#[test]
fn an_empty_part_can_be_seen() {
    assert_eq!(Key::new("").as_str(), "%");
    assert_eq!(Key::new("").part("").part("a").as_str(), "%:%:a");
    assert_eq!(Key::new("%").as_str(), "%25");
}

/// As a date with a format that it does not know.
struct Fails;

impl fmt::Display for Fails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("20")?;
        Err(fmt::Error)
    }
}

#[test]
#[should_panic = "the Display of a key's part failed"]
fn a_part_that_cannot_be_written_is_no_key() {
    let _ = Key::new("day").part(Fails);
}

#[test]
fn a_key_is_shown_up_to_a_length() {
    let usual = Key::new("asset").part("x".repeat(122));
    assert_eq!(usual.to_string(), usual.as_str());
    let long = Key::new("asset").part("🔑".repeat(3_000));
    assert_eq!(long.as_str().len(), 6 + 3_000 * 12);
    let shown = long.to_string();
    assert!(shown.starts_with("asset:%F0%9F%94%91"), "{shown}");
    assert!(shown.ends_with("… (36006 bytes)"), "{shown}");
    assert!(shown.len() < 150);
    assert_eq!(format!("{long:?}"), shown);
}
