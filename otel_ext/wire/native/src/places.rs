//! Places in a JSON text, and what stands between two markers. `otel_ext/wire/places.py` does the same.

use memchr::memmem;

use crate::skim::{Json, Skim};
use crate::unescape::unescape;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Member(Vec<u8>),
    Item(usize),
}

/// Where a value stands: a string's content without its quotes. `first` is the byte that tells what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub start: usize,
    pub end: usize,
    pub first: u8,
}

/// What stands at `path`; None for null, for what is not there, and for what is no JSON.
pub fn find(json: &[u8], path: &[Step]) -> Option<Place> {
    let skim = Skim { json };
    let mut at = skim.blanks(0);
    for step in path {
        at = match step {
            Step::Member(name) => member(skim, at, name)?,
            Step::Item(number) => item(skim, at, *number)?,
        };
    }
    let place = value(skim, at)?;
    (!path.is_empty() || ends(skim, &place)).then_some(place)
}

fn ends(skim: Skim, place: &Place) -> bool {
    match place.first {
        b'{' | b'[' => true,
        b'"' => skim.blanks(place.end + 1) == skim.json.len(),
        _ => skim.blanks(place.end) == skim.json.len(),
    }
}

/// The place of the value of the first member of that name. A walk stops at None: what it looked for is put aside first.
fn member(skim: Skim, at: usize, name: &[u8]) -> Option<usize> {
    let mut found = None;
    if skim.byte(at)? == b'{' {
        skim.members(at, |key, at| {
            if key == name {
                found = Some(at);
                return None;
            }
            skim.skip(at)
        });
    }
    found
}

fn item(skim: Skim, at: usize, number: usize) -> Option<usize> {
    let (mut found, mut left) = (None, number);
    if skim.byte(at)? == b'[' {
        skim.items(at, |at| {
            if left == 0 {
                found = Some(at);
                return None;
            }
            left -= 1;
            skim.skip(at)
        });
    }
    found
}

fn value(skim: Skim, at: usize) -> Option<Place> {
    let first = skim.byte(at)?;
    match first {
        b'{' | b'[' => Some(Place { start: at, end: skim.skip(at).unwrap_or(skim.json.len()), first }),
        b'"' => Some(Place { start: at + 1, end: skim.skip(at)? - 1, first }),
        _ => {
            let end = skim.skip(at)?;
            let raw = skim.between(at, end);
            let number = raw.iter().all(|byte| b"0123456789.eE+-".contains(byte));
            (number || raw == b"true" || raw == b"false").then_some(Place { start: at, end, first })
        }
    }
}

/// The range between the first `before` and the next `after`; an empty one is the start or the end.
pub fn between(text: &[u8], before: &[u8], after: &[u8]) -> Option<(usize, usize)> {
    let start = memmem::find(text, before)? + before.len();
    let rest = text.get(start..)?;
    let length = if after.is_empty() { rest.len() } else { memmem::find(rest, after)? };
    Some((start, start + length))
}

/// The strings of the JSON array that `json` starts with, without escapes; other items are left out.
pub fn strings_in(json: &[u8]) -> Vec<Vec<u8>> {
    let skim = Skim { json };
    let mut found = Vec::new();
    if skim.byte(0) == Some(b'[') {
        skim.items(0, |at| {
            let mut slot = None;
            let end = skim.take(at, &mut slot)?;
            found.extend(slot.and_then(Json::string).map(unescape));
            Some(end)
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_what_is_none() {
        let json = br#" {"a": [1, {"b": "x\"y"}], "c": {"d": [1, 2"#;
        let text = |path: &[Step]| find(json, path).map(|place| json.get(place.start..place.end).unwrap_or_default());
        let member = |name: &str| Step::Member(name.as_bytes().to_vec());
        assert_eq!(text(&[member("a"), Step::Item(1), member("b")]), Some(br#"x\"y"#.as_slice()));
        assert_eq!(text(&[member("a"), Step::Item(0)]), Some(b"1".as_slice()));
        assert_eq!(text(&[member("c")]), Some(br#"{"d": [1, 2"#.as_slice()));
        assert_eq!(text(&[member("x")]), None);
        assert_eq!(text(&[Step::Item(0)]), None);
        assert!(find(b"12 apples", &[]).is_none() && find(b"null", &[]).is_none() && find(b"", &[]).is_none());
        assert_eq!(find(b" \"x\" ", &[]).map(|place| (place.start, place.end)), Some((2, 3)));
    }

    #[test]
    fn between_markers() {
        assert_eq!(between(b"id='c' name=x", b"id='", b"'"), Some((4, 5)));
        assert_eq!(between(b"name=x", b"name=", b""), Some((5, 6)));
        assert_eq!(between(b"name=x", b"", b"="), Some((0, 4)));
        assert_eq!(between(b"name=x", b"id=", b""), None);
    }
}
