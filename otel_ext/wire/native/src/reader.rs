//! Protobuf, field by field. The whole idea is one call, `next_field`, in a loop with a `match` on the tag: unknown fields, and known
//! numbers with another wire type, fall through by construction.
//!
//! Positions are always byte indexes in the whole payload: a cursor holds the payload cut at the end of its message.

/// Why reading stopped. `otel_ext/wire/reader.py` has the same texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    VarintCut,
    VarintLong,
    FieldNumber(u64),
    WireType(u8),
    Length { need: u64, have: usize },
    Fixed { need: usize, have: usize },
    Depth(usize),
    Size(usize),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::VarintCut => write!(out, "varint cut off"),
            Self::VarintLong => write!(out, "varint over 64 bits"),
            Self::FieldNumber(number) => write!(out, "field number {number} is not allowed"),
            Self::WireType(wire) => write!(out, "wire type {wire} is not allowed"),
            Self::Length { need, have } => write!(out, "length {need} over the {have} bytes left"),
            Self::Fixed { need, have } => write!(out, "{need} bytes needed, {have} left"),
            Self::Depth(max) => write!(out, "values nested deeper than {max}"),
            Self::Size(size) => write!(out, "payload of {size} bytes, the limit is {}", u32::MAX),
        }
    }
}

/// The bytes are not a valid request. `at` is the first byte of the tag, length, number or nested field that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub reason: Reason,
    pub at: usize,
}

// Boxed so that the results of the hot functions fit two registers.
pub type Result<T> = std::result::Result<T, Box<Malformed>>;

#[cold]
#[inline(never)]
pub fn malformed<T>(reason: Reason, at: usize) -> Result<T> {
    Err(Box::new(Malformed { reason, at }))
}

pub const VARINT: u32 = 0;
pub const FIXED64: u32 = 1;
pub const LEN: u32 = 2;
pub const FIXED32: u32 = 5;
const FIELD_NUMBER_MAX: u64 = (1 << 29) - 1;

/// One field: `at` is its first byte, `mid` the first byte after the tag, `start..end` the content.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub tag: u32,
    pub at: usize,
    pub mid: usize,
    pub start: usize,
    pub end: usize,
    pub value: u64,
}

#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    data: &'a [u8],
    pub pos: usize,
}

