//! A JSON text, skimmed: positions in it, nothing built. `otel_ext/wire/skim.py` does the same, step by step.
//!
//! Commas count as blanks. A value that is skipped may nest `DEPTH_MAX` brackets deep; which bracket closes which is not looked at.

use memchr::memchr2;

const DEPTH_MAX: usize = 64;

/// A JSON value as it is on the wire; for a string what is between the quotes, still escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a> {
    pub raw: &'a [u8],
    pub is_string: bool,
}

impl<'a> Json<'a> {
    pub fn present(self) -> Option<Self> {
        (self.is_string || self.raw != b"null").then_some(self)
    }

    pub fn string(self) -> Option<&'a [u8]> {
        self.is_string.then_some(self.raw)
    }
}

/// Positions in a JSON text. Every function takes a position and gives the one after what it read, or None at a fault.
#[derive(Clone, Copy)]
pub struct Skim<'a> {
    pub json: &'a [u8],
}

/// The place of the first quote or backslash among eight bytes, 8 where there is none. Most strings here are keys and short words, over
/// before a search over wide registers has begun.
#[inline]
fn first_quote(word: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7); // the lowest bit set is right, higher ones may not be
    let found = zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5c));
    (found.trailing_zeros() / 8) as usize
}

const SCALAR_END: &[u8] = b",]}[{\": \t\n\r";

impl<'a> Skim<'a> {
    #[inline]
    pub fn byte(self, at: usize) -> Option<u8> {
        self.json.get(at).copied()
    }

    #[inline]
    pub fn between(self, start: usize, end: usize) -> &'a [u8] {
        self.json.get(start..end).unwrap_or_default()
    }

    pub fn blanks(self, mut at: usize) -> usize {
        while matches!(self.byte(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            at += 1;
        }
        at
    }

    fn separators(self, mut at: usize) -> usize {
        while matches!(self.byte(at), Some(b' ' | b'\t' | b'\n' | b'\r' | b',')) {
            at += 1;
        }
        at
    }

    /// The closing quote of the string whose content starts at `at`.
    #[inline]
    fn quote(self, mut at: usize) -> Option<usize> {
        loop {
            let rest = self.json.get(at..)?;
            at += match rest.first_chunk().map(|word| first_quote(u64::from_le_bytes(*word))) {
                Some(near @ 0..8) => near,
                _ => memchr2(b'"', b'\\', rest)?,
            };
            if self.byte(at)? == b'"' {
                return Some(at);
            }
            at += 2;
        }
    }

    pub fn skip(self, at: usize) -> Option<usize> {
        match self.byte(at)? {
            b'"' => Some(self.quote(at + 1)? + 1),
            b'{' | b'[' => self.container(at),
            _ => {
                let rest = self.json.get(at..)?;
                let length = rest.iter().position(|byte| SCALAR_END.contains(byte)).unwrap_or(rest.len());
                (length > 0).then_some(at + length)
            }
        }
    }

    fn container(self, mut at: usize) -> Option<usize> {
        let mut depth = 0_usize;
        loop {
            match self.byte(at)? {
                b'"' => at = self.quote(at + 1)?,
                b'{' | b'[' => {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return None;
                    }
                }
                b'}' | b']' => {
                    depth -= 1; // the first byte opened
                    if depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    pub fn take(self, at: usize, slot: &mut Option<Json<'a>>) -> Option<usize> {
        let end = self.skip(at)?;
        let is_string = self.byte(at)? == b'"';
        let raw = if is_string { self.between(at + 1, end - 1) } else { self.between(at, end) };
        *slot = Some(Json { raw, is_string });
        Some(end)
    }

    pub fn items(self, at: usize, mut item: impl FnMut(usize) -> Option<usize>) -> Option<usize> {
        let mut at = at + 1;
        loop {
            at = self.separators(at);
            if self.byte(at)? == b']' {
                return Some(at + 1);
            }
            at = item(at)?;
        }
    }

    pub fn members(self, at: usize, mut member: impl FnMut(&'a [u8], usize) -> Option<usize>) -> Option<usize> {
        let mut at = at + 1;
        loop {
            at = self.separators(at);
            match self.byte(at)? {
                b'}' => return Some(at + 1),
                b'"' => {}
                _ => return None,
            }
            let end = self.quote(at + 1)?;
            let key = self.between(at + 1, end);
            at = self.blanks(end + 1);
            if self.byte(at)? != b':' {
                return None;
            }
            at = member(key, self.blanks(at + 1))?;
        }
    }
}
