//! The headers of W3C Trace Context: every kind of case that the standard's own suite has.

use cqi_trace::{TraceContext, extract, extract_event};
use http::{HeaderMap, HeaderName, HeaderValue};

const PARENT: &str = "00-12345678901234567890123456789012-1234567890123456-01";

fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_bytes(value).unwrap())
    });
    pairs.collect()
}

/// Reads the same as headers of a request and of an event, which must agree.
fn read(pairs: &[(&str, &[u8])]) -> Option<TraceContext> {
    let request = extract(&headers(pairs));
    assert_eq!(request, extract_event(pairs.iter().copied()));
    request
}

fn parent(value: &str) -> Option<String> {
    read(&[("traceparent", value.as_bytes())]).map(|context| context.to_string())
}

fn state(values: &[&str]) -> Option<String> {
    let mut pairs: Vec<(&str, &[u8])> = vec![("traceparent", PARENT.as_bytes())];
    pairs.extend(values.iter().map(|value| ("tracestate", value.as_bytes())));
    // A bad tracestate leaves the traceparent alone.
    let context = read(&pairs).unwrap();
    assert_eq!(context.to_string(), PARENT);
    context.state().map(str::to_owned)
}

#[test]
fn a_traceparent_that_the_standard_ignores_starts_a_new_trace() {
    for (why, value) in [
        ("empty", ""),
        (
            "version 00 is 55 characters",
            "00-12345678901234567890123456789012-1234567890123456-01.",
        ),
        (
            "and not more fields",
            "00-12345678901234567890123456789012-1234567890123456-01-what-is-this",
        ),
        (
            "nor an open one",
            "00-12345678901234567890123456789012-1234567890123456-01-",
        ),
        (
            "later ones go on with a dash",
            "cc-12345678901234567890123456789012-1234567890123456-01.what-is-this",
        ),
        (
            "also with more digits",
            "cc-12345678901234567890123456789012-1234567890123456-011",
        ),
        (
            "later ones are no shorter",
            "cc-12345678901234567890123456789012-1234567890123456-0",
        ),
        (
            "version ff is forbidden",
            "ff-12345678901234567890123456789012-1234567890123456-01",
        ),
        (
            "with more fields too",
            "ff-12345678901234567890123456789012-1234567890123456-01-more",
        ),
        (
            "version: no digit first",
            ".0-12345678901234567890123456789012-1234567890123456-01",
        ),
        (
            "version: no digit last",
            "0.-12345678901234567890123456789012-1234567890123456-01",
        ),
        (
            "version: upper case",
            "CC-12345678901234567890123456789012-1234567890123456-01",
        ),
        (
            "version: three digits",
            "000-12345678901234567890123456789012-1234567890123456-01",
        ),
        (
            "version: four digits",
            "0000-12345678901234567890123456789012-1234567890123456-01",
        ),
        (
            "version: one digit",
            "0-12345678901234567890123456789012-1234567890123456-01",
        ),
        (
            "version: none",
            "12345678901234567890123456789012-1234567890123456-01",
        ),
        (
            "trace id: zero",
            "00-00000000000000000000000000000000-1234567890123456-01",
        ),
        (
            "trace id: no digit first",
            "00-.2345678901234567890123456789012-1234567890123456-01",
        ),
        (
            "trace id: no digit last",
            "00-1234567890123456789012345678901.-1234567890123456-01",
        ),
        (
            "trace id: upper case",
            "00-1234567890123456789012345678901A-1234567890123456-01",
        ),
        (
            "trace id: too long",
            "00-123456789012345678901234567890123-1234567890123456-01",
        ),
        (
            "trace id: too short",
            "00-1234567890123456789012345678901-1234567890123456-01",
        ),
        (
            "trace id: too short by one, filled",
            "00-1234567890123456789012345678901--1234567890123456-01",
        ),
        (
            "parent id: zero",
            "00-12345678901234567890123456789012-0000000000000000-01",
        ),
        (
            "parent id: no digit first",
            "00-12345678901234567890123456789012-.234567890123456-01",
        ),
        (
            "parent id: no digit last",
            "00-12345678901234567890123456789012-123456789012345.-01",
        ),
        (
            "parent id: upper case",
            "00-12345678901234567890123456789012-123456789012345A-01",
        ),
        (
            "parent id: too long",
            "00-12345678901234567890123456789012-12345678901234567-01",
        ),
        (
            "parent id: too short",
            "00-12345678901234567890123456789012-123456789012345-01",
        ),
        (
            "flags: no digit first",
            "00-12345678901234567890123456789012-1234567890123456-.0",
        ),
        (
            "flags: no digit last",
            "00-12345678901234567890123456789012-1234567890123456-0.",
        ),
        (
            "flags: upper case",
            "00-12345678901234567890123456789012-1234567890123456-0A",
        ),
        (
            "flags: too long",
            "00-12345678901234567890123456789012-1234567890123456-001",
        ),
        (
            "flags: too short",
            "00-12345678901234567890123456789012-1234567890123456-1",
        ),
        (
            "flags: none",
            "00-12345678901234567890123456789012-1234567890123456-",
        ),
        (
            "a sign is no digit",
            "00-+2345678901234567890123456789012-1234567890123456-01",
        ),
        (
            "another first dash",
            "00_12345678901234567890123456789012-1234567890123456-01",
        ),
        (
            "another second dash",
            "00-12345678901234567890123456789012_1234567890123456-01",
        ),
        (
            "another third dash",
            "00-12345678901234567890123456789012-1234567890123456_01",
        ),
        (
            "a blank inside",
            "00 -12345678901234567890123456789012-1234567890123456-01",
        ),
        (
            "two in one",
            "00-12345678901234567890123456789012-1234567890123456-01,00-12345678901234567890123456789012-1234567890123456-01",
        ),
        (
            "no ASCII",
            "00-1234567890123456789012345678901é-1234567890123456-01",
        ),
    ] {
        assert_eq!(parent(value), None, "{why}: {value}");
    }
}

