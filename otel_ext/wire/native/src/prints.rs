//! How alike two texts are, in 16 bits, and what else one pass over a text tells. `otel_ext/wire/prints.py` says what a word is, and does
//! the same.

use crate::names::hash;

const WINDOW_BYTES: usize = 8_192;
const SHAPE_BYTES_MAX: usize = 16_384;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const FEW_BYTES: usize = 1_024;
const FEW_WORDS: usize = 4_096;
const MANY_WORDS: usize = 65_536;
const REPETITIVE_WORDS_MIN: u32 = 20;
const REPETITIVE_PERCENT: u32 = 30;
const LANES_MAX: u32 = 255; // words until a lane of eight bits is full

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Between,
    Escape,
    Word,
    Other,
}

#[allow(clippy::indexing_slicing)] // when it is compiled
const CLASSES: [Class; 256] = {
    let mut classes = [Class::Between; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => Class::Word,
            0x80.. => Class::Other,
            b'\\' => Class::Escape,
            _ => Class::Between,
        };
        byte += 1;
    }
    classes
};

/// Every bit of a byte in a byte of its own.
#[allow(clippy::indexing_slicing)] // when it is compiled
const SPREAD: [u64; 256] = {
    let mut spread = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            spread[byte] |= ((byte as u64 >> bit) & 1) << (8 * bit);
            bit += 1;
        }
        byte += 1;
    }
    spread
};

/// What a byte of arguments counts as: a small letter, "0" for any digit, else itself.
#[allow(clippy::indexing_slicing)] // when it is compiled
const SHAPES: [u8; 256] = {
    let mut shapes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        shapes[byte] = match byte as u8 {
            b'0'..=b'9' => b'0',
            other => other.to_ascii_lowercase(),
        };
        byte += 1;
    }
    shapes
};

#[inline]
fn class(byte: u8) -> Class {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(Class::Between)
}

#[inline]
fn spread(bits: u64) -> u64 {
    SPREAD.get((bits & 0xff) as usize).copied().unwrap_or_default()
}

/// 64 bits of the word in `start..end` of `text`; letters are made small where `fold` has the bit for that in every byte.
#[inline]
fn word_hash(text: &[u8], start: usize, end: usize, fold: u64) -> u64 {
    let mut sum = 0_u64;
    let mut at = start;
    while at < end {
        let rest = text.get(at..).unwrap_or_default();
        let bytes = rest
            .first_chunk::<8>()
            .map_or_else(|| rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)), |bytes| u64::from_le_bytes(*bytes));
        let kept = if end - at >= 8 { u64::MAX } else { (1_u64 << (8 * (end - at))) - 1 };
        sum = (sum ^ ((bytes | fold) & kept)).wrapping_mul(FACTOR);
        sum ^= sum >> 32;
        at += 8;
    }
    sum
}

/// Words to look for, by their hashes: a table at most a quarter full, 0 is free.
#[derive(Debug)]
pub struct Claims {
    slots: Vec<u64>,
}

impl Claims {
    /// `words` are of small ASCII letters and digits.
    pub fn new(words: &[Vec<u8>]) -> Self {
        let mut slots = vec![0_u64; (words.len() * 4).next_power_of_two()];
        let mask = slots.len() - 1;
        for word in words {
            let hash = word_hash(word, 0, word.len(), 0);
            let mut at = (hash >> 40) as usize;
            while slots.get(at & mask).is_some_and(|slot| *slot != 0 && *slot != hash) {
                at += 1;
            }
            if let Some(slot) = slots.get_mut(at & mask) {
                *slot = hash;
            }
        }
        Self { slots }
    }

    #[inline]
    fn has(&self, hash: u64) -> bool {
        let mask = self.slots.len() - 1;
        let mut at = (hash >> 40) as usize;
        while let Some(slot) = self.slots.get(at & mask).filter(|slot| **slot != 0) {
            if *slot == hash {
                return true;
            }
            at += 1;
        }
        false
    }
}

