//! Interned names: a bounded table that only grows.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub const NAME_OTHER: u16 = 1;

/// XXH3-64, with 0 kept for "absent": an empty value is 0, a true 0 becomes 1.
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    if bytes.is_empty() { 0 } else { xxh3_64(bytes).max(1) }
}

#[derive(Clone, Copy)]
pub struct Seeded(u64);

impl Default for Seeded {
    /// A fresh seed: names and ids come from outside, and must not be able to choose their bucket.
    fn default() -> Self {
        Self(RandomState::new().hash_one(0_u8))
    }
}

pub struct State {
    seed: u64,
    sum: u64,
}

impl BuildHasher for Seeded {
    type Hasher = State;
    #[inline]
    fn build_hasher(&self) -> State {
        State { seed: self.0, sum: 0 }
    }
}

impl Hasher for State {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.sum = xxh3_64_with_seed(bytes, self.seed ^ self.sum);
    }
    #[inline]
    fn write_u8(&mut self, _: u8) {} // the end mark of str, and the length of [u8; 16]: nothing to tell apart
    #[inline]
    fn write_usize(&mut self, _: usize) {}
    #[inline]
    fn finish(&self) -> u64 {
        self.sum
    }
}

pub struct Names {
    list: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u16, Seeded>,
    list_max: usize,
    bytes_max: usize,
}

impl Names {
    pub fn new(names_max: usize, bytes_max: usize) -> Self {
        let list = vec!["".into(), "__other__".into()];
        let mut numbers = HashMap::with_hasher(Seeded::default());
        numbers.insert("".into(), 0);
        numbers.insert("__other__".into(), NAME_OTHER);
        Self { list, numbers, list_max: names_max.saturating_add(2).min(usize::from(u16::MAX)), bytes_max }
    }

    /// The number of `name`, and whether there was no room for it.
    pub fn intern(&mut self, name: &[u8]) -> (u16, bool) {
        let name = String::from_utf8_lossy(cut(name, self.bytes_max));
        if let Some(number) = self.numbers.get(name.as_ref()) {
            return (*number, false);
        }
        if self.list.len() >= self.list_max {
            return (NAME_OTHER, true);
        }
        let number = self.list.len() as u16;
        self.list.push(name.as_ref().into());
        self.numbers.insert(name.as_ref().into(), number);
        (number, false)
    }

    /// How many numbers are given out.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Forgets the names from number `count` on.
    pub fn truncate(&mut self, count: usize) {
        for name in self.list.drain(count.min(self.list.len())..) {
            self.numbers.remove(&name);
        }
    }

    pub fn name(&self, number: usize) -> Option<&str> {
        self.list.get(number).map(AsRef::as_ref)
    }
}

/// At most `bytes_max` bytes of `name`, and no half character at the end.
fn cut(name: &[u8], bytes_max: usize) -> &[u8] {
    let mut end = bytes_max;
    for _ in 0..3 {
        match name.get(end) {
            Some(byte) if byte & 0xc0 == 0x80 && end > 0 => end -= 1,
            _ => break,
        }
    }
    name.get(..end.min(name.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_bounded_and_cuts_at_characters() {
        let mut names = Names::new(2, 4);
        assert_eq!(names.intern(b""), (0, false));
        assert_eq!(names.intern("abc\u{20ac}".as_bytes()), (2, false));
        assert_eq!(names.name(2), Some("abc"));
        assert_eq!(names.intern(b"b"), (3, false));
        assert_eq!(names.intern(b"c"), (NAME_OTHER, true));
        assert_eq!(names.intern(b"b"), (3, false));
    }
}