#[test]
fn a_valid_traceparent_is_taken() {
    for (why, value, expected) in [
        ("sampled", PARENT, PARENT),
        (
            "not sampled",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        ),
        (
            "the random flag goes with the trace id",
            "00-12345678901234567890123456789012-1234567890123456-02",
            "00-12345678901234567890123456789012-1234567890123456-02",
        ),
        (
            "unknown flags are not handed on",
            "00-12345678901234567890123456789012-1234567890123456-ff",
            "00-12345678901234567890123456789012-1234567890123456-03",
        ),
        (
            "bits that look sampled are not",
            "00-12345678901234567890123456789012-1234567890123456-0c",
            "00-12345678901234567890123456789012-1234567890123456-00",
        ),
        (
            "a later version",
            "cc-12345678901234567890123456789012-1234567890123456-01",
            PARENT,
        ),
        (
            "a later version with more fields",
            "01-12345678901234567890123456789012-1234567890123456-01-what-the-future-brings",
            PARENT,
        ),
        (
            "blanks around",
            "\t 00-12345678901234567890123456789012-1234567890123456-01 \t",
            PARENT,
        ),
        (
            "the smallest ids",
            "00-00000000000000000000000000000001-0000000000000001-01",
            "00-00000000000000000000000000000001-0000000000000001-01",
        ),
        (
            "the largest ids",
            "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-01",
            "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-01",
        ),
    ] {
        assert_eq!(parent(value).as_deref(), Some(expected), "{why}");
    }
}

#[test]
fn two_parents_are_none_and_names_know_no_case() {
    let other = "00-12345678901234567890123456789011-1234567890123456-01";
    let twice = [PARENT, other].map(|value| ("traceparent", value.as_bytes()));
    assert_eq!(read(&twice), None);
    assert_eq!(read(&[twice[0], twice[0]]), None);
    for name in ["trace-parent", "trace.parent", "traceparents"] {
        assert_eq!(read(&[(name, PARENT.as_bytes())]), None, "{name}");
    }
    for (parent, state) in [("TraceParent", "TraceState"), ("TRACEPARENT", "TRACESTATE")] {
        let context = read(&[(parent, PARENT.as_bytes()), (state, b"foo=1")]).unwrap();
        assert_eq!(context.state(), Some("foo=1"));
    }
    assert_eq!(read(&[("tracestate", b"foo=1")]), None);
    assert_eq!(
        read(&[("traceparent", b"00-x"), ("tracestate", b"foo=1")]),
        None
    );
}

