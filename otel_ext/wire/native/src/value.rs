//! `KeyValue` and `AnyValue`: validated to the bottom, remembered as a byte range.

use std::borrow::Cow;

use crate::places;
use crate::reader::{Cursor, FIXED64, LEN, Reason, Result, VARINT, malformed};
use crate::unescape::unescape;

pub const KEY: u32 = (1 << 3) | LEN;
pub const VALUE: u32 = (2 << 3) | LEN;
pub const STRING: u32 = (1 << 3) | LEN;
pub const BOOL: u32 = (2 << 3) | VARINT;
pub const INT: u32 = (3 << 3) | VARINT;
pub const DOUBLE: u32 = (4 << 3) | FIXED64;
pub const ARRAY: u32 = (5 << 3) | LEN;
pub const KVLIST: u32 = (6 << 3) | LEN;
const BYTES: u32 = (7 << 3) | LEN;
pub const ITEM: u32 = (1 << 3) | LEN; // ArrayValue.values and KeyValueList.values

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Member {
    #[default]
    None,
    String,
    Bool,
    Int,
    Double,
    Array,
    KvList,
    Bytes,
    Json, // an object or array out of a JSON text
}

/// What an `AnyValue` holds: the last member on the wire. The range is the content of a string or bytes value, else the whole `AnyValue`
/// (the last one, where a field is repeated and so merged). What was taken out of a JSON text is `String`, `Bool` or `Json`; with `escaped` it
/// is a string whose escapes are still there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Value {
    pub member: Member,
    pub escaped: bool,
    pub start: usize,
    pub end: usize,
    pub bits: u64,
}

impl Value {
    #[inline]
    pub fn bytes<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        payload.get(self.start..self.end).unwrap_or_default()
    }

    /// The content, where this is a string that is not empty.
    #[inline]
    pub fn text<'a>(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        (self.member == Member::String && self.start < self.end).then(|| self.bytes(payload))
    }

    /// The content without escapes.
    #[inline]
    pub fn plain<'a>(&self, payload: &'a [u8]) -> Cow<'a, [u8]> {
        if self.escaped { Cow::Owned(unescape(self.bytes(payload))) } else { Cow::Borrowed(self.bytes(payload)) }
    }
}

#[derive(Clone, Copy, Default)]
pub struct KeyValue {
    pub key_start: usize,
    pub key_end: usize,
    pub value: Value,
}

/// Reads values of one payload with a bound on nesting.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    pub payload: &'a [u8],
    pub depth_max: usize,
}

impl Values<'_> {
    /// The `KeyValue` in `start..end`; its value is at nesting `depth`, the first being 1.
    #[inline]
    pub fn key_value(&self, start: usize, end: usize, depth: usize) -> Result<KeyValue> {
        match self.plain(start, end) {
            Some(pair) => Ok(pair),
            None => self.any_key_value(start, end, depth),
        }
    }

    /// Most attributes: a key, then a string or a small integer, nothing else. Reads the same as `any_key_value`, in half the time.
    #[inline]
    fn plain(&self, start: usize, end: usize) -> Option<KeyValue> {
        let &[0x0a, key_length @ ..0x80, ref rest @ ..] = self.payload.get(start..end)? else {
            return None;
        };
        let (key_start, key_end) = (start + 2, start + 2 + usize::from(key_length));
        let (0x12, rest) = rest.get(usize::from(key_length)..)?.split_first()? else {
            return None;
        };
        let value = match filling(rest)? {
            [0x0a, rest @ ..] => Value { member: Member::String, start: end - filling(rest)?.len(), end, ..Value::default() },
            [0x18, number @ ..0x80] => Value { member: Member::Int, start: end - 2, end, bits: u64::from(*number), escaped: false },
            [0x18, low @ 0x80..=0xff, high @ ..0x80] => {
                Value { member: Member::Int, start: end - 3, end, bits: u64::from(low & 0x7f) | u64::from(*high) << 7, escaped: false }
            }
            _ => return None,
        };
        Some(KeyValue { key_start, key_end, value })
    }

    #[inline(never)]
    fn any_key_value(&self, start: usize, end: usize, depth: usize) -> Result<KeyValue> {
        let mut pair = KeyValue::default();
        let mut cursor = Cursor::new(self.payload, start, end);
        while let Some(field) = cursor.next_field()? {
            match field.tag {
                KEY => (pair.key_start, pair.key_end) = (field.start, field.end),
                VALUE => self.any_value(field.start, field.end, depth, &mut pair.value)?,
                _ => {}
            }
        }
        Ok(pair)
    }

    /// Merges the `AnyValue` in `start..end` into `value`.
    #[inline]
    pub fn any_value(&self, start: usize, end: usize, depth: usize, value: &mut Value) -> Result<()> {
        let mut cursor = Cursor::new(self.payload, start, end);
        while let Some(field) = cursor.next_field()? {
            *value = match field.tag {
                STRING => Value { member: Member::String, start: field.start, end: field.end, ..Value::default() },
                BYTES => Value { member: Member::Bytes, start: field.start, end: field.end, ..Value::default() },
                BOOL => Value { member: Member::Bool, start, end, bits: field.value, escaped: false },
                INT => Value { member: Member::Int, start, end, bits: field.value, escaped: false },
                DOUBLE => Value { member: Member::Double, start, end, bits: field.value, escaped: false },
                ARRAY => {
                    self.items(field.start, field.end, depth + 1, false)?;
                    Value { member: Member::Array, start, end, ..Value::default() }
                }
                KVLIST => {
                    self.items(field.start, field.end, depth + 1, true)?;
                    Value { member: Member::KvList, start, end, ..Value::default() }
                }
                _ => continue,
            };
        }
        Ok(())
    }

    #[inline(never)]
    fn items(&self, start: usize, end: usize, depth: usize, keyed: bool) -> Result<()> {
        let mut cursor = Cursor::new(self.payload, start, end);
        while let Some(field) = cursor.next_field()? {
            if field.tag != ITEM {
                continue;
            }
            if depth > self.depth_max {
                return malformed(Reason::Depth(self.depth_max), field.at);
            }
            if keyed {
                self.key_value(field.start, field.end, depth)?;
            } else {
                self.any_value(field.start, field.end, depth, &mut Value::default())?;
            }
        }
        Ok(())
    }

    /// The strings of the last array in `value`, also of one in JSON; items that are no strings are left out.
    pub fn strings(&self, value: &Value) -> Vec<Vec<u8>> {
        if value.member == Member::Json {
            return places::strings_in(value.bytes(self.payload));
        }
        // Read before as part of the span, so it cannot fail now.
        let strings = self.string_values(value).unwrap_or_default();
        strings.iter().map(|one| one.bytes(self.payload).to_vec()).collect()
    }

    fn string_values(&self, value: &Value) -> Result<Vec<Value>> {
        let mut strings = Vec::new();
        let mut cursor = Cursor::new(self.payload, value.start, value.end);
        while let Some(field) = cursor.next_field()? {
            if field.tag != ARRAY {
                continue;
            }
            strings.clear();
            let mut items = Cursor::new(self.payload, field.start, field.end);
            while let Some(item) = items.next_field()? {
                let mut one = Value::default();
                if item.tag == ITEM {
                    self.any_value(item.start, item.end, 1, &mut one)?;
                }
                if one.member == Member::String {
                    strings.push(one);
                }
            }
        }
        Ok(strings)
    }

    /// Validates a message of which only the attributes, at `tag`, matter.
    pub fn attributes_only(&self, start: usize, end: usize, tag: u32) -> Result<()> {
        let mut cursor = Cursor::new(self.payload, start, end);
        while let Some(field) = cursor.next_field()? {
            if field.tag == tag {
                self.key_value(field.start, field.end, 1)?;
            }
        }
        Ok(())
    }
}