/// What the words of a text tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    pub sim: u16,
    pub repetitive: bool,
    pub claim: bool,
}

/// Reads texts; its tables are used again for the next.
#[derive(Default)]
pub struct Printer {
    seen: Vec<u64>, // a bit a word
    shaped: Vec<u8>,
}

/// The words so far.
#[derive(Default)]
struct Words {
    lanes: [u64; 2], // how many of the words since the last `settle` have each bit
    ones: [u32; 16], // and of those before
    count: u32,
    settled: u32,
    different: u32,
    claim: bool,
}

impl Words {
    #[inline]
    fn add(&mut self, hash: u64, seen: &mut [u64], mask: usize) {
        let place = (hash >> 16) as usize & mask;
        if let Some(word) = seen.get_mut(place >> 6) {
            let bit = 1_u64 << (place & 63);
            self.different += u32::from(*word & bit == 0);
            *word |= bit;
        }
        let [low, high] = &mut self.lanes;
        *low += spread(hash >> 48);
        *high += spread(hash >> 56);
        self.count += 1;
        if self.count - self.settled == LANES_MAX {
            self.settle();
        }
    }

    fn settle(&mut self) {
        let [low, high] = self.lanes.map(u64::to_le_bytes);
        for (ones, lane) in self.ones.iter_mut().zip(low.iter().chain(&high)) {
            *ones += u32::from(*lane);
        }
        self.lanes = [0; 2];
        self.settled = self.count;
    }

    fn print(mut self) -> Print {
        self.settle();
        let sim = self.ones.iter().rev().fold(0_u16, |bits, ones| bits << 1 | u16::from(2 * ones > self.count));
        let repetitive = self.count >= REPETITIVE_WORDS_MIN && self.different * 100 < self.count * REPETITIVE_PERCENT;
        Print { sim: sim.max(1), repetitive, claim: self.claim }
    }
}

impl Printer {
    /// The print of a text that is not empty.
    pub fn text(&mut self, text: &[u8], claims: &Claims) -> Print {
        let places = if text.len() <= FEW_BYTES { FEW_WORDS } else { MANY_WORDS };
        self.seen.clear();
        self.seen.resize(places / 64, 0);
        let mut words = Words::default();
        if text.len() <= 2 * WINDOW_BYTES {
            self.window(text, claims, &mut words);
        } else {
            self.window(text.get(..WINDOW_BYTES).unwrap_or_default(), claims, &mut words);
            self.window(text.get(text.len() - WINDOW_BYTES..).unwrap_or_default(), claims, &mut words);
        }
        words.print()
    }