#[test]
fn a_malformed_tracestate_is_dropped_whole() {
    for (why, values) in [
        ("a blank in the key", &["foo =1"] as &[&str]),
        ("an upper-case key", &["FOO=1"]),
        ("a dot in the key", &["foo.bar=1"]),
        ("no key", &["=1"]),
        ("a key that begins with @", &["@foo=1,bar=2"]),
        ("a key that begins with a sign", &["_foo=1"]),
        ("no equals sign", &["foo"]),
        ("two equals signs", &["foo=bar=baz"]),
        ("no value", &["foo=,bar=3"]),
        ("a value of blanks", &["foo=  ,bar=3"]),
        ("a tab in the value", &["foo=a\tb"]),
        ("no ASCII in the value", &["foo=é"]),
        ("no ASCII in the key", &["fé=1"]),
        ("one bad header of several", &["foo=1", "bar"]),
    ] {
        assert_eq!(state(values), None, "{why}");
    }
}

#[test]
fn a_tracestate_in_one_piece_is_kept_as_it_came() {
    let value: String = (b' '..=b'~')
        .map(char::from)
        .filter(|char| !matches!(char, ',' | '='))
        .collect();
    let all = format!("abcdefghijklmnopqrstuvwxyz0123456789_-*/@a-z={value}");
    for kept in [
        "foo=1",
        "foo=1,bar=2",
        "foo=1 \t , \t bar=2, \t baz=3",
        "foo=1,,bar=2,",
        "foo=1,foo=2",
        "foo@=1,bar=2",
        "foo@@bar=1,foo@bar@baz=2",
        "0=1",
        "foo=  1",
        &all,
    ] {
        assert_eq!(state(&[kept]).as_deref(), Some(kept));
    }
}

#[test]
fn a_tracestate_in_pieces_is_joined_in_order() {
    for (values, expected) in [
        (
            &["foo=1,bar=2", "rojo=1,congo=2", "baz=3"] as &[&str],
            Some("foo=1,bar=2,rojo=1,congo=2,baz=3"),
        ),
        (&["foo=1", ""], Some("foo=1")),
        (&["", "foo=1"], Some("foo=1")),
        (&[" foo=1\t,", "\t", " , bar=2 "], Some("foo=1,bar=2")),
        (&[""], None),
        (&[" , \t"], None),
        (&["", ""], None),
    ] {
        assert_eq!(state(values).as_deref(), expected, "{values:?}");
    }
}

#[test]
fn a_list_has_32_members_at_most() {
    let members = |count: usize| {
        let members: Vec<_> = (1..=count).map(|n| format!("bar{n:02}={n:02}")).collect();
        members
    };
    let (most, more) = (members(32), members(33));
    let pieces: Vec<_> = most.chunks(10).map(|piece| piece.join(",")).collect();
    let pieces: Vec<_> = pieces.iter().map(String::as_str).collect();
    assert_eq!(state(&pieces), Some(most.join(",")));
    assert_eq!(state(&[&most.join(",")]), Some(most.join(",")));
    assert_eq!(state(&[&more.join(",")]), None);
    let padded = format!("{},,,", most.join(",,"));
    assert_eq!(state(&[&padded]), Some(padded));
}

#[test]
fn keys_and_values_have_256_characters_at_most() {
    let kept = |member: String| state(&["foo=1", &member]) == Some(format!("foo=1,{member}"));
    assert!(kept(format!("{}=1", "z".repeat(256))));
    assert!(!kept(format!("{}=1", "z".repeat(257))));
    assert!(kept(format!("{}@{}=1", "t".repeat(241), "v".repeat(14))));
    assert!(kept(format!("z={}", "1".repeat(256))));
    assert_eq!(state(&["foo=1", &format!("z={}", "1".repeat(257))]), None);
}

#[test]
fn a_tracestate_in_pieces_may_have_512_characters() {
    let (first, fits, more) = (
        format!("a={}", "x".repeat(253)),
        format!("b={}", "x".repeat(254)),
        format!("b={}", "x".repeat(255)),
    );
    assert_eq!(state(&[&first, &fits]), Some(format!("{first},{fits}")));
    assert_eq!(state(&[&first, &more]), Some(first));
}

