//! A structured value as JSON, so that messages are read in one way however they came. `otel_ext/wire/structured.py` does the same.
//!
//! Of a member that is there twice, and of a value that is there twice, the last one counts. Bytes, and numbers JSON has not, are null.

use crate::reader::{Cursor, Field};
use crate::value::{ARRAY, BOOL, DOUBLE, INT, ITEM, KEY, KVLIST, STRING, VALUE};

/// Appends the JSON text of the `AnyValue` in `start..end`, which was read before: there is no fault in it, and its nesting is bounded.
pub fn put_json(payload: &[u8], start: usize, end: usize, out: &mut Vec<u8>) {
    let mut last = None;
    let mut cursor = Cursor::new(payload, start, end);
    while let Ok(Some(field)) = cursor.next_field() {
        if matches!(field.tag, STRING | BOOL | INT | DOUBLE | ARRAY | KVLIST) {
            last = Some(field);
        }
    }
    match last {
        Some(field) => put_member(payload, &field, out),
        None => out.extend_from_slice(b"null"),
    }
}

fn put_member(payload: &[u8], field: &Field, out: &mut Vec<u8>) {
    match field.tag {
        STRING => put_string(payload.get(field.start..field.end).unwrap_or_default(), out),
        BOOL => out.extend_from_slice(if field.value == 0 { b"false" } else { b"true" }),
        INT => out.extend_from_slice((field.value as i64).to_string().as_bytes()),
        DOUBLE => put_double(f64::from_bits(field.value), out),
        ARRAY => put_items(payload, field, out, *b"[]", |item, out| put_json(payload, item.start, item.end, out)),
        _ => put_items(payload, field, out, *b"{}", |item, out| put_pair(payload, item, out)),
    }
}

fn put_items(payload: &[u8], parent: &Field, out: &mut Vec<u8>, [open, close]: [u8; 2], put: impl Fn(&Field, &mut Vec<u8>)) {
    out.push(open);
    let mut cursor = Cursor::new(payload, parent.start, parent.end);
    let mut first = true;
    while let Ok(Some(item)) = cursor.next_field() {
        if item.tag == ITEM {
            if !first {
                out.push(b',');
            }
            first = false;
            put(&item, out);
        }
    }
    out.push(close);
}

fn put_pair(payload: &[u8], parent: &Field, out: &mut Vec<u8>) {
    let (mut key, mut value): (&[u8], _) = (b"", None);
    let mut cursor = Cursor::new(payload, parent.start, parent.end);
    while let Ok(Some(field)) = cursor.next_field() {
        match field.tag {
            KEY => key = payload.get(field.start..field.end).unwrap_or_default(),
            VALUE => value = Some(field),
            _ => {}
        }
    }
    put_string(key, out);
    out.push(b':');
    match value {
        Some(field) => put_json(payload, field.start, field.end, out),
        None => out.extend_from_slice(b"null"),
    }
}

fn put_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            ..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

fn put_double(number: f64, out: &mut Vec<u8>) {
    if number.is_finite() {
        out.extend_from_slice(format!("{number:e}").as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}