/// What follows a length of one or two bytes, where that is all there is.
#[inline]
fn filling(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [length @ ..0x80, content @ ..] if usize::from(*length) == content.len() => Some(content),
        [low @ 0x80..=0xff, high @ ..0x80, content @ ..] if usize::from(low & 0x7f) | usize::from(*high) << 7 == content.len() => {
            Some(content)
        }
        _ => None,
    }
}

fn all_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// A count of tokens: int, finite double (truncated) or decimal string, not negative, capped at `i32::MAX`.
pub fn tokens(value: &Value, payload: &[u8]) -> Option<i32> {
    let cap = u64::from(i32::MAX as u32);
    let count = match value.member {
        Member::Int if (value.bits as i64) >= 0 => value.bits,
        Member::Double => {
            let number = f64::from_bits(value.bits);
            if !number.is_finite() || number < 0.0 {
                return None;
            }
            number.min(cap as f64) as u64
        }
        Member::String => {
            let text = value.bytes(payload);
            if !all_digits(text) {
                return None;
            }
            text.iter().fold(0_u64, |sum, digit| (sum * 10 + u64::from(digit - b'0')).min(cap))
        }
        _ => return None,
    };
    Some(count.min(cap) as i32)
}

const NUMBER_BYTES_MAX: usize = 32;

/// An amount: double, int or decimal string, not negative and finite.
pub fn amount(value: &Value, payload: &[u8]) -> Option<f64> {
    let number = match value.member {
        Member::Int => value.bits as i64 as f64,
        Member::Double => f64::from_bits(value.bits),
        Member::String => {
            let text = value.bytes(payload);
            // Both languages parse these bytes alike; "inf", "nan", blanks and underscores are where they differ.
            if text.len() > NUMBER_BYTES_MAX || !text.iter().all(|byte| b"0123456789.eE+-".contains(byte)) {
                return None;
            }
            std::str::from_utf8(text).ok()?.parse().ok()?
        }
        _ => return None,
    };
    (number.is_finite() && number >= 0.0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_member_wins_and_depth_is_bounded() {
        let data = [0x0a, 1, b'a', 0x18, 7];
        let values = Values { payload: &data, depth_max: 2 };
        let mut value = Value::default();
        assert!(values.any_value(0, data.len(), 1, &mut value).is_ok());
        assert_eq!((value.member, value.bits), (Member::Int, 7));

        let nested = [0x2a, 6, 0x0a, 4, 0x2a, 2, 0x0a, 0];
        let values = Values { payload: &nested, depth_max: 2 };
        let error = values.any_value(0, nested.len(), 1, &mut value).err();
        assert_eq!(error.map(|error| (error.reason, error.at)), Some((Reason::Depth(2), 6)));
    }

    #[test]
    fn numbers_from_text() {
        let text = b"12345678901234567890123";
        let value = Value { member: Member::String, end: text.len(), ..Value::default() };
        assert_eq!(tokens(&value, text), Some(i32::MAX));
        assert_eq!(amount(&Value { end: 3, ..value }, b"1.5"), Some(1.5));
        assert_eq!(amount(&Value { end: 3, ..value }, b"inf"), None);
    }
}
