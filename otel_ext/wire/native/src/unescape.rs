//! JSON string escapes, for names and ids that must equal those in plain attributes.

/// The text of a JSON string. A lone surrogate becomes U+FFFD, an unknown escape stays as it is.
pub fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        text.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default();
        let (plain, length) = escape(rest);
        text.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
        rest = rest.get(length..).unwrap_or_default();
    }
    text.extend_from_slice(rest);
    text
}

/// The character of the escape that `rest` starts with, and its length.
fn escape(rest: &[u8]) -> (char, usize) {
    let plain = match rest.get(1) {
        Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(rest),
        _ => return ('\\', 1),
    };
    (plain, 2)
}

fn unicode_escape(rest: &[u8]) -> (char, usize) {
    let Some(unit) = hex_unit(rest) else {
        return ('\\', 1);
    };
    let low = rest.get(6..).and_then(hex_unit);
    match (unit, low) {
        (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
            (char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).unwrap_or('\u{fffd}'), 12)
        }
        _ => (char::from_u32(unit).unwrap_or('\u{fffd}'), 6),
    }
}

fn hex_unit(rest: &[u8]) -> Option<u32> {
    let digits = rest.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(unescape(br"a\n\u20ac\ud83d\ude00\ud800\x\"), "a\n\u{20ac}\u{1f600}\u{fffd}\\x\\".as_bytes());
    }
}
