//! What a single value tells that is no column of a span: errors, finish reasons, texts, declared tools.

use crate::codec::Text;
use crate::names::hash;
use crate::places;
use crate::rows;
use crate::skim::Skim;
use crate::unescape::unescape;
use crate::value::{Member, Value, Values};

/// `DECLARED_*` of `otel_ext/wire/table.py`.
pub(crate) const DECLARED_JSON: u8 = 0;
pub(crate) const DECLARED_ONE: u8 = 1;
const DECLARED_VALUE: u8 = 2;
const DECLARED_ESCAPED: u8 = 4;

pub(crate) fn says_error(value: &Value, payload: &[u8], values: &[(Vec<u8>, i64)]) -> bool {
    match value.member {
        Member::Bool if values.is_empty() => value.bits != 0,
        Member::Bool => values.iter().any(|(name, _)| name == if value.bits != 0 { b"true".as_slice() } else { b"false" }),
        Member::String if values.is_empty() => value.start < value.end,
        Member::String => values.iter().any(|(name, _)| *name == *value.plain(payload)),
        _ => false,
    }
}

/// Whether one of the finish reasons, also between commas and in JSON, is in `values`.
pub(crate) fn is_truncated(value: &Value, values: &Values, wanted: &[(Vec<u8>, i64)]) -> bool {
    match value.member {
        Member::String => has_reason(&value.plain(values.payload), wanted),
        Member::Array | Member::Json => values.strings(value).iter().any(|text| has_reason(text, wanted)),
        _ => false,
    }
}

fn has_reason(text: &[u8], wanted: &[(Vec<u8>, i64)]) -> bool {
    let any = |text: &[u8]| text.split(|byte| *byte == b',').any(|part| wanted.iter().any(|(name, _)| name == bare(part)));
    let text = bare(text);
    match text.first() {
        Some(b'[') => places::strings_in(text).iter().any(|text| any(text)),
        Some(b'"') => match places::find(text, &[]) {
            Some(place) => any(&unescape(Skim { json: text }.between(place.start, place.end))),
            None => any(text),
        },
        _ => any(text),
    }
}

/// Without blanks around.
fn bare(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] | [rest @ .., b' ' | b'\t' | b'\n' | b'\r'] = text {
        text = rest;
    }
    text
}

/// Appends a text, unless the row (its texts start at `first`) has one with this number.
pub(crate) fn put_text(texts: &mut Vec<(u32, i32, Text)>, first: usize, (row, number): (u32, i32), values: &Values, value: &Value) {
    if texts.get(first..).is_some_and(|texts| texts.iter().any(|(_, other, _)| *other == number)) {
        return;
    }
    let text = match value.member {
        Member::String => Text::One(String::from_utf8_lossy(&value.plain(values.payload)).into_owned()),
        Member::Json if value.bytes(values.payload).first() != Some(&b'[') => return,
        Member::Array | Member::Json => {
            Text::Many(values.strings(value).iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
        }
        _ => return,
    };
    texts.push((row, number, text));
}

/// Appends a row for a value that declares tools, where it can.
pub(crate) fn declare(rows: &mut Vec<u8>, row: u32, payload: &[u8], value: &Value, text: u8) {
    let how = match value.member {
        Member::String | Member::Json => text,
        Member::Array | Member::KvList => DECLARED_VALUE,
        _ => return,
    };
    let content = value.bytes(payload);
    if !content.is_empty() {
        let how = if value.escaped { how | DECLARED_ESCAPED } else { how };
        rows.extend_from_slice(&rows::pack_declared(row, (value.start as u32, content.len() as u32), how, hash(content)));
    }
}