    fn window(&mut self, text: &[u8], claims: &Claims, words: &mut Words) {
        let mask = self.seen.len() * 64 - 1;
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            let kind = class(*byte);
            match kind {
                Class::Between => at += 1,
                Class::Escape => at = after_escape(text, at),
                Class::Word | Class::Other => {
                    let start = at;
                    at += 1;
                    while text.get(at).is_some_and(|byte| class(*byte) == kind) {
                        at += 1;
                    }
                    let fold = if kind == Class::Word { 0x2020_2020_2020_2020 } else { 0 };
                    let hash = word_hash(text, start, at, fold);
                    words.claim |= claims.has(hash);
                    words.add(hash, &mut self.seen, mask);
                }
            }
        }
    }

    /// 16 bits of arguments that are not empty, the same whatever their numbers and the case of their letters.
    pub fn shape(&mut self, arguments: &[u8]) -> u16 {
        let (head, tail) = arguments.split_at(arguments.len().min(SHAPE_BYTES_MAX));
        if self.shaped.len() < head.len() {
            self.shaped.resize(head.len(), 0);
        }
        let (mut length, mut in_number) = (0, false);
        let mut at = 0;
        while let Some(byte) = head.get(at) {
            // Eight bytes without a digit among them at once.
            if let Some(bytes) = head.get(at..).and_then(<[u8]>::first_chunk::<8>) {
                let word = u64::from_le_bytes(*bytes);
                if digits(word) == 0 {
                    if let Some(place) = self.shaped.get_mut(length..length + 8) {
                        place.copy_from_slice(&small(word).to_le_bytes());
                    }
                    (at, length, in_number) = (at + 8, length + 8, false);
                    continue;
                }
            }
            at += 1;
            let digit = byte.is_ascii_digit();
            length -= usize::from(digit && in_number); // over the digit before
            if let Some(place) = self.shaped.get_mut(length) {
                *place = SHAPES.get(usize::from(*byte)).copied().unwrap_or_default();
            }
            length += 1;
            in_number = digit;
        }
        let sum = if tail.is_empty() {
            hash(self.shaped.get(..length).unwrap_or_default())
        } else {
            hash(&[self.shaped.get(..length).unwrap_or_default(), tail].concat())
        };
        ((sum >> 48) as u16).max(1)
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES << 7;

/// The upper bit of every byte that is at least `low` and at most `high`, both ASCII.
#[inline]
fn within(word: u64, low: u8, high: u8) -> u64 {
    let ascii = word & !HIGH;
    let from_low = ascii + ONES * u64::from(128 - low);
    let over_high = ascii + ONES * u64::from(127 - high);
    from_low & !over_high & !word & HIGH
}

#[inline]
fn digits(word: u64) -> u64 {
    within(word, b'0', b'9')
}

/// Every ASCII letter of the word made small.
#[inline]
fn small(word: u64) -> u64 {
    word | within(word, b'A', b'Z') >> 2
}

/// The position after an escape: a backslash and the byte after it, and up to four hex digits after a `u`.
fn after_escape(text: &[u8], at: usize) -> usize {
    if text.get(at + 1) != Some(&b'u') {
        return at + 2;
    }
    let digits = text.get(at + 2..).unwrap_or_default().iter().take(4).take_while(|byte| byte.is_ascii_hexdigit()).count();
    at + 2 + digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(text: &str) -> Print {
        Printer::default().text(text.as_bytes(), &Claims::new(&[b"booked".to_vec(), b"successfully".to_vec()]))
    }

    #[test]
    fn words_are_words_however_they_are_written() {
        assert_eq!(print("Hello World"), print("hello, world!"));
        assert_eq!(print("hello\\nworld\\u00e9"), print("hello world"));
        for text in ["x BOOKED y", "\u{201c}booked\u{201d}", "\\nsuccessfully", "booked"] {
            assert!(print(text).claim, "{text}");
        }
        for text in ["overbooked", "booked1", "successful", "bo\\oked"] {
            assert!(!print(text).claim, "{text}");
        }
    }

    #[test]
    fn few_words_over_and_over_are_repetitive() {
        assert!(print(&"so it goes ".repeat(300)).repetitive);
        assert!(!print(&"so ".repeat(19)).repetitive);
    }

    #[test]
    fn a_shape_has_no_numbers_and_no_case() {
        let mut printer = Printer::default();
        assert_eq!(printer.shape(b"{\"Page\": 12}"), printer.shape(b"{\"page\": 3}"));
        assert_ne!(printer.shape(b"{\"page\": 12}"), printer.shape(b"{\"city\": 12}"));
        assert_ne!(printer.shape(b"a1b"), printer.shape(b"ab"));
        assert_eq!(small(u64::from_le_bytes(*b"@AZ[az\xc1{")), u64::from_le_bytes(*b"@az[az\xc1{"));
        assert_eq!(digits(u64::from_le_bytes(*b"/:a\xb0\xb9\x10 Z")), 0);
        assert_eq!(digits(u64::from_le_bytes(*b"09/:59a5")).count_ones(), 5);
    }
}