#[test]
fn a_tracestate_of_more_than_512_characters_loses_members_long_ones_first() {
    let member = |key: char, length: usize| format!("{key}={}", "1".repeat(length - 2));
    let list = |members: &[(char, usize)]| {
        let members: Vec<_> = members
            .iter()
            .map(|(key, length)| member(*key, *length))
            .collect();
        members.join(",")
    };
    let short = [('a', 127), ('b', 127), ('c', 127)];
    for (sent, kept) in [
        // 512 with the commas, and one more.
        (vec![short[0], short[1], short[2], ('d', 128)], "abcd"),
        (vec![short[0], short[1], ('c', 128), ('d', 128)], "abc"),
        (vec![('x', 129), short[0], short[1], short[2]], "abc"),
        (vec![('x', 129), ('y', 258), short[0]], "xa"),
        (vec![('x', 250), ('y', 250), ('z', 250), short[0]], "xa"),
    ] {
        let kept: Vec<_> = sent
            .iter()
            .copied()
            .filter(|(key, _)| kept.contains(*key))
            .collect();
        assert_eq!(state(&[&list(&sent)]), Some(list(&kept)), "{sent:?}");
    }
    let huge = format!("{}={}", "z".repeat(256), "1".repeat(256));
    assert_eq!(state(&[&huge]), None);
    assert_eq!(state(&[&huge, "foo=1"]).as_deref(), Some("foo=1"));
}

/// Bytes of the kinds that the parsers tell apart, so that random values come near valid ones.
fn likely(random: &mut fastrand::Rng) -> Vec<u8> {
    let length = random.usize(..300);
    let byte = |random: &mut fastrand::Rng| match random.u8(..8) {
        0..4 => b"0123456789abcdef"[random.usize(..16)],
        4..7 => *random.choice(b"-=,@ \tAFz_*/.").unwrap(),
        _ => random.u8(..),
    };
    (0..length).map(|_| byte(random)).collect()
}

/// A valid value with a few bytes changed, added or left out.
fn damaged(valid: &str, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut value = valid.as_bytes().to_vec();
    for _ in 0..random.usize(..4) {
        let at = random.usize(..value.len());
        match random.u8(..3) {
            0 => value[at] = random.u8(..),
            1 => value.insert(at, random.u8(..)),
            _ => drop(value.remove(at)),
        }
    }
    value
}

#[test]
fn no_bytes_break_the_parsers() {
    let asked = std::env::var("CQI_FUZZ_CASES").ok();
    let cases = asked.and_then(|cases| cases.parse().ok()).unwrap_or(50_000);
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut taken = (0, 0);
    for _ in 0..cases {
        let parent = match random.u8(..3) {
            0 => likely(&mut random),
            1 => damaged(PARENT, &mut random),
            _ => PARENT.into(),
        };
        let states: Vec<_> = (0..random.usize(..4))
            .map(|_| match random.bool() {
                true => likely(&mut random),
                false => damaged("foo=1,bar@baz= 2 ,,rojo=00f067aa0ba902b7", &mut random),
            })
            .collect();
        let mut pairs = vec![("traceparent", parent.as_slice())];
        pairs.extend(states.iter().map(|state| ("tracestate", state.as_slice())));
        let Some(context) = extract_event(pairs.iter().copied()) else {
            continue;
        };
        taken.0 += 1;
        taken.1 += usize::from(context.state().is_some());
        let parent = context.to_string();
        let mut sent = vec![("traceparent", parent.as_bytes())];
        sent.extend(
            context
                .state()
                .map(|state| ("tracestate", state.as_bytes())),
        );
        let again = extract_event(sent.iter().copied());
        assert_eq!(
            again,
            Some(context.clone()),
            "seed {seed}: what is handed on is valid"
        );
        assert!(
            sent.iter().all(|(_, value)| value.len() <= 512),
            "seed {seed}"
        );
    }
    assert!(
        taken.0 > cases / 4 && taken.1 > cases / 100,
        "{taken:?} of {cases}"
    );
}
