//! Columns of counts as attributes that hold a JSON object: the twin of `otel_ext/wire/numbers.py`.

use crate::notes::text_attribute;

/// Offsets (u32, rows + 1) and data: a row gains `key` with the counts that are not negative, in order; nothing where all are.
pub fn counts(key: &[u8], names: &[Vec<u8>], columns: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
    let rows = columns.first().map_or(0, |column| column.len() / 4);
    let (mut offsets, mut data, mut text) = (Vec::with_capacity(rows * 4 + 4), Vec::new(), Vec::new());
    offsets.extend_from_slice(&0_u32.to_le_bytes());
    for row in 0..rows {
        text.clear();
        for (name, column) in names.iter().zip(columns) {
            let number = column.get(row * 4..).and_then(<[u8]>::first_chunk::<4>).map_or(-1, |bytes| i32::from_le_bytes(*bytes));
            if number >= 0 {
                text.push(if text.is_empty() { b'{' } else { b',' });
                text.push(b'"');
                text.extend_from_slice(name);
                text.extend_from_slice(b"\":");
                digits(&mut text, number);
            }
        }
        if !text.is_empty() {
            text.push(b'}');
            text_attribute(&mut data, key, &text);
        }
        offsets.extend_from_slice(&(data.len() as u32).to_le_bytes());
    }
    (offsets, data)
}

/// The same for one number of billionths (i64 a row): `{"name":12.000000345}`; nothing where it is negative.
pub fn billionths(key: &[u8], name: &[u8], column: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut offsets, mut data, mut text) = (0_u32.to_le_bytes().to_vec(), Vec::new(), Vec::new());
    for row in column.chunks_exact(8) {
        let number = row.first_chunk::<8>().map_or(-1, |bytes| i64::from_le_bytes(*bytes));
        if number >= 0 {
            text.clear();
            text.extend_from_slice(b"{\"");
            text.extend_from_slice(name);
            text.extend_from_slice(b"\":");
            text.extend_from_slice(format!("{}.{:09}}}", number / 1_000_000_000, number % 1_000_000_000).as_bytes());
            text_attribute(&mut data, key, &text);
        }
        offsets.extend_from_slice(&(data.len() as u32).to_le_bytes());
    }
    (offsets, data)
}

fn digits(out: &mut Vec<u8>, number: i32) {
    let mut places = [0_u8; 10];
    let (mut left, mut size) = (number.unsigned_abs(), 0);
    for place in places.iter_mut().rev() {
        *place = b'0' + (left % 10) as u8;
        left /= 10;
        size += 1;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(places.get(10 - size..).unwrap_or_default());
}