impl<'a> Cursor<'a> {
    /// The message in `start..end` of `payload`.
    #[inline]
    pub fn new(payload: &'a [u8], start: usize, end: usize) -> Self {
        Self { data: payload.get(..end).unwrap_or(payload), pos: start }
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64> {
        match self.data.get(self.pos) {
            Some(&byte) if byte < 0x80 => {
                self.pos += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64> {
        let start = self.pos;
        let mut value = 0_u64;
        for index in 0..10_u32 {
            let Some(&byte) = self.data.get(self.pos) else {
                return malformed(Reason::VarintCut, start);
            };
            if index == 9 && byte > 1 {
                break;
            }
            self.pos += 1;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        malformed(Reason::VarintLong, start)
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.data.get(self.pos..).and_then(<[u8]>::first_chunk::<N>) {
            Some(bytes) => {
                self.pos += N;
                Ok(*bytes)
            }
            None => malformed(Reason::Fixed { need: N, have: self.data.len() - self.pos }, self.pos),
        }
    }

    #[inline]
    fn length(&mut self) -> Result<usize> {
        let at = self.pos;
        let need = self.varint()?;
        let have = self.data.len().saturating_sub(self.pos);
        match usize::try_from(need) {
            Ok(length) if length <= have => Ok(length),
            _ => malformed(Reason::Length { need, have }, at),
        }
    }

    /// The content of the next field where that has this tag, of one byte, and a length of one or two; else nothing has happened. Reads the
    /// same as `next_field`, in half the time.
    #[inline]
    pub fn next_short(&mut self, tag: u32) -> Option<(usize, usize)> {
        let (first, rest) = self.data.get(self.pos..)?.split_first()?;
        let (head, length) = match rest {
            [length @ ..0x80, ..] => (2, usize::from(*length)),
            [low, high @ ..0x80, ..] => (3, usize::from(low & 0x7f) | usize::from(*high) << 7),
            _ => return None,
        };
        let start = self.pos + head;
        let end = start + length;
        if u32::from(*first) != tag || end > self.data.len() {
            return None;
        }
        self.pos = end;
        Some((start, end))
    }

    #[inline]
    pub fn at_end(&self) -> bool {
        self.pos >= self.data.len()
    }

    /// The tag of the next field. What follows is read by the call for its wire type.
    #[inline]
    pub fn tag(&mut self) -> Result<u32> {
        match self.data.get(self.pos) {
            Some(&byte @ 8..0x80) => {
                self.pos += 1;
                Ok(u32::from(byte))
            }
            _ => self.long_tag(),
        }
    }

    #[inline(never)]
    fn long_tag(&mut self) -> Result<u32> {
        let at = self.pos;
        let tag = self.varint()?;
        if !(1..=FIELD_NUMBER_MAX).contains(&(tag >> 3)) {
            return malformed(Reason::FieldNumber(tag >> 3), at);
        }
        Ok(tag as u32)
    }

    /// The range of a length-delimited content.
    #[inline]
    pub fn content(&mut self) -> Result<(usize, usize)> {
        let length = self.length()?;
        let start = self.pos;
        self.pos += length;
        Ok((start, self.pos))
    }

    #[inline]
    pub fn fixed64(&mut self) -> Result<u64> {
        self.fixed().map(u64::from_le_bytes)
    }

    #[inline]
    pub fn fixed32(&mut self) -> Result<u32> {
        self.fixed().map(u32::from_le_bytes)
    }

    /// Steps over the content of a field; `at` is the place of its tag.
    #[inline]
    pub fn skip(&mut self, tag: u32, at: usize) -> Result<()> {
        match tag & 7 {
            LEN => self.content().map(drop),
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed64().map(drop),
            FIXED32 => self.fixed32().map(drop),
            wire => malformed(Reason::WireType(wire as u8), at),
        }
    }

    /// The next field, or None at the end of the message.
    #[inline(always)]
    #[allow(clippy::inline_always)] // a field is seven words: returned through memory it costs more than it is read with
    pub fn next_field(&mut self) -> Result<Option<Field>> {
        if self.at_end() {
            return Ok(None);
        }
        let at = self.pos;
        let tag = self.tag()?;
        let mid = self.pos;
        let mut field = Field { tag, at, mid, start: mid, end: mid, value: 0 };
        match tag & 7 {
            LEN => (field.start, _) = self.content()?,
            VARINT => field.value = self.varint()?,
            FIXED64 => field.value = self.fixed64()?,
            FIXED32 => field.value = u64::from(self.fixed32()?),
            wire => return malformed(Reason::WireType(wire as u8), at),
        }
        field.end = self.pos;
        Ok(Some(field))
    }
}

/// `value` as a protobuf varint, appended to `out`.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(data: &[u8]) -> Option<Malformed> {
        let mut cursor = Cursor::new(data, 0, data.len());
        loop {
            match cursor.next_field() {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(*error),
            }
        }
    }

    #[test]
    fn each_fault_says_what_and_where() {
        let cases: [(&[u8], Reason, usize); 9] = [
            (&[0x80], Reason::VarintCut, 0),
            (&[0x08, 0x80], Reason::VarintCut, 1),
            (&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], Reason::VarintLong, 1),
            (&[0x00, 0x00], Reason::FieldNumber(0), 0),
            (&[0x08, 0x01, 0x0b], Reason::WireType(3), 2),
            (&[0x0e], Reason::WireType(6), 0),
            (&[0x0a, 0x05, 1, 2], Reason::Length { need: 5, have: 2 }, 1),
            (&[0x09, 1, 2], Reason::Fixed { need: 8, have: 2 }, 1),
            (&[0x0d, 1], Reason::Fixed { need: 4, have: 1 }, 1),
        ];
        for (data, reason, at) in cases {
            assert_eq!(failure(data), Some(Malformed { reason, at }), "{data:?}");
        }
    }

    #[test]
    fn varints_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut data = vec![0x08];
            put_varint(&mut data, value);
            let field = Cursor::new(&data, 0, data.len()).next_field().ok().flatten();
            assert_eq!(field.map(|field| field.value), Some(value));
        }
    }
}
